"""The figures of dashboards: what each counts, in one place. Lists show the rows of a figure by the same rule.

Done counts as completed, Closed as resolved, and Activated as converted. They are counted by `figure_counts`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, exists, func, or_, select, true, union

from app.domain import tickets
from app.domain.assignment import Assignment
from app.domain.base import RuleBroken, translatable
from app.domain.leads import Lead
from app.domain.messaging.conversations import Conversation
from app.domain.messaging.messages import CAMPAIGN_CAUSE, SENT, Message
from app.domain.periods import Period
from app.domain.sql_times import seconds_between
from app.domain.tasks import OPEN, Task
from app.domain.telephony.calls import CallLog
from app.domain.telephony.missed_calls import is_called_back
from app.domain.tickets import Ticket

#: Meanings of lead statuses that count as converted, and as lost.
CONVERTED = ("opened", "activated")
LOST = ("rejected", "unqualified", "junk", "expired", "expired_opened")
#: Statuses of incoming calls that nobody here answered, and of outgoing ones that nobody there answered.
MISSED, NOT_PICKED = ("Missed Call", "No Answer"), ("Did Not Picked", "No Answer")
#: Seconds within which a reply counts as quick, soon, and on the same day.
QUICK, SOON, SAME_DAY = 15 * 60, 3600, 24 * 3600


def _everything(_alias: Any) -> ColumnElement[bool]:
    return true()


@dataclass(frozen=True)
class CountScope:
    """What figures cover: a period, and the people whose work counts."""

    period: Period
    now: datetime
    #: PicklistEntry -> id -> meaning, of lead_status and ticket_status.
    meanings: Mapping[str, Mapping[int, str]] = field(default_factory=dict, hash=False)
    #: User ids; None = everybody whose records the person sees.
    people: frozenset[int] | None = None
    #: Only this hour of the week, 0 = Monday from 0:00; None = all.
    slot: int | None = None
    #: The access rule of an alias of CallLog, for rules that compare a call with others.
    sees_call: Callable[[Any], ColumnElement[bool]] = field(default=_everything, hash=False, compare=False)
    #: A `call_rollup_coverage.RollupCoverage` if the roll-ups can be used for the person; None = calls are counted.
    rolled: Any = field(default=None, hash=False, compare=False)
    #: A `record_rollup_counts.RecordCoverage` of records of which the person sees all; None = they are counted.
    counted: Any = field(default=None, hash=False, compare=False)
    #: (column, value) filters on leads; other records are not filtered.
    leads: tuple[tuple[str, Any], ...] = ()

    def before(self) -> CountScope:
        """The same scope for the previous period."""
        return replace(self, period=self.period.previous())

    def status_ids(self, picklist: str, wanted: Iterable[str]) -> list[int]:
        """Ids of the statuses of these meanings."""
        return sorted(key for key, meaning in self.meanings.get(picklist, {}).items() if meaning in wanted)


Rule = Callable[[CountScope], ColumnElement[bool]]


@dataclass(frozen=True)
class Figure:
    """One figure: the rows of a record that match a rule, counted, or a column of them summed."""

    record: Any
    #: The time column that puts a row into the period; "" = the rule decides, or the figure is as of now.
    at: str = ""
    rule: Rule | None = None
    #: What is summed; None = the rows are counted.
    value: Any = None
    #: Whether the rule itself applies the period and the people of the scope.
    rule_applies_scope: bool = False

    @property
    def is_of_period(self) -> bool:
        """Whether the figure also exists for earlier periods; otherwise it is a count as of now."""
        return bool(self.at) or self.rule_applies_scope

    def when(self, scope: CountScope) -> ColumnElement[bool]:
        """SQL: whether a row is in the period."""
        if not self.at:
            return self.rule(scope) if self.rule is not None else true()
        column = getattr(self.record, self.at)
        rule = scope.period.contains(column)
        return rule if scope.slot is None else and_(rule, scope.period.local_slot(column) == scope.slot)

    def condition(self, scope: CountScope) -> ColumnElement[bool]:
        """SQL: whether a row counts, ignoring the people and filters of the scope."""
        rules = [self.when(scope)]
        if self.at and self.rule is not None:
            rules.append(self.rule(scope))
        return and_(*rules)

    def rows(self, scope: CountScope) -> ColumnElement[bool]:
        """SQL: whether a row counts; lists show the rows of the figure by it."""
        return and_(self.condition(scope), self.within(scope))

    def within(self, scope: CountScope) -> ColumnElement[bool]:
        """SQL: whether a row belongs to the people of the scope, and, for leads, matches its filters."""
        rules = [getattr(Lead, name) == value for name, value in scope.leads] if self.record is Lead else []
        if scope.people is not None and not self.rule_applies_scope:
            rules.append(OF_PEOPLE[self.record](sorted(scope.people)))
            if self.record is Ticket and self.at == "created_on":
                rules.append(_is_among_held(sorted(scope.people), scope.period))
        return and_(true(), *rules)


# --- whose rows

#: The same aliases in every statement: to make one copies all columns of its table.
_GIVEN: Any = Assignment.__table__.alias("given")
_OWN: Any = Ticket.__table__.alias("own")
_GOT: Any = Assignment.__table__.alias("got")
_CLAIMED: Any = Conversation.__table__.alias("claimed")
_EARLIER: Any = CallLog.__table__.alias("earlier")
_ANSWER: Any = Message.__table__.alias("answer")


def _lead_of(people: list[int]) -> ColumnElement[bool]:
    return or_(Lead.assignee_id.in_(people), Lead.owner_id.in_(people))


def _ticket_of(people: list[int]) -> ColumnElement[bool]:
    is_assignee = exists().where(
        _GIVEN.c.ticket_id == Ticket.id, _GIVEN.c.user_id.in_(people), _GIVEN.c.ended_on.is_(None)
    )
    return or_(Ticket.assignee_id.in_(people), Ticket.owner_id.in_(people), is_assignee.correlate(Ticket))


def _is_among_held(people: list[int], period: Period) -> ColumnElement[bool]:
    """Tickets of the period that one of these people holds by a column, or got since it began.

    It limits `_ticket_of` to ranges of indexes: nobody is an assignee of a ticket before it was created. Those of leads
    are found by MariaDB itself, as they have no third way.
    """
    ways = [
        select(_OWN.c.id).where(_OWN.c[name].in_(people), period.contains(_OWN.c.created_on))
        for name in ("assignee_id", "owner_id")
    ]
    rules = (_GOT.c.user_id.in_(people), _GOT.c.started_on >= period.start, _GOT.c.ended_on.is_(None))
    held = union(*ways, select(_GOT.c.ticket_id).where(*rules, _GOT.c.ticket_id.is_not(None))).subquery("held")
    return Ticket.id.in_(select(held.c[0]))


def _message_of(people: list[int]) -> ColumnElement[bool]:
    """Messages that they have written, and those received in conversations that they have claimed."""
    is_theirs = exists().where(_CLAIMED.c.id == Message.conversation_id, _CLAIMED.c.claimed_by_id.in_(people))
    arrived = and_(Message.direction == "in", is_theirs.correlate(Message))
    return or_(Message.created_by_id.in_(people), arrived)


#: Record -> SQL: whether a row belongs to one of these users.
OF_PEOPLE: dict[Any, Callable[[list[int]], ColumnElement[bool]]] = {
    Lead: _lead_of,
    Ticket: _ticket_of,
    Task: lambda people: Task.assignee_id.in_(people),
    CallLog: lambda people: CallLog.employee_id.in_(people),
    Message: _message_of,
}


# --- rules


def _lead_means(*meanings: str) -> Rule:
    return lambda scope: Lead.status_id.in_(scope.status_ids("lead_status", meanings))


def _ticket_means(*meanings: str) -> Rule:
    return lambda scope: Ticket.status_id.in_(scope.status_ids("ticket_status", meanings))


def _all(*rules: Rule) -> Rule:
    return lambda scope: and_(*[rule(scope) for rule in rules])


def _taken(scope: CountScope) -> ColumnElement[bool]:
    """Leads assigned to one of the people in the period; each counts once."""
    rules = [_GIVEN.c.lead_id.is_not(None), scope.period.contains(_GIVEN.c.started_on)]
    if scope.people is not None:
        rules.append(_GIVEN.c.user_id.in_(sorted(scope.people)))
    return Lead.id.in_(select(_GIVEN.c.lead_id).where(*rules))


def is_missed() -> ColumnElement[bool]:
    """SQL: incoming calls that nobody answered."""
    return and_(CallLog.direction == "Incoming", CallLog.status.in_(MISSED))


def is_not_picked() -> ColumnElement[bool]:
    """SQL: outgoing calls that nobody answered."""
    return and_(CallLog.direction == "Outgoing", CallLog.status.in_(NOT_PICKED))


def _first_of_number(scope: CountScope, is_ever: bool) -> ColumnElement[bool]:
    """SQL: the first call with its number in the period, or ever; among the calls of the chosen people, if any."""
    is_earlier = or_(
        _EARLIER.c.started_on < CallLog.started_on,
        and_(_EARLIER.c.started_on == CallLog.started_on, _EARLIER.c.id < CallLog.id),
    )
    rules = [_EARLIER.c.other_e164 == CallLog.other_e164, is_earlier]
    if scope.people is not None:
        rules.append(_EARLIER.c.employee_id.in_(sorted(scope.people)))
    if not is_ever:
        rules += [_EARLIER.c.started_on >= scope.period.start, scope.sees_call(_EARLIER)]
    return and_(CallLog.other_e164.is_not(None), ~exists().where(*rules).correlate(CallLog))


def answered_on() -> Any:
    """SQL: when a person next replied in the conversation of an incoming message; null = not yet."""
    is_written = and_(_ANSWER.c.direction == "out", _ANSWER.c.happened_on.is_not(None))
    of_campaign = _ANSWER.c.cause.like(f"{CAMPAIGN_CAUSE}%")
    query = select(func.min(_ANSWER.c.happened_on)).where(
        _ANSWER.c.conversation_id == Message.conversation_id,
        _ANSWER.c.id > Message.id,
        is_written,
        or_(_ANSWER.c.cause.is_(None), ~of_campaign),
    )
    return query.correlate(Message).scalar_subquery()


def _answered_within(seconds: int | None) -> Rule:
    """Incoming messages that were answered within so many seconds; None = at any time."""

    def rule(_scope: CountScope) -> ColumnElement[bool]:
        when = answered_on()
        quick = when.is_not(None) if seconds is None else seconds_between(Message.happened_on, when) <= seconds
        return and_(_is_received(_scope), quick)

    return rule


def _is_received(_scope: CountScope) -> ColumnElement[bool]:
    return and_(Message.direction == "in", Message.conversation_id.is_not(None))


def _is_out(*states: str) -> Rule:
    if not states:
        return lambda _scope: Message.direction == "out"
    return lambda _scope: and_(Message.direction == "out", Message.state.in_(states))


#: Seconds from the creation to the first response.
LEAD_REPLY = seconds_between(Lead.created_on, Lead.replied_on)
TICKET_REPLY = seconds_between(Ticket.created_on, Ticket.replied_on)
_lead_answered: Rule = lambda _scope: Lead.replied_on.is_not(None)  # noqa: E731
_ticket_answered: Rule = lambda _scope: Ticket.replied_on.is_not(None)  # noqa: E731
_referred: Rule = lambda _scope: and_(Lead.referral.is_not(None), Lead.referral != "")  # noqa: E731
_converted, _lost, _ended = _lead_means(*CONVERTED), _lead_means(*LOST), _ticket_means(*tickets.ENDED)
_done: Rule = lambda _scope: Task.status == "Done"  # noqa: E731
_incoming: Rule = lambda _scope: CallLog.direction == "Incoming"  # noqa: E731
_outgoing: Rule = lambda _scope: CallLog.direction == "Outgoing"  # noqa: E731
_cold: Rule = lambda _scope: CallLog.cold.is_(True)  # noqa: E731


def _has_sla(record: Any) -> ColumnElement[bool]:
    rule: ColumnElement[bool] = record.sla_started_on.is_not(None)
    return rule


def _in_time(record: Any) -> Rule:
    return lambda _scope: and_(_has_sla(record), record.replied_on.is_not(None), record.reply_late_on.is_(None))


def _late(record: Any, name: str) -> Rule:
    return lambda _scope: and_(_has_sla(record), getattr(record, name).is_not(None))


def _waiting(record: Any) -> Rule:
    return lambda _scope: and_(
        _has_sla(record), record.replied_on.is_(None), record.reply_late_on.is_(None), record.reply_due_on.is_not(None)
    )


#: Name -> figure. URLs of lists contain the names, so renaming one breaks bookmarks.
FIGURES: dict[str, Figure] = {
    "leads": Figure(Lead, "created_on"),
    "leads_contacted": Figure(Lead, "created_on", _lead_answered),
    "leads_converted": Figure(Lead, "created_on", _converted),
    "leads_lost": Figure(Lead, "created_on", _lost),
    "leads_referred": Figure(Lead, "created_on", _referred),
    "leads_referred_converted": Figure(Lead, "created_on", _all(_referred, _converted)),
    "lead_reply_seconds": Figure(Lead, "created_on", _lead_answered, LEAD_REPLY),
    "accounts_opened": Figure(Lead, "opened_on"),
    "accounts_activated": Figure(Lead, "activated_on"),
    "leads_taken": Figure(Lead, "", _taken, rule_applies_scope=True),
    "leads_taken_contacted": Figure(Lead, "", _all(_taken, _lead_answered), rule_applies_scope=True),
    "leads_taken_converted": Figure(Lead, "", _all(_taken, _converted), rule_applies_scope=True),
    "leads_with_sla": Figure(Lead, "created_on", lambda _scope: _has_sla(Lead)),
    "lead_replies_in_time": Figure(Lead, "created_on", _in_time(Lead)),
    "lead_replies_late": Figure(Lead, "created_on", _late(Lead, "reply_late_on")),
    "lead_replies_waiting": Figure(Lead, "created_on", _waiting(Lead)),
    "tickets": Figure(Ticket, "created_on"),
    "tickets_ended": Figure(Ticket, "created_on", _ended),
    "tickets_resolved": Figure(Ticket, "resolved_on"),
    "tickets_answered": Figure(Ticket, "created_on", _ticket_answered),
    "ticket_reply_seconds": Figure(Ticket, "created_on", _ticket_answered, TICKET_REPLY),
    "tickets_with_sla": Figure(Ticket, "created_on", lambda _scope: _has_sla(Ticket)),
    "ticket_replies_in_time": Figure(Ticket, "created_on", _in_time(Ticket)),
    "ticket_replies_late": Figure(Ticket, "created_on", _late(Ticket, "reply_late_on")),
    "ticket_replies_waiting": Figure(Ticket, "created_on", _waiting(Ticket)),
    "tickets_ended_in_time": Figure(
        Ticket,
        "created_on",
        _all(_ended, lambda _scope: and_(_has_sla(Ticket), Ticket.resolve_late_on.is_(None))),
    ),
    "ticket_resolutions_late": Figure(Ticket, "created_on", _late(Ticket, "resolve_late_on")),
    "tasks": Figure(Task, "created_on"),
    "tasks_completed": Figure(Task, "created_on", _done),
    "tasks_done": Figure(Task, "done_on", _done),
    "tasks_done_late": Figure(Task, "done_on", _all(_done, lambda _scope: Task.done_on > Task.due_on)),
    "tasks_overdue": Figure(Task, "", lambda scope: and_(Task.status.in_(OPEN), Task.due_on < scope.now)),
    "calls": Figure(CallLog, "started_on"),
    "calls_in": Figure(CallLog, "started_on", _incoming),
    "calls_out": Figure(CallLog, "started_on", _outgoing),
    "calls_completed": Figure(CallLog, "started_on", lambda _scope: CallLog.status == "Completed"),
    "calls_missed": Figure(CallLog, "started_on", lambda _scope: is_missed()),
    "calls_missed_returned": Figure(CallLog, "started_on", lambda _scope: and_(is_missed(), is_called_back())),
    "calls_not_picked": Figure(CallLog, "started_on", lambda _scope: is_not_picked()),
    "calls_cold": Figure(CallLog, "started_on", _cold),
    "talk_seconds": Figure(CallLog, "started_on", value=CallLog.duration_seconds),
    "talk_seconds_in": Figure(CallLog, "started_on", _incoming, CallLog.duration_seconds),
    "talk_seconds_out": Figure(CallLog, "started_on", _outgoing, CallLog.duration_seconds),
    "talk_seconds_cold": Figure(CallLog, "started_on", _cold, CallLog.duration_seconds),
    "numbers": Figure(CallLog, "started_on", lambda scope: _first_of_number(scope, False)),
    "numbers_new": Figure(CallLog, "started_on", lambda scope: _first_of_number(scope, True)),
    "messages_out": Figure(Message, "created_on", _is_out()),
    "messages_sent": Figure(Message, "created_on", _is_out(*SENT)),
    "messages_failed": Figure(Message, "created_on", _is_out("failed", "unknown")),
    "messages_in": Figure(Message, "created_on", _is_received),
    "messages_answered": Figure(Message, "created_on", _answered_within(None)),
    "messages_answered_quick": Figure(Message, "created_on", _answered_within(QUICK)),
    "messages_answered_soon": Figure(Message, "created_on", _answered_within(SOON)),
    "messages_answered_same_day": Figure(Message, "created_on", _answered_within(SAME_DAY)),
}
#: Figures that compare phone numbers; not available to people who see them masked.
BY_NUMBER = ("numbers", "numbers_new", "calls_missed_returned")


def figure(name: str) -> Figure:
    """The figure of this name. Raises RuleBroken."""
    if name not in FIGURES:
        raise RuleBroken(translatable("There is no figure “%(name)s”.", name=name[:60]), "figure")
    return FIGURES[name]
