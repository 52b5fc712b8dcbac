"""Imports and exports: what was requested, their progress, their files, and each row that an import has read."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, NamedTuple

from flask_appbuilder import Model
from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    ForeignKey,
    Index,
    Integer,
    String,
    UniqueConstraint,
    case,
    delete,
    func,
    or_,
    select,
    update,
)
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.domain.base import Record, RuleBroken, Stamp, UtcDateTime, hold_name
from app.domain.persistence.file_references import STORED_FILE

FORMATS = ("csv", "xlsx")
EXPORT_STATES = ("waiting", "running", "done", "failed", "cancelled", "expired")
#: mapping: waits for the person's mapping. checking: the dry run. checked: waits for the person to start it.
IMPORT_STATES = (
    *("mapping", "checking", "checked", "running", "done", "cancelled", "failed"),
    *("reverting", "reverted"),
)
#: States in which a worker has something to do.
OPEN_EXPORTS, OPEN_IMPORTS = ("waiting", "running"), ("checking", "running", "reverting")
DUPLICATES = ("skip", "update", "create")
#: Exports of one person that may be waiting or running at a time, and exports of everything.
MAX_OPEN, MAX_OPEN_OF_ALL = 5, 1
#: A run without a heartbeat for this long has lost its worker.
LOST_AFTER = timedelta(seconds=60)
#: How long an export or import waits for file storage before its second, third … attempt; then it fails.
STORAGE_WAITS = tuple(timedelta(minutes=each) for each in (1, 1, 2, 5, 10, 20, 30))
#: Attempts without progress, including those whose worker was killed.
MAX_TRIES = 10
#: How long the file of an export can be downloaded, and an import can be reverted.
KEPT_FOR, REVERTED_WITHIN = timedelta(hours=24), timedelta(days=30)


class ExportRun(Record):
    """One export to a file."""

    __tablename__ = "export_run"
    __table_args__ = (Index("ix_export_run_state", "outcome", "seen_on"),)
    #: The resource name of what is exported, such as lead; "all" = everything.
    kind: Mapped[str] = mapped_column(String(24), nullable=False)
    #: One of EXPORT_STATES.
    outcome: Mapped[str] = mapped_column(String(16), nullable=False)
    #: Rows written so far, and the total (null = not counted yet).
    rows: Mapped[int] = mapped_column(Integer, nullable=False, default=0)
    total: Mapped[int | None] = mapped_column(Integer)
    #: columns: names; query: the query string of the list.
    payload: Mapped[dict[str, Any]] = mapped_column(JSON, nullable=False, default=dict)
    #: One of FORMATS; zip for everything.
    format: Mapped[str] = mapped_column(String(8), nullable=False, default="csv", server_default="csv")
    #: Bytes of the finished file.
    size: Mapped[int] = mapped_column(BigInteger, nullable=False, default=0, server_default="0")
    #: Why it failed, as a sentence.
    error: Mapped[str | None] = mapped_column(String(300))
    #: The last sign of life of the worker, UTC, and the worker's name.
    seen_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    worker: Mapped[str | None] = mapped_column(String(40))
    finished_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: When the file is deleted, UTC.
    expires_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: The rights under which the rows were read, see access.rights_snapshots; null before, and for everything.
    rights: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    #: Attempts since the last progress.
    tries: Mapped[int] = mapped_column(Integer, nullable=False, default=0, server_default="0")
    #: When the next attempt may begin, UTC, because file storage was unavailable; null = at once.
    next_try_on: Mapped[datetime | None] = mapped_column(UtcDateTime)


class ImportRun(Record):
    """One import of a file."""

    __tablename__ = "import_run"
    __table_args__ = (
        Index("ix_import_run_state", "outcome", "seen_on"),
        Index("ix_import_run_shape", "kind", "shape"),
    )
    #: The resource name of what is imported, such as lead.
    kind: Mapped[str] = mapped_column(String(24), nullable=False)
    #: One of IMPORT_STATES.
    outcome: Mapped[str] = mapped_column(String(16), nullable=False)
    #: mapping, options, dialect, headers, sample, check (the figures of the dry run).
    payload: Mapped[dict[str, Any]] = mapped_column(JSON, nullable=False, default=dict)
    #: The name of the file; for display only.
    name: Mapped[str] = mapped_column(String(140), nullable=False, default="", server_default="")
    #: The uploaded file in the file store; null once it was deleted.
    digest: Mapped[str | None] = mapped_column(String(64), info=STORED_FILE)
    size: Mapped[int] = mapped_column(Integer, nullable=False, default=0, server_default="0")
    #: Hash of the headers: for a file with the same headers, the same mapping is suggested.
    shape: Mapped[str] = mapped_column(String(64), nullable=False, default="", server_default="")
    #: Rows processed so far, and the total (null = not counted yet).
    position: Mapped[int] = mapped_column(Integer, nullable=False, default=0, server_default="0")
    total: Mapped[int | None] = mapped_column(Integer)
    created: Mapped[int] = mapped_column(Integer, nullable=False, default=0, server_default="0")
    updated: Mapped[int] = mapped_column(Integer, nullable=False, default=0, server_default="0")
    skipped: Mapped[int] = mapped_column(Integer, nullable=False, default=0, server_default="0")
    wrong: Mapped[int] = mapped_column(Integer, nullable=False, default=0, server_default="0")
    error: Mapped[str | None] = mapped_column(String(300))
    seen_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    finished_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: Attempts since the last progress.
    tries: Mapped[int] = mapped_column(Integer, nullable=False, default=0, server_default="0")
    #: When the next attempt may begin, UTC, because file storage was unavailable; null = at once.
    next_try_on: Mapped[datetime | None] = mapped_column(UtcDateTime)

    def begin_step(self, outcome: str) -> None:
        """Let workers start or continue this step: one of OPEN_IMPORTS."""
        self.outcome, self.error, self.finished_on = outcome, None, None
        self.seen_on = self.next_try_on = None
        self.tries = 0

    def come_further(self, now: datetime) -> None:
        """Record that the worker is alive and has made progress."""
        self.seen_on = self.changed_on = now
        self.tries, self.next_try_on = 0, None


class ImportRow(Model):  # type: ignore[misc]
    """The result for one row of a file; unique, so that no row is imported twice."""

    __tablename__ = "import_row"
    __table_args__ = (
        UniqueConstraint("run_id", "is_trial", "line", name="uq_import_row"),
        Index("ix_import_row_result", "run_id", "is_trial", "result"),
        Index("ix_import_row_record", "run_id", "record_id"),
    )
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("import_run.id", ondelete="CASCADE"), nullable=False)
    #: Whether it belongs to the dry run.
    is_trial: Mapped[bool] = mapped_column(Boolean, nullable=False)
    #: The row of the file, counted from 1 without the heading.
    line: Mapped[int] = mapped_column(Integer, nullable=False)
    #: created, updated, skipped, wrong; after a revert: reverted, kept.
    result: Mapped[str] = mapped_column(String(12), nullable=False)
    record_id: Mapped[int | None] = mapped_column(Integer)
    #: When it was written, UTC: a later change was made by somebody else.
    at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: The values before an update, by the field names of the record's service; PAN and Aadhaar sealed.
    before: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    #: What is wrong with the row, or why it could not be reverted.
    problem: Mapped[str | None] = mapped_column(String(500))
    #: The cells of a wrong row, for the file of wrong rows.
    cells: Mapped[list[str] | None] = mapped_column(JSON)


class TransferPart(Model):  # type: ignore[misc]
    """A piece of the file of an export, in the file store: committed pieces survive the end of a worker."""

    __tablename__ = "transfer_part"
    __table_args__ = (UniqueConstraint("export_id", "role", "place", name="uq_transfer_part"),)
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    export_id: Mapped[int] = mapped_column(ForeignKey("export_run.id", ondelete="CASCADE"), nullable=False)
    #: ids: the rows, as of the start; rows: those written so far; file: the finished file.
    role: Mapped[str] = mapped_column(String(8), nullable=False)
    place: Mapped[int] = mapped_column(Integer, nullable=False)
    digest: Mapped[str] = mapped_column(String(64), nullable=False, info=STORED_FILE)
    size: Mapped[int] = mapped_column(Integer, nullable=False)


# --- exports


class NewExport(NamedTuple):
    """An export that somebody asks for."""

    kind: str
    format: str
    payload: dict[str, Any]


def new_export(session: Session, wanted: NewExport, stamp: Stamp) -> ExportRun:
    """Add an export for a worker. Raises RuleBroken if the person has too many."""
    hold_name(session, f"exports of {stamp.by}")
    open_ = [ExportRun.created_by_id == stamp.by, ExportRun.outcome.in_(OPEN_EXPORTS)]
    most = MAX_OPEN
    if wanted.kind == "all":
        open_, most = [*open_, ExportRun.kind == "all"], MAX_OPEN_OF_ALL
    if (session.scalar(select(func.count(ExportRun.id)).where(*open_)) or 0) >= most:
        raise RuleBroken(
            "Exports of yours are still being written. Please wait until one of them is finished, or cancel it."
        )
    run = ExportRun(outcome="waiting", rows=0, size=0, **wanted._asdict())
    run.stamp(stamp)
    session.add(run)
    session.flush()
    return run


def claim_export(session: Session, key: int, worker: str, now: datetime) -> ExportRun | None:
    """Claim the export for a worker, or continue it; None if it is over or another worker has it."""
    is_free = or_(ExportRun.worker.is_(None), ExportRun.worker == worker, ExportRun.seen_on < now - LOST_AFTER)
    mine = (ExportRun.id == key, ExportRun.outcome.in_(OPEN_EXPORTS), is_free, _may_be_tried(ExportRun, now))
    is_same = case((ExportRun.worker == worker, 0), else_=1)
    # MariaDB assigns from left to right: the worker has to be compared before it is replaced.
    step = (
        update(ExportRun)
        .where(*mine)
        .ordered_values(
            (ExportRun.tries, ExportRun.tries + is_same),
            (ExportRun.worker, worker),
            (ExportRun.seen_on, now),
            (ExportRun.outcome, "running"),
        )
    )
    done: Any = session.execute(step, execution_options={"synchronize_session": False})
    return session.get(ExportRun, key, populate_existing=True) if done.rowcount else None


def _may_be_tried(run: Any, now: datetime) -> Any:
    return or_(run.next_try_on.is_(None), run.next_try_on <= now)


def postpone_export(session: Session, run: ExportRun, now: datetime) -> bool:
    """Postpone the export while the file storage is unavailable; False after the last of STORAGE_WAITS."""
    if run.tries >= len(STORAGE_WAITS):
        return False
    values = {"worker": None, "next_try_on": now + STORAGE_WAITS[run.tries], "seen_on": now}
    return advance_export(session, run, values)


def advance_export(session: Session, run: ExportRun, values: dict[str, Any]) -> bool:
    """Store this worker's progress; False if the export was cancelled or another worker has taken over."""
    mine = (ExportRun.id == run.id, ExportRun.worker == run.worker, ExportRun.outcome == "running")
    step = update(ExportRun).where(*mine, ExportRun.rows == run.rows).values(values)
    done: Any = session.execute(step, execution_options={"synchronize_session": False})
    return bool(done.rowcount)


def parts_of(session: Session, run_id: int, role: str) -> list[TransferPart]:
    """The pieces of this role, in order."""
    mine = (TransferPart.export_id == run_id, TransferPart.role == role)
    return list(session.scalars(select(TransferPart).where(*mine).order_by(TransferPart.place)))


def drop_parts(session: Session, run_id: int, *roles: str) -> None:
    """Delete the pieces of these roles; a job removes their unreferenced files."""
    mine = (TransferPart.export_id == run_id, TransferPart.role.in_(roles))
    session.execute(delete(TransferPart).where(*mine), execution_options={"synchronize_session": False})


def expired_exports(session: Session, now: datetime, limit: int) -> list[int]:
    """Exports whose file has to be deleted."""
    query = select(ExportRun.id).where(ExportRun.outcome == "done", ExportRun.expires_on <= now)
    return list(session.scalars(query.limit(limit)))


def expire(session: Session, key: int) -> list[str]:
    """Expire an export. Returns the digests of its files."""
    query = select(TransferPart.digest).where(TransferPart.export_id == key)
    digests = list(session.scalars(query))
    drop_parts(session, key, "ids", "rows", "file")
    step = update(ExportRun).where(ExportRun.id == key).values(outcome="expired")
    session.execute(step, execution_options={"synchronize_session": False})
    return digests


def stalled_exports(session: Session, now: datetime, limit: int) -> list[int]:
    """Ids of exports without a worker that are due for another attempt."""
    return _abandoned(session, ExportRun, now, limit)


def _abandoned(session: Session, run: Any, now: datetime, limit: int) -> list[int]:
    """Imports or exports without a worker that are due."""
    states = OPEN_EXPORTS if run is ExportRun else OPEN_IMPORTS
    is_open = (run.outcome.in_(tuple(states)), _is_lost(run, now), _may_be_tried(run, now))
    return list(session.scalars(select(run.id).where(*is_open).order_by(run.id).limit(limit)))


def _is_lost(run: Any, now: datetime) -> Any:
    return _is_silent(run, now - LOST_AFTER)


def _is_silent(run: Any, since: datetime) -> Any:
    return or_(run.seen_on.is_(None), run.seen_on < since)


# --- imports


def lost_imports(session: Session, now: datetime, limit: int) -> list[int]:
    """Ids of imports without a worker that are due for another attempt."""
    return _abandoned(session, ImportRun, now, limit)


def silent_imports(session: Session, since: datetime, limit: int, key: int | None = None) -> list[int]:
    """Ids of imports that a worker had begun, and that have given no sign of life since then; or only this one."""
    is_open = (ImportRun.outcome.in_(OPEN_IMPORTS), ImportRun.seen_on < since, _may_be_tried(ImportRun, since))
    query = select(ImportRun.id).where(*is_open).order_by(ImportRun.id).limit(limit)
    return list(session.scalars(query if key is None else query.where(ImportRun.id == key)))


def take_up_import(session: Session, key: int, now: datetime, silent_since: datetime | None = None) -> int | None:
    """Claim an import to start or continue it; it has lost its worker if it gave no sign of life since LOST_AFTER, or
    since `silent_since`.

    Returns the attempts since its last progress; None if it is over or waiting.
    """
    mine = (ImportRun.id == key, ImportRun.outcome.in_(OPEN_IMPORTS), _may_be_tried(ImportRun, now))
    # Another worker has just given a heartbeat: that is not a new attempt.
    again = case((_is_silent(ImportRun, silent_since or now - LOST_AFTER), 1), else_=0)
    # MariaDB assigns from left to right: the sign of life has to be compared before it is replaced.
    step = (
        update(ImportRun)
        .where(*mine)
        .ordered_values((ImportRun.tries, ImportRun.tries + again), (ImportRun.seen_on, now))
    )
    done: Any = session.execute(step, execution_options={"synchronize_session": False})
    return session.scalar(select(ImportRun.tries).where(ImportRun.id == key)) if done.rowcount else None


def put_off_import(run: ImportRun, now: datetime) -> bool:
    """Postpone the import while the file storage is unavailable; False after the last of STORAGE_WAITS."""
    if run.tries >= len(STORAGE_WAITS):
        return False
    run.seen_on, run.next_try_on = now, now + STORAGE_WAITS[run.tries]
    return True


def mapping_of_shape(session: Session, kind: str, shape: str, user_id: int | None) -> dict[str, Any] | None:
    """The payload of the newest import of a file with these headers, preferably the person's own.

    None if there is none.
    """
    same = (ImportRun.kind == kind, ImportRun.shape == shape, ImportRun.outcome.in_(("done", "running", "reverted")))
    own_first = (ImportRun.created_by_id != user_id, ImportRun.id.desc())
    return session.scalars(select(ImportRun.payload).where(*same).order_by(*own_first).limit(1)).first()


def same_file(session: Session, run: ImportRun) -> ImportRun | None:
    """An earlier import of the same file into the same kind that has written something."""
    query = select(ImportRun).where(
        ImportRun.kind == run.kind,
        ImportRun.digest == run.digest,
        ImportRun.id != run.id,
        ImportRun.outcome.in_(("done", "running", "cancelled")),
        ImportRun.created + ImportRun.updated > 0,
    )
    return session.scalars(query.order_by(ImportRun.id.desc()).limit(1)).first()


def old_imports(session: Session, now: datetime, limit: int) -> list[int]:
    """Imports that can no longer be reverted and still have a file or rows."""
    old = ImportRun.changed_on < now - REVERTED_WITHIN
    query = select(ImportRun.id).where(old, ImportRun.digest.is_not(None)).order_by(ImportRun.id)
    return list(session.scalars(query.limit(limit)))


def forget_import(session: Session, key: int) -> None:
    """Delete the personal data of an old import: its rows, its file, its sample."""
    run = session.get(ImportRun, key)
    if run is None:
        return
    session.execute(delete(ImportRow).where(ImportRow.run_id == key), execution_options={"synchronize_session": False})
    run.digest, run.payload = None, {**run.payload, "sample": []}
