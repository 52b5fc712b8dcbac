"""The SLA clock of a lead or ticket: when answers are owed, when the clock stands still, what was late."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

from sqlalchemy import Integer, case, func, literal, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.domain import office_hours, settings
from app.domain.base import UtcDateTime
from app.domain.settings import BusinessSetting, SlaPolicy, SlaTarget

#: What a status means for the clock.
RUNNING, PAUSED, ENDED = "runs", "waits", "ended"
#: Its two promises, as the columns name them: a first answer, and a resolution.
DEADLINES = ("reply", "resolve")
ZERO = timedelta(0)


class SlaRecord:
    """A record with promises: a first answer and a resolution within so much office time."""

    #: The policies that hold for it: lead or ticket.
    applies_to: ClassVar[str]
    #: Status meanings in which the clock stands still, and in which it has ended.
    waits_in: ClassVar[tuple[str, ...]]
    ends_in: ClassVar[tuple[str, ...]]

    #: Until when the first answer is owed, UTC; null once given, or without a policy. While the clock stands still
    #: it says what it said when that began, and moves on by the standstill when the clock runs again.
    reply_due_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    replied_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: Until when the record is to be solved (ticket) or to have ended (lead), UTC; null at the end or without a policy.
    resolve_due_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: When the clock began to run, UTC; a reopened record begins anew.
    sla_started_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: Since when the clock stands still (the customer has to do something), UTC; null = it runs.
    paused_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: Seconds of office time for which it stood still before.
    paused_seconds: Mapped[int] = mapped_column(Integer, nullable=False, default=0, server_default="0")
    #: When the minute job must look at this record next, UTC; null = never.
    sla_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: The moment at which the promise of the first answer, or of the resolution, was broken, UTC; null = it was not.
    #: Set by the minute job, or by the late answer itself; kept for reports.
    reply_late_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    resolve_late_on: Mapped[datetime | None] = mapped_column(UtcDateTime)

    @classmethod
    def stands(cls, meaning: str) -> str:
        """What a status of this meaning is for the clock: runs, waits or ended."""
        return ENDED if meaning in cls.ends_in else PAUSED if meaning in cls.waits_in else RUNNING


# --- What a manager may turn


@dataclass(frozen=True)
class SlaTerms:
    """What all clocks go by."""

    office: office_hours.Office
    #: (lead or ticket, priority; "" = any) -> office minutes until the first answer, until the resolution.
    targets: Mapping[tuple[str, str], tuple[int, int | None]] = field(default_factory=dict, hash=False)
    #: When this part of a promise's time is over, its people are warned.
    warning_percent: int = settings.DEFINITIONS["sla_warning_percent"][0]
    #: Office minutes after a breach, and again and again, at which the next manager is told.
    escalation_minutes: int = settings.DEFINITIONS["sla_escalation_minutes"][0]

    def target(self, kind: str, priority: str) -> tuple[int | None, int | None]:
        """Office minutes until the first answer and until the resolution; None = not promised."""
        return self.targets.get((kind, priority)) or self.targets.get((kind, "")) or (None, None)

    def after(self, start: datetime, span: timedelta) -> datetime | None:
        """The moment so much office time later; None for an office that never opens: it promises nothing."""
        try:
            return office_hours.add_open_time(self.office, start, span) if span else start
        except office_hours.NeverOpens:
            return None


#: Nothing is promised.
NO_TERMS = SlaTerms(office_hours.Office(ZoneInfo("UTC")))


def load_terms(session: Session, zone: str) -> SlaTerms:
    """The office hours, policies and settings as they stand now; of two active policies the first in order holds."""
    keys = ("sla_warning_percent", "sla_escalation_minutes")
    chosen = select(BusinessSetting.key, BusinessSetting.value).where(BusinessSetting.key.in_(keys))
    figures = {key.removeprefix("sla_"): value for key, value in session.execute(chosen)}
    active = select(SlaPolicy.applies_to, SlaTarget).join(SlaTarget, SlaTarget.policy_id == SlaPolicy.id)
    targets: dict[tuple[str, str], tuple[int, int | None]] = {}
    for kind, each in session.execute(active.where(SlaPolicy.is_active).order_by(SlaPolicy.position, SlaPolicy.id)):
        targets.setdefault((kind, each.priority), (each.first_response_minutes, each.resolution_minutes))
    return SlaTerms(settings.load_office(session, zone), targets, **figures)


# --- The clock follows the record


@dataclass(frozen=True)
class Move:
    """A change of the status: from one meaning to another, by a user id (None = the system), at a moment."""

    old: str
    new: str
    by: int | None
    at: datetime


def start_clock(record: Any, terms: SlaTerms, now: datetime) -> None:
    """Start the clock of a new record, as its status says: it may be waiting or ended already."""
    stands = record.stands(record.status.meaning)
    if stands == ENDED:
        return
    _start(record, terms, now)
    record.paused_on = now if stands == PAUSED else None
    schedule_check(record, terms)


def apply_move(record: Any, move: Move, terms: SlaTerms) -> None:
    """What a move means: the clock goes on, stands still, ends or begins anew; a person's move is an answer."""
    was, stands = record.stands(move.old), record.stands(move.new)
    if was == ENDED != stands:
        _start(record, terms, move.at)
    _resume(record, terms, move.at)
    if move.by is not None and record.replied_on is None:
        record.replied_on = move.at
        _settle(record, "reply", move.at)
    if stands == ENDED:
        for name in DEADLINES:
            _settle(record, name, move.at)
    record.paused_on = move.at if stands == PAUSED else None
    schedule_check(record, terms)


def apply_priority(record: Any, terms: SlaTerms) -> None:
    """Another priority promises another time, counted from the same start; the old breach does not count then."""
    if record.sla_started_on is not None and record.stands(record.status.meaning) != ENDED:
        _aim(record, terms)
        schedule_check(record, terms)


def schedule_check(record: Any, terms: SlaTerms) -> None:
    """Say when the minute job must look: at the first warning, if it lies in the past at once."""
    moments = [] if record.paused_on else [each.warn_on for each in deadlines(record, terms)]
    record.sla_on = min(moments, default=None)


def _start(record: Any, terms: SlaTerms, now: datetime) -> None:
    record.sla_started_on, record.paused_on, record.paused_seconds = now, None, 0
    _aim(record, terms)


def _aim(record: Any, terms: SlaTerms) -> None:
    """Set what is owed; a first answer that was given is not owed again."""
    spans = terms.target(record.applies_to, getattr(record, "priority", ""))
    stood = timedelta(seconds=record.paused_seconds or 0)
    for name, minutes in zip(DEADLINES, spans, strict=True):
        if name == "reply" and record.replied_on is not None:
            continue
        span = None if minutes is None else timedelta(minutes=minutes) + stood
        setattr(record, f"{name}_due_on", span and terms.after(record.sla_started_on, span))
        setattr(record, f"{name}_late_on", None)


def _resume(record: Any, terms: SlaTerms, now: datetime) -> None:
    """Move what is owed by the office time of the standstill: as much is left now as when it began, exactly."""
    if record.paused_on is None:
        return
    stood = office_hours.open_time_between(terms.office, record.paused_on, now)
    record.paused_on, record.paused_seconds = None, (record.paused_seconds or 0) + int(stood.total_seconds())
    for name in DEADLINES:
        due = getattr(record, f"{name}_due_on")
        if due is not None:
            moved = terms.after(due, stood)
            setattr(record, f"{name}_due_on", moved)
            if getattr(record, f"{name}_late_on") is not None:
                setattr(record, f"{name}_late_on", moved)


def _settle(record: Any, name: str, now: datetime) -> None:
    """The promise is off; it was broken if its time had passed."""
    due = getattr(record, f"{name}_due_on")
    if due is not None and due < now:
        setattr(record, f"{name}_late_on", due)
    setattr(record, f"{name}_due_on", None)


def record_first_reply(session: Session, record: Any, key: int | None, now: datetime) -> None:
    """A call or message of a person is a first answer to the lead or ticket (the class) of this id, if there is one.

    One UPDATE that changes no version, so that nobody's open form meets a conflict.
    """
    if key is None:
        return
    broken = record.reply_due_on < func.coalesce(record.paused_on, literal(now, UtcDateTime))
    values = {
        "reply_late_on": case((broken, record.reply_due_on), else_=record.reply_late_on),
        "replied_on": now,
        "reply_due_on": None,
    }
    step = update(record).where(record.id == key, record.replied_on.is_(None))
    # MariaDB reads what the statement itself has set before: the order of the values matters.
    step = step.ordered_values(*((getattr(record, name), value) for name, value in values.items()))
    session.execute(step, execution_options={"synchronize_session": False})


def record_first_replies(session: Session, record: Any, moments: Mapping[int, datetime]) -> None:
    """The same for many records of one class: id -> when a person first spoke with the customer; one statement.

    News of a call comes late: a promise that was kept by then is not broken, whatever was thought meanwhile.
    """
    if not moments:
        return
    due, at = record.reply_due_on, case({key: literal(at, UtcDateTime) for key, at in moments.items()}, value=record.id)
    broken = due < case((record.paused_on < at, record.paused_on), else_=at)
    values = {
        "reply_late_on": case((due.is_(None), record.reply_late_on), (broken, due), else_=None),
        "replied_on": at,
        "reply_due_on": None,
    }
    step = update(record).where(record.id.in_(sorted(moments)), record.replied_on.is_(None))
    step = step.ordered_values(*((getattr(record, name), value) for name, value in values.items()))
    session.execute(step, execution_options={"synchronize_session": False})


# --- What is promised


@dataclass(frozen=True)
class SlaDeadline:
    """An open promise of one record."""

    #: reply or resolve.
    name: str
    due_on: datetime
    #: When its people are warned.
    warn_on: datetime
    #: Names it for ever, pauses or not: its start and how much office time it gave.
    key: str


def deadlines(record: Any, terms: SlaTerms) -> list[SlaDeadline]:
    """The open promises of a record, told by its own columns: a policy that changed does not touch them."""
    return [_promise(record, name, terms) for name in DEADLINES if getattr(record, f"{name}_due_on") is not None]


def _promise(record: Any, name: str, terms: SlaTerms) -> SlaDeadline:
    due, started = getattr(record, f"{name}_due_on"), record.sla_started_on
    minutes = round(_span(started, due, record.paused_seconds, terms).total_seconds() / 60)
    key = f"{name}:{started or due:%Y%m%d%H%M%S}:{minutes}"
    return SlaDeadline(name, due, warning_time(started, due, record.paused_seconds, terms), key)


def warning_time(started: datetime | None, due: datetime, paused_seconds: int | None, terms: SlaTerms) -> datetime:
    """When so much of the promised office time is over that people are warned; never later than due."""
    span = _span(started, due, paused_seconds, terms) * terms.warning_percent / 100
    moment = terms.after(started or due, span + timedelta(seconds=paused_seconds or 0))
    return min(moment or due, due)


def _span(started: datetime | None, due: datetime, paused_seconds: int | None, terms: SlaTerms) -> timedelta:
    """How much office time was promised."""
    whole = office_hours.open_time_between(terms.office, started or due, due) - timedelta(seconds=paused_seconds or 0)
    return max(whole, ZERO)


def minutes_left(office: office_hours.Office, due_on: datetime, now: datetime) -> int:
    """Whole minutes of office time until due, begun ones counted; negative by as many as it is late."""
    if now < due_on:
        return -(-office_hours.open_time_between(office, now, due_on) // timedelta(minutes=1))
    return -(office_hours.open_time_between(office, due_on, now) // timedelta(minutes=1))
