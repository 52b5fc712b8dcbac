"""Tasks closed with a new status, or replaced by the next follow-up."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import event, select, update
from sqlalchemy.orm import Session
from sqlalchemy.orm.exc import StaleDataError

from app import session_hooks
from app.domain import leads, task_closing, tasks, tickets
from app.domain.assignment import NewAssignee, assign
from app.domain.automation.expiry import expire_leads
from app.domain.base import RuleBroken, Stamp
from app.domain.change_context import ChangeContext
from app.domain.persistence import history_rows, row_updates
from app.domain.picklists import LeadStatus, TicketStatus
from app.domain.tasks import Task
from app.domain.telephony import call_outcomes, calls
from app.domain.telephony.call_outcomes import CallOutcome
from app.domain.timeline import Activity
from tests import factories
from tests.factories import DAY, HOUR, MINUTE, NOW


def status_id(session: Session, picklist: Any, meaning: str) -> int:
    return session.scalars(select(picklist.id).where(picklist.meaning == meaning)).first() or 0


@pytest.fixture
def ana(db: Session) -> Any:
    return factories.user(db, "ana", "Support User")


@pytest.fixture
def ticket(db: Session, ana: Any) -> Any:
    """A ticket with its first task, which is task 1, and a task of another kind, task 2."""
    values = {"subject_ids": [1], "assignee_id": ana.id}
    made = tickets.create(db, values, ChangeContext(ana.id, NOW))
    factories.task(db, made, ana, NOW + DAY, title="Ask the bank")
    return made


def open_titles(session: Session) -> list[str]:
    return list(session.scalars(select(Task.title).where(Task.status == "Todo").order_by(Task.id)))


BOTH = ["Handle ticket: KYC update", "Ask the bank"]


@pytest.mark.parametrize(
    "meaning, chosen, left",
    [
        ("resolved", None, ["Ask the bank"]),
        ("closed", None, ["Ask the bank"]),
        ("waiting", None, BOTH),
        ("resolved", [], BOTH),
        ("resolved", [1], ["Ask the bank"]),
        ("resolved", [2], ["Handle ticket: KYC update"]),
        ("resolved", [1, 2], []),
        ("waiting", [2], ["Handle ticket: KYC update"]),
    ],
)
def test_what_a_new_status_closes(db: Session, ticket: Any, meaning: str, chosen: Any, left: list[str]) -> None:
    values = {"status_id": status_id(db, TicketStatus, meaning), "resolution": "Done", "close_tasks": chosen}
    tickets.change(db, ticket, values, ChangeContext(None, NOW))
    assert open_titles(db) == left


def test_a_closed_ticket_closes_nothing_again(db: Session, ticket: Any) -> None:
    context = ChangeContext(None, NOW)
    tickets.change(db, ticket, {"close_tasks": [1]}, context)
    done_on = db.get_one(Task, 1).done_on
    tickets.change(db, ticket, {"close_tasks": [1]}, ChangeContext(None, NOW + HOUR))
    assert (open_titles(db), db.get_one(Task, 1).done_on) == (["Ask the bank"], done_on)


@pytest.mark.parametrize("foreign", [999, 3])
def test_a_task_of_another_record_is_refused(db: Session, ticket: Any, foreign: int) -> None:
    factories.task(db, factories.lead(db))
    with pytest.raises(RuleBroken, match=f"Task {foreign} does not belong to {ticket.number}") as refused:
        tickets.change(db, ticket, {"close_tasks": [1, foreign]}, ChangeContext(None, NOW))
    assert "close_tasks" in refused.value.errors


def test_a_lead_closes_the_chosen_tasks_and_none_by_itself(db: Session, ana: Any) -> None:
    lead = factories.lead(db, ana)
    tasks = [factories.task(db, lead, title=title) for title in ("First", "Second")]
    followed = {"status_id": status_id(db, LeadStatus, "followed")}
    leads.change(db, lead, followed, ChangeContext(None, NOW))
    assert open_titles(db) == ["First", "Second"]
    leads.change(db, lead, {"close_tasks": [tasks[0].id]}, ChangeContext(None, NOW))
    assert open_titles(db) == ["Second"]


@pytest.mark.parametrize(
    "chosen, until, left",
    [
        (None, NOW + 2 * HOUR, ["Tomorrow", "Colleague's", "Some day", "Follow up: Interested"]),
        (None, None, ["Overdue", "Today", "Tomorrow", "Colleague's", "Some day", "Follow up: Interested"]),
        ([], NOW + 2 * HOUR, ["Overdue", "Today", "Tomorrow", "Colleague's", "Some day", "Follow up: Interested"]),
        ([3], NOW + 2 * HOUR, ["Overdue", "Today", "Colleague's", "Some day", "Follow up: Interested"]),
    ],
)
def test_what_the_next_follow_up_replaces(db: Session, ana: Any, chosen: Any, until: Any, left: list[str]) -> None:
    ben, lead = factories.user(db, "ben"), factories.lead(db, ana)
    for title, due_on, who in (
        ("Overdue", NOW - DAY, ana),
        ("Today", NOW + 2 * HOUR, ana),
        ("Tomorrow", NOW + DAY, ana),
        ("Colleague's", NOW, ben),
        ("Some day", None, ana),
    ):
        factories.task(db, lead, who, due_on, title=title)
    known = {"direction": "Incoming", "status": "Completed", "from_number": "9820012345", "started_on": NOW - HOUR}
    call = calls.create(db, known | {"lead_id": lead.id}, Stamp(ana.id, NOW))
    outcome = CallOutcome("Interested", follow_up_on=NOW + DAY, close_tasks=chosen, due_until=until)
    call_outcomes.save_outcome(db, call, outcome, ChangeContext(ana.id, NOW))
    assert open_titles(db) == left


def test_without_a_follow_up_nothing_is_replaced(db: Session, ana: Any) -> None:
    lead = factories.lead(db, ana)
    factories.task(db, lead, ana, title="Today")
    known = {"direction": "Incoming", "status": "Completed", "from_number": "9820012345", "started_on": NOW - HOUR}
    call = calls.create(db, known | {"lead_id": lead.id}, Stamp(ana.id, NOW))
    call_outcomes.save_outcome(db, call, CallOutcome("Bye", due_until=NOW + HOUR), ChangeContext(ana.id, NOW))
    assert open_titles(db) == ["Today"]


# --- a closed lead


def lead_with_tasks(session: Session, ana: Any, at: Any = NOW) -> Any:
    """A lead with its first task, which is task 1, and one that somebody has named, task 2."""
    lead = leads.create(session, {"first_name": "Anil", "assignee_id": ana.id}, ChangeContext(ana.id, at))
    factories.task(session, lead, ana, at + DAY, title="Send the form")
    return lead


def move(session: Session, lead: Any, meaning: str, at: Any, **more: Any) -> None:
    values = {"status_id": status_id(session, LeadStatus, meaning)} | more
    leads.change(session, lead, values, ChangeContext(None, at, may_reopen=True))
    session.flush()


def statuses(session: Session) -> list[str]:
    return list(session.scalars(select(Task.status).order_by(Task.id)))


@pytest.mark.parametrize(
    "meaning, first",
    [
        ("junk", "Canceled"),
        ("unqualified", "Canceled"),
        ("expired", "Canceled"),
        ("expired_opened", "Canceled"),
        ("activated", "Done"),
        ("rejected", "Todo"),
        ("working", "Todo"),
    ],
)
def test_a_closed_lead_closes_its_follow_up_but_not_what_somebody_planned(
    db: Session, ana: Any, meaning: str, first: str
) -> None:
    lead = lead_with_tasks(db, ana)
    more = {"client_id": "C1", "rejection_reason": "No", "mobile": "9820012345"}
    move(db, lead, meaning, NOW + HOUR, **more)
    assert statuses(db) == [first, "Todo"]
    assert db.get_one(Task, 1).remind_on is None or first == "Todo"


def test_a_lead_that_expires_closes_its_follow_up_with_a_reason(db: Session, ana: Any) -> None:
    lead = lead_with_tasks(db, ana, NOW - 70 * DAY)
    assert expire_leads(db, [lead.id], NOW) == ["expired"]
    assert statuses(db) == ["Canceled", "Todo"]
    payload = db.scalars(select(Activity.payload).where(Activity.kind == "task").order_by(Activity.id.desc())).first()
    assert payload is not None and (payload["what"], payload["reason"]) == ("canceled", "record closed")


def test_one_can_keep_the_follow_up_of_a_closed_lead(db: Session, ana: Any) -> None:
    move(db, lead_with_tasks(db, ana), "junk", NOW, close_tasks=[])
    assert statuses(db) == ["Todo", "Todo"]


@pytest.mark.parametrize("days", [0, 9])
def test_a_reopened_lead_has_its_follow_up_again(db: Session, ana: Any, days: int) -> None:
    """What has become due meanwhile is due now, so that nobody loses it at once."""
    lead = lead_with_tasks(db, ana)
    due_on = db.get_one(Task, 1).due_on
    move(db, lead, "junk", NOW + MINUTE)
    move(db, lead, "working", NOW + 2 * MINUTE + days * DAY)
    first = db.get_one(Task, 1)
    assert (statuses(db), first.due_on) == (["Todo", "Todo"], NOW + 2 * MINUTE + days * DAY if days else due_on)
    assert first.remind_on is not None


def test_what_somebody_has_canceled_stays_canceled(db: Session, ana: Any) -> None:
    lead = lead_with_tasks(db, ana)
    tasks.change(db, db.get_one(Task, 1), {"status": "Canceled"}, ChangeContext(ana.id, NOW))
    move(db, lead, "junk", NOW + MINUTE)
    move(db, lead, "junk", NOW + 2 * MINUTE)
    move(db, lead, "working", NOW + HOUR)
    assert statuses(db) == ["Canceled", "Todo"]


@pytest.mark.parametrize("goes_back", [False, True])
def test_the_follow_up_of_a_lead_given_to_somebody_while_it_was_closed_is_theirs(
    db: Session, ana: Any, goes_back: bool
) -> None:
    """As it would be, had the lead been open: its former assignee may not even see the lead any more."""
    ben, cleo, lead = factories.user(db, "ben"), factories.user(db, "cleo"), lead_with_tasks(db, ana)
    factories.task(db, lead, cleo, title="Follow up: papers")
    move(db, lead, "junk", NOW + MINUTE)
    for minute, user in enumerate([ben, ana] if goes_back else [ben], 2):
        assign(db, lead, NewAssignee(user.id, "direct"), Stamp(None, NOW + minute * MINUTE))
    move(db, lead, "working", NOW + HOUR)
    first = ana if goes_back else ben
    assert statuses(db) == ["Todo", "Todo", "Todo"]
    assert list(db.scalars(select(Task.assignee_id).order_by(Task.id))) == [first.id, first.id, cleo.id]


def test_what_a_person_calls_a_follow_up_stays_open(db: Session, ana: Any) -> None:
    lead, ticket = lead_with_tasks(db, ana), factories.ticket(db, ana)
    context = ChangeContext(ana.id, NOW)
    for column, key, title in (
        ("lead_id", lead.id, "Follow up: the bank"),
        ("ticket_id", ticket.id, "Handle ticket: the bank"),
    ):
        tasks.create(db, {"title": title, column: key}, context)
    first = db.get_one(Task, 1)
    tasks.change(db, first, {"title": "Follow up: with his brother"}, context)
    before = factories.task(db, lead, ana, title="Follow up: Anil")  # as the former version stored it
    assert (first.is_generated, before.is_generated) == (False, None)
    move(db, lead, "unqualified", NOW + HOUR)
    resolved = {"status_id": status_id(db, TicketStatus, "resolved"), "resolution": "Done"}
    tickets.change(db, ticket, resolved, context)
    db.flush()
    assert {each.title for each in db.scalars(select(Task).where(Task.status.in_(tasks.OPEN)))} == {
        "Follow up: with his brother",
        "Send the form",
        "Follow up: the bank",
        "Handle ticket: the bank",
    }
    assert before.status == "Canceled"


# --- thousands of tasks


@pytest.fixture
def sent(db: Session) -> list[str]:
    """The statements that are sent from now on, by their first words."""
    session_hooks.install()
    found: list[str] = []
    event.listen(
        db.get_bind(), "before_cursor_execute", lambda _c, _x, text, *_: found.append(" ".join(text.split()[:2]))
    )
    return found


@pytest.mark.parametrize("exhausted", [False, True])
def test_many_tasks_close_and_open_in_a_few_statements(db: Session, ana: Any, sent: list[str], exhausted: bool) -> None:
    lead = lead_with_tasks(db, ana)
    tried = [ana.id] if exhausted else []
    more = {"title": "Follow up: again", "exhausted": exhausted, "tried": tried}
    added = [factories.task(db, lead, ana, NOW + DAY, **more) for _ in range(60)]
    lead.exhausted_task_id = added[0].id if exhausted else None
    db.commit()
    sent.clear()
    move(db, lead, "unqualified", NOW + HOUR)
    assert len(sent) < 30 and sent.count("UPDATE task") <= 2
    db.expire_all()
    assert statuses(db) == ["Canceled", "Todo", *["Canceled"] * 60] and lead.exhausted_task_id is None
    assert {(each.version, each.exhausted, *each.tried) for each in added} == {(added[0].version, False)}
    lines = db.scalars(select(Activity).where(Activity.task_id == added[-1].id)).all()
    assert lines[-1].payload["reason"] == "record closed" and lines[-1].payload["what"] == "canceled"
    db.commit()
    sent.clear()
    move(db, lead, "new", NOW + 2 * HOUR)
    assert len(sent) < 30 and sent.count("UPDATE task") == 2  # those of another due time, if any, and the reminders
    assert statuses(db) == ["Todo"] * 62


def test_more_than_a_request_can_close_are_refused_in_words(
    db: Session, ana: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    lead = lead_with_tasks(db, ana)
    for _ in range(3):
        factories.task(db, lead, ana, title="Follow up: again")
    monkeypatch.setattr(task_closing, "MOST", 2)
    values = {"status_id": status_id(db, LeadStatus, "unqualified")}
    with pytest.raises(RuleBroken, match=r"has more than 2 tasks\. Please finish"):
        leads.change(db, lead, values, ChangeContext(ana.id, NOW, may_reopen=True))
    db.rollback()


def test_the_tasks_of_a_lead_given_away_go_in_a_few_statements(db: Session, ana: Any, sent: list[str]) -> None:
    lead, ben = lead_with_tasks(db, ana), factories.user(db, "ben")
    for number in range(60):
        factories.task(db, lead, ana, NOW + DAY, exhausted=number % 2 == 0, tried=[ana.id])
    db.commit()
    sent.clear()
    with history_rows.written_together(db):
        assign(db, lead, NewAssignee(ben.id, "direct"), Stamp(ana.id, NOW))
    assert len(sent) < 25
    db.expire_all()
    assert {each.assignee_id for each in db.scalars(select(Task))} == {ben.id}


def test_one_of_many_tasks_that_changed_meanwhile_refuses_all(db: Session, ana: Any, sent: list[str]) -> None:
    lead = lead_with_tasks(db, ana)
    found = list(db.scalars(select(Task)))
    table = Task.__table__
    db.connection().execute(update(table).where(table.c.id == found[1].id).values(version=9))
    task_closing.close(db, found, ChangeContext(ana.id, NOW))
    with pytest.raises(StaleDataError):
        row_updates.flush(db)
    assert lead.id
