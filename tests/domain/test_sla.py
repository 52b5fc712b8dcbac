"""The SLA clock: due times in office time, pauses, first replies, restarts and changes of priority."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.orm import Session

from app.domain import tickets
from app.domain.base import Stamp
from app.domain.business_settings import BusinessSetting
from app.domain.change_context import ChangeContext
from app.domain.leads import Lead
from app.domain.messaging import messages
from app.domain.picklists import TicketStatus
from app.domain.telephony import calls
from app.domain.tickets import Ticket
from app.domain.working_time import office_hours, sla
from app.domain.working_time.office_schedule import Holiday
from app.domain.working_time.sla import SlaTerms, StatusTransition
from app.domain.working_time.sla_policies import SlaPolicy, SlaTarget
from tests import factories
from tests.factories import ALWAYS_OPEN, DAY, HOUR, MINUTE, NOW, OFFICE, ZONE

WORKING_WEEK = tuple(office_hours.OpeningRange(day, time(9), time(18)) for day in range(5))
INDIA = office_hours.OfficeSchedule(
    ZoneInfo(ZONE), WORKING_WEEK, frozenset({date(2026, 11, 24)}), {date(2026, 11, 27): ((time(9), time(13)),)}
)
NEW_YORK = office_hours.OfficeSchedule(
    ZoneInfo("America/New_York"), tuple(office_hours.OpeningRange(day, time(0), time(6)) for day in range(7))
)
SHUT = office_hours.OfficeSchedule(
    ZoneInfo(ZONE),
    (office_hours.OpeningRange(0, time(9), time(9, 1)),),
    frozenset(date(2026, 11, 23) + week * timedelta(days=7) for week in range(5000)),
)
TARGETS = {("ticket", ""): (120, 1080), ("ticket", "Urgent"): (30, 240), ("lead", ""): (120, None)}
TERMS = SlaTerms(INDIA, TARGETS)


def at(text: str, zone: str = ZONE) -> datetime:
    """The UTC moment of a local time, written '2026-11-23 09:00'."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


def new_ticket(now: datetime = NOW, terms: SlaTerms = TERMS, meaning: str = "new", priority: str = "Medium") -> Ticket:
    """A new ticket, in no database."""
    ticket = Ticket(priority=priority, status=TicketStatus(meaning=meaning))
    sla.start_clock(ticket, terms, now)
    return ticket


def move(ticket: Any, new: str, now: datetime, terms: SlaTerms = TERMS, by: int | None = 1) -> None:
    old, ticket.status = ticket.status.meaning, TicketStatus(meaning=new)
    sla.apply_move(ticket, StatusTransition(old, new, by, now), terms)


# --- Due times


@pytest.mark.parametrize(
    "office, start, minutes, due",
    [
        *((INDIA, at("2026-11-23 10:00"), 120, at("2026-11-23 12:00")),),  # within the day
        *((INDIA, at("2026-11-23 17:00"), 120, at("2026-11-25 10:00")),),  # a night and a holiday
        *((INDIA, at("2026-11-25 22:00"), 60, at("2026-11-26 10:00")),),  # created at night
        *((INDIA, at("2026-11-27 12:00"), 120, at("2026-11-30 10:00")),),  # a half-day and a weekend
        *((INDIA, at("2026-11-28 12:00"), 540, at("2026-11-30 18:00")),),  # a whole working day, created on Saturday
        # the clocks go forward on 8 March 2026 at 2:00, and back on 1 November at 2:00
        *((NEW_YORK, at("2026-03-08 01:00", "America/New_York"), 120, at("2026-03-08 04:00", "America/New_York")),),
        *((NEW_YORK, at("2026-11-01 00:30", "America/New_York"), 120, datetime(2026, 11, 1, 6, 30, tzinfo=UTC)),),
    ],
)
def test_due_times_count_office_time(office: Any, start: Any, minutes: Any, due: Any) -> None:
    ticket = new_ticket(start, SlaTerms(office, {("ticket", ""): (minutes, None)}))
    assert (ticket.reply_due_on, ticket.resolve_due_on, ticket.sla_started_on) == (due, None, start)


@pytest.mark.parametrize("priority, minutes", [("Urgent", (30, 240)), ("Medium", (120, 1080)), ("Low", (120, 1080))])
def test_a_priority_without_its_own_target_uses_the_target_of_any(priority: str, minutes: Any) -> None:
    ticket = new_ticket(terms=SlaTerms(ALWAYS_OPEN, TARGETS), priority=priority)
    assert (ticket.reply_due_on, ticket.resolve_due_on) == tuple(NOW + each * MINUTE for each in minutes)


@pytest.mark.parametrize("terms", [sla.NO_TERMS, SlaTerms(SHUT, TARGETS)])
def test_without_a_policy_or_office_hours_nothing_is_due(terms: Any) -> None:
    ticket = new_ticket(terms=terms)
    assert (ticket.reply_due_on, ticket.resolve_due_on, ticket.sla_on) == (None, None, None)
    move(ticket, "waiting", NOW + HOUR, terms)
    move(ticket, "resolved", NOW + DAY, terms)
    assert ticket.resolve_late_on is None


def test_the_warning_comes_after_three_quarters_of_the_office_time() -> None:
    assert new_ticket(at("2026-11-23 17:00")).sla_on == at("2026-11-25 09:30")


# --- Pauses


@settings(deadline=None)
@given(st.lists(st.integers(0, 4 * 86_400_000_000), min_size=2, max_size=8), st.sampled_from([INDIA, NEW_YORK]))
def test_a_pause_leaves_as_much_time_as_before(gaps: Any, office: Any) -> None:
    terms = SlaTerms(office, {("ticket", ""): (6000, 60_000)})
    ticket, now = new_ticket(terms=terms), NOW
    for n, gap in enumerate(gaps):
        now += timedelta(microseconds=gap)
        before = left(ticket, office, ticket.paused_on or now)
        move(ticket, "open" if n % 2 else "waiting", now, terms, by=None)
        assert left(ticket, office, now) == before


def left(ticket: Ticket, office: office_hours.OfficeSchedule, now: datetime) -> list[timedelta]:
    """The office time that is left until both deadlines; negative when late."""
    owed = [due for due in (ticket.reply_due_on, ticket.resolve_due_on) if due is not None]
    assert len(owed) == 2
    return [
        office_hours.open_time_between(office, now, due) - office_hours.open_time_between(office, due, now)
        for due in owed
    ]


def test_a_paused_clock_is_not_checked_and_a_running_one_is() -> None:
    ticket = new_ticket()
    move(ticket, "waiting", NOW + HOUR, by=None)
    assert (ticket.paused_on, ticket.sla_on) == (NOW + HOUR, None)
    move(ticket, "open", NOW + 2 * HOUR, by=None)
    assert (ticket.paused_on, ticket.paused_seconds) == (None, 3600)
    assert (ticket.sla_on, ticket.reply_due_on) == (NOW + 150 * MINUTE, NOW + 3 * HOUR)


def test_a_move_between_waiting_statuses_keeps_the_clock_paused() -> None:
    lead = Lead(status=TicketStatus(meaning="scheduled"))
    sla.start_clock(lead, TERMS, NOW)
    sla.apply_move(lead, StatusTransition("scheduled", "waiting", None, NOW + HOUR), TERMS)
    sla.apply_move(lead, StatusTransition("waiting", "working", None, NOW + 2 * HOUR), TERMS)
    assert (lead.reply_due_on, lead.paused_seconds, lead.paused_on) == (NOW + 4 * HOUR, 7200, None)


def test_a_breach_before_a_pause_stays_as_late_as_it_was() -> None:
    ticket = new_ticket(terms=SlaTerms(ALWAYS_OPEN, TARGETS))
    ticket.reply_late_on = ticket.reply_due_on
    move(ticket, "waiting", NOW + 3 * HOUR, SlaTerms(ALWAYS_OPEN, TARGETS), by=None)
    move(ticket, "open", NOW + 10 * HOUR, SlaTerms(ALWAYS_OPEN, TARGETS), by=None)
    assert ticket.reply_due_on == ticket.reply_late_on == NOW + 9 * HOUR


# --- First replies and ends


@pytest.mark.parametrize("after, late", [(2 * HOUR, None), (2 * HOUR + MINUTE, NOW + 2 * HOUR)])
def test_the_first_move_by_a_user_is_the_reply_in_time_or_late(after: Any, late: Any) -> None:
    ticket = new_ticket()
    move(ticket, "open", NOW + HOUR, by=None)
    move(ticket, "working", NOW + after)
    assert (ticket.replied_on, ticket.reply_due_on, ticket.reply_late_on) == (NOW + after, None, late)
    assert ticket.resolve_due_on is not None


@pytest.mark.parametrize("minutes, late", [(240, None), (241, NOW + 240 * MINUTE)])
def test_the_end_closes_the_resolution_deadline(minutes: int, late: Any) -> None:
    terms = SlaTerms(ALWAYS_OPEN, {("ticket", ""): (30, 240)})
    ticket = new_ticket(terms=terms)
    move(ticket, "resolved", NOW + minutes * MINUTE, terms)
    assert (ticket.resolve_due_on, ticket.resolve_late_on, ticket.sla_on) == (None, late, None)
    move(ticket, "closed", NOW + DAY, terms)
    assert ticket.resolve_late_on == late


def test_waiting_does_not_make_the_resolution_late() -> None:
    terms = SlaTerms(ALWAYS_OPEN, TARGETS)
    ticket = new_ticket(terms=terms)
    move(ticket, "waiting", NOW + HOUR, terms)
    move(ticket, "resolved", NOW + 30 * DAY, terms)
    assert (ticket.resolve_late_on, ticket.paused_on) == (None, None)


def test_a_reopened_ticket_restarts_the_clock_but_keeps_its_reply() -> None:
    ticket = new_ticket()
    move(ticket, "resolved", NOW + 30 * DAY)
    answered = ticket.replied_on
    move(ticket, "open", NOW + 31 * DAY)
    assert ticket.sla_started_on == NOW + 31 * DAY and ticket.resolve_late_on is None
    assert (ticket.replied_on, ticket.reply_due_on) == (answered, None)
    assert ticket.resolve_due_on == office_hours.add_open_time(INDIA, NOW + 31 * DAY, 1080 * MINUTE)


def test_a_ticket_created_as_resolved_has_no_clock() -> None:
    assert new_ticket(meaning="resolved").sla_started_on is None


# --- Another priority


def test_another_priority_counts_from_the_same_start_with_its_pauses() -> None:
    ticket = new_ticket()
    move(ticket, "waiting", NOW + HOUR, by=None)
    move(ticket, "open", NOW + 2 * HOUR, by=None)
    ticket.priority = "Urgent"
    sla.apply_priority(ticket, TERMS)
    assert (ticket.reply_due_on, ticket.resolve_due_on) == (NOW + 90 * MINUTE, NOW + 5 * HOUR)
    assert ticket.sla_on is not None and ticket.sla_on < NOW + 90 * MINUTE


def test_a_priority_of_an_ended_ticket_starts_no_clock() -> None:
    ticket = new_ticket()
    move(ticket, "closed", NOW + HOUR)
    ticket.priority = "Urgent"
    sla.apply_priority(ticket, TERMS)
    assert (ticket.resolve_due_on, ticket.sla_on) == (None, None)


def test_a_changed_policy_does_not_affect_a_running_clock() -> None:
    ticket = new_ticket(terms=SlaTerms(ALWAYS_OPEN, TARGETS))
    (reply, resolve) = sla.deadlines(ticket, SlaTerms(ALWAYS_OPEN, {("ticket", ""): (1, 1)}))
    assert (reply.due_on, resolve.due_on) == (NOW + 2 * HOUR, NOW + 18 * HOUR)
    assert (reply.warn_on, resolve.warn_on) == (NOW + 90 * MINUTE, NOW + 810 * MINUTE)


# --- Minutes left


@pytest.mark.parametrize(
    "now, minutes",
    [
        *(("2026-11-23 10:00", 120), ("2026-11-23 11:59", 1), ("2026-11-23 11:59:59", 1), ("2026-11-23 12:00", 0)),
        *(("2026-11-23 12:01:59", -1), ("2026-11-23 20:00", -360), ("2026-11-24 20:00", -360)),
    ],
)
def test_minutes_left_count_office_time(now: Any, minutes: Any) -> None:
    assert sla.minutes_left(INDIA, at("2026-11-23 12:00"), at(now)) == minutes


# --- In the database


@pytest.fixture
def policies(db: Session) -> Session:
    """Two policies of tickets, the second in order with a further priority, and one that is off."""
    rows = ((1, True, {"": (60, 480)}), (2, True, {"": (1, 2), "High": (30, 240)}), (0, False, {"Low": (9, 9)}))
    for position, active, targets in rows:
        made = [SlaTarget(priority=p, first_response_minutes=a, resolution_minutes=b) for p, (a, b) in targets.items()]
        db.add(SlaPolicy(label=str(position), applies_to="ticket", position=position, is_active=active, targets=made))
    factories.hours(db)
    db.add(Holiday(day=date(2026, 11, 24), label="Guru Nanak Jayanti"))
    db.flush()
    return db


def test_terms_are_loaded_from_policies_and_settings(policies: Session) -> None:
    terms = sla.load_terms(policies, ZONE)
    assert terms.targets == {("ticket", ""): (60, 480), ("ticket", "High"): (30, 240)}
    assert (terms.warning_percent, terms.escalation_minutes) == (75, 60)
    assert terms.office == office_hours.OfficeSchedule(ZoneInfo(ZONE), OFFICE.ranges, frozenset({date(2026, 11, 24)}))


def add_contact(session: Session, ticket: Ticket, how: str, by: Any, now: datetime) -> None:
    """A call or a message about the ticket."""
    if how == "message":
        messages.record_elsewhere(
            session, {"channel": "sms", "peer": "9820012345", "body": "Hi", "ticket_id": ticket.id}, Stamp(by, now)
        )
    else:
        values = {"direction": "Outgoing", "status": how, "to_number": "9820012345", "started_on": now}
        calls.create(session, values | {"ticket_id": ticket.id}, Stamp(by, now))


@pytest.mark.parametrize(
    "how, by_whom, after, answered, late",
    [
        ("Completed", "cleo", HOUR, True, None),
        ("message", "cleo", HOUR, True, None),
        ("Completed", "cleo", 3 * HOUR, True, NOW + 2 * HOUR),
        ("No Answer", "cleo", HOUR, False, None),
        ("message", None, HOUR, False, None),
    ],
)
def test_a_call_or_message_of_a_user_is_a_first_reply(
    db: Session, how: str, by_whom: str | None, after: Any, answered: bool, late: Any
) -> None:
    cleo = factories.user(db, "cleo", "Support User")
    ticket = tickets.create(
        db, {"subject_ids": [1]}, ChangeContext(cleo.id, NOW, sla_terms=SlaTerms(ALWAYS_OPEN, TARGETS))
    )
    version = ticket.version
    add_contact(db, ticket, how, cleo.id if by_whom else None, NOW + after)
    db.refresh(ticket)
    assert (ticket.replied_on, ticket.reply_late_on) == (NOW + after if answered else None, late)
    assert (ticket.reply_due_on is None, ticket.version) == (answered, version)


def test_a_new_priority_of_a_ticket_sets_new_due_times(db: Session) -> None:
    terms = SlaTerms(ALWAYS_OPEN, TARGETS)
    ticket = tickets.create(db, {"subject_ids": [1]}, ChangeContext(None, NOW, sla_terms=terms))
    tickets.change(db, ticket, {"priority": "Urgent"}, ChangeContext(None, NOW + HOUR, sla_terms=terms))
    assert (ticket.reply_due_on, ticket.resolve_due_on) == (NOW + 30 * MINUTE, NOW + 4 * HOUR)


def test_only_the_settings_of_the_clock_are_loaded(policies: Session) -> None:
    for key, value in (("sla_warning_percent", 50), ("sla_escalation_minutes", 7), ("grace_minutes", 3)):
        policies.add(BusinessSetting(key=key, value=value))
    policies.flush()
    terms = sla.load_terms(policies, ZONE)
    assert (terms.warning_percent, terms.escalation_minutes) == (50, 7)


@pytest.mark.parametrize(
    "kind, priority, expected",
    [("ticket", "Urgent", (30, 60)), ("ticket", "Low", (120, None)), ("lead", "", (None, None))],
)
def test_the_target_of_a_priority_goes_before_that_of_any(kind: str, priority: str, expected: Any) -> None:
    terms = SlaTerms(ALWAYS_OPEN, {("ticket", ""): (120, None), ("ticket", "Urgent"): (30, 60)})
    assert terms.target(kind, priority) == expected


@pytest.mark.parametrize(
    "columns, at, late",
    [
        ({"reply_due_on": NOW}, NOW, None),
        ({"reply_due_on": NOW}, NOW + MINUTE, NOW),
        ({"reply_due_on": NOW, "paused_on": NOW}, NOW + MINUTE, None),
        ({"reply_due_on": NOW, "paused_on": NOW + MINUTE}, NOW + HOUR, NOW),
        ({"reply_due_on": NOW, "reply_late_on": NOW, "created_on": NOW - DAY}, NOW - MINUTE, None),
        ({"reply_late_on": NOW - DAY}, NOW, NOW - DAY),
    ],
)
def test_replies_found_later_are_judged_by_their_own_moment(db: Session, columns: Any, at: Any, late: Any) -> None:
    rows = [factories.ticket(db, **columns) for _ in range(2)]
    answered = factories.ticket(db, replied_on=NOW - DAY, **columns)
    sla.record_first_replies(db, Ticket, {rows[0].id: at, answered.id: at})
    sla.record_first_replies(db, Ticket, {})
    db.expire_all()
    assert (rows[0].replied_on, rows[0].reply_due_on, rows[0].reply_late_on) == (at, None, late)
    assert (rows[1].replied_on, rows[1].reply_due_on) == (None, columns.get("reply_due_on"))
    assert answered.replied_on == NOW - DAY


def test_a_call_before_the_ticket_is_its_reply_at_once(db: Session) -> None:
    ticket = factories.ticket(db, reply_due_on=NOW + HOUR)
    sla.record_first_replies(db, Ticket, {ticket.id: NOW - DAY})
    db.expire_all()
    assert (ticket.replied_on, ticket.reply_late_on) == (ticket.created_on, None)


@pytest.mark.parametrize(
    "columns, late",
    [
        ({"reply_due_on": NOW}, None),
        ({"reply_due_on": NOW - MINUTE}, NOW - MINUTE),
        ({"reply_due_on": NOW - MINUTE, "paused_on": NOW - MINUTE}, None),
        ({"reply_late_on": NOW - DAY}, NOW - DAY),
    ],
)
def test_a_reply_now_is_late_after_its_due_time(db: Session, columns: Any, late: Any) -> None:
    rows = [factories.ticket(db, **columns) for _ in range(2)]
    sla.record_first_reply(db, Ticket, None, NOW)
    for moment in (NOW, NOW + DAY):
        sla.record_first_reply(db, Ticket, rows[0].id, moment)
    db.expire_all()
    assert (rows[0].replied_on, rows[0].reply_due_on, rows[0].reply_late_on) == (NOW, None, late)
    assert rows[1].replied_on is None


@pytest.mark.parametrize("at, late", [(NOW + 2 * HOUR, None), (NOW + 2 * HOUR + MINUTE, NOW + 2 * HOUR)])
def test_a_status_change_is_late_after_the_due_time(at: Any, late: Any) -> None:
    ticket = new_ticket()
    move(ticket, "open", at)
    assert (ticket.replied_on, ticket.reply_late_on, ticket.reply_due_on) == (at, late, None)


def test_a_missed_deadline_moves_with_a_later_pause() -> None:
    ticket = new_ticket()
    ticket.reply_late_on = NOW + 2 * HOUR
    move(ticket, "waiting", NOW + 3 * HOUR, by=None)
    move(ticket, "open", NOW + 4 * HOUR, by=None)
    assert (ticket.reply_due_on, ticket.reply_late_on) == (NOW + 3 * HOUR, NOW + 3 * HOUR)
    assert (ticket.paused_on, ticket.paused_seconds, ticket.resolve_late_on) == (None, 3600, None)
