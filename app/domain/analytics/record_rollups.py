"""Leads, tickets and tasks counted by day: the tables, and what is counted.

What each row adds is stored beside the sums (`CountedRow`). So a row that has changed since can be taken out of the
sums as it was and added as it is, whatever its age: a change of a status changes the figures of the day on which the
record was created, and counting that whole day again for each would cost as much as counting all days.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from flask_appbuilder import Model
from sqlalchemy import BigInteger, Boolean, Integer, SmallInteger, String, Text, and_, case, literal
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import Mapped, mapped_column

from app.domain.analytics.figures import CONVERTED, FIGURES, LOST
from app.domain.leads import Lead
from app.domain.persistence.row_marks import KINDS
from app.domain.tasks import Task
from app.domain.tickets import ENDED, Ticket

_KEY = String(32).with_variant(mysql.VARCHAR(32, collation="utf8mb4_bin"), "mysql", "mariadb")
#: The columns of sums.
SUMS = tuple(f"sum_{n}" for n in range(9))


class RecordRollupState(Model):  # type: ignore[misc]
    """How far the rows of one table are counted. Locked while they are counted."""

    __tablename__ = "record_rollup_state"
    #: One of the values of row_marks.KINDS.
    kind: Mapped[int] = mapped_column(Integer, primary_key=True)
    #: The time zone of the days, and `rules_of` what is counted.
    zone: Mapped[str] = mapped_column(String(64), nullable=False, default="")
    rules: Mapped[str] = mapped_column(String(40), nullable=False, default="")
    #: Whether all rows are counted; marked ones may have changed since.
    is_complete: Mapped[bool] = mapped_column(Boolean, nullable=False, default=False)
    #: Counts the transactions that have changed the sums.
    turn: Mapped[int] = mapped_column(Integer, nullable=False, default=0)
    #: The last row that was compared with what is counted of it.
    compared_until: Mapped[int] = mapped_column(Integer, nullable=False, default=0)


class CountedRow(Model):  # type: ignore[misc]
    """What is counted of one row, as `written` by `record_rollup_fill`."""

    __tablename__ = "counted_row"
    kind: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    row_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    shares: Mapped[str] = mapped_column(Text, nullable=False)


class RecordSum(Model):  # type: ignore[misc]
    """The sums of a cube over the rows of one day with the same keys."""

    __tablename__ = "record_day_sum"
    #: The id of a cube.
    cube: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    day: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    #: The values of the cube's keys as text; "" = none.
    key_1: Mapped[str] = mapped_column(_KEY, primary_key=True)
    key_2: Mapped[str] = mapped_column(_KEY, primary_key=True)
    sum_0: Mapped[int] = mapped_column(BigInteger, nullable=False, default=0)
    sum_1: Mapped[int] = mapped_column(BigInteger, nullable=False, default=0)
    sum_2: Mapped[int] = mapped_column(BigInteger, nullable=False, default=0)
    sum_3: Mapped[int] = mapped_column(BigInteger, nullable=False, default=0)
    sum_4: Mapped[int] = mapped_column(BigInteger, nullable=False, default=0)
    sum_5: Mapped[int] = mapped_column(BigInteger, nullable=False, default=0)
    sum_6: Mapped[int] = mapped_column(BigInteger, nullable=False, default=0)
    sum_7: Mapped[int] = mapped_column(BigInteger, nullable=False, default=0)
    sum_8: Mapped[int] = mapped_column(BigInteger, nullable=False, default=0)


@dataclass(frozen=True, eq=False)
class Cube:
    """Rows of a record by the day of one time, and by two columns."""

    id: int
    record: Any
    at: str
    #: Two columns; "" = not by a second one.
    keys: tuple[str, str]
    #: What is summed, by name: SQL over a row. The first is 1, and counts the rows.
    values: Mapping[str, Any]

    @property
    def columns(self) -> list[Any]:
        """SQL: the time, the keys and the values of a row."""
        named = [getattr(self.record, name) if name else literal("") for name in self.keys]
        return [getattr(self.record, self.at), *named, *self.values.values()]

    def sum_of(self, name: str) -> str:
        """The column of RecordSum with this value."""
        return SUMS[list(self.values).index(name)]


@dataclass(frozen=True)
class Share:
    """How a figure is read from a cube."""

    cube: Cube
    value: str
    #: Only rows whose status has one of these meanings, or is one of these; None = all.
    meanings: tuple[str, ...] | None = None
    #: The master of the statuses; "" = the statuses themselves are meant.
    master: str = ""


def _values(*names: str) -> dict[str, Any]:
    """Name -> SQL over a row, of figures whose rules depend on the row alone."""
    found = {}
    for name in names:
        each: Any = FIGURES[name]
        found[name] = literal(1) if each.rule is None else _if(each.rule(None), each.value)
    return found


def _if(rule: Any, value: Any = None) -> Any:
    return case((rule, 1 if value is None else value), else_=0)


_LEADS = Cube(
    1,
    Lead,
    "created_on",
    ("status_id", "source_id"),
    _values(
        *("leads", "leads_contacted", "lead_reply_seconds", "leads_referred"),
        *("leads_with_sla", "lead_replies_in_time", "lead_replies_late", "lead_replies_waiting"),
    ),
)
_OPENED = Cube(2, Lead, "opened_on", ("", ""), _values("accounts_opened"))
_ACTIVATED = Cube(3, Lead, "activated_on", ("", ""), _values("accounts_activated"))
_REPLIES = Cube(4, Lead, "created_on", ("", "assignee_id"), _values("leads", "lead_reply_seconds", "leads_contacted"))
_TICKETS = Cube(
    5,
    Ticket,
    "created_on",
    ("status_id", "priority"),
    _values(
        *("tickets", "tickets_answered", "ticket_reply_seconds", "tickets_with_sla"),
        *("ticket_replies_in_time", "ticket_replies_late", "ticket_replies_waiting", "ticket_resolutions_late"),
    )
    | {"not_late": _if(and_(Ticket.sla_started_on.is_not(None), Ticket.resolve_late_on.is_(None)))},
)
_RESOLVED = Cube(6, Ticket, "resolved_on", ("", ""), _values("tickets_resolved"))
_TICKETS_OF = Cube(
    7,
    Ticket,
    "created_on",
    ("status_id", "assignee_id"),
    _values("tickets", "tickets_answered", "ticket_reply_seconds"),
)
_TASKS = Cube(8, Task, "created_on", ("status", "priority"), _values("tasks"))
_DONE = Cube(
    9,
    Task,
    "done_on",
    ("status", "assignee_id"),
    {"rows": literal(1), "late": _if(Task.done_on > Task.due_on)},
)
CUBES = (_LEADS, _OPENED, _ACTIVATED, _REPLIES, _TICKETS, _RESOLVED, _TICKETS_OF, _TASKS, _DONE)
#: The cubes by person; the other ones serve figures of everybody together.
BY_PERSON = (_REPLIES, _TICKETS_OF, _DONE)
RECORDS: dict[int, Any] = {KINDS[record.__tablename__]: record for record in (Lead, Ticket, Task)}
_OF_EVERYBODY = (_LEADS, _OPENED, _ACTIVATED, _TICKETS, _RESOLVED, _TASKS)


def _shares(cubes: Iterable[Cube]) -> dict[str, Share]:
    """Figure -> how it is read, of these cubes."""
    found = {name: Share(cube, name) for cube in cubes for name in cube.values if name in FIGURES}
    if _LEADS in cubes:
        found["leads_converted"] = Share(_LEADS, "leads", CONVERTED, "lead_status")
        found["leads_lost"] = Share(_LEADS, "leads", LOST, "lead_status")
        found["leads_referred_converted"] = Share(_LEADS, "leads_referred", CONVERTED, "lead_status")
        found["tickets_ended_in_time"] = Share(_TICKETS, "not_late", ENDED, "ticket_status")
        found["tasks_completed"] = Share(_TASKS, "tasks", ("Done",))
    tickets = _TICKETS if _TICKETS in cubes else _TICKETS_OF
    found["tickets_ended"] = Share(tickets, "tickets", ENDED, "ticket_status")
    return found | {"tasks_done": Share(_DONE, "rows", ("Done",)), "tasks_done_late": Share(_DONE, "late", ("Done",))}


#: Figure -> how it is read for everybody together, and for each person.
SHARES, SHARES_BY_PERSON = _shares(_OF_EVERYBODY), _shares(BY_PERSON)


def cubes_of(record: Any) -> list[Cube]:
    """The cubes that count this record."""
    return [cube for cube in CUBES if cube.record is record]


@cache
def rules_of(kind: int) -> str:
    """What is counted of a kind of rows, as a fingerprint: when it differs from the stored one, all is counted anew."""
    cubes = cubes_of(RECORDS[kind])
    text = "\n".join(f"{cube.id} {cube.keys} {[str(column) for column in cube.columns]}" for cube in cubes)
    return hashlib.sha256(text.encode()).hexdigest()[:40]
