"""Leads, tickets and tasks counted by day: the tables, and what is counted.

What each row adds is stored beside the sums (`CountedRow`). So a row that has changed since can be taken out of the
sums as it was and added as it is, whatever its age: a change of a status changes the figures of the day on which the
record was created, and counting that whole day again for each would cost as much as counting all days.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
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


def next_month(first_day: int) -> int:
    """The stored number of the first day of the month after one, by its first day."""
    return first_of_month(first_day + 31)


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
    #: Only rows whose key has one of these meanings; None = all.
    meanings: tuple[str, ...] | None = None
    #: The picklist of the meanings.
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


def _has_status(record: Any, ids: str) -> Any:
    """SQL: whether a row has one of these statuses; the ids are those of `CountRules`."""
    return record.status_id.in_(bindparam(ids, expanding=True))


_CONVERTED, _ENDED = _has_status(Lead, "converted"), _has_status(Ticket, "ended")
_IS_CONVERTED, _IS_ENDED = _if(_CONVERTED), _if(_ENDED)
_IS_REFERRED: Any = FIGURES["leads_referred"].rule
_IS_DONE, _IS_OPEN = Task.status == "Done", Task.status.in_(OPEN)
_NOT_LATE = and_(Ticket.sla_started_on.is_not(None), Ticket.resolve_late_on.is_(None))
_OUTCOMES_OF_LEADS = {
    "leads_converted": _IS_CONVERTED,
    "leads_lost": _if(_has_status(Lead, "lost")),
    "leads_referred_converted": _if(and_(_IS_REFERRED(None), _CONVERTED)),
}
_DONE = {"tasks_done": _if(_IS_DONE), "tasks_done_late": _if(and_(_IS_DONE, Task.done_on > Task.due_on))}
#: One sum for each day, whatever the rows are: they are as many for who has few rows as for who has very many.
TOTALS = (
    Cube(2, Lead, "opened_on", "", _values("accounts_opened")),
    Cube(3, Lead, "activated_on", "", _values("accounts_activated")),
    Cube(6, Ticket, "resolved_on", "", _values("tickets_resolved")),
    Cube(33, Lead, "created_on", "", _OF_LEADS),
    Cube(34, Lead, "created_on", "", _OUTCOMES_OF_LEADS),
    Cube(35, Ticket, "created_on", "", _OF_TICKETS),
    Cube(
        36,
        Ticket,
        "created_on",
        "",
        {"tickets_ended": _IS_ENDED, "tickets_ended_in_time": _if(and_(_ENDED, _NOT_LATE))},
    ),
    Cube(37, Task, "created_on", "", {"tasks": literal(1), "tasks_completed": _if(_IS_DONE)}),
    Cube(38, Task, "done_on", "", _DONE),
)
_LEADS_BY_STATUS = Cube(1, Lead, "created_on", "status_id", _values("leads"))
#: What charts divide by a column.
GROUPS = (
    _LEADS_BY_STATUS,
    Cube(4, Lead, "created_on", "source_id", _values("leads", "leads_referred")),
    Cube(5, Ticket, "created_on", "status_id", _values("tickets")),
    Cube(7, Ticket, "created_on", "priority", _values("tickets", "ticket_replies_late")),
    Cube(10, Task, "created_on", "priority", _values("tasks")),
)
#: What is added to the id of one of the GROUPS, also by holder, for the same by month.
MONTHS_AFTER = 40
_BY_MONTH = tuple(replace(cube, id=cube.id + MONTHS_AFTER, day=month_of) for cube in GROUPS)
CUBES = (*TOTALS, *GROUPS, *_BY_MONTH)
# By person:
LEADS_OF = Cube(15, Lead, "created_on", "assignee_id", _values("leads_contacted", "lead_reply_seconds"))
TICKETS_OF = Cube(
    *(16, Ticket, "created_on", "assignee_id"),
    _values("tickets", "tickets_answered", "ticket_reply_seconds") | {"tickets_ended": _IS_ENDED},
)
DONE_OF = Cube(17, Task, "done_on", "assignee_id", _DONE)
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
#: The cubes whose days are the first ones of months, of charts.
MONTH_CUBES = frozenset(key for cube in _BY_MONTH for key in (cube.id, OF_HOLDER[cube.id]))
#: Record -> the columns with holders; tickets have further assignees.
HOLDERS: dict[Any, tuple[str, ...]] = {
    Lead: ("assignee_id", "owner_id"),
    Ticket: ("assignee_id", "owner_id"),
    Task: ("assignee_id",),
}
RECORDS: dict[int, Any] = {KINDS[record.__tablename__]: record for record in (Lead, Ticket, Task)}
#: Figure -> how it is read.
SHARES = {name: Share(cube, name) for cube in TOTALS for name in cube.values}
#: Figures that are some of the GROUPS of another one.
_GROUPED = {"leads_lost": Share(_LEADS_BY_STATUS, "leads", LOST, "lead_status")}


def share_by(name: str, column: str) -> Share | None:
    """How a figure is read by the values of a column; None = the sums don't have it."""
    share = _GROUPED.get(name)
    if share is not None and share.cube.key == column:
        return share
    total = SHARES.get(name)
    if total is None:
        return None
    record, at = total.cube.record, total.cube.at
    cubes = (cube for cube in GROUPS if (cube.record, cube.at, cube.key) == (record, at, column))
    return next((Share(cube, name) for cube in cubes if name in cube.values), None)


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
    #: The statuses that mean a converted lead, a lost one, and an ended ticket.
    converted: tuple[int, ...]
    lost: tuple[int, ...]
    ended: tuple[int, ...]

    @classmethod
    def of_scope(cls, scope: CountScope) -> CountRules:
        """Those of a person who reads figures."""
        converted, lost = (tuple(scope.status_ids("lead_status", each)) for each in (CONVERTED, LOST))
        return cls(scope.period.zone, converted, lost, tuple(scope.status_ids("ticket_status", ENDED)))

    @classmethod
    def stored(cls, session: Session, zone: ZoneInfo) -> CountRules:
        """Those of the database, in one statement."""
        meant = {"converted": (LeadStatus, CONVERTED), "lost": (LeadStatus, LOST), "ended": (TicketStatus, ENDED)}
        parts = [
            select(literal(name), status.id).where(status.meaning.in_(meanings))
            for name, (status, meanings) in meant.items()
        ]
        found = session.execute(union_all(*parts)).all()
        return cls(zone, **{name: tuple(sorted(key for what, key in found if what == name)) for name in meant})

    @property
    def parameters(self) -> dict[str, list[int]]:
        """Those of statements with the columns of cubes."""
        return {"converted": list(self.converted), "lost": list(self.lost), "ended": list(self.ended)}

    def fingerprint(self, kind: int) -> str:
        """What is counted of a kind of rows: when it differs from the stored one, all is counted anew."""
        meant = {KINDS["leads"]: (self.converted, self.lost), KINDS["ticket"]: self.ended}.get(kind, ())
        return hashlib.sha256(f"{_text_of(kind)}\n{meant}".encode()).hexdigest()[:40]


@cache
def _text_of(kind: int) -> str:
    record = RECORDS[kind]
    lines = [f"{cube.id} {cube.key} {[str(column) for column in cube.columns]}" for cube in cubes_of(record)]
    held = [f"{key} of {HOLDERS[record]}" for key in cube_ids(record)]
    return "\n".join([*lines, *held, *[str(cube) for cube in GIVEN_CUBES if cube.record is record]])
