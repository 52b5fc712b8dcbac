"""Leads, tickets and tasks counted by day: the tables, and what is counted.

What each row adds is stored beside the sums (`CountedRow`). So a row that has changed since can be taken out of the
sums as it was and added as it is, whatever its age: a change of a status changes the figures of the day on which the
record was created, and counting that whole day again for each would cost as much as counting all days.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, time
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

from flask_appbuilder import Model
from sqlalchemy import (
    BigInteger,
    Boolean,
    Integer,
    SmallInteger,
    String,
    Text,
    and_,
    bindparam,
    case,
    literal,
    select,
    union_all,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.domain.analytics.figures import CONVERTED, FIGURES, LOST, CountScope
from app.domain.base import UtcDateTime
from app.domain.leads import Lead
from app.domain.persistence.recount_marks import KINDS
from app.domain.picklists import LeadStatus, TicketStatus
from app.domain.tasks import OPEN, Task
from app.domain.telephony.call_rollups import date_of, day_of, number_of
from app.domain.tickets import ENDED, Ticket

_KEY = String(32).with_variant(mysql.VARCHAR(32, collation="utf8mb4_bin"), "mysql", "mariadb")
#: The columns of sums.
SUMS = tuple(f"sum_{n}" for n in range(9))
#: Numbers of hours that each day has, whether or not the clock is set.
HOURS = 24


class RecordRollupState(Model):  # type: ignore[misc]
    """How far the rows of one table are counted. Locked while they are counted."""

    __tablename__ = "record_rollup_state"
    #: One of the values of recount_marks.KINDS.
    kind: Mapped[int] = mapped_column(Integer, primary_key=True)
    #: The time zone of the days, and `CountRules.fingerprint` of what is counted.
    zone: Mapped[str] = mapped_column(String(64), nullable=False, default="")
    rules: Mapped[str] = mapped_column(String(40), nullable=False, default="")
    #: Whether all rows are counted; marked ones may have changed since.
    is_complete: Mapped[bool] = mapped_column(Boolean, nullable=False, default=False)
    #: Counts the transactions that have changed the sums.
    turn: Mapped[int] = mapped_column(Integer, nullable=False, default=0)
    #: The last row that was compared with what is counted of it.
    compared_until: Mapped[int] = mapped_column(Integer, nullable=False, default=0)
    #: When the comparing of all rows that is under way began, UTC; null = before a version that stores it.
    compared_since: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: Servers of a former version may change rows without marks until then, so that all rows are compared again and
    #: again, UTC; null = none are left.
    settles_on: Mapped[datetime | None] = mapped_column(UtcDateTime)


class CountedRow(Model):  # type: ignore[misc]
    """What is counted of one row, as `written` by `record_rollup_fill`."""

    __tablename__ = "counted_row"
    kind: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    row_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    shares: Mapped[str] = mapped_column(Text, nullable=False)


class RecordSum(Model):  # type: ignore[misc]
    """The sums of a cube over the rows of one day with the same value of its column."""

    __tablename__ = "record_day_sum"
    #: The id of a cube.
    cube: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    day: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    #: The value of the cube's column as text; "" = none.
    key: Mapped[str] = mapped_column(_KEY, primary_key=True)
    sum_0: Mapped[int] = mapped_column(BigInteger, nullable=False, default=0)
    sum_1: Mapped[int] = mapped_column(BigInteger, nullable=False, default=0)
    sum_2: Mapped[int] = mapped_column(BigInteger, nullable=False, default=0)
    sum_3: Mapped[int] = mapped_column(BigInteger, nullable=False, default=0)
    sum_4: Mapped[int] = mapped_column(BigInteger, nullable=False, default=0)
    sum_5: Mapped[int] = mapped_column(BigInteger, nullable=False, default=0)
    sum_6: Mapped[int] = mapped_column(BigInteger, nullable=False, default=0)
    sum_7: Mapped[int] = mapped_column(BigInteger, nullable=False, default=0)
    sum_8: Mapped[int] = mapped_column(BigInteger, nullable=False, default=0)


# --- days, months and hours


def first_of_month(day: int) -> int:
    """The stored number of the first day of this day's month."""
    return number_of(date_of(day).replace(day=1))


# --- what is counted


def month_of(moment: datetime, zone: ZoneInfo) -> int:
    """The first day of the month of a moment."""
    return first_of_month(day_of(moment, zone))


def hour_of(moment: datetime, zone: ZoneInfo) -> int:
    """The stored number of the local hour of a moment: 24 for each day before it, and the hour of the day."""
    return HOURS * day_of(moment, zone) + moment.astimezone(zone).hour


def start_of_hour(hour: int, zone: ZoneInfo) -> datetime:
    """When a local hour begins, UTC; of one that a clock set back shows twice, the first time."""
    day = datetime.combine(date_of(hour // HOURS), time(hour % HOURS), tzinfo=zone)
    return day.astimezone(UTC)


# --- what is counted


@dataclass(frozen=True, eq=False)
class Cube:
    """Rows of a record by the day of one time, and by a column."""

    id: int
    record: Any
    at: str
    #: The column; "" = by the day alone.
    key: str
    #: What is summed, by name: SQL over a row.
    values: Mapping[str, Any]
    #: (time, zone) -> the day that a row with this time counts for, or the first one of its month, or its hour.
    day: Callable[[datetime, ZoneInfo], int] = day_of

    @property
    def columns(self) -> list[Any]:
        """SQL: the time, the key and the values of a row."""
        key = getattr(self.record, self.key) if self.key else literal("")
        return [getattr(self.record, self.at), key, *self.values.values()]


@dataclass(frozen=True, eq=False)
class GivenCube:
    """Leads by the day on which they were given to somebody.

    A lead counts once in a period, however often it was given. So a day that isn't the first one also counts for
    `again`, with the day before it in the key, and is taken out of periods that contain both.
    """

    id: int
    again: int
    #: Whether each person's leads are counted apart; else a lead that several people got counts once.
    is_by_person: bool
    #: Whether it counts only for those who hold the lead now.
    is_held: bool = False

    #: What is summed, by name: the order of `GIVEN_FACTS`.
    values: tuple[str, ...] = ("leads_taken", "leads_taken_contacted", "leads_taken_converted")
    record: Any = field(default=Lead, repr=False)


@dataclass(frozen=True)
class Share:
    """How a figure is read from a cube."""

    cube: Cube
    value: str
    #: Only rows whose status has one of these meanings, or is one of these; None = all.
    meanings: tuple[str, ...] | None = None
    #: The picklist of the statuses; "" = the statuses themselves are meant.
    picklist: str = ""


def _values(*names: str) -> dict[str, Any]:
    """Name -> SQL over a row, of figures whose rules depend on the row alone."""
    found = {}
    for name in names:
        each: Any = FIGURES[name]
        found[name] = literal(1) if each.rule is None else _if(each.rule(None), each.value)
    return found


def _if(rule: Any, value: Any = None) -> Any:
    return case((rule, 1 if value is None else value), else_=0)


_OF_LEADS = _values(
    *("leads", "leads_contacted", "lead_reply_seconds", "leads_referred"),
    *("leads_with_sla", "lead_replies_in_time", "lead_replies_late", "lead_replies_waiting"),
)
_OF_TICKETS = _values(
    *("tickets", "tickets_answered", "ticket_reply_seconds", "tickets_with_sla"),
    *("ticket_replies_in_time", "ticket_replies_late", "ticket_replies_waiting", "ticket_resolutions_late"),
)
#: SQL: whether a lead is converted, or a ticket has ended; the ids are those of `CountRules`.
_IS_CONVERTED = _if(Lead.status_id.in_(bindparam("converted", expanding=True)))
_IS_ENDED = _if(Ticket.status_id.in_(bindparam("ended", expanding=True)))
_IS_DONE, _IS_OPEN = Task.status == "Done", Task.status.in_(OPEN)
_NOT_LATE = _if(and_(Ticket.sla_started_on.is_not(None), Ticket.resolve_late_on.is_(None)))
_LEADS = Cube(1, Lead, "created_on", "status_id", _OF_LEADS)
_TICKETS = Cube(5, Ticket, "created_on", "status_id", _OF_TICKETS | {"not_late": _NOT_LATE})
_TASKS = Cube(8, Task, "created_on", "status", _values("tasks"))
_DONE = Cube(9, Task, "done_on", "status", {"rows": literal(1), "late": _if(Task.done_on > Task.due_on)})
CUBES = (
    _LEADS,
    Cube(2, Lead, "opened_on", "", _values("accounts_opened")),
    Cube(3, Lead, "activated_on", "", _values("accounts_activated")),
    Cube(4, Lead, "created_on", "source_id", _values("leads", "leads_referred")),
    _TICKETS,
    Cube(6, Ticket, "resolved_on", "", _values("tickets_resolved")),
    Cube(7, Ticket, "created_on", "priority", _OF_TICKETS),
    _TASKS,
    _DONE,
    Cube(10, Task, "created_on", "priority", _values("tasks")),
)
# By person:
LEADS_OF = Cube(15, Lead, "created_on", "assignee_id", _values("leads_contacted", "lead_reply_seconds"))
TICKETS_OF = Cube(
    *(16, Ticket, "created_on", "assignee_id"),
    _values("tickets", "tickets_answered", "ticket_reply_seconds") | {"tickets_ended": _IS_ENDED},
)
DONE_OF = Cube(
    *(17, Task, "done_on", "assignee_id"),
    {"tasks_done": _if(_IS_DONE), "tasks_done_late": _if(and_(_IS_DONE, Task.done_on > Task.due_on))},
)
DUE_BY_DAY = Cube(18, Task, "due_on", "assignee_id", {"open": _if(_IS_OPEN)})
DUE_BY_MONTH = Cube(19, Task, "due_on", "assignee_id", {"open": _if(_IS_OPEN)}, day=month_of)
DUE_BY_HOUR = Cube(20, Task, "due_on", "assignee_id", {"open": _if(_IS_OPEN)}, day=hour_of)
GIVEN_TO, GIVEN = GivenCube(11, 12, is_by_person=True), GivenCube(13, 14, is_by_person=False)
GIVEN_AND_HELD = GivenCube(31, 32, is_by_person=True, is_held=True)
GIVEN_CUBES = (GIVEN_TO, GIVEN, GIVEN_AND_HELD)
CUBES_BY_PERSON = (LEADS_OF, TICKETS_OF, DONE_OF, DUE_BY_DAY, DUE_BY_MONTH, DUE_BY_HOUR)
#: What a lead adds to the GIVEN_CUBES: SQL, read with the row.
GIVEN_FACTS = (_if(Lead.replied_on.is_not(None)), _IS_CONVERTED)
#: Between the parts of a key.
PART = "/"
#: Each of the CUBES -> the same once more for one person: a row counts once for each of its holders, whose id stands
#: before the key.
OF_HOLDER = {cube.id: 20 + cube.id for cube in CUBES}
#: Record -> the columns with holders; tickets have further assignees.
HOLDERS: dict[Any, tuple[str, ...]] = {
    Lead: ("assignee_id", "owner_id"),
    Ticket: ("assignee_id", "owner_id"),
    Task: ("assignee_id",),
}
RECORDS: dict[int, Any] = {KINDS[record.__tablename__]: record for record in (Lead, Ticket, Task)}
#: Figure -> how it is read.
SHARES = {
    **{name: Share(cube, name) for cube in reversed(CUBES) for name in cube.values if name in FIGURES},
    "leads_converted": Share(_LEADS, "leads", CONVERTED, "lead_status"),
    "leads_lost": Share(_LEADS, "leads", LOST, "lead_status"),
    "leads_referred_converted": Share(_LEADS, "leads_referred", CONVERTED, "lead_status"),
    "tickets_ended": Share(_TICKETS, "tickets", ENDED, "ticket_status"),
    "tickets_ended_in_time": Share(_TICKETS, "not_late", ENDED, "ticket_status"),
    "tasks_completed": Share(_TASKS, "tasks", ("Done",)),
    "tasks_done": Share(_DONE, "rows", ("Done",)),
    "tasks_done_late": Share(_DONE, "late", ("Done",)),
}


def share_by(name: str, column: str) -> Share | None:
    """How a figure is read by the values of a column; None = its cubes don't have it."""
    share = SHARES.get(name)
    if share is None or share.cube.key == column:
        return share
    if share.meanings is not None:
        return None
    cubes = [cube for cube in CUBES if cube.record is share.cube.record and cube.at == share.cube.at]
    return next((Share(cube, name) for cube in cubes if cube.key == column and name in cube.values), None)


def cubes_of(record: Any) -> list[Cube]:
    """The cubes that count the rows of this record by their own columns."""
    return [cube for cube in (*CUBES, *CUBES_BY_PERSON) if cube.record is record]


def cube_ids(record: Any) -> list[int]:
    """The ids of all cubes of this record."""
    given = [key for cube in GIVEN_CUBES for key in (cube.id, cube.again) if cube.record is record]
    own = [cube.id for cube in cubes_of(record)]
    return [*own, *[OF_HOLDER[key] for key in own if key in OF_HOLDER], *given]


@dataclass(frozen=True)
class CountRules:
    """What decides, beside the rows, how they are counted."""

    zone: ZoneInfo
    #: The statuses that mean a converted lead, and an ended ticket.
    converted: tuple[int, ...]
    ended: tuple[int, ...]

    @classmethod
    def of_scope(cls, scope: CountScope) -> CountRules:
        """Those of a person who reads figures."""
        converted, ended = scope.status_ids("lead_status", CONVERTED), scope.status_ids("ticket_status", ENDED)
        return cls(scope.period.zone, tuple(converted), tuple(ended))

    @classmethod
    def stored(cls, session: Session, zone: ZoneInfo) -> CountRules:
        """Those of the database, in one statement."""
        leads = select(literal("lead"), LeadStatus.id).where(LeadStatus.meaning.in_(CONVERTED))
        tickets = select(literal("ticket"), TicketStatus.id).where(TicketStatus.meaning.in_(ENDED))
        found = session.execute(union_all(leads, tickets)).all()
        converted, ended = [sorted(key for what, key in found if what == each) for each in ("lead", "ticket")]
        return cls(zone, tuple(converted), tuple(ended))

    @property
    def parameters(self) -> dict[str, list[int]]:
        """Those of statements with the columns of cubes."""
        return {"converted": list(self.converted), "ended": list(self.ended)}

    def fingerprint(self, kind: int) -> str:
        """What is counted of a kind of rows: when it differs from the stored one, all is counted anew."""
        meant = {KINDS["leads"]: self.converted, KINDS["ticket"]: self.ended}.get(kind, ())
        return hashlib.sha256(f"{_text_of(kind)}\n{meant}".encode()).hexdigest()[:40]


@cache
def _text_of(kind: int) -> str:
    record = RECORDS[kind]
    lines = [f"{cube.id} {cube.key} {[str(column) for column in cube.columns]}" for cube in cubes_of(record)]
    held = [f"{key} of {HOLDERS[record]}" for key in cube_ids(record)]
    return "\n".join([*lines, *held, *[str(cube) for cube in GIVEN_CUBES if cube.record is record]])
