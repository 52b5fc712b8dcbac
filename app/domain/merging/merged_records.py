"""Which record was merged into which: the number of a merged record leads to the remaining one.

A merged record leaves its table, so that no list, figure, search or job finds it; a row here is all that remains.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from flask_appbuilder import Model
from sqlalchemy import (
    JSON,
    BigInteger,
    ForeignKey,
    Index,
    Integer,
    String,
    UniqueConstraint,
    select,
)
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.domain.base import Code, RuleBroken, UtcDateTime

#: Records per merge.
MOST = 3
#: The longest chain of merges that is followed.
_LINKS = 50
_BIG = BigInteger().with_variant(Integer, "sqlite")


class RecordMerge(Model):  # type: ignore[misc]
    """One merge: the remaining record, and those that were merged into it."""

    __tablename__ = "record_merge"
    __table_args__ = (
        Index("ix_record_merge_at", "kind", "at"),
        Index("ix_record_merge_kept", "kind", "kept_id"),
    )
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    #: The table: leads, ticket or customer.
    kind: Mapped[str] = mapped_column(String(16), nullable=False)
    kept_id: Mapped[int] = mapped_column(Integer, nullable=False)
    kept_number: Mapped[str] = mapped_column(Code(24), nullable=False)
    at: Mapped[datetime] = mapped_column(UtcDateTime, nullable=False)
    by_id: Mapped[int | None] = mapped_column(ForeignKey("ab_user.id"))
    undone_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    undone_by_id: Mapped[int | None] = mapped_column(ForeignKey("ab_user.id"))
    #: When its undo data was deleted for its age.
    forgotten_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: {column: [before, after]} of the remaining record; for a sealed column [null, id of the record it came from].
    fields: Mapped[dict[str, Any]] = mapped_column(JSON, nullable=False)
    #: {table: rows that moved}
    counts: Mapped[dict[str, int]] = mapped_column(JSON, nullable=False)


class MergedRecord(Model):  # type: ignore[misc]
    """A record before its merge; the remaining one, too."""

    __tablename__ = "merged_record"
    __table_args__ = (
        UniqueConstraint("gone_key", name="uq_merged_record_gone"),
        Index("ix_merged_record_merge", "merge_id"),
        Index("ix_merged_record_number", "kind", "number"),
    )
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    merge_id: Mapped[int] = mapped_column(ForeignKey("record_merge.id", ondelete="CASCADE"), nullable=False)
    kind: Mapped[str] = mapped_column(String(16), nullable=False)
    record_id: Mapped[int] = mapped_column(Integer, nullable=False)
    number: Mapped[str] = mapped_column(Code(24), nullable=False)
    #: Table and id while it is merged, else null: a record can be merged only once.
    gone_key: Mapped[str | None] = mapped_column(String(40))
    #: Its columns; null once they were deleted.
    row: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    #: Not in `row`, so that a key rotation reseals them with all others.
    pan_sealed: Mapped[str | None] = mapped_column(String(200))
    pan_blind: Mapped[str | None] = mapped_column(String(64))
    aadhaar_sealed: Mapped[str | None] = mapped_column(String(200))
    aadhaar_blind: Mapped[str | None] = mapped_column(String(64))


class MergeChange(Model):  # type: ignore[misc]
    """Rows in which a merge changed one column from one value to another, or that it deleted or added."""

    __tablename__ = "merge_change"
    __table_args__ = (Index("ix_merge_change_merge", "merge_id"),)
    id: Mapped[int] = mapped_column(_BIG, primary_key=True)
    merge_id: Mapped[int] = mapped_column(ForeignKey("record_merge.id", ondelete="CASCADE"), nullable=False)
    table_name: Mapped[str] = mapped_column(String(64), nullable=False)
    #: Null for rows that were deleted (`before` has them) or added (`after` has them).
    column_name: Mapped[str | None] = mapped_column(String(64))
    before: Mapped[Any] = mapped_column(JSON(none_as_null=True), nullable=True)
    after: Mapped[Any] = mapped_column(JSON(none_as_null=True), nullable=True)
    #: The ids of the rows.
    rows: Mapped[list[int]] = mapped_column(JSON, nullable=False)


#: Columns of records with sealed values, and their fingerprints.
SECRET_COLUMNS = ("pan_sealed", "pan_blind", "aadhaar_sealed", "aadhaar_blind")


def as_json(value: Any) -> Any:
    """A column's value as stored in JSON."""
    if isinstance(value, datetime):
        return {"moment": value.isoformat()}
    if isinstance(value, date):
        return {"day": value.isoformat()}
    return {"json": value} if isinstance(value, dict | list) else value


def from_json(value: Any) -> Any:
    """The value stored by `as_json`."""
    if not isinstance(value, dict):
        return value
    if "moment" in value:
        return datetime.fromisoformat(value["moment"])
    return date.fromisoformat(value["day"]) if "day" in value else value["json"]


def merged_key(kind: str, key: int) -> str:
    """The key of a merged record."""
    return f"{kind}:{key}"


@dataclass(frozen=True)
class SurvivingRecord:
    """The record that replaces a merged one."""

    #: Its own number.
    number: str
    merge_id: int
    #: The remaining record at the end of the chain.
    kept_id: int


def follow(session: Session, kind: str, key: int | None, number: str | None = None) -> SurvivingRecord | None:
    """The record that the one with this id or number was merged into; None if it was not merged."""
    gone = MergedRecord
    rule = gone.gone_key == merged_key(kind, key) if key is not None else gone.number == (number or "")
    query = select(gone.record_id, gone.number, gone.merge_id).where(gone.kind == kind, gone.gone_key.is_not(None))
    first = session.execute(query.where(rule).limit(1)).first()
    if first is None:
        return None
    key, merge_id = int(first.record_id), int(first.merge_id)
    for _link in range(_LINKS):
        joined = select(RecordMerge.kept_id).join(gone, gone.merge_id == RecordMerge.id)
        after = session.scalars(joined.where(gone.gone_key == merged_key(kind, key))).first()
        if after is None:
            break
        key = after
    return SurvivingRecord(first.number, merge_id, key)


def merged_from(session: Session, kind: str, keys: Sequence[int]) -> list[tuple[int, str]]:
    """(id, number) of the records of this table that were merged into these, directly or through others."""
    found: list[tuple[int, str]] = []
    query = select(MergedRecord.record_id, MergedRecord.number).join(RecordMerge).where(RecordMerge.kind == kind)
    for _link in range(_LINKS):
        rows = session.execute(query.where(RecordMerge.kept_id.in_(keys), MergedRecord.gone_key.is_not(None))).all()
        if not rows:
            break
        found += [(int(key), number) for key, number in rows]
        keys = [key for key, _number in rows]
    return found


class MergedAway(RuleBroken):
    """The record was merged into another one of the same `record` (410)."""

    http_status = 410

    def __init__(self, message: str, record: Any, kept_id: int, kept_number: str) -> None:
        super().__init__(message)
        self.record, self.kept_id, self.kept_number = record, kept_id, kept_number
