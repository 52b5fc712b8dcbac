"""Redirects from merged records to the remaining one, for people who see it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flask_babel import gettext as _
from sqlalchemy import select

from app import access
from app.domain.base import kind_of_number
from app.domain.merging import merged_records
from app.domain.merging.merged_records import MergedAway
from app.domain.merging.record_merge import RECORDS
from app.extensions import db

#: Table -> the kind in the numbers of its records.
_KINDS = {"leads": "LEAD", "ticket": "TICKET", "customer": "CUST"}


def is_number_of(record: Any, typed: str) -> bool:
    """Whether the text is a complete number of such records, which may have been merged."""
    table = getattr(record, "__tablename__", "")
    return RECORDS.get(table) is record and kind_of_number(typed) == _KINDS[table]


def surviving_id(record: Any, typed: str) -> int | None:
    """The id of the record that the one with this number was merged into.

    None if it was not, or the number is incomplete.
    """
    if not is_number_of(record, typed):
        return None
    session = db.session()
    with access.as_system(session):
        found = merged_records.follow(session, record.__tablename__, None, typed.upper()[:24])
    return found.kept_id if found is not None else None


def merged_numbers(record: Any, numbers: Iterable[str]) -> list[dict[str, Any]]:
    """{number, merged_into: {id, number}} of those numbers whose remaining record the person sees."""
    kept = {number: key for number in numbers if (key := surviving_id(record, number)) is not None}
    if not kept:
        return []
    query = select(record.id, record.number).where(record.id.in_(set(kept.values())))
    seen = dict(tuple(row) for row in db.session().execute(query))
    return [
        {"number": number.upper(), "merged_into": {"id": key, "number": seen[key]}}
        for number, key in kept.items()
        if key in seen
    ]


def refuse_merged(record: Any, key: int | None, number: str | None = None) -> None:
    """Raise MergedAway if the record of this id or number was merged into one that the person sees."""
    table = getattr(record, "__tablename__", "")
    if table not in RECORDS or RECORDS[table] is not record or not (key or number):
        return
    session = db.session()
    with access.as_system(session):
        found = merged_records.follow(session, table, key, number)
    if found is None:
        return
    kept = session.execute(select(record.number).where(record.id == found.kept_id)).scalar()
    if kept is not None:
        sentence = _("%(number)s was merged into %(kept)s.", number=found.number, kept=kept)
        raise MergedAway(sentence, record, found.kept_id, str(kept))
