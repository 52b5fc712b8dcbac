"""The texts of notes and comments in a table of their own, which has a full-text index (ADR 0102).

The entry of the timeline is authoritative. The text is copied when the entry is saved, and goes with it. Entries that
an earlier version of the CRM wrote are copied by a job, see searchable_note_backfill.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flask_appbuilder import Model
from sqlalchemy import BigInteger, ForeignKey, Index, Integer, Text, inspect
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.domain.persistence import bulk_statements
from app.domain.persistence.bulk_statements import InsertPlan
from app.domain.persistence.row_effects import Rows

_BIG = BigInteger().with_variant(Integer, "sqlite")
#: The kinds of entries whose texts are copied.
NOTES = ("note", "comment")


class NoteText(Model):  # type: ignore[misc]
    """The current text of one note or comment."""

    __tablename__ = "note_text"
    __table_args__ = (
        # SQLite has a table of words instead, see app/ops/database/sqlite_full_text.py.
        Index("ix_note_text_words", "body", mysql_prefix="FULLTEXT").ddl_if(dialect="mysql"),
    )
    #: The id of the entry.
    id: Mapped[int] = mapped_column(
        _BIG, ForeignKey("activity.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    body: Mapped[str] = mapped_column(Text().with_variant(mysql.MEDIUMTEXT(), "mysql", "mariadb"), nullable=False)


class NoteTextState(Model):  # type: ignore[misc]
    """One row: how far the entries of earlier versions have been copied. It is locked meanwhile."""

    __tablename__ = "note_text_state"
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    #: The id of the last entry that was looked at.
    filled_until: Mapped[int] = mapped_column(_BIG, nullable=False)


def copy_saved(session: Session, entries: Rows) -> None:
    """Effect after a flush: copy the texts of new and changed notes."""
    notes = [row for row in entries.new if row.kind in NOTES]
    notes += [row for row in entries.changed if row.kind in NOTES and _has_new_text(entries, row)]
    copy(session, [(row.id, row.payload) for row in notes])


def _has_new_text(entries: Rows, row: Any) -> bool:
    if "payload" not in entries.changed_columns(row):
        return False
    state: Any = inspect(row)
    former = state.attrs.payload.history.deleted
    return not former or (former[0] or {}).get("text") != (row.payload or {}).get("text")


def copy(session: Session, notes: Iterable[tuple[int, dict[str, Any] | None]]) -> None:
    """Store the texts of these (id, payload), in place of earlier ones."""
    bulk_statements.insert_rows(session, NoteText, rows_of(notes), InsertPlan(unique=("id",), update=("body",)))


def copy_missing(session: Session, notes: Iterable[tuple[int, dict[str, Any] | None]]) -> None:
    """Store the texts of these (id, payload), unless there is one already."""
    bulk_statements.insert_rows(session, NoteText, rows_of(notes), InsertPlan(unique=("id",)))


def rows_of(notes: Iterable[tuple[int, dict[str, Any] | None]]) -> list[dict[str, Any]]:
    """The rows with the texts of these (id, payload)."""
    return [{"id": key, "body": str((payload or {}).get("text") or "")} for key, payload in notes]
