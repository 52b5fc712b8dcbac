"""Daily roll-ups of calls: their tables, and the marks for days to count again.

A day is a local day in the office's time zone, as the number of days since 1 January 1970. All days up to
`RollupState.filled_until` are filled; a marked one is counted from the calls until the job has filled it again. Marks
are written in the transaction that changes the calls, so that outdated counts are never used.

The day after these, today, is filled by quarters of an hour up to `RollupState.quarter_until`, in the same way. They
stand in the same tables: `day` is then the number of the quarter since 1970, which no day reaches (FIRST_QUARTER). What
adds up over them is summed, too (`sums_of`): the counts of marked quarters are subtracted from these sums.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from flask_appbuilder import Model
from sqlalchemy import Boolean, Index, Integer, LargeBinary, String, insert, inspect, or_, select, update
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import Mapped, ORMExecuteState, Session, mapped_column

from app.domain.base import UtcDateTime
from app.domain.persistence import bulk_statements
from app.domain.persistence.row_effects import Rows
from app.domain.persistence.transaction_state import transaction_state
from app.domain.telephony.calls import CASE_SENSITIVE_ID, CallLog
from app.ops.statements import sqlalchemy_internals as internals

EPOCH = date(1970, 1, 1)
#: person_id of the counts of all calls, and of calls without a person.
EVERYBODY, NOBODY = -1, 0
#: Columns of a call that affect its roll-up.
COUNTED = (
    *("started_on", "employee_id", "direction", "status", "cold", "duration_seconds", "other_e164"),
    *("from_number", "medium"),
)
#: Raised whenever the roll-ups hold something else, or days are marked by other changes: all days are filled again.
RULES = 3
_OF_RULES = "#"
#: A number of a quarter of an hour is at least FIRST_QUARTER, of 1998; that of the sums of a day's quarters is at least
#: FIRST_SUM; a number of a day is less.
FIRST_SUM, FIRST_QUARTER, QUARTER_SECONDS = 500_000, 1_000_000, 900
_BLOB = LargeBinary().with_variant(mysql.MEDIUMBLOB(), "mysql", "mariadb")
_BULK = {"synchronize_session": False}


class RollupState(Model):  # type: ignore[misc]
    """One row: the day until which the roll-ups are filled. It is locked while days are filled."""

    __tablename__ = "call_rollup_state"
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    #: `counted_by` the time zone of the days.
    zone: Mapped[str] = mapped_column(String(64), nullable=False, default="")
    #: The last day that is filled; null = none.
    filled_until: Mapped[int | None] = mapped_column(Integer)
    #: The last quarter of an hour that is filled, if it is of the day after `filled_until`.
    quarter_until: Mapped[int | None] = mapped_column(Integer)
    #: The last day of a rebuild in progress; null = none.
    rebuild_until: Mapped[int | None] = mapped_column(Integer)


class RollupMark(Model):  # type: ignore[misc]
    """A quarter of an hour in which calls were added, changed or removed."""

    __tablename__ = "call_rollup_mark"
    __table_args__ = (Index("ix_call_rollup_mark", "moment"),)
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    moment: Mapped[datetime] = mapped_column(UtcDateTime, nullable=False)


class DayCount(Model):  # type: ignore[misc]
    """The calls of one kind, day and person."""

    __tablename__ = "call_day_count"
    __table_args__ = (Index("ix_call_day_count_day", "day"),)
    #: A user id, EVERYBODY or NOBODY.
    person_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    day: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    direction: Mapped[str] = mapped_column(CASE_SENSITIVE_ID, primary_key=True)
    status: Mapped[str] = mapped_column(CASE_SENSITIVE_ID, primary_key=True)
    cold: Mapped[bool] = mapped_column(Boolean, primary_key=True)
    calls: Mapped[int] = mapped_column(Integer, nullable=False)
    seconds: Mapped[int] = mapped_column(Integer, nullable=False)


class HourCount(Model):  # type: ignore[misc]
    """The calls of one local hour and person."""

    __tablename__ = "call_hour_count"
    __table_args__ = (Index("ix_call_hour_count_day", "day"),)
    person_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    day: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    #: 0 to 23.
    hour: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    calls: Mapped[int] = mapped_column(Integer, nullable=False)


class DayNumbers(Model):  # type: ignore[misc]
    """The different numbers of one day and person. Numbers of several days don't add up: the sets are joined."""

    __tablename__ = "call_day_numbers"
    __table_args__ = (Index("ix_call_day_numbers_day", "day"),)
    person_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    day: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    #: The numbers in order, with line feeds between them, compressed by zlib.
    numbers: Mapped[bytes] = mapped_column(_BLOB, nullable=False)
    #: How many of them have no call of this person on an earlier day; for EVERYBODY, of anybody. Null for NOBODY.
    fresh: Mapped[int | None] = mapped_column(Integer)


class LineCount(Model):  # type: ignore[misc]
    """The outgoing calls of one day by the line that customers saw, and by purpose."""

    __tablename__ = "call_line_count"
    day: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    #: E.164; "" = unknown, or one of the employees' own phones, of which only the series counts.
    number: Mapped[str] = mapped_column(String(20), primary_key=True)
    #: One of phone_number_series.SERIES.
    series: Mapped[str] = mapped_column(String(12), primary_key=True)
    is_own: Mapped[bool] = mapped_column(Boolean, primary_key=True)
    #: promotional or service; "" = not called by the CRM.
    purpose: Mapped[str] = mapped_column(String(16), primary_key=True)
    calls: Mapped[int] = mapped_column(Integer, nullable=False)
    completed: Mapped[int] = mapped_column(Integer, nullable=False)
    seconds: Mapped[int] = mapped_column(Integer, nullable=False)
    #: Calls from a number that isn't suitable for their purpose.
    unfitting: Mapped[int] = mapped_column(Integer, nullable=False)


COUNTS: tuple[Any, ...] = (DayCount, HourCount, DayNumbers, LineCount)


# --- days


def day_of(moment: datetime, zone: ZoneInfo) -> int:
    """The local date of a moment."""
    return number_of(moment.astimezone(zone).date())


def number_of(day: date) -> int:
    """The stored number of a date."""
    return (day - EPOCH).days


def date_of(day: int) -> date:
    """The date of a stored number."""
    return EPOCH + timedelta(days=day)


def start_of(day: int, zone: ZoneInfo) -> datetime:
    """When a local day begins, UTC."""
    return datetime.combine(date_of(day), time(0), tzinfo=zone).astimezone(UTC)


def quarter_of(moment: datetime) -> int:
    """The number of the quarter of an hour of a moment."""
    return int(moment.timestamp()) // QUARTER_SECONDS


def start_of_quarter(quarter: int) -> datetime:
    """When it begins, UTC."""
    return datetime.fromtimestamp(quarter * QUARTER_SECONDS, UTC)


def quarters_of(day: int, zone: ZoneInfo) -> range:
    """The quarters of an hour of a local day."""
    return range(quarter_of(start_of(day, zone)), quarter_of(start_of(day + 1, zone)))


def sums_of(day: int) -> int:
    """The number under which the sums of the filled quarters of a day are stored."""
    return FIRST_SUM + day


def filled_quarters(state: Any, zone: ZoneInfo) -> range:
    """The filled quarters of the day after the filled ones. `state`: a RollupState, or a row of its columns."""
    if state.filled_until is None or state.quarter_until is None:
        return range(0)
    of_day = quarters_of(state.filled_until + 1, zone)
    return range(of_day.start, state.quarter_until + 1) if state.quarter_until in of_day else range(0)


# --- marks


def mark_changed(session: Session, moments: Iterable[datetime | None]) -> None:
    """Note that calls at these times change in this transaction; `write_marks` stores it before the commit."""
    transaction_state(session).call_moments |= {_quarter(each) for each in moments if each is not None}


def _quarter(moment: datetime) -> datetime:
    aware = moment
    if moment.tzinfo is not UTC:
        aware = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return aware.replace(minute=aware.minute // 15 * 15, second=0, microsecond=0)


def note_saved(session: Session, calls: Rows) -> None:
    """Effect after a flush: note the calls that were added, changed or deleted."""
    for call in calls.new:
        mark_changed(session, [call.started_on])
    changed = [call for call in calls.changed if any(name in COUNTED for name in calls.changed_columns(call))]
    for call in (*calls.deleted, *changed):
        mark_changed(session, [call.started_on, *_former(call)])


def _former(call: CallLog) -> list[Any]:
    state: Any = inspect(call)
    return list(state.attrs.started_on.history.deleted or ())


def note_statement(state: ORMExecuteState) -> None:
    """Session hook: note the calls that an INSERT, UPDATE or DELETE without objects changes."""
    if not (state.is_insert or state.is_update or state.is_delete):
        return
    table: Any = getattr(state.statement, "table", None)  # a copy with annotations
    if getattr(table, "name", "") != CallLog.__tablename__:
        return
    has_many = isinstance(state.parameters, list | tuple)
    if state.is_insert:
        given: Any = state.parameters if has_many else [state.parameters or {}]
        moments = [each.get("started_on") for each in given]
        mark_changed(state.session, moments) if all(moments) else start_over(state.session)
    elif has_many or "started_on" in _columns_set(state.statement):
        start_over(state.session)  # the affected days are unknown
    else:
        rules = internals.conditions_of(state.statement)
        found = state.session.execute(select(CallLog.started_on).where(*rules).with_for_update(), state.parameters)
        mark_changed(state.session, found.scalars())


def _columns_set(statement: Any) -> set[str]:
    """The names of the columns that an UPDATE sets; none for a DELETE."""
    return {str(getattr(each, "key", each)) for each in internals.values_of(statement)}


def write_marks(session: Session) -> None:
    """Session hook, before a commit: store the noted marks, in one INSERT."""
    if session.in_nested_transaction():
        return
    session.flush()
    gathered = transaction_state(session)
    moments, gathered.call_moments = gathered.call_moments, set()
    if moments:
        bulk_statements.insert_rows(session, RollupMark, [{"moment": each} for each in sorted(moments)])


def forget(session: Session) -> None:
    """Session hook, after a rollback: drop the notes. Those of a savepoint stay, which only counts a day once more."""
    if not session.in_nested_transaction():
        transaction_state(session).call_moments = set()


# --- the state


def counted_by(zone: ZoneInfo) -> str:
    """How the state names roll-ups whose days are of this time zone, and that were filled by these `RULES`.

    A server of a version with other rules takes them for roll-ups of another time zone: it counts the calls themselves
    or fills the roll-ups anew.
    """
    return zone.key if RULES == 1 else f"{zone.key}{_OF_RULES}{RULES}"


def is_of_zone(column: Any, zone: ZoneInfo) -> Any:
    """SQL: whether the state says that the days are of this time zone, by any rules."""
    return or_(column == zone.key, column.startswith(f"{zone.key}{_OF_RULES}", autoescape=True))


def lock(session: Session) -> RollupState:
    """The state, locked until the end of the transaction, so that only one process fills days."""
    query = select(RollupState).where(RollupState.id == 1).with_for_update().execution_options(populate_existing=True)
    found = session.scalars(query).first()
    if found is None:
        bulk_statements.insert_if_missing(session, RollupState, "id", {"id": 1, "zone": ""})
        found = session.scalars(query).one()
    return found


def start_over(session: Session) -> None:
    """Count all figures from the calls until all days are filled again."""
    step = update(RollupState).values(filled_until=None, quarter_until=None, rebuild_until=None)
    session.execute(step, execution_options=_BULK)


def mark(session: Session, moments: Iterable[datetime]) -> None:
    """Mark these quarter hours immediately."""
    rows = [{"moment": _quarter(each)} for each in moments]
    if rows:
        session.execute(insert(RollupMark), rows)
