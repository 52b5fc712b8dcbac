"""The health of the installation, minute by minute: samples of each server, slow statements, errors, alerts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from flask_appbuilder import Model
from sqlalchemy import BigInteger, Index, Integer, String, Text, UniqueConstraint, delete, func, select
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.domain.base import UtcDateTime
from app.ops.monitoring.process_metrics import BUCKETS_MS, MetricsBatch, NotableEvent

#: How many different slow statements and errors are stored; the last seen ones stay.
MAX_KEPT = 500
#: The server name in samples of the whole installation.
INSTALLATION = ""


class HealthSample(Model):  # type: ignore[misc]
    """What the processes of one role on one server counted in one minute, added up."""

    __tablename__ = "health_sample"
    __table_args__ = (UniqueConstraint("minute", "server", "role", name="uq_health_sample"),)
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    #: Minutes since 1970, UTC.
    minute: Mapped[int] = mapped_column(Integer, nullable=False)
    #: CRM_SERVER_NAME; INSTALLATION for values of no single server.
    server: Mapped[str] = mapped_column(String(64), nullable=False)
    #: web or sockets; "" for INSTALLATION.
    role: Mapped[str] = mapped_column(String(16), nullable=False)
    requests: Mapped[int] = mapped_column(Integer, nullable=False, default=0)
    errors: Mapped[int] = mapped_column(Integer, nullable=False, default=0)
    total_ms: Mapped[int] = mapped_column(BigInteger, nullable=False, default=0)
    #: Requests by duration: up to 50 ms, 100, 200 … 5000; slower ones are the rest.
    bucket_0: Mapped[int] = mapped_column(Integer, nullable=False, default=0)
    bucket_1: Mapped[int] = mapped_column(Integer, nullable=False, default=0)
    bucket_2: Mapped[int] = mapped_column(Integer, nullable=False, default=0)
    bucket_3: Mapped[int] = mapped_column(Integer, nullable=False, default=0)
    bucket_4: Mapped[int] = mapped_column(Integer, nullable=False, default=0)
    bucket_5: Mapped[int] = mapped_column(Integer, nullable=False, default=0)
    #: Of the server, 0 to 100.
    memory_percent: Mapped[int | None] = mapped_column(Integer)
    #: Of the server's fullest disk that holds files of the CRM, 0 to 100.
    disk_percent: Mapped[int | None] = mapped_column(Integer)
    #: For INSTALLATION.
    queue_depth: Mapped[int | None] = mapped_column(Integer)
    db_connections: Mapped[int | None] = mapped_column(Integer)
    #: For INSTALLATION, since the database's start: pages that statements needed, and those read from the disk.
    db_pages_asked: Mapped[int | None] = mapped_column(BigInteger)
    db_pages_read: Mapped[int | None] = mapped_column(BigInteger)


class HealthCrossing(Model):  # type: ignore[misc]
    """A threshold that was crossed, and when it was met again."""

    __tablename__ = "health_crossing"
    __table_args__ = (Index("ix_health_crossing_began", "began_on"),)
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    measure: Mapped[str] = mapped_column(String(16), nullable=False)
    server: Mapped[str] = mapped_column(String(64), nullable=False)
    #: measure/server while it lasts, then null: unique, so that there is one at a time however many processes check.
    open_key: Mapped[str | None] = mapped_column(String(96), unique=True)
    began_on: Mapped[datetime] = mapped_column(UtcDateTime, nullable=False)
    ended_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    threshold: Mapped[int] = mapped_column(Integer, nullable=False)
    #: The worst value while it lasted, in the measure's unit, times 10 for percent of errors.
    worst: Mapped[int] = mapped_column(Integer, nullable=False)


class SlowStatement(Model):  # type: ignore[misc]
    """A statement that took long, without its values."""

    __tablename__ = "slow_statement"
    digest: Mapped[str] = mapped_column(String(32), primary_key=True)
    text: Mapped[str] = mapped_column(Text, nullable=False)
    place: Mapped[str] = mapped_column(String(100), nullable=False)
    times: Mapped[int] = mapped_column(Integer, nullable=False)
    total_ms: Mapped[int] = mapped_column(BigInteger, nullable=False)
    max_ms: Mapped[int] = mapped_column(Integer, nullable=False)
    first_on: Mapped[datetime] = mapped_column(UtcDateTime, nullable=False)
    last_on: Mapped[datetime] = mapped_column(UtcDateTime, nullable=False, index=True)


class ErrorReport(Model):  # type: ignore[misc]
    """An error reported by our own code, without values."""

    __tablename__ = "error_report"
    digest: Mapped[str] = mapped_column(String(32), primary_key=True)
    text: Mapped[str] = mapped_column(String(300), nullable=False)
    place: Mapped[str] = mapped_column(String(100), nullable=False)
    trace: Mapped[str] = mapped_column(Text, nullable=False)
    #: The last request in which it occurred.
    request_id: Mapped[str] = mapped_column(String(64), nullable=False)
    times: Mapped[int] = mapped_column(Integer, nullable=False)
    first_on: Mapped[datetime] = mapped_column(UtcDateTime, nullable=False)
    last_on: Mapped[datetime] = mapped_column(UtcDateTime, nullable=False, index=True)


_BUCKETS = [getattr(HealthSample, f"bucket_{place}") for place in range(len(BUCKETS_MS))]
_COUNTS = [HealthSample.requests, HealthSample.errors, HealthSample.total_ms, *_BUCKETS]
#: In the order of SamplePoint.
_WORST = (
    HealthSample.memory_percent,
    HealthSample.disk_percent,
    HealthSample.queue_depth,
    HealthSample.db_connections,
)


def minute_of(moment: datetime) -> int:
    """The minute number of a time."""
    return int(moment.timestamp() // 60)


# --- storing


@dataclass(frozen=True)
class SampleSource:
    """The server and role of the processes of a batch, and how full their server's memory and disk are, in percent."""

    server: str
    role: str
    memory_percent: int | None = None
    disk_percent: int | None = None


def store(session: Session, batch: MetricsBatch, source: SampleSource, now: datetime) -> None:
    """Add what one process counted to this minute's sample, and store its slow statements and errors."""
    values = {"requests": batch.requests, "errors": batch.errors, "total_ms": batch.total_ms}
    values |= {f"bucket_{place}": count for place, count in enumerate(batch.buckets)}
    key = {"minute": minute_of(now), "server": source.server, "role": source.role}
    full = {"memory_percent": source.memory_percent, "disk_percent": source.disk_percent}
    fixed = {name: percent for name, percent in full.items() if percent is not None}
    _add(session, HealthSample, key, (values, fixed))
    _note(session, SlowStatement, batch.slow, now)
    _note(session, ErrorReport, batch.failures, now)


def store_installation(session: Session, values: dict[str, int | None], now: datetime) -> None:
    """Store the values of the whole installation, by column, for this minute."""
    key = {"minute": minute_of(now), "server": INSTALLATION, "role": ""}
    _add(session, HealthSample, key, ({}, values))


def _add(session: Session, kind: Any, key: dict[str, Any], values: tuple[dict[str, int], dict[str, Any]]) -> None:
    """Add the first values to those of a row and set the others; another process may be inserting the row meanwhile.

    One statement: an INSERT that finds the row, followed by an UPDATE, makes two processes deadlock.
    """
    added, fixed = values
    changed = {name: getattr(kind, name) + value for name, value in added.items()} | fixed
    row = key | added | fixed
    if session.get_bind().dialect.name == "sqlite":
        session.execute(
            sqlite.insert(kind).values(row).on_conflict_do_update(index_elements=[*key], set_=changed or key)
        )
    else:
        session.execute(mysql.insert(kind).values(row).on_duplicate_key_update(changed or key))


def _note(session: Session, kind: Any, events: Mapping[str, NotableEvent], now: datetime) -> None:
    """Add what a process has counted, by digest, to the rows of these statements or errors."""
    for digest, noted in events.items():
        row = session.get(kind, digest, with_for_update=True)
        if row is None:
            row = kind(digest=digest, text=noted.text, times=0, first_on=now)
            if kind is SlowStatement:
                row.total_ms = row.max_ms = 0
            session.add(row)
        row.place, row.last_on = noted.place, now
        row.times += noted.times
        if kind is SlowStatement:
            row.total_ms += noted.total_ms
            row.max_ms = max(row.max_ms, noted.max_ms)
        else:
            row.trace, row.request_id = noted.trace, noted.request_id


# --- reading


@dataclass(frozen=True)
class SamplePoint:
    """All samples of a time span, added up."""

    #: The first minute of the span.
    minute: int
    requests: int
    errors: int
    total_ms: int
    buckets: tuple[int, ...]
    memory_percent: int | None
    disk_percent: int | None
    queue_depth: int | None
    db_connections: int | None

    @property
    def response_ms(self) -> int | None:
        """The 95th percentile of response times; None without requests."""
        return percentile_ms(self.buckets, self.requests) if self.requests else None

    @property
    def error_percent(self) -> float | None:
        """The percentage of requests with an error; None without requests."""
        return round(100 * self.errors / self.requests, 1) if self.requests else None


def percentile_ms(buckets: Sequence[int], requests: int, share: float = 0.95) -> int:
    """The time within which this share of the requests was answered, interpolated within a bucket; 5000 at most."""
    wanted, seen, lower = share * requests, 0, 0
    for bound, count in zip(BUCKETS_MS, buckets, strict=True):
        if count and seen + count >= wanted:
            return round(lower + (bound - lower) * (wanted - seen) / count)
        seen, lower = seen + count, bound
    return BUCKETS_MS[-1]


def history(session: Session, since: datetime, step: int, server: str | None = None) -> list[SamplePoint]:
    """The samples since then, in spans of `step` minutes, oldest first; of one server or all."""
    span = HealthSample.minute - HealthSample.minute % step
    sums = [func.sum(column) for column in _COUNTS]
    worst = [func.max(each) for each in _WORST]
    query = select(span, *sums, *worst)
    query = query.where(HealthSample.minute >= minute_of(since)).group_by(span).order_by(span)
    if server is not None:
        query = query.where(HealthSample.server == server)
    return [_point(row) for row in session.execute(query)]


def _point(row: Any) -> SamplePoint:
    minute, requests, errors, total_ms, *buckets = (int(each) for each in row[: len(_COUNTS) + 1])
    worst = (None if each is None else int(each) for each in row[-len(_WORST) :])
    return SamplePoint(minute, requests, errors, total_ms, tuple(buckets), *worst)


@dataclass(frozen=True)
class ServerState:
    """One role of a server, from its last samples."""

    server: str
    role: str
    last_on: datetime
    requests: int
    memory_percent: int | None
    disk_percent: int | None


def servers(session: Session, now: datetime, since: timedelta = timedelta(minutes=15)) -> list[ServerState]:
    """The servers that have reported lately, by role."""
    query = (
        select(
            HealthSample.server,
            HealthSample.role,
            func.max(HealthSample.minute),
            func.sum(HealthSample.requests),
            func.max(HealthSample.memory_percent),
            func.max(HealthSample.disk_percent),
        )
        .where(HealthSample.minute >= minute_of(now - since), HealthSample.server != INSTALLATION)
        .group_by(HealthSample.server, HealthSample.role)
        .order_by(HealthSample.server, HealthSample.role)
    )
    return [
        ServerState(server, role, datetime.fromtimestamp(int(last) * 60, UTC), int(requests), *full)
        for server, role, last, requests, *full in session.execute(query)
    ]


# --- deleting


def surplus(session: Session) -> Iterable[Any]:
    """Statements that delete the slow statements and errors above MAX_KEPT; `retention` deletes old ones."""
    for kind in (SlowStatement, ErrorReport):
        kept = select(kind.last_on).order_by(kind.last_on.desc()).offset(MAX_KEPT).limit(1)
        if (last := session.scalar(kept)) is not None:
            yield delete(kind).where(kind.last_on <= last)
