"""The SLA clock of a lead or ticket: due times of reply and resolution, pauses, and missed deadlines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

from sqlalchemy import Integer, case, func, literal, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.domain import business_settings
from app.domain.base import UtcDateTime
from app.domain.business_settings import BusinessSetting
from app.domain.persistence import recount_marks
from app.domain.working_time import office_hours, office_schedule
from app.domain.working_time.sla_policies import SlaPolicy, SlaTarget

#: The state of the clock in a status.
RUNNING, PAUSED, ENDED = "runs", "waits", "ended"
#: The two deadlines, by their column prefixes: first reply and resolution.
DEADLINES = ("reply", "resolve")
ZERO = timedelta(0)


class SlaRecord:
    """A record with an SLA: deadlines for a first reply and a resolution, in office time."""

    #: The policies that apply to it: lead or ticket.
    applies_to: ClassVar[str]
    #: Status meanings in which the clock is paused, and in which it has ended.
    paused_in: ClassVar[tuple[str, ...]]
    ended_in: ClassVar[tuple[str, ...]]

    #: When the first reply is due, UTC; null once it was given, or without a policy. After a pause it moves by the
    #: office time of the pause.
    reply_due_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    replied_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: When the ticket must be resolved or the lead closed, UTC; null once it is, or without a policy.
    resolve_due_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: When the clock started, UTC; a reopened record starts again.
    sla_started_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: Since when the clock is paused (it is the customer's turn), UTC; null = it is running.
    paused_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: Seconds of office time of earlier pauses.
    paused_seconds: Mapped[int] = mapped_column(Integer, nullable=False, default=0, server_default="0")
    #: When the job must check this record next, UTC; null = never.
    sla_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: When the deadline of the first reply, or of the resolution, was missed, UTC; null = it was not. Set by the job,
    #: or by the late reply itself; kept for reports.
    reply_late_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    resolve_late_on: Mapped[datetime | None] = mapped_column(UtcDateTime)

    @classmethod
    def clock_state(cls, meaning: str) -> str:
        """RUNNING, PAUSED or ENDED for a status of this meaning."""
        return ENDED if meaning in cls.ended_in else PAUSED if meaning in cls.paused_in else RUNNING


#: All columns of the clock.
CLOCK_COLUMNS = (
    *("reply_due_on", "replied_on", "resolve_due_on", "sla_started_on", "paused_on", "paused_seconds", "sla_on"),
    *("reply_late_on", "resolve_late_on"),
)


# --- Policies and settings


@dataclass(frozen=True)
class SlaTerms:
    """Office hours, targets and settings of all clocks."""

    office: office_hours.OfficeSchedule
    #: (lead or ticket, priority; "" = any) -> office minutes for the first reply and the resolution.
    targets: Mapping[tuple[str, str], tuple[int, int | None]] = field(default_factory=dict, hash=False)
    #: Percent of the allowed time after which the assignees are warned.
    warning_percent: int = business_settings.DEFINITIONS["sla_warning_percent"][0]
    #: Office minutes after a breach, and after each level, at which the next manager is notified.
    escalation_minutes: int = business_settings.DEFINITIONS["sla_escalation_minutes"][0]

    def target(self, kind: str, priority: str) -> tuple[int | None, int | None]:
        """Office minutes for the first reply and for the resolution; None = no target."""
        return self.targets.get((kind, priority)) or self.targets.get((kind, "")) or (None, None)

    def after(self, start: datetime, span: timedelta) -> datetime | None:
        """The time so much office time later; None for an office that never opens: it has no deadlines."""
        try:
            return office_hours.add_open_time(self.office, start, span) if span else start
        except office_hours.NeverOpens:
            return None


#: No targets.
NO_TERMS = SlaTerms(office_hours.OfficeSchedule(ZoneInfo("UTC")))


def load_terms(session: Session, zone: str) -> SlaTerms:
    """The current office hours, policies and settings; of several active policies the first in order applies."""
    keys = ("sla_warning_percent", "sla_escalation_minutes")
    stored = select(BusinessSetting.key, BusinessSetting.value).where(BusinessSetting.key.in_(keys))
    figures = {key.removeprefix("sla_"): value for key, value in session.execute(stored)}
    active = select(SlaPolicy.applies_to, SlaTarget).join(SlaTarget, SlaTarget.policy_id == SlaPolicy.id)
    targets: dict[tuple[str, str], tuple[int, int | None]] = {}
    for kind, each in session.execute(active.where(SlaPolicy.is_active).order_by(SlaPolicy.position, SlaPolicy.id)):
        targets.setdefault((kind, each.priority), (each.first_response_minutes, each.resolution_minutes))
    return SlaTerms(office_schedule.load_office(session, zone), targets, **figures)


# --- the clock follows the status


@dataclass(frozen=True)
class StatusTransition:
    """A status change: from one meaning to another, by a user id (None = the system), at a time."""

    old: str
    new: str
    by: int | None
    at: datetime


def start_clock(record: Any, terms: SlaTerms, now: datetime) -> None:
    """Start the clock of a new record according to its status: it may be paused already, or not start at all."""
    state = record.clock_state(record.status.meaning)
    if state == ENDED:
        return
    _start_clock(record, terms, now)
    record.paused_on = now if state == PAUSED else None
    schedule_check(record, terms)


def apply_move(record: Any, move: StatusTransition, terms: SlaTerms) -> None:
    """Run, pause, end or restart the clock after a status change; a change by a user counts as the first reply."""
    was, state = record.clock_state(move.old), record.clock_state(move.new)
    if was == ENDED != state:
        _start_clock(record, terms, move.at)
    _resume_clock(record, terms, move.at)
    if move.by is not None and record.replied_on is None:
        record.replied_on = move.at
        _close_deadline(record, "reply", move.at)
    if state == ENDED:
        for name in DEADLINES:
            _close_deadline(record, name, move.at)
    record.paused_on = move.at if state == PAUSED else None
    schedule_check(record, terms)


def apply_priority(record: Any, terms: SlaTerms) -> None:
    """Set the due times of the new priority, counted from the same start; an earlier breach is dropped."""
    if record.sla_started_on is not None and record.clock_state(record.status.meaning) != ENDED:
        _set_due_times(record, terms)
        schedule_check(record, terms)


def schedule_check(record: Any, terms: SlaTerms) -> None:
    """Set when the job checks the record: at the first warning, or at once if that has passed."""
    moments = [] if record.paused_on else [each.warn_on for each in deadlines(record, terms)]
    record.sla_on = min(moments, default=None)


def _start_clock(record: Any, terms: SlaTerms, now: datetime) -> None:
    record.sla_started_on, record.paused_on, record.paused_seconds = now, None, 0
    _set_due_times(record, terms)


def _set_due_times(record: Any, terms: SlaTerms) -> None:
    """Set the due times; a first reply that was given is not due again."""
    spans = terms.target(record.applies_to, getattr(record, "priority", ""))
    paused = timedelta(seconds=record.paused_seconds or 0)
    for name, minutes in zip(DEADLINES, spans, strict=True):
        if name == "reply" and record.replied_on is not None:
            continue
        span = None if minutes is None else timedelta(minutes=minutes) + paused
        setattr(record, f"{name}_due_on", span and terms.after(record.sla_started_on, span))
        setattr(record, f"{name}_late_on", None)


def _resume_clock(record: Any, terms: SlaTerms, now: datetime) -> None:
    """End a pause: move the due times by its office time, so that exactly as much is left as when it began."""
    if record.paused_on is None:
        return
    pause = office_hours.open_time_between(terms.office, record.paused_on, now)
    record.paused_on, record.paused_seconds = None, (record.paused_seconds or 0) + int(pause.total_seconds())
    for name in DEADLINES:
        due = getattr(record, f"{name}_due_on")
        if due is not None:
            moved = terms.after(due, pause)
            setattr(record, f"{name}_due_on", moved)
            if getattr(record, f"{name}_late_on") is not None:
                setattr(record, f"{name}_late_on", moved)


def _close_deadline(record: Any, name: str, now: datetime) -> None:
    """Clear the due time; the deadline was missed if it had passed."""
    due = getattr(record, f"{name}_due_on")
    if due is not None and due < now:
        setattr(record, f"{name}_late_on", due)
    setattr(record, f"{name}_due_on", None)


def record_first_reply(session: Session, record: Any, key: int | None, now: datetime) -> None:
    """Count a user's call or message as the first reply to the lead or ticket (`record` is the class) with this id.

    One UPDATE that doesn't change the version, so that it can't make saves conflict. Does nothing without an id.
    """
    if key is None:
        return
    is_late = record.reply_due_on < func.coalesce(record.paused_on, literal(now, UtcDateTime))
    values = {
        "reply_late_on": case((is_late, record.reply_due_on), else_=record.reply_late_on),
        "replied_on": now,
        "reply_due_on": None,
    }
    step = update(record).where(record.id == key, record.replied_on.is_(None))
    # MariaDB reads values that the same statement has set before, so their order matters.
    step = step.ordered_values(*((getattr(record, name), value) for name, value in values.items()))
    _execute_reply(session, step, record, [key])


def record_first_replies(session: Session, record: Any, moments: Mapping[int, datetime]) -> None:
    """Count first replies of many records of one class, {id: when a user first talked to them}; one statement.

    Calls may be reported late: a deadline met by the call is not missed, even if it was marked so meanwhile. A call
    before the record was created is the reply of that moment.
    """
    if not moments:
        return
    due, at = record.reply_due_on, case({key: literal(at, UtcDateTime) for key, at in moments.items()}, value=record.id)
    at = case((record.created_on > at, record.created_on), else_=at)
    is_late = due < case((record.paused_on < at, record.paused_on), else_=at)
    values = {
        "reply_late_on": case((due.is_(None), record.reply_late_on), (is_late, due), else_=None),
        "replied_on": at,
        "reply_due_on": None,
    }
    step = update(record).where(record.id.in_(sorted(moments)), record.replied_on.is_(None))
    step = step.ordered_values(*((getattr(record, name), value) for name, value in values.items()))
    _execute_reply(session, step, record, moments)


def withdraw_first_reply(session: Session, record: Any, other: datetime | None, terms: SlaTerms) -> None:
    """Undo the first reply to this lead or ticket, which failed; the next one, at `other`, counts in its place.

    Without another one the clock goes on as if there had been none. Of a reply in time the due time is no longer
    stored: it is that of the present policy. One UPDATE that doesn't change the version.
    """
    ended_on = record.status_on if record.clock_state(record.status.meaning) == ENDED else None
    clock = SimpleNamespace(**{name: getattr(record, name) for name in CLOCK_COLUMNS})
    clock.reply_due_on = clock.reply_late_on or _reply_due_time(record, terms)
    clock.replied_on = other
    if end := other or ended_on:
        clock.reply_late_on = None
        _close_deadline(clock, "reply", min(end, record.paused_on or end))
    schedule_check(clock, terms)
    kind = type(record)
    step = update(kind).where(kind.id == record.id, kind.replied_on == record.replied_on)
    values = {name: getattr(clock, name) for name in ("replied_on", "reply_due_on", "reply_late_on", "sla_on")}
    _execute_reply(session, step.values(values), kind, [record.id])
    session.expire(record)


def _reply_due_time(record: Any, terms: SlaTerms) -> datetime | None:
    minutes, _ = terms.target(record.applies_to, getattr(record, "priority", ""))
    if minutes is None or record.sla_started_on is None:
        return None
    paused = timedelta(seconds=record.paused_seconds or 0)
    return terms.after(record.sla_started_on, timedelta(minutes=minutes) + paused)


def _execute_reply(session: Session, step: Any, record: Any, keys: Iterable[int]) -> None:
    """Execute the UPDATE, and mark the records only if it changes one: most replies aren't the first."""
    options = {"synchronize_session": False, recount_marks.IS_MARKED: True}
    if session.execute(step, execution_options=options).rowcount:  # type: ignore[attr-defined]
        recount_marks.mark(session, record.__tablename__, keys)


# --- deadlines


@dataclass(frozen=True)
class SlaDeadline:
    """An open deadline of one record."""

    #: reply or resolve.
    name: str
    due_on: datetime
    #: When the assignees are warned.
    warn_on: datetime
    #: Identifies it regardless of pauses: its start and the office time it allows.
    key: str


def deadlines(record: Any, terms: SlaTerms) -> list[SlaDeadline]:
    """The open deadlines of a record, from its own columns: a changed policy does not affect them."""
    return [_deadline(record, name, terms) for name in DEADLINES if getattr(record, f"{name}_due_on") is not None]


def _deadline(record: Any, name: str, terms: SlaTerms) -> SlaDeadline:
    due, started = getattr(record, f"{name}_due_on"), record.sla_started_on
    minutes = round(_allowed_time(started, due, record.paused_seconds, terms).total_seconds() / 60)
    key = f"{name}:{started or due:%Y%m%d%H%M%S}:{minutes}"
    return SlaDeadline(name, due, warning_time(started, due, record.paused_seconds, terms), key)


def warning_time(started: datetime | None, due: datetime, paused_seconds: int | None, terms: SlaTerms) -> datetime:
    """When people are warned: after this share of the office time; at most `due`."""
    span = _allowed_time(started, due, paused_seconds, terms) * terms.warning_percent / 100
    moment = terms.after(started or due, span + timedelta(seconds=paused_seconds or 0))
    return min(moment or due, due)


def _allowed_time(started: datetime | None, due: datetime, paused_seconds: int | None, terms: SlaTerms) -> timedelta:
    """The office time that the deadline allows."""
    whole = office_hours.open_time_between(terms.office, started or due, due) - timedelta(seconds=paused_seconds or 0)
    return max(whole, ZERO)


def minutes_left(office: office_hours.OfficeSchedule, due_on: datetime, now: datetime) -> int:
    """Minutes of office time until due, rounded up; negative when late."""
    if now < due_on:
        return -(-office_hours.open_time_between(office, now, due_on) // timedelta(minutes=1))
    return -(office_hours.open_time_between(office, due_on, now) // timedelta(minutes=1))
