"""Copies the texts of notes that an earlier version of the CRM wrote; see searchable_notes.py."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import takewhile
from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from app.domain import searchable_notes
from app.domain.searchable_notes import NOTES, NoteTextState
from app.domain.timeline import Activity

#: Entries that are read at once.
STEP = 2_000
#: The age from which an entry is looked at: until then, after an upgrade, a server of the earlier version may write one
#: with a lower id than the last.
SETTLED = timedelta(hours=24)


def is_behind(session: Session, now: datetime) -> bool:
    """Whether there are settled entries that were not looked at yet."""
    done = session.scalar(select(NoteTextState.filled_until)) or 0
    at = session.scalar(select(Activity.at).where(Activity.id > done).order_by(Activity.id).limit(1))
    return at is not None and at < now - SETTLED


def fill_next(session: Session, now: datetime) -> int:
    """Copy the notes among the next STEP settled entries that were not looked at yet; returns how many entries.

    Entries are looked at in the order of their ids, up to the first one that is not settled.
    """
    state = session.scalars(select(NoteTextState).with_for_update()).one()
    query = select(Activity.id, Activity.kind, Activity.at).where(Activity.id > state.filled_until)
    rows = session.execute(query.order_by(Activity.id).limit(STEP))
    entries = [*takewhile(lambda entry: entry.at < now - SETTLED, rows)]
    if not entries:
        return 0
    ids = [entry.id for entry in entries if entry.kind in NOTES]
    if ids:
        notes = session.execute(_texts(ids))
        searchable_notes.copy_missing(session, [(key, payload) for key, payload in notes])
    state.filled_until = entries[-1].id
    return len(entries)


def _texts(ids: list[int]) -> Select[Any]:
    """(id, payload) of these notes, locked as their foreign keys do it: who edits one meanwhile is waited for."""
    query = select(Activity.id, Activity.payload).where(Activity.id.in_(ids)).order_by(Activity.id)
    return query.with_for_update(read=True)
