"""The watch over the SLA clocks: people are warned, a broken promise is told, then it climbs the reports-to tree."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from flask_appbuilder.security.sqla.models import User
from sqlalchemy import literal, select, union_all, update
from sqlalchemy.orm import Session, aliased

from app.domain import assignment, notices, office_hours, sla, team, timeline
from app.domain.leads import Lead
from app.domain.notices import NoticeEvent
from app.domain.sla import SlaDeadline, SlaTerms
from app.domain.tickets import Ticket

RECORDS: dict[str, Any] = {"lead": Lead, "ticket": Ticket}
SKIPPED = "skipped"


def due_records(session: Session, now: datetime, limit: int) -> list[tuple[str, int]]:
    """(kind, id) of the records whose clock has to be looked at, longest waiting first; one statement."""
    parts = [
        select(literal(kind).label("kind"), record.id, record.sla_on).where(record.sla_on <= now)
        for kind, record in RECORDS.items()
    ]
    found = session.execute(union_all(*parts).order_by("sla_on", "id").limit(limit))
    return [(row.kind, row.id) for row in found]


def check_record(session: Session, kind: str, key: int, now: datetime, terms: SlaTerms) -> str:
    """Tell what is due to be told of one record, and say when to look again. The caller commits.

    Answers the gravest kind of notice that was told, or skipped: nothing was, or somebody else holds the record.
    """
    record = _locked(session, RECORDS[kind], key, now)
    if record is None:
        return SKIPPED
    watch = EscalationWatch(session, record, terms, now)
    told = [] if record.paused_on else [watch.tell(promise) for promise in watch.promises]
    watch.arm()
    return max(told, key=_GRAVITY.index, default=SKIPPED)


_GRAVITY = (SKIPPED, "sla_warning", "sla_breach", "sla_escalated")


def _locked(session: Session, record: Any, key: int, now: datetime) -> Any:
    """The record under its lock; None where somebody holds it, or looked at it: the next minute comes back to it."""
    query = select(record).where(record.id == key, record.sla_on <= now)
    locked = query.with_for_update(skip_locked=True, of=record)
    return session.scalars(locked, execution_options={"populate_existing": True}).first()


@dataclass(frozen=True)
class EscalationRecipients:
    """Who hears of a record, everybody in it present or stood in for."""

    #: All who have it now; the owner where nobody has.
    workers: tuple[int, ...]
    owner: tuple[int, ...]
    #: The managers next above the workers.
    bosses: tuple[int, ...]
    #: The managers above the one whose record it is, nearest first.
    chain: tuple[int, ...]

    @property
    def levels(self) -> int:
        """How often a broken promise climbs: the nearest manager hears of the breach itself, the last level is the top.

        Where nobody stands above him the one level left is the admins'.
        """
        return max(1, len(self.chain) - 1)


@dataclass
class EscalationWatch:
    """One look at one record under its lock."""

    session: Session
    record: Any
    terms: SlaTerms
    now: datetime

    @cached_property
    def promises(self) -> list[SlaDeadline]:
        """What it owes, as it stood when the look began."""
        return sla.deadlines(self.record, self.terms)

    @cached_property
    def audience(self) -> EscalationRecipients:
        """Whom it concerns; read when there is something to tell."""
        session, record = self.session, self.record
        owner = [record.owner_id] if record.owner_id is not None else []
        holders = assignment.current_assignees(session, record) or owner
        found = _people(session, [*holders, *owner])
        workers = _stood_in(found, holders, self.now) or _stood_in(found, owner, self.now)
        first = record.assignee_id or record.owner_id
        chain = team.managers_above(session, first) if first is not None else []
        bosses = [found[user][0].manager_id for user in holders if user in found]
        above = _people(session, [*chain, *bosses])
        return EscalationRecipients(
            workers,
            _stood_in(found, owner, self.now),
            _stood_in(above, bosses, self.now),
            _stood_in(above, chain, self.now),
        )

    def tell(self, promise: SlaDeadline) -> str:
        """The newest thing that is true of the promise; what was told of it before is not told again."""
        if self.now < promise.warn_on:
            return SKIPPED
        if self.now < promise.due_on:
            fresh = self._notify([self._news("sla_warning", promise, self.audience.workers)])
            return "sla_warning" if fresh else SKIPPED
        told = self._tell_breach(promise) if getattr(self.record, f"{promise.name}_late_on") is None else SKIPPED
        return self._tell_levels(promise) or told

    def _tell_breach(self, promise: SlaDeadline) -> str:
        seen = self.audience
        people = (*seen.workers, *seen.owner, *seen.bosses, *seen.chain[:1])
        self._notify([self._news("sla_breach", promise, people)])
        self._write("sla_breach", promise, people)
        return "sla_breach"

    def _tell_levels(self, promise: SlaDeadline) -> str | None:
        """Each manager hears of it at his own level; after a late start those who were left out, all at once."""
        reached = range(1, min(self._level(promise), self.audience.levels) + 1)
        missed = [level for level in reached if self._is_news(promise, level)]
        people = [self._at_level(level) for level in missed]
        news = [self._news("sla_escalated", promise, users, level) for level, users in zip(missed, people, strict=True)]
        if not (news and self._notify(news)):
            return None
        self._write("sla_escalated", promise, [user for users in people for user in users])
        return "sla_escalated"

    def _level(self, promise: SlaDeadline) -> int:
        """How many steps the broken promise has climbed by now."""
        late = office_hours.open_time_between(self.terms.office, promise.due_on, self.now)
        return late // timedelta(minutes=self.terms.escalation_minutes)

    def _climbs_on(self, promise: SlaDeadline, level: int) -> datetime | None:
        return self.terms.after(promise.due_on, timedelta(minutes=self.terms.escalation_minutes * level))

    def _is_news(self, promise: SlaDeadline, level: int) -> bool:
        """Whether the last look came before this level, as far as the record knows; the event keys know for sure."""
        moment = self._climbs_on(promise, level)
        return moment is not None and moment >= self.record.sla_on

    def _at_level(self, level: int) -> tuple[int, ...]:
        """The manager of this level; with the last one the admins."""
        people = self.audience.chain[level : level + 1]
        if level < self.audience.levels:
            return people
        admins = team.members(self.session, team.get_role(self.session, "Admin").id)
        return (*people, *(user.id for user in admins if user.active))

    # --- writing

    def _news(self, kind: str, promise: SlaDeadline, users: Iterable[int], level: int = 0) -> NoticeEvent:
        key = f"{kind}:{self.record.applies_to}:{self.record.id}:{promise.key}:{level}"
        says = self._says(promise) | {"number": self.record.number}
        return NoticeEvent(kind, key, tuple(users), says, notices.record_ids_of(self.record))

    def _says(self, promise: SlaDeadline) -> dict[str, Any]:
        """The promise, and the office minutes that are left: fewer than none, so many is it late."""
        left = sla.minutes_left(self.terms.office, promise.due_on, self.now)
        return {"promise": promise.name, "minutes": left, "due": promise.due_on.isoformat()}

    def _notify(self, news: list[NoticeEvent]) -> int:
        return notices.notify_many(self.session, news, self.now)

    def _write(self, what: str, promise: SlaDeadline, users: Iterable[int]) -> None:
        """A line of the timeline, which names who was told."""
        text = f"The {_WORDS[promise.name]} is overdue."
        timeline.write(
            self.session,
            self.record,
            "system",
            None,
            self.now,
            text=text,
            what=what,
            to=list(dict.fromkeys(users)),
            **self._says(promise),
        )

    def arm(self) -> None:
        """Say when to look again, and what is broken: a plain UPDATE, so that nobody's save meets a conflict."""
        moments = [] if self.record.paused_on else [self._next(promise) for promise in self.promises]
        values: dict[str, Any] = {"sla_on": min((each for each in moments if each is not None), default=None)}
        if not self.record.paused_on:
            for each in self.promises:
                if each.due_on <= self.now:
                    values[f"{each.name}_late_on"] = each.due_on
        kind = type(self.record)
        step = update(kind).where(kind.id == self.record.id).values(**values)
        self.session.execute(step, execution_options={"synchronize_session": False})

    def _next(self, promise: SlaDeadline) -> datetime | None:
        if self.now < promise.warn_on:
            return promise.warn_on
        if self.now < promise.due_on:
            return promise.due_on
        level = self._level(promise) + 1
        return self._climbs_on(promise, level) if level <= self.audience.levels else None


_WORDS = {"reply": "first response", "resolve": "resolution"}


def _people(session: Session, ids: Iterable[int | None]) -> dict[int, tuple[Any, Any]]:
    """id -> the user and his delegate."""
    wanted = {user for user in ids if user is not None}
    if not wanted:
        return {}
    delegate = aliased(User)
    query = select(User, delegate).outerjoin(delegate, delegate.id == User.delegate_id).where(User.id.in_(wanted))
    return {user.id: (user, other) for user, other in session.execute(query)}


def _stood_in(found: dict[int, tuple[Any, Any]], ids: Iterable[int | None], now: datetime) -> tuple[int, ...]:
    """Those who work here, in order; for one on leave his delegate, if he is there."""
    working = [found[user] for user in ids if user is not None and user in found and found[user][0].active]
    heard = [team.substitute(team.TurnPosition(user, other), now) or user.id for user, other in working]
    return tuple(dict.fromkeys(heard))
