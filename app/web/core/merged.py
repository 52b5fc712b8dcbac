"""Records that were merged into another one: their old address leads to it, for who sees it."""

from __future__ import annotations

from typing import Any

from flask_babel import gettext as _
from sqlalchemy import select

from app import access
from app.domain import merges
from app.domain.merges import MergedAway
from app.domain.merging import RECORDS
from app.extensions import db


def refuse_merged(record: Any, key: int | None, number: str | None = None) -> None:
    """Raise MergedAway if the record of this id or number was merged into one that the person sees."""
    table = getattr(record, "__tablename__", "")
    if table not in RECORDS or RECORDS[table] is not record or not (key or number):
        return
    session = db.session()
    with access.as_system(session):
        found = merges.follow(session, table, key, number)
    if found is None:
        return
    kept = session.execute(select(record.number).where(record.id == found.kept_id)).scalar()
    if kept is not None:
        raise MergedAway(
            _("%(number)s was merged into %(kept)s.", number=found.number, kept=kept), found.kept_id, str(kept)
        )
