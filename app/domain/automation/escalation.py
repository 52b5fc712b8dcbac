"""SLA warnings, breaches and escalations: who is notified when a deadline is near or missed, up the reporting line."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from flask_appbuilder.security.sqla.models import User
from sqlalchemy import literal, select, union_all, update
from sqlalchemy.orm import Session, aliased

from app.domain import assignment, timeline
from app.domain.base import Stamp
from app.domain.leads import Lead
from app.domain.notifications import notices
from app.domain.notifications.notices import NoticeEvent
from app.domain.people import teams
from app.domain.people.users import active_admins
from app.domain.round_robin import TurnPosition, substitute
from app.domain.tickets import Ticket
from app.domain.working_time import office_hours, sla
from app.domain.working_time.sla import SlaDeadline, SlaTerms
from app.lib.cached_property import cached_property

RECORDS: dict[str, Any] = {"lead": Lead, "ticket": Ticket}
SKIPPED = "skipped"


def due_records(session: Session, now: datetime, limit: int) -> list[tuple[str, int]]:
    """(kind, id) of the records whose SLA clock has to be checked now, longest waiting first; one statement."""
    parts = [
        select(literal(kind).label("kind"), record.id, record.sla_on).where(record.sla_on <= now)
        for kind, record in RECORDS.items()
    ]
    found = session.execute(union_all(*parts).order_by("sla_on", "id").limit(limit))
    return [(row.kind, row.id) for row in found]


def check_record(session: Session, key: tuple[str, int], now: datetime, terms: SlaTerms) -> str:
    """Send the notices due for one record (kind, id), and set when to check it again. The caller commits.

    Returns the most severe kind of notice sent, or SKIPPED: none was, or another transaction holds the record.
    """
    record = _locked(session, RECORDS[key[0]], key[1], now)
    if record is None:
        return SKIPPED
    watch = EscalationWatch(session, record, terms, now)
    sent = [] if record.paused_on else [watch.notify(deadline) for deadline in watch.deadlines]
    watch.schedule_next()
    return max(sent, key=_BY_SEVERITY.index, default=SKIPPED)


_BY_SEVERITY = (SKIPPED, "sla_warning", "sla_breach", "sla_escalated")


def _locked(session: Session, record: Any, key: int, now: datetime) -> Any:
    """The record under its lock; None if another transaction holds it or has checked it: the next run retries."""
    query = select(record).where(record.id == key, record.sla_on <= now)
    locked = query.with_for_update(skip_locked=True, of=record)
    return session.scalars(locked, execution_options={"populate_existing": True}).first()


@dataclass(frozen=True)
class EscalationRecipients:
    """The users who are notified about a record: active ones, or their substitutes during a leave."""

    #: All current assignees; the owner if there are none.
    assignees: tuple[int, ...]
    owner: tuple[int, ...]
    #: The direct managers of the assignees.
    managers: tuple[int, ...]
    #: The managers above the first assignee, nearest first.
    chain: tuple[int, ...]

    @property
    def levels(self) -> int:
        """How many times a missed deadline escalates; the nearest manager is notified of the breach itself.

        Without a higher manager there is one level, the admins.
        """
        return max(1, len(self.chain) - 1)


@dataclass
class EscalationWatch:
    """One check of one record under its lock."""

    session: Session
    record: Any
    terms: SlaTerms
    now: datetime

    @cached_property
    def deadlines(self) -> list[SlaDeadline]:
        """The deadlines of the record that were open when the check began."""
        return sla.deadlines(self.record, self.terms)

    @cached_property
    def recipients(self) -> EscalationRecipients:
        """The recipients, loaded when there is something to notify them about."""
        session, record = self.session, self.record
        owner = [record.owner_id] if record.owner_id is not None else []
        holders = assignment.current_assignees(session, record) or owner
        found = _users_with_delegates(session, [*holders, *owner])
        assignees = _active_or_substitutes(found, holders, self.now) or _active_or_substitutes(found, owner, self.now)
        first = record.assignee_id or record.owner_id
        chain = teams.managers_above(session, first) if first is not None else []
        managers = [found[user][0].manager_id for user in holders if user in found]
        above = _users_with_delegates(session, [*chain, *managers])
        return EscalationRecipients(
            assignees,
            _active_or_substitutes(found, owner, self.now),
            _active_or_substitutes(above, managers, self.now),
            _active_or_substitutes(above, chain, self.now),
        )

    def notify(self, deadline: SlaDeadline) -> str:
        """Send the latest notice due for this deadline; earlier ones are not repeated."""
        if self.now < deadline.warn_on:
            return SKIPPED
        if self.now < deadline.due_on:
            added = self._send([self._event("sla_warning", deadline, self.recipients.assignees)])
            return "sla_warning" if added else SKIPPED
        sent = self._notify_of_breach(deadline) if getattr(self.record, f"{deadline.name}_late_on") is None else SKIPPED
        return self._escalate(deadline) or sent

    def _notify_of_breach(self, deadline: SlaDeadline) -> str:
        to = self.recipients
        users = (*to.assignees, *to.owner, *to.managers, *to.chain[:1])
        self._send([self._event("sla_breach", deadline, users)])
        self._write("sla_breach", deadline, users)
        return "sla_breach"

    def _escalate(self, deadline: SlaDeadline) -> str | None:
        """Notify the manager of each new level; after a delay, all missed levels at once."""
        reached = range(1, min(self._level(deadline), self.recipients.levels) + 1)
        users_by_level = {level: self._users_at(level) for level in reached if self._is_new(deadline, level)}
        events = [self._event("sla_escalated", deadline, users, level) for level, users in users_by_level.items()]
        if not (events and self._send(events)):
            return None
        self._write("sla_escalated", deadline, [user for users in users_by_level.values() for user in users])
        return "sla_escalated"

    def _level(self, deadline: SlaDeadline) -> int:
        """How many levels the missed deadline has escalated by now."""
        late = office_hours.open_time_between(self.terms.office, deadline.due_on, self.now)
        return late // timedelta(minutes=self.terms.escalation_minutes)

    def _escalates_on(self, deadline: SlaDeadline, level: int) -> datetime | None:
        return self.terms.after(deadline.due_on, timedelta(minutes=self.terms.escalation_minutes * level))

    def _is_new(self, deadline: SlaDeadline, level: int) -> bool:
        """Whether this level was reached after the last check, judging by the record; event keys rule out repeats."""
        moment = self._escalates_on(deadline, level)
        return moment is not None and moment >= self.record.sla_on

    def _users_at(self, level: int) -> tuple[int, ...]:
        """The manager of this level; at the last level the admins too."""
        managers = self.recipients.chain[level : level + 1]
        if level < self.recipients.levels:
            return managers
        return (*managers, *active_admins(self.session))

    # --- writing

    def _event(self, kind: str, deadline: SlaDeadline, users: Iterable[int], level: int = 0) -> NoticeEvent:
        key = f"{kind}:{self.record.applies_to}:{self.record.id}:{deadline.key}:{level}"
        payload = self._payload(deadline) | {"number": self.record.number}
        return NoticeEvent(kind, key, tuple(users), payload, self.record)

    def _payload(self, deadline: SlaDeadline) -> dict[str, Any]:
        """The deadline, and the office minutes left; negative if it has passed."""
        left = sla.minutes_left(self.terms.office, deadline.due_on, self.now)
        return {"promise": deadline.name, "minutes": left, "due": deadline.due_on.isoformat()}

    def _send(self, events: list[NoticeEvent]) -> int:
        return notices.notify_many(self.session, events, self.now)

    def _write(self, what: str, deadline: SlaDeadline, users: Iterable[int]) -> None:
        """Add an entry to the timeline, with the users who were notified."""
        text = f"The {_DEADLINE_LABELS[deadline.name]} is overdue."
        timeline.write(
            self.session,
            self.record,
            "system",
            Stamp(None, self.now),
            text=text,
            what=what,
            to=list(dict.fromkeys(users)),
            **self._payload(deadline),
        )

    def schedule_next(self) -> None:
        """Set when to check again, and what is late: a plain UPDATE, so that it can't make saves conflict."""
        moments = [] if self.record.paused_on else [self._next_check(deadline) for deadline in self.deadlines]
        values: dict[str, Any] = {"sla_on": min((each for each in moments if each is not None), default=None)}
        if not self.record.paused_on:
            for each in self.deadlines:
                if each.due_on <= self.now:
                    values[f"{each.name}_late_on"] = each.due_on
        kind = type(self.record)
        step = update(kind).where(kind.id == self.record.id).values(**values)
        self.session.execute(step, execution_options={"synchronize_session": False})

    def _next_check(self, deadline: SlaDeadline) -> datetime | None:
        if self.now < deadline.warn_on:
            return deadline.warn_on
        if self.now < deadline.due_on:
            return deadline.due_on
        level = self._level(deadline) + 1
        return self._escalates_on(deadline, level) if level <= self.recipients.levels else None


_DEADLINE_LABELS = {"reply": "first response", "resolve": "resolution"}


def _users_with_delegates(session: Session, ids: Iterable[int | None]) -> dict[int, tuple[Any, Any]]:
    """User id -> the user and their delegate."""
    wanted = {user_id for user_id in ids if user_id is not None}
    if not wanted:
        return {}
    delegate = aliased(User)
    query = select(User, delegate).outerjoin(delegate, delegate.id == User.delegate_id).where(User.id.in_(wanted))
    return {user.id: (user, other) for user, other in session.execute(query)}


def _active_or_substitutes(
    found: dict[int, tuple[Any, Any]], ids: Iterable[int | None], now: datetime
) -> tuple[int, ...]:
    """The active users in order; for a user on leave the delegate, if the delegate is available."""
    active = [found[key] for key in ids if key is not None and key in found and found[key][0].active]
    users = [substitute(TurnPosition(user, delegate), now) or user.id for user, delegate in active]
    return tuple(dict.fromkeys(users))
