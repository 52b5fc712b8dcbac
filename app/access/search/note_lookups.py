"""Looks up notes by their words. The ids are shown to nobody: the entries are read under the access rules."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.orm import Session, aliased

from app.access.paging.fast_paging import has_few
from app.access.paging.index_branches import PageQuery, alias_of, newest
from app.access.paging.reach_branches import own_branches
from app.access.person import Person
from app.access.search.first_lookups import together
from app.access.search.search_conditions import IndexLookup
from app.access.search.word_search import WordsPart
from app.access.system_session import as_system
from app.domain.searchable_notes import NOTES
from app.models import Activity, Lead, NoteText, Ticket

#: Of words that many notes have, so many of the newest notes are read, and the timelines of so many of the newest leads
#: and tickets of people within reach, at least so many of each of them.
RECENT, OWN_RECORDS, LEAST_RECORDS = 500, 100, 5
#: So many notes that have the words are found among the newest ones, and so many on those timelines.
MOST_RECENT, MOST_OWN = 100, 100
_WORDS = "words"


def look_up_notes(text: str) -> IndexLookup:
    """The look-up of notes with these words, in any order; without conditions for an empty text."""
    return IndexLookup(NoteText, [_part(text)] if text.strip() else [])


def _part(text: str) -> WordsPart:
    return WordsPart(NoteText.__table__.c.body, text)


def notes_among_many(session: Session, person: Person, text: str) -> set[int]:
    """The ids of some of the many notes with these words: recent ones, and those of records of people within reach."""
    part = _part(text)
    held = [
        (record, branch)
        for record in (Lead, Ticket)
        if has_few(person, record)
        for branch in own_branches(person, record)
    ]
    branches = [_among_recent(part), *[_among_held(part, record, branch, len(held)) for record, branch in held]]
    with as_system(session):
        return set(session.execute(together(session, branches), part.open_values(_WORDS)).scalars())


def _among_recent(part: WordsPart) -> Select[Any]:
    """The texts stay out of the temporary table of the recent notes, which long texts would make a file."""
    note, _adapter = alias_of(NoteText)
    has_words = part.opened(_WORDS, note.body).label("has_words")
    recent = select(note.id.label("id"), has_words).order_by(note.id.desc()).limit(RECENT).subquery()
    return select(recent.c.id).where(recent.c.has_words).limit(MOST_RECENT)


def _among_held(part: WordsPart, record: Any, branch: Select[Any], branches: int) -> Select[Any]:
    """The notes on the timelines of the newest records of one way of holding them."""
    size = max(LEAST_RECORDS, OWN_RECORDS // branches)
    held = newest(branch, record, PageQuery([], size)).subquery()
    line, (note, _adapter) = aliased(Activity), alias_of(NoteText)
    name = "lead" if record is Lead else "ticket"
    query = select(note.id).select_from(held).join(line, getattr(line, f"{name}_id") == held.c.id)
    query = query.join(note, note.id == line.id).where(line.kind.in_(NOTES), part.opened(_WORDS, note.body))
    query = query.prefix_with("STRAIGHT_JOIN", dialect="mysql")
    query = query.with_hint(line, f"FORCE INDEX (ix_activity_{name})", "mysql")
    return query.limit(max(LEAST_RECORDS, MOST_OWN // branches))
