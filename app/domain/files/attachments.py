"""Files of leads, tickets, customers, tasks and notes, with their versions, and the trash.

The content is in the file store (`app/ops/storage/file_store.py`). A file with several versions is a series of rows.
Deleted files can be restored for some time (`retention_kinds`).
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    ForeignKey,
    Index,
    Integer,
    String,
    UniqueConstraint,
    delete,
    func,
    not_,
    select,
    true,
    update,
)
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.domain import timeline
from app.domain.base import RECORD_COLUMNS, Conflict, Record, RuleBroken, Stamp, UtcDateTime, translatable
from app.domain.files import file_quotas
from app.domain.files.file_quotas import UploadStamp
from app.domain.persistence.file_references import STORED_FILE
from app.domain.timeline import Activity

_BIG = BigInteger().with_variant(Integer, "sqlite")
#: "off": not scanned; "waiting": the scanner was unavailable, a job scans it later.
SCANS = ("off", "waiting", "clean", "infected")
#: The most versions of one file.
MAX_VERSIONS = 200
_BULK = {"synchronize_session": False}


class Attachment(Record):
    """One version of a file of a record."""

    __tablename__ = "attachment"
    __table_args__ = (
        UniqueConstraint("series", "number", name="uq_attachment_series"),
        Index("ix_attachment_digest", "digest"),
        Index("ix_attachment_preview", "preview"),
        Index("ix_attachment_scan", "scan", "id"),
        Index("ix_attachment_deleted", "deleted_on"),
        Index("ix_attachment_words", "name", mysql_prefix="FULLTEXT"),
    )
    lead_id: Mapped[int | None] = mapped_column(ForeignKey("leads.id", ondelete="CASCADE"), index=True)
    ticket_id: Mapped[int | None] = mapped_column(ForeignKey("ticket.id", ondelete="CASCADE"), index=True)
    customer_id: Mapped[int | None] = mapped_column(ForeignKey("customer.id", ondelete="CASCADE"), index=True)
    task_id: Mapped[int | None] = mapped_column(ForeignKey("task.id", ondelete="CASCADE"), index=True)
    #: The note to which it belongs, besides the record; null = the record itself.
    activity_id: Mapped[int | None] = mapped_column(_BIG, ForeignKey("activity.id", ondelete="CASCADE"), index=True)
    #: The name for people; never part of a path.
    name: Mapped[str] = mapped_column(String(200), nullable=False)
    #: Detected from the content.
    mime_type: Mapped[str] = mapped_column(String(100), nullable=False)
    #: In bytes.
    size: Mapped[int] = mapped_column(BigInteger, nullable=False)
    #: The content in the file store.
    digest: Mapped[str] = mapped_column(String(64), nullable=False, info=STORED_FILE)
    #: A small picture of it in the file store; null = none.
    preview: Mapped[str | None] = mapped_column(String(64), info=STORED_FILE)
    #: Versions of one file have the same series, and count from 1.
    series: Mapped[str] = mapped_column(String(32), nullable=False)
    number: Mapped[int] = mapped_column(Integer, nullable=False)
    #: When it was moved to the trash, UTC; null = it wasn't.
    deleted_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    deleted_by_id: Mapped[int | None] = mapped_column(ForeignKey("ab_user.id"))
    #: One of SCANS.
    scan: Mapped[str] = mapped_column(String(8), nullable=False)
    #: What the scanner found.
    threat: Mapped[str | None] = mapped_column(String(120))


@dataclass(frozen=True)
class NewFile:
    """A file in the store that isn't attached to a record yet."""

    name: str
    mime_type: str
    #: In bytes.
    size: int
    digest: str
    preview: str | None = None
    #: One of SCANS.
    scan: str = "off"
    #: The file of which this is a new version.
    replaces: Attachment | None = None
    #: The note to which it belongs.
    note: Activity | None = None


_KEYS = ("lead_id", "ticket_id", "customer_id", "task_id", "activity_id")


def attach(session: Session, record: Any, file: NewFile, stamp: UploadStamp) -> Attachment:
    """Attach a file to a lead, ticket, customer or task. Locks the rows of the quotas, so the caller commits soon.

    Raises RuleBroken above a quota, for a version of another record's file, or for too many versions.
    """
    row = Attachment(name=file.name, mime_type=file.mime_type, size=file.size, digest=file.digest)
    row.preview, row.scan = file.preview, file.scan
    _place(session, row, record, file)
    row.stamp(stamp)
    session.add(row)
    session.flush()
    if file.note is not None:
        _list_in_note(session, file.note)
        timeline.mark_changed(session, row.lead_id, row.ticket_id, row.customer_id)
    else:
        timeline.write(session, record, "file", stamp, **_entry(row, "attached" if row.number == 1 else "version"))
    file_quotas.reserve(session, stamp.by, file.size, stamp.quotas)
    return row


def _place(session: Session, row: Attachment, record: Any, file: NewFile) -> None:
    """Set what the file belongs to, and its version."""
    setattr(row, RECORD_COLUMNS[record.__tablename__], record.id)
    if record.__tablename__ == "leads" and record.converted_on is not None:
        row.customer_id = record.customer_id
    row.activity_id = file.note.id if file.note is not None else None
    if file.replaces is None:
        row.series, row.number = uuid.uuid4().hex, 1
        return
    if not is_of(file.replaces, record) or file.replaces.deleted_on is not None:
        raise RuleBroken("This file can't be replaced: it was deleted, or belongs to another record.", "replaces")
    row.activity_id = file.replaces.activity_id
    row.series, row.number = file.replaces.series, _last_number(session, file.replaces.series) + 1
    if row.number > MAX_VERSIONS:
        text = "This file has %(most)s versions, which is the most. Please attach it as a file of its own."
        raise RuleBroken(translatable(text, most=MAX_VERSIONS), "replaces")


def is_of(row: Attachment, record: Any) -> bool:
    """Whether a file belongs to this lead, ticket, customer or task."""
    return bool(getattr(row, RECORD_COLUMNS[record.__tablename__]) == record.id)


def _last_number(session: Session, series: str) -> int:
    return session.execute(select(func.max(Attachment.number)).where(Attachment.series == series)).scalar() or 0


def _entry(row: Attachment, what: str) -> dict[str, Any]:
    """The payload of an entry of the record's timeline; files of notes have none of their own."""
    return {"file": row.id, "name": row.name, "what": what, "number": row.number}


# --- reading


def versions(session: Session, series: Iterable[str]) -> dict[str, list[Attachment]]:
    """Series -> its visible versions, newest first; one statement."""
    wanted = sorted(set(series))
    found: dict[str, list[Attachment]] = {each: [] for each in wanted}
    if wanted:
        query = select(Attachment).where(Attachment.series.in_(wanted)).order_by(Attachment.number.desc())
        for row in session.scalars(query):
            found[row.series].append(row)
    return found


def newest(session: Session, place: tuple[str, int], before: int | None, maximum: int) -> list[Attachment]:
    """The current versions of the files of a record or note that aren't in the trash, newest first.

    `place`: column, such as lead_id, and id of the record; `before`: only files with a lower id.
    """
    last = (
        select(func.max(Attachment.id).label("id"))
        .where(getattr(Attachment, place[0]) == place[1], Attachment.deleted_on.is_(None))
        .group_by(Attachment.series)
    )
    query = select(Attachment).where(Attachment.id.in_(last))
    if before is not None:
        query = query.where(Attachment.id < before)
    return list(session.scalars(query.order_by(Attachment.id.desc()).limit(maximum)))


def trash(session: Session, place: tuple[str, int], within: Any, maximum: int) -> list[Attachment]:
    """The deleted files of a record that can be restored: the newest version of each, last deleted first.

    `place`: column and id of the record; `within`: the rule for files that the person may delete. All versions must
    match it: nobody else is shown even the names.
    """
    mine = (getattr(Attachment, place[0]) == place[1], Attachment.deleted_on.is_not(None))
    others = select(Attachment.series).where(*mine, not_(within)).correlate(None)
    rules = (*mine, Attachment.series.not_in(others))
    last = select(func.max(Attachment.id).label("id")).where(*rules).group_by(Attachment.series)
    query = select(Attachment).where(Attachment.id.in_(last)).order_by(Attachment.deleted_on.desc(), Attachment.id)
    return list(session.scalars(query.limit(maximum)))


def same_content(session: Session, record: Any, file: NewFile) -> Attachment | None:
    """The current file of the record with this name and content, if there is one."""
    column = getattr(Attachment, RECORD_COLUMNS[record.__tablename__])
    note = Attachment.activity_id.is_(None) if file.note is None else Attachment.activity_id == file.note.id
    query = select(Attachment).where(
        column == record.id, Attachment.digest == file.digest, Attachment.deleted_on.is_(None), note
    )
    found = session.scalars(query.order_by(Attachment.id.desc())).first()
    return found if found is not None and found.name.casefold() == file.name.casefold() else None


# --- versions, trash


def append_versions(session: Session, row: Attachment, into: Attachment, record: Any, stamp: Stamp) -> None:
    """Turn a file, with its versions, into the newest versions of another file of the same record.

    Raises RuleBroken if they don't belong together, Conflict if somebody else adds a version at the same time.
    """
    is_apart = row.series == into.series or into.deleted_on is not None or row.deleted_on is not None
    if is_apart or any(getattr(row, key) != getattr(into, key) for key in _KEYS):
        raise RuleBroken("These two files can't be versions of each other: they belong to different records.")
    last = _last_number(session, into.series)
    if last + _last_number(session, row.series) > MAX_VERSIONS:
        text = "This file has %(most)s versions, which is the most. Please attach it as a file of its own."
        raise RuleBroken(translatable(text, most=MAX_VERSIONS), "replaces")
    step = update(Attachment).where(Attachment.series == row.series)
    moved: Any = session.execute(
        step.values(series=into.series, number=Attachment.number + last), execution_options=_BULK
    )
    if not moved.rowcount:
        raise Conflict("Someone else changed this file. Please reload the page.")
    session.expire(row)
    _after_change(session, row, record)
    timeline.write(session, record, "file", stamp, **_entry(row, "version"))


def put_in_trash(session: Session, row: Attachment, record: Any, stamp: Stamp) -> bool:
    """Delete a file with all its versions; it can be restored. Returns False if it was deleted already."""
    step = update(Attachment).where(Attachment.series == row.series, Attachment.deleted_on.is_(None))
    values = {"deleted_on": stamp.now, "deleted_by_id": stamp.by}
    done: Any = session.execute(step.values(values), execution_options=_BULK)
    session.expire(row)
    if done.rowcount:
        _after_change(session, row, record)
        timeline.write(session, record, "file", stamp, **_entry(row, "deleted"))
        _name_in_timeline(session, row, record, is_gone=True)
    return bool(done.rowcount)


def restore(session: Session, row: Attachment, record: Any, stamp: Stamp) -> bool:
    """Restore a file with its versions from the trash. Returns False if it wasn't there."""
    step = update(Attachment).where(Attachment.series == row.series, Attachment.deleted_on.is_not(None))
    done: Any = session.execute(step.values(deleted_on=None, deleted_by_id=None), execution_options=_BULK)
    session.expire(row)
    if done.rowcount:
        _after_change(session, row, record)
        _name_in_timeline(session, row, record, is_gone=False)
        timeline.write(session, record, "file", stamp, **_entry(row, "restored"))
    return bool(done.rowcount)


def _name_in_timeline(session: Session, row: Attachment, record: Any, is_gone: bool) -> None:
    """Mark the timeline entries of a file in the trash with its owner: only people who may delete it see its name."""
    versions = select(Attachment.id, Attachment.created_by_id).where(Attachment.series == row.series)
    owners = {row[0]: row[1] for row in session.execute(versions)}
    column = getattr(Activity, RECORD_COLUMNS[record.__tablename__])
    for line in session.scalars(select(Activity).where(column == record.id, Activity.kind == "file")):
        if line.payload.get("file") in owners:
            rest = {name: value for name, value in line.payload.items() if name != "gone"}
            line.payload = rest | ({"gone": sorted({each for each in owners.values() if each})} if is_gone else {})
    session.flush()


def _after_change(session: Session, row: Attachment, record: Any) -> None:
    if row.activity_id is not None and (note := session.get(Activity, row.activity_id)) is not None:
        _list_in_note(session, note)


def _list_in_note(session: Session, note: Activity) -> None:
    """Store the names of a note's files in its timeline entry, so that showing them needs no query."""
    rows = newest(session, ("activity_id", note.id), None, MAX_VERSIONS)
    note.payload = {**note.payload, "files": [[each.id, each.name] for each in reversed(rows)]}
    session.flush()


# --- viruses


def waiting_for_scan(session: Session, maximum: int) -> list[int]:
    """Ids of the files that were not scanned because the scanner was unavailable."""
    query = select(Attachment.id).where(Attachment.scan == "waiting").order_by(Attachment.id).limit(maximum)
    return list(session.scalars(query))


def settle_scan(session: Session, row: Attachment, threat: str | None) -> None:
    """Record the scanner's result for the content, for all files that have it."""
    values = {"scan": "infected" if threat else "clean", "threat": (threat or "")[:120] or None}
    step = update(Attachment).where(Attachment.digest == row.digest, Attachment.scan != "infected")
    session.execute(step.values(values), execution_options=_BULK)
    timeline.mark_changed(session, row.lead_id, row.ticket_id, row.customer_id)


def settle_unscanned(session: Session, file_id: int) -> None:
    """Record that the scanner doesn't look at this file: it waits no longer."""
    step = update(Attachment).where(Attachment.id == file_id, Attachment.scan == "waiting").values(scan="off")
    session.execute(step, execution_options=_BULK)


# --- final deletion


def purge(session: Session, keys: Sequence[int], before: datetime) -> int:
    """Delete these rows of the trash permanently, if they are still that old; frees the quotas."""
    return _end(session, keys, Attachment.__table__.c.deleted_on < before)


def delete_expired(session: Session, keys: Sequence[int], before: datetime) -> int:
    """Delete these files for their age, if they are still that old; frees the quotas."""
    return _end(session, keys, Attachment.__table__.c.created_on < before)


def delete_for_good(session: Session, keys: Sequence[int]) -> int:
    """Delete these files, whatever their age, since a person is erased; frees the quotas."""
    return _end(session, keys, true())


def _end(session: Session, keys: Sequence[int], is_old: Any) -> int:
    table = Attachment.__table__
    chosen = (table.c.id.in_(list(keys)), is_old)
    query = select(table.c.created_by_id, func.sum(table.c.size)).where(*chosen).group_by(table.c.created_by_id)
    for user, size in session.execute(query).all():
        file_quotas.give_back(session, user, int(size))
    done: Any = session.execute(delete(table).where(*chosen))
    return int(done.rowcount)
