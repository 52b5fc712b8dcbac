"""Figures of a small week, computed by hand: Monday 16 to Sunday 22 November 2026 in India, and the week before.

Leads (of ana, L3 of ben)      created (IST)         status     answered  account
  L1 referred by R1            16 Nov 00:00:00       activated  +10 min   opened 18, activated 20 Nov
  L2                           22 Nov 23:59:59       opened     +20 min   opened 22 Nov
  L3                           17 Nov 10:00          rejected   -         -
  L4                           23 Nov 00:00:00       new        -         -          (the week after)
  L5                           15 Nov 23:59:59       new        -         -          (the week before)
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.domain import periods
from app.domain.analytics import call_summary, figure_counts, figure_tables, figures
from app.domain.analytics.figures import FIGURES, CountScope
from app.domain.assignment import Assignment
from app.domain.base import RuleBroken, Stamp
from app.domain.periods import Period
from app.models import CallLog, ChannelAccount, Conversation, Customer, CustomerAccount, Lead, Message, Task, Ticket
from tests import factories
from tests.factories import DAY, NOW

INDIA = ZoneInfo("Asia/Kolkata")
WEEK = Period(date(2026, 11, 16), date(2026, 11, 22), INDIA)


def at(day: int, hour: int = 10, minute: int = 0, second: int = 0) -> datetime:
    """A moment of November 2026 in India."""
    return datetime(2026, 11, day, hour, minute, second, tzinfo=INDIA).astimezone(UTC)


def scope(session: Session, people: set[int] | None = None, period: Period = WEEK, **more: Any) -> CountScope:
    meanings: dict[str, dict[int, str]] = {
        name: dict(session.execute(select(status.id, status.meaning)).all())
        for name, status in (("lead_status", Lead.status), ("ticket_status", Ticket.status))
        for status in [status.property.mapper.class_]
    }
    return CountScope(period, NOW, meanings, None if people is None else frozenset(people), **more)


@pytest.fixture
def people(session: Session) -> dict[str, int]:
    """ana and ben, with a week behind them."""
    return _week(session)


def _week(session: Session) -> dict[str, int]:
    made = {name: factories.user(session, name, "Sales User") for name in ("ana", "ben")}
    _leads(session, made["ana"], made["ben"])
    _tickets(session, made["ana"])
    _tasks(session, made["ana"])
    _calls(session, made["ana"].id, made["ben"].id)
    _messages(session, made["ana"].id)
    session.flush()
    return {name: user.id for name, user in made.items()}


def _leads(session: Session, ana: Any, ben: Any) -> None:
    first = factories.lead(session, ana, "activated", at(16, 0), referral="R1", opened_on=at(18), activated_on=at(20))
    first.replied_on = at(16, 0, 10)
    second = factories.lead(session, ana, "opened", at(22, 23, 59, 59), opened_on=at(22))
    second.replied_on = at(22, 23, 59, 59) + timedelta(minutes=20)
    third = factories.lead(session, ben, "rejected", at(17))
    factories.lead(session, ana, "new", at(23, 0))
    factories.lead(session, ana, "new", at(15, 23, 59, 59))
    # L1 was given to ana twice and to ben once; L3 to ben.
    for lead, user, day in ((first, ana, 16), (first, ana, 19), (first, ben, 17), (third, ben, 17), (second, ana, 23)):
        session.add(
            Assignment(lead_id=lead.id, user_id=user.id, started_on=at(day), ended_on=NOW, reason="direct", decision={})
        )


def _tickets(session: Session, ana: Any) -> None:
    """T1 closed in time, answered in 5 minutes; T2 open, answered late after 3 hours; T3 waits for its answer."""
    clock = {"sla_started_on": at(16)}
    factories.ticket(
        session, ana, "closed", at(16), replied_on=at(16, 10, 5), resolved_on=at(17), priority="High", **clock
    )
    factories.ticket(session, ana, "open", at(18), replied_on=at(18, 13), reply_late_on=at(18, 11), **clock)
    factories.ticket(session, ana, "new", at(20), reply_due_on=at(24), **clock)


def _tasks(session: Session, ana: Any) -> None:
    """One done in time, one done a day late, one canceled, one overdue; all created on 22 November."""
    lead = session.scalars(select(Lead).where(Lead.assignee_id == ana.id)).first()
    for status, due, done in (
        ("Done", at(18), at(17)),
        ("Done", at(18), at(19)),
        ("Canceled", at(18), None),
        ("Todo", at(21), None),
    ):
        factories.task(session, lead, ana, due, status=status, done_on=done)


#: (who, day, hour, direction, status, number, seconds)
CALLS = (
    ("ana", 16, 9, "Incoming", "Missed Call", "+919820000001", 0),  # called back at 10
    ("ana", 16, 10, "Outgoing", "Completed", "+919820000001", 60),
    ("ana", 17, 9, "Incoming", "Missed Call", "+919820000002", 0),  # nobody called back
    ("ben", 22, 23, "Outgoing", "Did Not Picked", "+919820000003", 0),
    ("ben", 18, 11, "Incoming", "Completed", "+919820000004", 3723),
    ("ben", 10, 11, "Incoming", "Completed", "+919820000004", 5),  # the week before: the number is not new
)


def _calls(session: Session, ana: int, ben: int) -> None:
    for who, day, hour, direction, status, number, seconds in CALLS:
        call = CallLog(direction=direction, status=status, other_e164=number, started_on=at(day, hour), medium="mobile")
        call.duration_seconds, call.cold, call.native = seconds, number.endswith("3"), {}
        call.employee_id = ana if who == "ana" else ben
        call.stamp(Stamp(None, NOW))
        session.add(call)


def _messages(session: Session, ana: int) -> None:
    """Received at 10:00, 10:05 and 12:00, answered by ana at 10:10; one out failed. A campaign answers nothing."""
    account = ChannelAccount(name="Desk", kind="console", channels=["sms"], settings={}, caller_ids=[], version=1)
    account.token_hash = account.token_sealed = "-"
    account.stamp(Stamp(None, NOW))
    session.add(account)
    session.flush()
    talk = Conversation(channel="sms", account_id=account.id, peer="+919820000001", state="open", claimed_by_id=ana)
    talk.stamp(Stamp(None, NOW))
    session.add(talk)
    session.flush()
    for minute, direction, state, cause in (
        (0, "in", "delivered", None),
        (5, "in", "delivered", None),
        (7, "out", "sent", "campaign:1:1"),
        (10, "out", "read", None),
        (120, "in", "delivered", None),
        (125, "out", "failed", None),
    ):
        when = at(18, 10) + timedelta(minutes=minute)
        row = Message(channel="sms", direction=direction, peer="+919820000001", body="x", state=state, cause=cause)
        row.conversation_id, row.native, row.tries, row.asks, row.purpose = talk.id, {}, 0, 0, "service"
        row.happened_on = None if state == "failed" else when
        row.stamp(Stamp(ana if direction == "out" else None, when))
        session.add(row)
        session.flush()


#: Figure -> (this week, the week before; None = a figure of this moment).
WORKED = {
    "leads": (3, 1),
    "leads_contacted": (2, 0),
    "leads_converted": (2, 0),
    "leads_lost": (1, 0),
    "leads_referred": (1, 0),
    "leads_referred_converted": (1, 0),
    "lead_reply_seconds": (600 + 1200, 0),
    "accounts_opened": (2, 0),
    "accounts_activated": (1, 0),
    "leads_taken": (2, 0),
    "leads_taken_contacted": (1, 0),
    "leads_taken_converted": (1, 0),
    "tickets": (3, 0),
    "tickets_ended": (1, 0),
    "tickets_resolved": (1, 0),
    "tickets_answered": (2, 0),
    "ticket_reply_seconds": (300 + 10800, 0),
    "ticket_replies_in_time": (1, 0),
    "ticket_replies_late": (1, 0),
    "ticket_replies_waiting": (1, 0),
    "tickets_ended_in_time": (1, 0),
    "ticket_resolutions_late": (0, 0),
    "tasks": (4, 0),
    "tasks_completed": (2, 0),
    "tasks_done": (2, 0),
    "tasks_done_late": (1, 0),
    "tasks_overdue": (1, None),
    "calls": (5, 1),
    "calls_in": (3, 1),
    "calls_out": (2, 0),
    "calls_completed": (2, 1),
    "calls_missed": (2, 0),
    "calls_missed_returned": (1, None),
    "calls_not_picked": (1, 0),
    "calls_cold": (1, 0),
    "talk_seconds": (60 + 3723, 5),
    "talk_seconds_in": (3723, 5),
    "talk_seconds_out": (60, 0),
    "talk_seconds_cold": (0, 0),
    "numbers": (4, None),
    "numbers_new": (3, None),
    "messages_out": (3, 0),
    "messages_sent": (2, 0),
    "messages_failed": (1, 0),
    "messages_in": (3, 0),
    "messages_answered": (2, 0),
    "messages_answered_quick": (2, 0),
    "messages_answered_soon": (2, 0),
    "messages_answered_same_day": (2, 0),
    "leads_with_sla": (0, 0),
    "tickets_with_sla": (3, 0),
    "lead_replies_in_time": (0, 0),
    "lead_replies_late": (0, 0),
    "lead_replies_waiting": (0, 0),
}


def test_every_figure_of_the_week(session: Session, people: dict[str, int]) -> None:
    counted = figure_counts.count_all(session, FIGURES, scope(session))
    assert {name: (each.now, each.before) for name, each in counted.items()} == WORKED


def test_mariadb_counts_the_same(picklists_url: str) -> None:
    engine = factories.connected(picklists_url)
    with factories.opened(engine) as session:
        people = _week(session)
        one = scope(session)
        counted = figure_counts.count_all(session, FIGURES, one)
        assert {name: (each.now, each.before) for name, each in counted.items()} == WORKED
        for name, each in FIGURES.items():
            if each.value is None:
                rows = session.execute(select(each.record.id).where(each.rows(one))).all()
                assert len(rows) == counted[name].now, name
        found = figure_counts.series(session, ("leads", "calls", "calls_out"), one)
        assert (found["leads"], found["calls"]) == ([1, 1, 0, 0, 0, 0, 1], [2, 1, 1, 0, 0, 0, 1])
        assert figure_counts.by_slot(session, "calls", one) == {9: 1, 10: 1, 24 + 9: 1, 2 * 24 + 11: 1, 6 * 24 + 23: 1}
        assert figure_tables.by_person(session, one, (Lead, Ticket, Task, CallLog))[people["ben"]]["calls"] == 2
        assert call_summary.summarize(session, one).keys() == {date(2026, 11, 1)}
    engine.dispose()


def test_the_rows_of_a_list_are_those_that_are_counted(session: Session, people: dict[str, int]) -> None:
    for some in (None, {people["ana"]}, set(people.values()), set()):
        one = scope(session, some)
        counted = figure_counts.count_all(session, FIGURES, one)
        for name, each in FIGURES.items():
            rows = session.execute(select(each.record).where(each.rows(one))).scalars().all()
            if each.value is None:
                assert len(rows) == counted[name].now, name


def test_figures_of_one_person(session: Session, people: dict[str, int]) -> None:
    counted = figure_counts.count_all(session, FIGURES, scope(session, {people["ana"]}))
    found = {name: counted[name].now for name in ("leads", "leads_taken", "calls", "numbers", "messages_in", "tasks")}
    assert found == {"leads": 2, "leads_taken": 1, "calls": 3, "numbers": 2, "messages_in": 3, "tasks": 4}


def test_each_person_in_the_table(session: Session, people: dict[str, int]) -> None:
    found = figure_tables.by_person(session, scope(session), (Lead, Ticket, Task, CallLog))
    ana, ben = found[people["ana"]], found[people["ben"]]
    assert ana == {
        "leads_taken": 1,
        "leads_taken_contacted": 1,
        "leads_taken_converted": 1,
        "lead_reply_seconds": 1800,
        "leads_contacted": 2,
        "tickets": 3,
        "tickets_ended": 1,
        "tickets_answered": 2,
        "ticket_reply_seconds": 11100,
        "tasks_done": 2,
        "tasks_done_late": 1,
        "tasks_overdue": 1,
        "calls": 3,
        "talk_seconds": 60,
    }
    assert (ben["leads_taken"], ben["leads_taken_converted"], ben["calls"], ben["talk_seconds"]) == (2, 1, 2, 3723)


def test_a_series_has_every_day_and_adds_up(session: Session, people: dict[str, int]) -> None:
    found = figure_counts.series(session, ("leads", "calls", "calls_out"), scope(session))
    assert found["leads"] == [1, 1, 0, 0, 0, 0, 1]
    assert (found["calls"], found["calls_out"]) == ([2, 1, 1, 0, 0, 0, 1], [1, 0, 0, 0, 0, 0, 1])


def test_the_hours_of_a_single_day(session: Session, people: dict[str, int]) -> None:
    day = Period(date(2026, 11, 16), date(2026, 11, 16), INDIA)
    found = figure_counts.series(session, ("calls",), scope(session, period=day))["calls"]
    assert (len(found), found[9], found[10], sum(found)) == (24, 1, 1, 2)


def test_calls_by_weekday_and_hour(session: Session, people: dict[str, int]) -> None:
    slots = figure_counts.by_slot(session, "calls", scope(session))
    assert slots == {9: 1, 10: 1, 24 + 9: 1, 2 * 24 + 11: 1, 6 * 24 + 23: 1}
    assert figure_counts.count_all(session, ["calls"], scope(session, slot=33))["calls"].now == 1


def test_hours_follow_the_clocks_of_a_zone_with_summer_time(session: Session) -> None:
    # In Berlin, summer time ended on 25 October 2026 at 3:00.
    berlin = Period(date(2026, 10, 24), date(2026, 10, 26), ZoneInfo("Europe/Berlin"))
    for day, hour in ((24, 8), (25, 0), (25, 9), (26, 9)):  # 10:00, 2:00, 10:00, 10:00 there
        row = CallLog(direction="Incoming", status="Completed", started_on=datetime(2026, 10, day, hour, tzinfo=UTC))
        row.native, row.cold, row.medium, row.duration_seconds = {}, False, "mobile", 0
        row.stamp(Stamp(None, NOW))
        session.add(row)
    session.flush()
    found = figure_counts.by_slot(session, "calls", scope(session, period=berlin))
    assert found == {5 * 24 + 10: 1, 6 * 24 + 2: 1, 6 * 24 + 10: 1, 10: 1}
    assert figure_counts.series(session, ("calls",), scope(session, period=berlin))["calls"] == [1, 2, 1]


def test_nothing_at_all_is_no_error(session: Session) -> None:
    counted = figure_counts.count_all(session, FIGURES, scope(session))
    assert not any(each.now or each.before for each in counted.values())
    assert (figure_counts.rate(0, 0), figure_counts.mean(0, 0), figure_counts.change(3, 0)) == (None, None, None)
    assert figure_tables.by_person(session, scope(session), (Lead, Ticket, Task, CallLog)) == {}
    assert figure_tables.referrals(session, scope(session)) == []


@pytest.mark.parametrize(
    "now, before, percent", [(3, 2, 50.0), (1, 3, -66.7), (0, 4, -100.0), (2, 2, 0.0), (5, 0, None), (5, None, None)]
)
def test_the_change_against_the_period_before(now: int, before: int | None, percent: float | None) -> None:
    assert figure_counts.change(now, before) == percent


# --- referrals


def test_each_referred_lead_counts_once_whatever_the_customers_share(session: Session) -> None:
    """Account A1 is Asha's, who also has the code A1; code C9 is shared by Asha and Bela; nobody has X1."""
    asha, bela = (_customer(session, name, code) for name, code in (("Asha", "A1"), ("Bela", "C9")))
    double = _customer(session, "Chetan", "C9")
    session.add(CustomerAccount(customer_id=asha.id, client_id="A1", created_on=NOW, changed_on=NOW))
    for code, meaning in (("A1", "activated"), ("A1", "new"), ("C9", "opened"), ("X1", "new"), (None, "opened")):
        factories.lead(session, None, meaning, at(18), referral=code)
    found = figure_tables.referrals(session, scope(session))
    assert [(row["code"], row["leads"], row["converted"], row["customer_id"], row["is_account"]) for row in found] == [
        ("A1", 2, 1, asha.id, True),
        ("C9", 1, 1, bela.id, False),
        ("X1", 1, 0, None, False),
    ]
    assert double.id > bela.id
    assert (
        sum(row["leads"] for row in found)
        == figure_counts.count_all(session, ["leads_referred"], scope(session))["leads_referred"].now
    )


def _customer(session: Session, name: str, code: str) -> Customer:
    row = factories.double(session)
    row.first_name, row.referral_code = name, code
    session.flush()
    return row


# --- periods


@pytest.mark.parametrize(
    "now, name, first, last",
    [
        # 18:29:59 UTC is 23:59:59 in India, a second later is the next day.
        (datetime(2026, 11, 30, 18, 29, 59, tzinfo=UTC), periods.TODAY, "2026-11-30", "2026-11-30"),
        (datetime(2026, 11, 30, 18, 30, 0, tzinfo=UTC), periods.TODAY, "2026-12-01", "2026-12-01"),
        (datetime(2026, 11, 30, 18, 29, 59, tzinfo=UTC), periods.WEEK, "2026-11-24", "2026-11-30"),
        (datetime(2026, 11, 30, 18, 29, 59, tzinfo=UTC), periods.MONTH, "2026-11-01", "2026-11-30"),
        (datetime(2026, 11, 30, 18, 30, 0, tzinfo=UTC), periods.MONTH, "2026-12-01", "2026-12-01"),
    ],
)
def test_periods_begin_at_midnight_in_india(now: datetime, name: str, first: str, last: str) -> None:
    found = periods.named_period(name, now, INDIA)
    assert (found.first_day.isoformat(), found.last_day.isoformat()) == (first, last)


def test_the_period_before_is_as_long_and_ends_the_day_before() -> None:
    before = WEEK.previous()
    assert (before.first_day, before.last_day, before.end) == (date(2026, 11, 9), date(2026, 11, 15), WEEK.start)
    assert WEEK.start == datetime(2026, 11, 15, 18, 30, tzinfo=UTC) and WEEK.end - WEEK.start == 7 * DAY


@pytest.mark.parametrize(
    "first, last",
    [
        ("", ""),
        ("2026-11-31", "2026-11-30"),
        ("today", "2026-11-30"),
        ("1999-01-01", "1999-01-02"),
        ("2024-01-01", "2026-01-01"),
        ("2026-11-1\x00", "x" * 500),
    ],
)
def test_dates_that_can_not_be_read_are_refused(first: str, last: str) -> None:
    with pytest.raises(RuleBroken):
        periods.between(first, last, INDIA)


def test_an_unknown_figure_or_period_is_refused() -> None:
    for refused in (lambda: figures.figure("profit"), lambda: periods.named_period("year", NOW, INDIA)):
        with pytest.raises(RuleBroken):
            refused()


# --- the monthly summary


def test_the_monthly_summary_of_calls(session: Session, people: dict[str, int]) -> None:
    period = Period(date(2026, 10, 1), date(2026, 11, 30), INDIA)
    summary = call_summary.summarize(session, scope(session, period=period))
    names = {people["ana"]: "Ana Shah", people["ben"]: "Ben Shah"}
    assert list(call_summary.table(summary, names, ("Nobody", "Total"))) == [
        ["Nov 2026"],
        list(call_summary.HEAD),
        ["Ana Shah", 2, "0s", 1, "1m 0s", 3, "1m 0s"],
        ["Ben Shah", 2, "1h 2m 8s", 1, "0s", 3, "1h 2m 8s"],
        ["Total", 4, "1h 2m 8s", 2, "1m 0s", 6, "1h 3m 8s"],
        [],
    ]


@pytest.mark.parametrize(
    "first, last, months",
    [
        ((2026, 11, 16), (2026, 11, 22), ["2026-11-01"]),
        ((2026, 12, 31), (2027, 1, 1), ["2026-12-01", "2027-01-01"]),
        ((2026, 1, 31), (2026, 3, 1), ["2026-01-01", "2026-02-01", "2026-03-01"]),
        ((2026, 1, 1), (2026, 1, 31), ["2026-01-01"]),
    ],
)
def test_the_months_of_a_period(first: Any, last: Any, months: list[str]) -> None:
    found = call_summary.months_of(Period(date(*first), date(*last), INDIA))
    assert [each.isoformat() for each in found] == months


@pytest.mark.parametrize(
    "seconds, text", [(0, "0s"), (59, "59s"), (60, "1m 0s"), (3600, "1h 0m 0s"), (3723, "1h 2m 3s")]
)
def test_a_duration_in_words(seconds: int, text: str) -> None:
    assert call_summary.format_duration(seconds) == text
