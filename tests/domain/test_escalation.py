"""SLA warnings, breaches and escalations to one manager after another, each notified once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event, func, select, update
from sqlalchemy.orm import Session, sessionmaker

from app import job_runner, jobs
from app.domain import assignment, tickets
from app.domain.automation.escalation import check_record, due_records
from app.domain.base import Stamp
from app.domain.change_context import ChangeContext
from app.domain.notifications.notices import Notification
from app.domain.picklists import TicketStatus
from app.domain.timeline import Activity
from app.domain.working_time import sla
from app.domain.working_time.sla import SlaTerms
from app.domain.working_time.sla_policies import SlaPolicy, SlaTarget
from app.models import User
from tests import factories
from tests.factories import ALWAYS_OPEN, DAY, HOUR, MINUTE, NOW, OFFICE

#: First reply within two hours, resolution within ten.
TERMS = SlaTerms(ALWAYS_OPEN, {("ticket", ""): (120, 600), ("ticket", "Urgent"): (30, 60), ("lead", ""): (120, None)})
REPLY_DUE = NOW + 2 * HOUR


@pytest.fixture
def people(session: Session) -> dict[str, Any]:
    """Cleo and Dan support; Sam is above Cleo, Tara above Sam, Uma above Tara; Ada is admin."""
    made: dict[str, Any] = {"ada": factories.user(session, "ada", "Admin"), "uma": factories.user(session, "uma")}
    for name, above in (("tara", "uma"), ("sam", "tara"), ("cleo", "sam"), ("dan", "sam")):
        made[name] = factories.user(session, name, "Support User", manager_id=made[above].id)
    return made


def ticket_with_clock(session: Session, who: Any, terms: SlaTerms = TERMS, at: datetime = NOW, **more: Any) -> Any:
    """A ticket of this user, whose clock started at `at`."""
    ticket = factories.ticket(session, who, at=at, **more)
    if who is not None:
        assignment.open_assignment(session, ticket, assignment.NewAssignee(who.id, "created"), Stamp(who.id, at))
    sla.start_clock(ticket, terms, at)
    session.flush()
    return ticket


def run_job(
    session: Session, start: datetime, end: datetime, step: timedelta = 5 * MINUTE, terms: SlaTerms = TERMS
) -> None:
    """Run the job every few minutes."""
    while start <= end:
        for kind, key in due_records(session, start, 100):
            check_record(session, (kind, key), start, terms)
        start += step
    session.expire_all()


def notified(session: Session, *kinds: str) -> list[tuple[str, str, int]]:
    """(kind, user, office minutes left) of the notices, in order."""
    query = select(Notification).where(Notification.kind.like("sla%")).order_by(Notification.id)
    names = {user.id: user.username for user in session.scalars(select(User))}
    rows = [(row.kind, names[row.user_id], row.payload["minutes"]) for row in session.scalars(query)]
    return [row for row in rows if not kinds or row[0] in kinds]


def move(session: Session, ticket: Any, meaning: str, at: datetime, by: Any = None) -> None:
    key = session.scalars(select(TicketStatus.id).where(TicketStatus.meaning == meaning)).one()
    tickets.change_status(
        session,
        ticket,
        {"status_id": key, "resolution": "Done"},
        ChangeContext(by.id if by else None, at, sla_terms=TERMS),
    )
    session.flush()


# --- Levels


def test_a_warning_the_breach_and_then_one_manager_an_hour(session: Session, people: dict[str, Any]) -> None:
    ticket_with_clock(session, people["cleo"], SlaTerms(ALWAYS_OPEN, {("ticket", ""): (120, None)}))
    run_job(session, NOW, NOW + DAY)
    assert notified(session) == [
        ("sla_warning", "cleo", 30),
        ("sla_breach", "cleo", 0),
        ("sla_breach", "sam", 0),
        ("sla_escalated", "tara", -60),
        ("sla_escalated", "uma", -120),
        ("sla_escalated", "ada", -120),
    ]


def test_after_the_last_level_nothing_is_checked(session: Session, people: dict[str, Any]) -> None:
    ticket = ticket_with_clock(session, people["cleo"])
    run_job(session, NOW, NOW + DAY)
    assert ticket.sla_on is None and due_records(session, NOW + 365 * DAY, 10) == []


def test_the_timeline_shows_the_breach_and_each_escalation(session: Session, people: dict[str, Any]) -> None:
    ticket = ticket_with_clock(session, people["cleo"], SlaTerms(ALWAYS_OPEN, {("ticket", ""): (120, None)}))
    run_job(session, NOW, NOW + DAY)
    lines = session.scalars(select(Activity).where(Activity.ticket_id == ticket.id, Activity.kind == "system"))
    assert [(line.payload["what"], line.payload["promise"], line.payload["to"]) for line in lines] == [
        ("sla_breach", "reply", [people["cleo"].id, people["sam"].id]),
        ("sla_escalated", "reply", [people["tara"].id]),
        ("sla_escalated", "reply", [people["uma"].id, people["ada"].id]),
    ]


def test_both_deadlines_are_watched_independently(session: Session, people: dict[str, Any]) -> None:
    ticket_with_clock(session, people["uma"])
    run_job(session, NOW, NOW + 10 * HOUR)
    assert notified(session, "sla_warning", "sla_breach") == [
        ("sla_warning", "uma", 30),
        ("sla_breach", "uma", 0),
        ("sla_warning", "uma", 150),
        ("sla_breach", "uma", 0),
    ]


def test_a_breach_is_stored_with_the_time_it_happened(session: Session, people: dict[str, Any]) -> None:
    ticket = ticket_with_clock(session, people["cleo"])
    run_job(session, NOW + 5 * HOUR, NOW + 5 * HOUR)
    assert (ticket.reply_late_on, ticket.resolve_late_on) == (REPLY_DUE, None)


def test_a_late_run_sends_what_is_due_now_and_no_warning(session: Session, people: dict[str, Any]) -> None:
    ticket_with_clock(session, people["cleo"])
    run_job(session, NOW + 4 * HOUR, NOW + 4 * HOUR)
    assert notified(session) == [
        ("sla_breach", "cleo", -120),
        ("sla_breach", "sam", -120),
        ("sla_escalated", "tara", -120),
        ("sla_escalated", "uma", -120),
        ("sla_escalated", "ada", -120),
    ]


def test_a_second_check_sends_nothing_new(session: Session, people: dict[str, Any]) -> None:
    ticket = ticket_with_clock(session, people["cleo"])
    run_job(session, NOW + 4 * HOUR, NOW + 4 * HOUR)
    before, lines = notified(session), session.scalar(select(func.count(Activity.id)))
    ticket.sla_on = NOW
    session.flush()
    assert check_record(session, ("ticket", ticket.id), NOW + 4 * HOUR, TERMS) == "skipped"
    assert (notified(session), session.scalar(select(func.count(Activity.id)))) == (before, lines)


def test_a_reply_ends_the_watch_over_the_reply_deadline(session: Session, people: dict[str, Any]) -> None:
    ticket = ticket_with_clock(session, people["cleo"])
    move(session, ticket, "working", NOW + HOUR, people["cleo"])
    run_job(session, NOW, NOW + 7 * HOUR)
    assert notified(session) == []


def test_nothing_is_sent_during_a_pause_and_nothing_twice_after_it(session: Session, people: dict[str, Any]) -> None:
    ticket = ticket_with_clock(session, people["cleo"])
    run_job(session, NOW, NOW + 100 * MINUTE)
    move(session, ticket, "waiting", NOW + 100 * MINUTE)
    run_job(session, NOW + 100 * MINUTE, NOW + DAY)
    move(session, ticket, "open", NOW + DAY)
    run_job(session, NOW + DAY, NOW + DAY + 20 * MINUTE)
    assert notified(session) == [("sla_warning", "cleo", 30), ("sla_breach", "cleo", 0), ("sla_breach", "sam", 0)]


def test_after_a_pause_the_escalation_continues_at_its_level(session: Session, people: dict[str, Any]) -> None:
    ticket = ticket_with_clock(session, people["cleo"])
    run_job(session, NOW, REPLY_DUE + 90 * MINUTE)
    move(session, ticket, "waiting", REPLY_DUE + 90 * MINUTE)
    move(session, ticket, "open", NOW + DAY)
    run_job(session, NOW + DAY, NOW + DAY + 25 * MINUTE)
    assert notified(session, "sla_escalated") == [("sla_escalated", "tara", -60)]
    run_job(session, NOW + DAY + 25 * MINUTE, NOW + DAY + 30 * MINUTE)
    assert len(notified(session, "sla_escalated")) == 3


def test_a_reopened_ticket_is_watched_again(session: Session, people: dict[str, Any]) -> None:
    ticket = ticket_with_clock(session, people["cleo"])
    move(session, ticket, "resolved", NOW + HOUR, people["cleo"])
    move(session, ticket, "open", NOW + DAY, people["cleo"])
    run_job(session, NOW + DAY, NOW + DAY + 8 * HOUR)
    assert notified(session) == [("sla_warning", "cleo", 150)]


def test_a_higher_priority_can_be_late_at_once(session: Session, people: dict[str, Any]) -> None:
    ticket = ticket_with_clock(session, people["cleo"])
    tickets.change(session, ticket, {"priority": "Urgent"}, ChangeContext(None, NOW + 40 * MINUTE, sla_terms=TERMS))
    session.flush()
    run_job(session, NOW + 40 * MINUTE, NOW + 40 * MINUTE)
    assert notified(session, "sla_breach") == [("sla_breach", "cleo", -10), ("sla_breach", "sam", -10)]


def test_minutes_and_levels_count_office_time(session: Session, people: dict[str, Any]) -> None:
    terms = SlaTerms(OFFICE, {("ticket", ""): (120, None)}, escalation_minutes=60)
    ticket_with_clock(session, people["cleo"], terms, at=NOW + 6.5 * HOUR)  # Monday 16:30, so due at Tuesday 9:30
    run_job(session, NOW, NOW + 23 * HOUR, terms=terms)
    assert notified(session) == [("sla_warning", "cleo", 30)]
    run_job(session, NOW + 23 * HOUR, NOW + 30 * HOUR, terms=terms)
    assert [(kind, minutes) for kind, _who, minutes in notified(session)][-2:] == [("sla_escalated", -120)] * 2


# --- Recipients


def test_all_assignees_are_notified(session: Session, people: dict[str, Any]) -> None:
    ticket = ticket_with_clock(session, people["cleo"])
    assignment.add_assignee(session, ticket, people["dan"].id, Stamp(None, NOW))
    run_job(session, NOW, NOW + 100 * MINUTE)
    assert notified(session) == [("sla_warning", "cleo", 30), ("sla_warning", "dan", 30)]


def test_without_assignees_the_owner_is_notified(session: Session, people: dict[str, Any]) -> None:
    ticket = ticket_with_clock(session, None)
    ticket.owner_id = people["dan"].id
    session.flush()
    run_job(session, NOW, REPLY_DUE)
    assert notified(session) == [("sla_warning", "dan", 30), ("sla_breach", "dan", 0), ("sla_breach", "sam", 0)]


def test_the_owner_is_notified_of_a_breach_too(session: Session, people: dict[str, Any]) -> None:
    ticket = ticket_with_clock(session, people["cleo"])
    ticket.owner_id = people["uma"].id
    session.flush()
    run_job(session, NOW, REPLY_DUE)
    assert [who for _kind, who, _minutes in notified(session, "sla_breach")] == ["cleo", "uma", "sam"]


def test_during_a_leave_an_available_delegate_is_notified_instead(session: Session, people: dict[str, Any]) -> None:
    cleo = people["cleo"]
    cleo.leave_from, cleo.delegate_id = NOW - DAY, people["dan"].id
    ticket_with_clock(session, cleo)
    run_job(session, NOW, NOW + 100 * MINUTE)
    assert notified(session) == [("sla_warning", "dan", 30)]
    people["dan"].away_until = NOW + DAY
    session.flush()
    run_job(session, NOW, REPLY_DUE)
    assert [who for _kind, who, _minutes in notified(session, "sla_breach")] == ["cleo", "sam"]


def test_inactive_users_are_skipped(session: Session, people: dict[str, Any]) -> None:
    people["sam"].active = False
    ticket_with_clock(session, people["cleo"])
    run_job(session, NOW, NOW + 4 * HOUR)
    assert [(kind, who) for kind, who, _minutes in notified(session)[1:]] == [
        ("sla_breach", "cleo"),
        ("sla_breach", "tara"),
        ("sla_escalated", "uma"),
        ("sla_escalated", "ada"),
    ]


@pytest.mark.parametrize("who", ["uma", None])
def test_without_a_higher_manager_the_admins_are_the_last_level(
    session: Session, people: dict[str, Any], who: str | None
) -> None:
    ticket_with_clock(session, people[who] if who else None)
    run_job(session, NOW, NOW + 6 * HOUR)
    assert notified(session, "sla_escalated") == [("sla_escalated", "ada", -60)]


def test_a_lead_is_watched_as_well(session: Session, people: dict[str, Any]) -> None:
    lead = factories.lead(session, people["cleo"])
    sla.start_clock(lead, TERMS, NOW)
    session.flush()
    run_job(session, NOW, NOW + 100 * MINUTE)
    row = session.scalars(select(Notification)).one()
    assert (row.kind, row.lead_id, row.payload["promise"], row.payload["number"]) == (
        "sla_warning",
        lead.id,
        "reply",
        lead.number,
    )


# --- Order, boundaries and what is written


def test_the_longest_waiting_records_come_first(session: Session, people: dict[str, Any]) -> None:
    rows = [
        factories.ticket(session, sla_on=NOW),
        factories.ticket(session, sla_on=NOW - HOUR),
        factories.ticket(session, sla_on=NOW),
    ]
    lead = factories.lead(session, sla_on=NOW - MINUTE)
    factories.lead(session, sla_on=NOW + MINUTE), factories.lead(session)
    found = [("ticket", rows[1].id), ("lead", lead.id), ("ticket", rows[0].id), ("ticket", rows[2].id)]
    assert due_records(session, NOW, 10) == found
    assert due_records(session, NOW, 2) == found[:2]


@pytest.mark.parametrize(
    "after, result",
    [
        (90 * MINUTE - MINUTE, "skipped"),
        (90 * MINUTE, "sla_warning"),
        (2 * HOUR - MINUTE, "sla_warning"),
        (2 * HOUR, "sla_breach"),
        (3 * HOUR - MINUTE, "sla_breach"),
        (3 * HOUR, "sla_escalated"),
    ],
)
def test_each_notice_is_sent_from_its_moment_on(
    session: Session, people: dict[str, Any], after: Any, result: str
) -> None:
    ticket = ticket_with_clock(session, people["cleo"])
    ticket.sla_on = NOW
    session.flush()
    assert check_record(session, ("ticket", ticket.id), NOW + after, TERMS) == result


def test_a_paused_record_is_not_checked_again(session: Session, people: dict[str, Any]) -> None:
    ticket = ticket_with_clock(session, people["cleo"])
    ticket.paused_on, ticket.sla_on = NOW, NOW
    session.flush()
    assert check_record(session, ("ticket", ticket.id), NOW + DAY, TERMS) == "skipped"
    session.refresh(ticket)
    assert (ticket.sla_on, ticket.reply_late_on, notified(session)) == (None, None, [])


@pytest.mark.parametrize(
    "after, expected",
    [
        (90 * MINUTE - MINUTE, 90 * MINUTE),
        (90 * MINUTE, 2 * HOUR),
        (2 * HOUR, 3 * HOUR),
        (3 * HOUR, 4 * HOUR),
        (4 * HOUR, None),
    ],
)
def test_the_next_check_is_at_the_next_notice(
    session: Session, people: dict[str, Any], after: Any, expected: Any
) -> None:
    terms = SlaTerms(ALWAYS_OPEN, {("ticket", ""): (120, None)})
    rows = [ticket_with_clock(session, people["cleo"], terms) for _ in range(2)]
    rows[0].sla_on = rows[1].sla_on = NOW
    session.flush()
    check_record(session, ("ticket", rows[0].id), NOW + after, terms)
    session.expire_all()
    assert rows[0].sla_on == (NOW + expected if expected else None)
    assert rows[0].reply_late_on == (REPLY_DUE if NOW + after >= REPLY_DUE else None)
    assert (rows[1].sla_on, rows[1].reply_late_on) == (NOW, None)


def test_a_notice_names_its_deadline_and_its_event(session: Session, people: dict[str, Any]) -> None:
    ticket = ticket_with_clock(session, people["cleo"])
    run_job(session, NOW, REPLY_DUE + HOUR)
    rows = session.scalars(select(Notification).where(Notification.kind.like("sla%")).order_by(Notification.id)).all()
    deadline = f"ticket:{ticket.id}:reply:20261123043000:120"
    assert [(row.event_key, row.at) for row in rows] == [
        (f"sla_warning:{deadline}:0:{people['cleo'].id}", NOW + 90 * MINUTE),
        (f"sla_breach:{deadline}:0:{people['cleo'].id}", REPLY_DUE),
        (f"sla_breach:{deadline}:0:{people['sam'].id}", REPLY_DUE),
        (f"sla_escalated:{deadline}:1:{people['tara'].id}", REPLY_DUE + HOUR),
    ]
    due = {"promise": "reply", "due": REPLY_DUE.isoformat(), "number": ticket.number}
    assert [row.payload for row in rows] == [due | {"minutes": minutes} for minutes in (30, 0, 0, -60)]
    assert {row.ticket_id for row in rows} == {ticket.id}
    lines = session.scalars(select(Activity).where(Activity.kind == "system").order_by(Activity.id)).all()
    assert [(line.at, line.actor_id, line.payload["minutes"]) for line in lines] == [
        (REPLY_DUE, None, 0),
        (REPLY_DUE + HOUR, None, -60),
    ]
    assert {line.payload["text"] for line in lines} == {"The first response is overdue."}


def test_a_record_checked_meanwhile_is_skipped_and_read_as_it_is_now(session: Session, people: dict[str, Any]) -> None:
    ticket = ticket_with_clock(session, people["cleo"])
    values = {"reply_due_on": NOW + 9 * HOUR, "sla_on": NOW}
    session.execute(update(type(ticket)).values(**values), execution_options={"synchronize_session": False})
    assert check_record(session, ("ticket", ticket.id), NOW + 2 * HOUR, TERMS) == "skipped"
    assert ticket.reply_due_on == NOW + 9 * HOUR
    assert check_record(session, ("ticket", ticket.id), NOW + 2 * HOUR, TERMS) == "skipped"
    assert check_record(session, ("lead", ticket.id), NOW + 9 * HOUR, TERMS) == "skipped"


# --- The job


def test_a_check_makes_no_new_version(session: Session, people: dict[str, Any]) -> None:
    ticket = ticket_with_clock(session, people["cleo"])
    version = ticket.version
    run_job(session, NOW, NOW + DAY)
    assert ticket.version == version


def test_a_run_without_work_uses_one_query_on_an_index(session: Session, people: dict[str, Any]) -> None:
    ticket_with_clock(session, people["cleo"])
    session.commit()
    asked: list[str] = []
    event.listen(session.get_bind(), "before_cursor_execute", lambda *said: asked.append(said[2]))
    runner = job_runner.Runner(sessionmaker(session.get_bind()))
    job = next(each for each in jobs.SCHEDULE if each.name == "watch the SLA clocks")
    run = job_runner.run_slot(runner, job, ("now", NOW), NOW)
    assert run is not None and (run.outcome, run.items) == ("done", 0)
    assert len(asked) <= 6
    query = next(said for said in asked if said.startswith("SELECT") and "sla_on" in said)
    plan = session.connection().exec_driver_sql("EXPLAIN QUERY PLAN " + query, (*_filled(query),)).all()
    assert {"ix_leads_sla", "ix_ticket_sla"} <= set(" ".join(str(row) for row in plan).split())


def _filled(query: str) -> list[Any]:
    return [0] * query.count("?")


def test_the_job_loads_the_policy_and_sends_notices(session: Session, people: dict[str, Any]) -> None:
    session.add(
        SlaPolicy(
            label="All",
            applies_to="ticket",
            position=1,
            is_active=True,
            targets=[SlaTarget(priority="", first_response_minutes=60)],
        )
    )
    ticket_with_clock(session, people["cleo"])
    session.commit()
    runner = job_runner.Runner(sessionmaker(session.get_bind(), expire_on_commit=False))
    job = next(each for each in jobs.SCHEDULE if each.name == "watch the SLA clocks")
    for number, after in enumerate((100 * MINUTE, 100 * MINUTE, 2 * HOUR, 2 * HOUR)):
        job_runner.run_slot(runner, job, (str(number), NOW + after), NOW + after)
    assert notified(session) == [("sla_warning", "cleo", 20), ("sla_breach", "cleo", 0), ("sla_breach", "sam", 0)]


# --- MariaDB: several processes at once

TICKETS, PROCESSES = 60, 6


def test_each_breach_is_notified_once_with_several_processes(picklists_url: str) -> None:
    """Row locks that are skipped, and event keys: nothing twice, nothing lost."""
    engine = factories.connected(picklists_url)
    with factories.opened(engine) as session:
        cleo = factories.user(session, "cleo", "Support User")
        for _ in range(TICKETS):
            ticket_with_clock(session, cleo)
        session.commit()
    runners = [job_runner.Runner(sessionmaker(engine, expire_on_commit=False)) for _ in range(PROCESSES)]
    _at_once(lambda n: job_runner.run_slot(runners[n], _WATCH, (f"slot {n}", REPLY_DUE), REPLY_DUE))
    with factories.opened(engine) as session:
        per_ticket = select(func.count()).where(Notification.kind == "sla_breach").group_by(Notification.ticket_id)
        assert list(session.scalars(per_ticket)) == [1] * TICKETS
        lines = select(func.count(Activity.id)).where(Activity.kind == "system")
        assert session.scalar(lines) == TICKETS and due_records(session, REPLY_DUE, TICKETS) == []
    engine.dispose()


_WATCH = job_runner.Job(
    "watch",
    job_runner.every_minute,
    lambda session, at: job_runner.JobWork(
        due_records(session, at.now, at.limit), lambda one, row: check_record(one, row, at.now, TERMS)
    ),
)


def _at_once(work: Callable[[int], Any]) -> None:
    threads = [threading.Thread(target=work, args=(n,)) for n in range(PROCESSES)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_a_locked_record_is_skipped(picklists_url: str) -> None:
    engine = factories.connected(picklists_url)
    with factories.opened(engine) as session, factories.opened(engine) as other:
        ticket = ticket_with_clock(session, factories.user(session, "cleo"))
        session.commit()
        session.execute(select(tickets.Ticket).where(tickets.Ticket.id == ticket.id).with_for_update())
        assert check_record(other, ("ticket", ticket.id), REPLY_DUE, TERMS) == "skipped"
        session.rollback()
        assert check_record(other, ("ticket", ticket.id), REPLY_DUE, TERMS) == "sla_breach"
        other.rollback()  # killed before the commit: the next one does it
        assert check_record(session, ("ticket", ticket.id), REPLY_DUE, TERMS) == "sla_breach"
        session.rollback()
    engine.dispose()
