"""Uploads of do-not-disturb lists: the file, the progress of reading it, and its wrong lines."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

from flask_appbuilder import Model
from sqlalchemy import ForeignKey, Index, Integer, String, func, insert, select
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.domain.audit_log import audit
from app.domain.base import Record, Stamp, UtcDateTime
from app.domain.messaging.consents import DoNotDisturb
from app.domain.persistence.file_references import STORED_FILE
from app.lib import phone

#: Lines of one file.
MAX_LINES = 1_000_000
#: Lines read per transaction.
CHUNK = 1000
#: Wrong lines of one file that are stored, and characters of each; all are counted.
MAX_WRONG, MAX_TEXT = 10_000, 200
#: Somewhere it is tomorrow already.
AHEAD = timedelta(hours=14)
STATES = ("reading", "done", "failed")
#: Names of the preferences in registers, in lower case.
WORDS = {
    "none": "none",
    "no": "none",
    "n": "none",
    "not registered": "none",
    "allowed": "none",
    "0": "none",
    "": "blocked",
    "blocked": "blocked",
    "fully blocked": "blocked",
    "yes": "blocked",
    "y": "blocked",
    "dnd": "blocked",
    "1": "blocked",
    "partial": "partial",
    "partially blocked": "partial",
}
#: Possible first cells of a heading.
_HEADINGS = ("number", "mobile", "msisdn", "phone", "phone number", "mobile number")


class DndUpload(Record):
    """One uploaded file. It is in the file store while it is being read."""

    __tablename__ = "dnd_upload"
    __table_args__ = (Index("ix_dnd_upload_digest", "digest"),)
    #: The name of the file, for display only.
    name: Mapped[str] = mapped_column(String(140), nullable=False)
    #: One of STATES, and why it failed.
    state: Mapped[str] = mapped_column(String(12), nullable=False)
    error: Mapped[str | None] = mapped_column(String(300))
    #: When the numbers were checked, where a line doesn't say, UTC.
    checked_on: Mapped[datetime] = mapped_column(UtcDateTime, nullable=False)
    #: Bytes of the (uncompressed) file, and how far it was read.
    size: Mapped[int] = mapped_column(Integer, nullable=False)
    position: Mapped[int] = mapped_column(Integer, nullable=False, default=0)
    #: The stored file being read, compressed as it was uploaded; null = reading has finished.
    digest: Mapped[str | None] = mapped_column(String(64), info=STORED_FILE)
    #: Lines read, numbers stored, and wrong lines.
    lines: Mapped[int] = mapped_column(Integer, nullable=False, default=0)
    stored: Mapped[int] = mapped_column(Integer, nullable=False, default=0)
    wrong: Mapped[int] = mapped_column(Integer, nullable=False, default=0)


class DndWrongLine(Model):  # type: ignore[misc]
    """A line that could not be stored."""

    __tablename__ = "dnd_wrong_line"
    __table_args__ = (Index("ix_dnd_wrong_line", "upload_id", "line"),)
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    upload_id: Mapped[int] = mapped_column(ForeignKey("dnd_upload.id", ondelete="CASCADE"), nullable=False)
    #: Its number in the file, from 1; the beginning of its text; and an English sentence for a file.
    line: Mapped[int] = mapped_column(Integer, nullable=False)
    text: Mapped[str] = mapped_column(String(MAX_TEXT), nullable=False)
    problem: Mapped[str] = mapped_column(String(200), nullable=False)


@dataclass(frozen=True)
class DndLine:
    """The content of one line."""

    number: str
    #: One of consents.PREFERENCES.
    preference: str
    checked_on: datetime


class KeptList(NamedTuple):
    """The file of a list in the storage: as it was called, its digest, and its uncompressed size."""

    name: str
    digest: str
    size: int


def add(session: Session, kept: KeptList, checked_on: datetime, stamp: Stamp) -> DndUpload:
    """Add a file to be read."""
    name, digest, size = kept
    upload = DndUpload(name=name[:140] or "list.csv", state="reading", digest=digest, size=size, checked_on=checked_on)
    upload.position = upload.lines = upload.stored = upload.wrong = 0
    upload.stamp(stamp)
    session.add(upload)
    session.flush()
    audit.write(
        session, "consent", stamp.by, stamp.now, f"do-not-disturb list {upload.id}", what="uploaded", bytes=size
    )
    return upload


def unfinished(session: Session, limit: int) -> list[int]:
    """The files that are not completely read."""
    query = select(DndUpload.id).where(DndUpload.state == "reading").order_by(DndUpload.id)
    return list(session.scalars(query.limit(limit)))


def note_wrong(session: Session, upload: DndUpload, lines: Sequence[tuple[int, str, str]]) -> None:
    """Count the wrong lines (number, text, problem), and store the first ones of a file."""
    room = max(0, MAX_WRONG - upload.wrong)
    rows = [{"upload_id": upload.id, "line": n, "text": text, "problem": problem} for n, text, problem in lines[:room]]
    if rows:
        session.execute(insert(DndWrongLine), rows)
    upload.wrong += len(lines)


def wrong_lines(session: Session, upload_id: int) -> list[tuple[int, str, str]]:
    """The stored wrong lines, in the order of the file."""
    columns = (DndWrongLine.line, DndWrongLine.text, DndWrongLine.problem)
    query = select(*columns).where(DndWrongLine.upload_id == upload_id).order_by(DndWrongLine.line)
    return [(n, text, problem) for n, text, problem in session.execute(query)]


def parse(cells: list[str], checked_on: datetime, now: datetime) -> DndLine | str:
    """The line: number, preference, day of the check; or what is wrong with it, as an English sentence for a file."""
    given = [each.strip() for each in cells]
    number = phone.normalize(given[0]) if given else None
    if number is None or len(number) > 20:
        return "This isn't a phone number."
    preference = WORDS.get(given[1].lower() if len(given) > 1 else "")
    if preference is None:
        return "The preference must be none, blocked or partial."
    day = _day(given[2]) if len(given) > 2 and given[2] else checked_on
    if day is None or day > now + AHEAD:
        return "The day of the check must be a date such as 2026-11-30 that isn't in the future."
    return DndLine(number, preference, min(day, now))


def is_heading(cells: list[str]) -> bool:
    """Whether the first line names the columns."""
    return bool(cells) and cells[0].strip().lower() in _HEADINGS


def _day(text: str) -> datetime | None:
    try:
        found = date.fromisoformat(text[:10])
    except ValueError:
        return None
    return datetime(found.year, found.month, found.day, tzinfo=UTC) if found.year >= 2000 else None


def store(session: Session, lines: Iterable[DndLine], how: str, now: datetime) -> int:
    """Store these checks in one statement; an older check doesn't replace a newer one. Returns how many.

    `how`: "scrub file" or "provider".
    """
    newest: dict[str, DndLine] = {}
    for each in lines:
        held = newest.get(each.number)
        if held is None or held.checked_on <= each.checked_on:
            newest[each.number] = each
    # In the order of the numbers, so that two concurrent files lock the same rows in the same order.
    ordered = sorted(newest.values(), key=lambda each: each.number)
    rows = [
        {
            "number": each.number,
            "preference": each.preference,
            "checked_on": each.checked_on,
            "how": how,
            "created_on": now,
            "changed_on": now,
        }
        for each in ordered
    ]
    if rows:
        session.execute(_upsert(session, rows))
    return len(rows)


def _upsert(session: Session, rows: list[dict[str, Any]]) -> Any:
    names = ("preference", "how", "changed_on", "checked_on")
    if session.get_bind().dialect.name == "sqlite":
        step = sqlite.insert(DoNotDisturb).values(rows)
        is_newer = DoNotDisturb.checked_on <= step.excluded.checked_on
        values = {name: step.excluded[name] for name in names}
        return step.on_conflict_do_update(index_elements=["number"], set_=values, where=is_newer)
    insert = mysql.insert(DoNotDisturb).values(rows)
    # MariaDB assigns from left to right: `checked_on`, which is compared, comes last.
    is_newer = DoNotDisturb.checked_on <= insert.inserted.checked_on
    pairs = [(name, func.if_(is_newer, insert.inserted[name], DoNotDisturb.__table__.c[name])) for name in names]
    return insert.on_duplicate_key_update(pairs)
