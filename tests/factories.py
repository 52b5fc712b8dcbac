"""Factories: databases and records with defaults, for tests without the web."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, time, timedelta
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Engine, StaticPool, create_engine, event, select
from sqlalchemy.orm import Session

from app import access, models, session_hooks
from app.domain import leads, tickets
from app.domain.base import Stamp
from app.domain.leads import Lead
from app.domain.people import permissions
from app.domain.picklists import LeadStatus, TicketStatus
from app.domain.tasks import Task
from app.domain.tickets import Ticket
from app.domain.working_time import office_hours
from app.domain.working_time.office_schedule import OfficeRange
from app.ops.database.connections import tune

ZONE = "Asia/Kolkata"
#: Monday, 23 November 2026, 10:00 in the office.
NOW = datetime(2026, 11, 23, 4, 30, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
ALWAYS_OPEN = office_hours.OfficeSchedule(ZoneInfo(ZONE))
#: Monday to Friday, 9:00 to 18:00.
OFFICE = office_hours.OfficeSchedule(
    ZoneInfo(ZONE), tuple(office_hours.OpeningRange(day, time(9), time(18)) for day in range(5))
)

_SQLITE = "sqlite:///"
#: Kept of each engine and each person: more than the tests of any file send, so that a process doesn't grow with them.
STATEMENTS = 1000

_serial = count(1)


def database(url: str = "sqlite://") -> Engine:
    """A database with all tables and picklists; in memory unless a URL is given, at which nothing is yet."""
    if url == "sqlite://":
        return _database_in_memory()
    if url.startswith(_SQLITE):
        Path(url.removeprefix(_SQLITE)).write_bytes(_in_memory(len(models.Record.metadata.tables)))
        engine = create_engine(url)
        tune(engine)
        return engine
    engine = connected(url)
    _fill(engine)
    return engine


def connected(url: str) -> Engine:
    """An engine on a MariaDB database, as the product's."""
    engine = create_engine(url, isolation_level="READ COMMITTED")
    tune(engine)
    return engine


#: Engines in memory that were disposed of. They are used again: each remembers the SQL text of the statements it ran.
_idle: list[Engine] = []


def _database_in_memory() -> Engine:
    engine = _idle.pop() if _idle else _engine_in_memory()
    connection = engine.raw_connection()
    connection.driver_connection.deserialize(_in_memory(len(models.Record.metadata.tables)))  # type: ignore[union-attr]
    connection.close()
    return engine


def _engine_in_memory() -> Engine:
    options: dict[str, Any] = {"poolclass": StaticPool, "connect_args": {"check_same_thread": False}}
    engine = create_engine("sqlite://", query_cache_size=STATEMENTS, **options)
    tune(engine)
    event.listen(engine, "engine_disposed", _idle.append)
    return engine


def double(session: Session, **contact: Any) -> models.Customer:
    """A customer as older data have them: they may share a number with another one."""
    row = models.Customer(version=1, first_name="Double", number=f"DOUBLE-{next(_serial)}", status="Active")
    row.source, row.kyc_status = "Direct", "Pending"
    row.set_contact(contact, None)
    row.stamp(Stamp(None, NOW))
    session.add(row)
    session.flush()
    return row


def _fill(engine: Engine) -> None:
    models.Record.metadata.create_all(engine)
    with without_hooks(), Session(engine) as session:  # the same rows, whatever this process has installed
        picklists(session)
        session.commit()


@cache
def _in_memory(tables: int) -> bytes:
    """SQLite's file of a new database with so many tables; creating the tables for each test would be slow."""
    engine = create_engine("sqlite://", poolclass=StaticPool)
    tune(engine)
    _fill(engine)
    connection = engine.raw_connection()
    file: bytes = connection.driver_connection.serialize()  # type: ignore[union-attr]
    connection.close()
    engine.dispose()
    return file


@contextmanager
def without_hooks() -> Iterator[None]:
    """Sessions without the listeners that an application of this process installed."""
    installed = [hook for hook in session_hooks.HOOKS if event.contains(hook.target, hook.event, hook.listener)]
    for hook in installed:
        event.remove(hook.target, hook.event, hook.listener)
    try:
        yield
    finally:
        if installed:
            session_hooks.install()


@contextmanager
def opened(source: Engine | Callable[[], Session]) -> Iterator[Session]:
    """A session as the system; with access rules installed by an app, any other session sees no rows."""
    made = Session(source, expire_on_commit=False) if isinstance(source, Engine) else source()
    with made as session, access.as_system(session):
        yield session


def picklists(session: Session) -> None:
    """Statuses, the access version and the default roles."""
    for position, (meaning, label, color) in enumerate(leads.STATUSES):
        session.add(LeadStatus(label=label, color=color, meaning=meaning, position=position))
    for position, (meaning, label, color) in enumerate(tickets.STATUSES):
        session.add(TicketStatus(label=label, color=color, meaning=meaning, position=position))
    session.add(permissions.AccessVersion(id=1, n=1))
    session.add_all(models.Role(name=name) for name in ("Admin", "Sales User", "Support User", "Sales Manager"))
    session.flush()


def user(session: Session, name: str, *roles: str, **more: Any) -> Any:
    """A user with this first name; `roles` by name, `more` any column."""
    made = models.User(
        first_name=name.title(),
        last_name="Shah",
        username=name,
        email=f"{name}@example.in",
        active=True,
        password="-",
        available=True,
    )
    made.roles = list(session.scalars(select(models.Role).where(models.Role.name.in_(roles)))) if roles else []
    for column, value in more.items():
        setattr(made, column, value)
    session.add(made)
    session.flush()
    return made


def lead(session: Session, assignee: Any = None, meaning: str = "new", at: datetime = NOW, **more: Any) -> Lead:
    """A lead in the first status of this meaning, last touched at `at`."""
    return _stamped(
        session, Lead(number=f"CRM-LEAD-2026-{next(_serial):05d}", **more), LeadStatus, meaning, assignee, at
    )


def ticket(session: Session, assignee: Any = None, meaning: str = "new", at: datetime = NOW, **more: Any) -> Ticket:
    """A ticket in the first status of this meaning, last touched at `at`."""
    row = Ticket(number=f"CRM-TICKET-2026-{next(_serial):05d}", title="KYC update", **more)
    return _stamped(session, row, TicketStatus, meaning, assignee, at)


def _stamped(session: Session, row: Any, picklist: Any, meaning: str, assignee: Any, at: datetime) -> Any:
    row.status = session.scalars(
        select(picklist).where(picklist.meaning == meaning).order_by(picklist.position)
    ).first()
    row.status_on, row.version = at, 1
    row.assignee_id = row.owner_id = assignee.id if assignee else None
    row.stamp(Stamp(row.owner_id, at))
    session.add(row)
    session.flush()
    return row


def task(session: Session, about: Any, assignee: Any = None, due_on: datetime | None = NOW, **more: Any) -> Task:
    """An open task of a lead or ticket, of its assignee unless another is given; not armed for reminders."""
    own = {"lead_id": about.id} if isinstance(about, Lead) else {"ticket_id": about.id}
    row = Task(title="Call back", version=1, due_on=due_on, exhausted=False, tried=[], status="Todo", **own)
    row.priority = "Medium"
    row.assignee_id = row.owner_id = assignee.id if assignee else about.assignee_id
    for column, value in more.items():
        setattr(row, column, value)
    row.stamp(Stamp(None, NOW - DAY))
    session.add(row)
    session.flush()
    return row


def hours(session: Session) -> None:
    """The office hours of OFFICE, as rows."""
    session.add_all(OfficeRange(weekday=day, starts=time(9), ends=time(18)) for day in range(5))
    session.flush()
