"""Search in notes and comments: only those that the person sees on a timeline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select

from app import access, notice_links
from app.domain.searchable_notes import NOTES
from app.extensions import db
from app.models import Activity
from app.web.core.fields.date_fields import moment_cell
from app.web.core.viewer import Viewer
from app.web.records.timelines.entry_texts import name_of

#: Characters that are shown of a note, and of these before the first word that was found.
MAX_EXCERPT, _BEFORE = 100, 30


def note_lookup(text: str, viewer: Viewer) -> access.IndexLookup:
    """The look-up of notes with these words; without conditions for people who may read none."""
    return access.look_up_notes(text if viewer.person.may("Notes", "read") else "")


def hits(found: access.IndexLookup, text: str, maximum: int, viewer: Viewer) -> list[dict[str, Any]]:
    """The newest notes that were found, of those that the viewer sees."""
    if found.ids == set():
        return []
    ids = found.ids
    if ids is None:
        ids = found.some | access.notes_among_many(db.session(), viewer.person, text)
    rows = _read(sorted(ids, reverse=True), maximum)
    cards = notice_links.record_cards(db.session(), rows)
    return [_hit(row, text, cards, viewer) for row in rows]


def _read(ids: Sequence[int], maximum: int) -> list[Any]:
    """The newest of these entries that the person sees."""
    if not ids:
        return []
    line = Activity
    columns = (line.id, line.at, line.actor_id, line.payload, line.lead_id, line.ticket_id, line.customer_id)
    query = select(*columns).where(line.id.in_(ids), line.kind.in_(NOTES)).order_by(line.id.desc()).limit(maximum)
    query = query.with_hint(line, "FORCE INDEX (PRIMARY)", "mysql")  # the rules name many other indexes
    return [*db.session.execute(query)]


def _hit(row: Any, text: str, cards: notice_links.RecordCards, viewer: Viewer) -> dict[str, Any]:
    keys = ((column, getattr(row, column)) for column in ("ticket_id", "lead_id", "customer_id"))
    card = next((cards[key] for key in keys if key in cards), None)
    words = excerpt(str((row.payload or {}).get("text") or ""), text)
    facts = [card.number, card.summary or card.name] if card is not None else []
    facts += [name_of(row.actor_id, viewer)] if row.actor_id is not None else []
    cells = [{"kind": "text", "text": each} for each in (words, *facts) if each]
    return {
        "url": f"/notes/{row.id}/place",
        "title": words,
        "cells": [*cells, moment_cell(row.at, viewer)],
        "note": "",
    }


def excerpt(body: str, text: str) -> str:
    """The words around the first place of the note where one of the typed words begins, on one line."""
    line = " ".join(body.split())
    folded = line.casefold()
    places = [folded.find(word) for word in text.casefold().split()] if len(folded) == len(line) else []
    first = min((place for place in places if place >= 0), default=0)
    start = line.rfind(" ", 0, first - _BEFORE) + 1 if first > _BEFORE else 0
    shown = line[start : start + MAX_EXCERPT]
    return f"{'… ' if start else ''}{shown}{' …' if start + MAX_EXCERPT < len(line) else ''}"
