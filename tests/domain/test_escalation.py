"""Promises are watched: a warning, the breach, then manager after manager; each told once, whoever is killed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event, func, select
from sqlalchemy.orm import Session, sessionmaker

from app import job_runner, jobs
from app.domain import assignment, sla, tickets
from app.domain.base import Stamp
from app.domain.change_context import ChangeContext
from app.domain.escalation import check_record, due_records
from app.domain.notices import Notification
from app.domain.settings import SlaPolicy, SlaTarget, TicketStatus
from app.domain.sla import SlaTerms
from app.domain.timeline import Activity
from tests import makers
from tests.makers import ALWAYS_OPEN, DAY, HOUR, MINUTE, NOW, OFFICE

#: Answered within two hours, resolved within ten.
TERMS = SlaTerms(ALWAYS_OPEN, {("ticket", ""): (120, 600), ("ticket", "Urgent"): (30, 60), ("lead", ""): (120, None)})
ANSWER = NOW + 2 * HOUR


@pytest.fixture
def people(session: Session) -> dict[str, Any]:
    """Cleo and Dan support; Sam is above Cleo, Tara above Sam, Uma above Tara; Ada is admin."""
    made: dict[str, Any] = {"ada": makers.user(session, "ada", "Admin"), "uma": makers.user(session, "uma")}
    for name, above in (("tara", "uma"), ("sam", "tara"), ("cleo", "sam"), ("dan", "sam")):
        made[name] = makers.user(session, name, "Support User", manager_id=made[above].id)
    return made


def owed(session: Session, who: Any, terms: SlaTerms = TERMS, at: datetime = NOW, **more: Any) -> Any:
    """A ticket of this person, whose clock began at `at`."""
    ticket = makers.ticket(session, who, at=at, **more)
    if who is not None:
        assignment.open_assignment(session, ticket, assignment.NewAssignee(who.id, "created"), Stamp(who.id, at))
    sla.start_clock(ticket, terms, at)
    session.flush()
    return ticket


def watch(
    session: Session, start: datetime, end: datetime, step: timedelta = 5 * MINUTE, terms: SlaTerms = TERMS
) -> None:
    """The job as it runs, every few minutes."""
    while start <= end:
        for kind, key in due_records(session, start, 100):
            check_record(session, kind, key, start, terms)
        start += step
    session.expire_all()


def told(session: Session, *kinds: str) -> list[tuple[str, str, int]]:
    """(kind, user, office minutes left) of what was told, in order."""
    query = select(Notification).where(Notification.kind.like("sla%")).order_by(Notification.id)
    names = {user.id: user.username for user in session.scalars(select(makers.models.User))}
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


# --- The steps


def test_a_warning_the_breach_and_then_one_manager_an_hour(session, people):
    owed(session, people["cleo"], SlaTerms(ALWAYS_OPEN, {("ticket", ""): (120, None)}))
    watch(session, NOW, NOW + DAY)
    assert told(session) == [
        ("sla_warning", "cleo", 30),
        ("sla_breach", "cleo", 0),
        ("sla_breach", "sam", 0),
        ("sla_escalated", "tara", -60),
        ("sla_escalated", "uma", -120),
        ("sla_escalated", "ada", -120),
    ]


def test_then_it_rests(session, people):
    ticket = owed(session, people["cleo"])
    watch(session, NOW, NOW + DAY)
    assert ticket.sla_on is None and due_records(session, NOW + 365 * DAY, 10) == []


def test_the_timeline_tells_the_breach_and_each_step(session, people):
    ticket = owed(session, people["cleo"], SlaTerms(ALWAYS_OPEN, {("ticket", ""): (120, None)}))
    watch(session, NOW, NOW + DAY)
    lines = session.scalars(select(Activity).where(Activity.ticket_id == ticket.id, Activity.kind == "system"))
    assert [(line.payload["what"], line.payload["promise"], line.payload["to"]) for line in lines] == [
        ("sla_breach", "reply", [people["cleo"].id, people["sam"].id]),
        ("sla_escalated", "reply", [people["tara"].id]),
        ("sla_escalated", "reply", [people["uma"].id, people["ada"].id]),
    ]


def test_both_promises_are_watched_each_for_itself(session, people):
    owed(session, people["uma"])
    watch(session, NOW, NOW + 10 * HOUR)
    assert told(session, "sla_warning", "sla_breach") == [
        ("sla_warning", "uma", 30),
        ("sla_breach", "uma", 0),
        ("sla_warning", "uma", 150),
        ("sla_breach", "uma", 0),
    ]


def test_the_breach_is_kept_as_the_moment_it_happened(session, people):
    ticket = owed(session, people["cleo"])
    watch(session, NOW + 5 * HOUR, NOW + 5 * HOUR)
    assert (ticket.reply_late_on, ticket.resolve_late_on) == (ANSWER, None)


def test_a_late_start_tells_what_is_true_now_and_no_warning(session, people):
    owed(session, people["cleo"])
    watch(session, NOW + 4 * HOUR, NOW + 4 * HOUR)
    assert told(session) == [
        ("sla_breach", "cleo", -120),
        ("sla_breach", "sam", -120),
        ("sla_escalated", "tara", -120),
        ("sla_escalated", "uma", -120),
        ("sla_escalated", "ada", -120),
    ]


def test_a_second_look_tells_nothing_new(session, people):
    ticket = owed(session, people["cleo"])
    watch(session, NOW + 4 * HOUR, NOW + 4 * HOUR)
    before, lines = told(session), session.scalar(select(func.count(Activity.id)))
    ticket.sla_on = NOW
    session.flush()
    assert check_record(session, "ticket", ticket.id, NOW + 4 * HOUR, TERMS) == "skipped"
    assert (told(session), session.scalar(select(func.count(Activity.id)))) == (before, lines)


def test_an_answer_ends_the_watch_over_it(session, people):
    ticket = owed(session, people["cleo"])
    move(session, ticket, "working", NOW + HOUR, people["cleo"])
    watch(session, NOW, NOW + 7 * HOUR)
    assert told(session) == []


def test_nothing_is_told_while_the_customer_is_awaited_nor_twice_afterwards(session, people):
    ticket = owed(session, people["cleo"])
    watch(session, NOW, NOW + 100 * MINUTE)
    move(session, ticket, "waiting", NOW + 100 * MINUTE)
    watch(session, NOW + 100 * MINUTE, NOW + DAY)
    move(session, ticket, "open", NOW + DAY)
    watch(session, NOW + DAY, NOW + DAY + 20 * MINUTE)
    assert told(session) == [("sla_warning", "cleo", 30), ("sla_breach", "cleo", 0), ("sla_breach", "sam", 0)]


def test_the_climb_goes_on_where_it_stood_after_a_pause(session, people):
    ticket = owed(session, people["cleo"])
    watch(session, NOW, ANSWER + 90 * MINUTE)
    move(session, ticket, "waiting", ANSWER + 90 * MINUTE)
    move(session, ticket, "open", NOW + DAY)
    watch(session, NOW + DAY, NOW + DAY + 25 * MINUTE)
    assert told(session, "sla_escalated") == [("sla_escalated", "tara", -60)]
    watch(session, NOW + DAY + 25 * MINUTE, NOW + DAY + 30 * MINUTE)
    assert len(told(session, "sla_escalated")) == 3


def test_a_reopened_ticket_is_watched_anew(session, people):
    ticket = owed(session, people["cleo"])
    move(session, ticket, "resolved", NOW + HOUR, people["cleo"])
    move(session, ticket, "open", NOW + DAY, people["cleo"])
    watch(session, NOW + DAY, NOW + DAY + 8 * HOUR)
    assert told(session) == [("sla_warning", "cleo", 150)]


def test_a_higher_priority_may_be_late_at_once(session, people):
    ticket = owed(session, people["cleo"])
    tickets.change(session, ticket, {"priority": "Urgent"}, ChangeContext(None, NOW + 40 * MINUTE, sla_terms=TERMS))
    session.flush()
    watch(session, NOW + 40 * MINUTE, NOW + 40 * MINUTE)
    assert told(session, "sla_breach") == [("sla_breach", "cleo", -10), ("sla_breach", "sam", -10)]


def test_figures_and_steps_are_office_time(session, people):
    terms = SlaTerms(OFFICE, {("ticket", ""): (120, None)}, escalation_minutes=60)
    owed(session, people["cleo"], terms, at=NOW + 6.5 * HOUR)  # Monday 16:30, so due at Tuesday 9:30
    watch(session, NOW, NOW + 23 * HOUR, terms=terms)
    assert told(session) == [("sla_warning", "cleo", 30)]
    watch(session, NOW + 23 * HOUR, NOW + 30 * HOUR, terms=terms)
    assert [(kind, minutes) for kind, _who, minutes in told(session)][-2:] == [("sla_escalated", -120)] * 2


# --- Who hears of it


def test_everybody_who_has_the_ticket_is_told(session, people):
    ticket = owed(session, people["cleo"])
    assignment.add_assignee(session, ticket, people["dan"].id, Stamp(None, NOW))
    watch(session, NOW, NOW + 100 * MINUTE)
    assert told(session) == [("sla_warning", "cleo", 30), ("sla_warning", "dan", 30)]


def test_where_nobody_has_it_the_owner_is_told(session, people):
    ticket = owed(session, None)
    ticket.owner_id = people["dan"].id
    session.flush()
    watch(session, NOW, ANSWER)
    assert told(session) == [("sla_warning", "dan", 30), ("sla_breach", "dan", 0), ("sla_breach", "sam", 0)]


def test_the_owner_hears_of_the_breach_too(session, people):
    ticket = owed(session, people["cleo"])
    ticket.owner_id = people["uma"].id
    session.flush()
    watch(session, NOW, ANSWER)
    assert [who for _kind, who, _minutes in told(session, "sla_breach")] == ["cleo", "uma", "sam"]


def test_for_somebody_on_leave_his_delegate_is_told_if_he_is_there(session, people):
    cleo = people["cleo"]
    cleo.leave_from, cleo.delegate_id = NOW - DAY, people["dan"].id
    owed(session, cleo)
    watch(session, NOW, NOW + 100 * MINUTE)
    assert told(session) == [("sla_warning", "dan", 30)]
    people["dan"].away_until = NOW + DAY
    session.flush()
    watch(session, NOW, ANSWER)
    assert [who for _kind, who, _minutes in told(session, "sla_breach")] == ["cleo", "sam"]


def test_who_has_left_the_house_is_passed_over(session, people):
    people["sam"].active = False
    owed(session, people["cleo"])
    watch(session, NOW, NOW + 4 * HOUR)
    assert [(kind, who) for kind, who, _minutes in told(session)[1:]] == [
        ("sla_breach", "cleo"),
        ("sla_breach", "tara"),
        ("sla_escalated", "uma"),
        ("sla_escalated", "ada"),
    ]


@pytest.mark.parametrize("who", ["uma", None])
def test_where_nobody_stands_above_the_admins_are_the_last_step(session, people, who):
    owed(session, people[who] if who else None)
    watch(session, NOW, NOW + 6 * HOUR)
    assert told(session, "sla_escalated") == [("sla_escalated", "ada", -60)]


def test_a_lead_is_watched_as_well(session, people):
    lead = makers.lead(session, people["cleo"])
    sla.start_clock(lead, TERMS, NOW)
    session.flush()
    watch(session, NOW, NOW + 100 * MINUTE)
    row = session.scalars(select(Notification)).one()
    assert (row.kind, row.lead_id, row.payload["promise"], row.payload["number"]) == (
        "sla_warning",
        lead.id,
        "reply",
        lead.number,
    )


# --- The job


def test_a_look_makes_no_new_version(session, people):
    ticket = owed(session, people["cleo"])
    version = ticket.version
    watch(session, NOW, NOW + DAY)
    assert ticket.version == version


def test_an_idle_pass_asks_once_and_by_index(session, people):
    owed(session, people["cleo"])
    asked: list[str] = []
    event.listen(session.get_bind(), "before_cursor_execute", lambda *said: asked.append(said[2]))
    runner = job_runner.Runner(sessionmaker(session.get_bind()))
    session.commit()
    job = next(each for each in jobs.SCHEDULE if each.name == "watch the SLA clocks")
    run = job_runner.run_slot(runner, job, ("now", NOW), NOW)
    assert run is not None and (run.outcome, run.items) == ("done", 0)
    assert len(asked) <= 6
    query = next(said for said in asked if said.startswith("SELECT") and "sla_on" in said)
    plan = session.connection().exec_driver_sql("EXPLAIN QUERY PLAN " + query, (*_filled(query),)).all()
    assert {"ix_leads_sla", "ix_ticket_sla"} <= set(" ".join(str(row) for row in plan).split())


def _filled(query: str) -> list[Any]:
    return [0] * query.count("?")


def test_the_job_reads_the_policy_and_watches(session, people):
    session.add(
        SlaPolicy(
            label="All",
            applies_to="ticket",
            position=1,
            is_active=True,
            targets=[SlaTarget(priority="", first_response_minutes=60)],
        )
    )
    owed(session, people["cleo"])
    session.commit()
    runner = job_runner.Runner(sessionmaker(session.get_bind(), expire_on_commit=False))
    job = next(each for each in jobs.SCHEDULE if each.name == "watch the SLA clocks")
    for number, after in enumerate((100 * MINUTE, 100 * MINUTE, 2 * HOUR, 2 * HOUR)):
        job_runner.run_slot(runner, job, (str(number), NOW + after), NOW + after)
    assert told(session) == [("sla_warning", "cleo", 20), ("sla_breach", "cleo", 0), ("sla_breach", "sam", 0)]


# --- MariaDB: several processes at once

TICKETS, PROCESSES = 60, 6


def test_each_breach_is_told_once_however_many_look(mariadb_url: str) -> None:
    """Row locks that are skipped, and event keys: nothing twice, nothing lost."""
    engine = makers.database(mariadb_url)
    with makers.opened(engine) as session:
        cleo = makers.user(session, "cleo", "Support User")
        for _ in range(TICKETS):
            owed(session, cleo)
        session.commit()
    runners = [job_runner.Runner(sessionmaker(engine, expire_on_commit=False)) for _ in range(PROCESSES)]
    _at_once(lambda n: job_runner.run_slot(runners[n], _WATCH, (f"slot {n}", ANSWER), ANSWER))
    with makers.opened(engine) as session:
        per_ticket = select(func.count()).where(Notification.kind == "sla_breach").group_by(Notification.ticket_id)
        assert list(session.scalars(per_ticket)) == [1] * TICKETS
        lines = select(func.count(Activity.id)).where(Activity.kind == "system")
        assert session.scalar(lines) == TICKETS and due_records(session, ANSWER, TICKETS) == []
    engine.dispose()


_WATCH = job_runner.Job(
    "watch",
    job_runner.every_minute,
    lambda session, at: job_runner.Work(
        due_records(session, at.now, at.limit), lambda one, row: check_record(one, row[0], row[1], at.now, TERMS)
    ),
)


def _at_once(work: Callable[[int], Any]) -> None:
    threads = [threading.Thread(target=work, args=(n,)) for n in range(PROCESSES)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_a_record_that_somebody_holds_is_passed_over(mariadb_url: str) -> None:
    engine = makers.database(mariadb_url)
    with makers.opened(engine) as session, makers.opened(engine) as other:
        ticket = owed(session, makers.user(session, "cleo"))
        session.commit()
        session.execute(select(tickets.Ticket).where(tickets.Ticket.id == ticket.id).with_for_update())
        assert check_record(other, "ticket", ticket.id, ANSWER, TERMS) == "skipped"
        session.rollback()
        assert check_record(other, "ticket", ticket.id, ANSWER, TERMS) == "sla_breach"
        other.rollback()  # killed before the commit: the next one does it
        assert check_record(session, "ticket", ticket.id, ANSWER, TERMS) == "sla_breach"
        session.rollback()
    engine.dispose()
