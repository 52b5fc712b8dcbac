"""Assignments: assigning, several assignees, round-robin history, and concurrency on a real server."""

from __future__ import annotations

import collections
import threading
from collections.abc import Callable
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.orm import Session
from sqlalchemy.orm.exc import StaleDataError

from app.domain import assignment, leads, round_robin
from app.domain.base import Conflict, NotFound, RuleBroken, Stamp, refuse_stale
from app.domain.change_context import ChangeContext
from app.domain.persistence.session_context import session_context
from app.models import Activity, Assignment, Lead, Notification, Ticket
from tests.app_fixtures import Crm
from tests.factories import DAY, HOUR, NOW, lead, task, ticket, user


def notices_of(session: Session) -> set[tuple[int, str]]:
    return {(row.user_id, row.kind) for row in session.scalars(select(Notification))}


def test_reassigning_ends_one_assignment_and_opens_another(db: Session) -> None:
    ana, ben, mia = (user(db, name) for name in ("ana", "ben", "mia"))
    about = lead(db)
    assignment.assign(db, about, assignment.NewAssignee(ana.id, "direct"), Stamp(mia.id, NOW))
    assignment.assign(db, about, assignment.NewAssignee(ben.id, "direct"), Stamp(mia.id, NOW + HOUR))
    db.flush()
    rows = db.scalars(select(Assignment).order_by(Assignment.id)).all()
    db.expire_all()
    assert [(r.user_id, r.started_on, r.ended_on) for r in rows] == [
        (ana.id, NOW, NOW + HOUR),
        (ben.id, NOW + HOUR, None),
    ]
    assert notices_of(db) == {(ana.id, "assigned"), (ana.id, "unassigned"), (ben.id, "assigned")}
    assert about.assignee_id == ben.id and [r.user_id for r in assignment.history(db, about)] == [ben.id, ana.id]


def test_the_open_tasks_of_the_former_assignee_go_with_the_record(db: Session) -> None:
    ana, ben, cy = (user(db, name) for name in ("ana", "ben", "cy"))
    ben.reminder_minutes = [30]
    about, other = lead(db, ana), lead(db, ana)
    open_ones = [
        task(db, about, ana, due_on=NOW + DAY),
        task(db, about, ana, status="In Progress", tried=[ben.id, cy.id]),
    ]
    kept = [task(db, about, cy), task(db, about, ana, status="Done"), task(db, other, ana)]
    assignment.assign(db, about, assignment.NewAssignee(ben.id, "direct"), Stamp(cy.id, NOW))
    db.flush()
    assert [each.assignee_id for each in open_ones] == [ben.id, ben.id]
    assert [each.assignee_id for each in kept] == [cy.id, ana.id, ana.id]
    first, second = open_ones
    assert (first.due_on, first.remind_on, first.changed_by_id) == (NOW + DAY, NOW + DAY - HOUR / 2, cy.id)
    assert (first.tried, second.tried) == ([], [cy.id, ana.id])


def test_the_open_tasks_of_a_removed_assignee_go_to_the_current_one(db: Session) -> None:
    cleo, dev = user(db, "cleo"), user(db, "dev")
    about = ticket(db, cleo)
    assignment.add_assignee(db, about, dev.id, Stamp(None, NOW))
    theirs, own = task(db, about, dev), task(db, about, cleo)
    assignment.remove_assignee(db, about, dev.id, Stamp(None, NOW + HOUR))
    assert (theirs.assignee_id, own.assignee_id) == (cleo.id, cleo.id)
    assignment.add_assignee(db, about, dev.id, Stamp(None, NOW + HOUR))
    assignment.remove_assignee(db, about, cleo.id, Stamp(None, NOW + DAY))
    assert (theirs.assignee_id, own.assignee_id) == (dev.id, dev.id)


def test_assigning_the_current_assignee_changes_nothing(db: Session) -> None:
    ana = user(db, "ana")
    about = lead(db, ana)
    assignment.assign(db, about, assignment.NewAssignee(ana.id, "direct"), Stamp(None, NOW))
    assert not db.scalars(select(Activity)).all() and not notices_of(db)


def test_absent_and_unknown_users_are_refused(db: Session) -> None:
    gone = user(db, "gone", active=False)
    with pytest.raises(RuleBroken, match="deactivated"):
        assignment.refuse_absent(db, gone.id, NOW)
    with pytest.raises(RuleBroken, match="no such colleague"):
        assignment.refuse_absent(db, 999, NOW)


# --- Several assignees of one ticket


def assignees_of(session: Session, about: Any) -> list[int]:
    session.flush()
    return assignment.current_assignees(session, about)


def test_a_second_assignee_joins_the_current_one(db: Session) -> None:
    cleo, dev, sam = (user(db, name) for name in ("cleo", "dev", "sam"))
    about = ticket(db)
    assignment.assign(db, about, assignment.NewAssignee(cleo.id, "direct"), Stamp(sam.id, NOW))
    assert assignment.add_assignee(db, about, dev.id, Stamp(sam.id, NOW + HOUR))
    assert (about.assignee_id, assignees_of(db, about)) == (cleo.id, [cleo.id, dev.id])
    assert notices_of(db) == {(cleo.id, "assigned"), (dev.id, "assigned")}
    assert not assignment.add_assignee(db, about, dev.id, Stamp(sam.id, NOW + DAY))
    assert len(db.scalars(select(Activity)).all()) == 2


def test_an_additional_assignee_who_becomes_current_has_one_open_assignment(db: Session) -> None:
    cleo, dev = user(db, "cleo"), user(db, "dev")
    about = ticket(db)
    assignment.assign(db, about, assignment.NewAssignee(cleo.id, "direct"), Stamp(None, NOW))
    assignment.add_assignee(db, about, dev.id, Stamp(None, NOW))
    assignment.assign(db, about, assignment.NewAssignee(dev.id, "direct"), Stamp(None, NOW + HOUR))
    assert assignees_of(db, about) == [dev.id]
    rows = db.scalars(select(Assignment).where(Assignment.user_id == dev.id).order_by(Assignment.id)).all()
    db.expire_all()
    assert [(row.ended_on, row.open_key is None) for row in rows] == [(NOW + HOUR, True), (None, False)]


def test_the_database_allows_one_open_assignment_per_user(db: Session) -> None:
    about, ana = lead(db), user(db, "ana")
    assignment.assign(db, about, assignment.NewAssignee(ana.id, "direct"), Stamp(None, NOW))
    db.commit()
    with pytest.raises(IntegrityError):
        assignment.open_assignment(db, about, assignment.NewAssignee(ana.id, "direct", notify=False), Stamp(None, NOW))
        db.flush()
    db.rollback()


def test_the_longest_assigned_present_user_succeeds_the_current_one(db: Session) -> None:
    cleo, dev, eve = (user(db, name) for name in ("cleo", "dev", "eve"))
    about = ticket(db, cleo)
    for one in (dev, eve):
        assignment.add_assignee(db, about, one.id, Stamp(None, NOW))
    dev.available = False  # absent users come last
    assert assignment.remove_assignee(db, about, cleo.id, Stamp(None, NOW + HOUR)) == eve.id == about.assignee_id
    assert (cleo.id, "unassigned") in notices_of(db)
    assert assignment.remove_assignee(db, about, eve.id, Stamp(None, NOW + DAY)) == dev.id
    assert assignees_of(db, about) == [dev.id]


def test_the_only_assignee_cannot_be_removed(db: Session) -> None:
    cleo, dev = user(db, "cleo"), user(db, "dev")
    about = ticket(db, cleo)
    with pytest.raises(RuleBroken, match="No one else is assigned"):
        assignment.remove_assignee(db, about, cleo.id, Stamp(None, NOW))
    with pytest.raises(NotFound):
        assignment.remove_assignee(db, about, dev.id, Stamp(None, NOW))
    assert about.assignee_id == cleo.id


def test_a_lead_has_one_assignee(db: Session) -> None:
    with pytest.raises(RuleBroken, match="one assignee"):
        assignment.add_assignee(db, lead(db, user(db, "ana")), user(db, "ben").id, Stamp(None, NOW))


def test_the_first_assignee_added_becomes_the_current_one(db: Session) -> None:
    about, cleo = ticket(db), user(db, "cleo")
    assignment.add_assignee(db, about, cleo.id, Stamp(None, NOW))
    assert (about.assignee_id, assignees_of(db, about)) == (cleo.id, [cleo.id])


# --- Round-robin history


def test_turns_count_for_the_user_whose_turn_it_was(db: Session) -> None:
    ben = user(db, "ben")
    ana = user(db, "ana", "Sales User", leave_from=NOW - DAY, delegate_id=ben.id)
    for n in range(3):
        decision = round_robin.take_turn(db, "Sales User", NOW)
        assignment.assign(
            db, lead(db), assignment.NewAssignee(ben.id, "round robin", decision), Stamp(None, NOW + n * HOUR)
        )
    db.flush()
    assert assignment.turn_counts(db, "Sales User", 100) == {ana.id: (3, NOW + 2 * HOUR)}
    assert assignment.turn_counts(db, "Sales User", 2)[ana.id][0] == 2
    assert [row.stead_of_id for row in assignment.latest_turns(db, "Sales User", 2)] == [ana.id] * 2


def test_the_refusal_names_the_end_of_the_absence_and_the_substitute(db: Session) -> None:
    ben = user(db, "ben")
    ana = user(db, "ana", leave_from=NOW - DAY, leave_to=NOW + DAY, delegate_id=ben.id)
    session_context(db).zone = ZoneInfo("Asia/Kolkata")
    sentence = "Ana Shah is on leave until 24 Nov 2026, 10:00 and can't take new work now. Ben Shah is covering."
    with pytest.raises(RuleBroken) as refused:
        assignment.refuse_absent(db, ana.id, NOW)
    assert refused.value.message == sentence


# --- Concurrency


def run_in_parallel(crm: Crm, jobs: list[Callable[[Session], Any]]) -> list[Any]:
    """Run every job in its own thread and transaction, all starting together. Returns results or errors in order."""
    start, results = threading.Barrier(len(jobs)), [None] * len(jobs)

    def work(place: int) -> None:
        with crm.new_session() as session:
            session.connection()  # connecting takes longer than the race
            start.wait(30)
            results[place] = result_of(session, jobs[place])

    threads = [threading.Thread(target=work, args=(place,)) for place in range(len(jobs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return results


def result_of(session: Session, job: Callable[[Session], Any]) -> Any:
    try:
        answer = job(session)
        session.commit()
    except (RuleBroken, StaleDataError, OperationalError) as error:
        session.rollback()
        return error
    return answer


def test_parallel_turns_spread_evenly(maria: Crm) -> None:
    people = [maria.people["ana"].id, maria.people["ben"].id]
    people += [maria.make.user(f"s{n}", "Sales User").id for n in range(5)]
    # Fewer at once than the pool has connections; the very first turns are concurrent too.
    done = [
        one
        for _ in range(2)
        for one in run_in_parallel(maria, [lambda s: round_robin.take_turn(s, "Sales User", NOW).user_id] * 25)
    ]
    assert not [one for one in done if isinstance(one, Exception)]
    counts = collections.Counter(done)
    assert set(counts) == set(people) and max(counts.values()) - min(counts.values()) <= 1


def test_no_concurrent_save_is_lost_silently(maria: Crm) -> None:
    row = maria.make.lead("ana")

    def save(n: int) -> Callable[[Session], Any]:
        def job(session: Session) -> int:
            record = session.get_one(Lead, row.id)
            refuse_stale(record, record.version)
            leads.change(session, record, {"description": f"save {n}"}, ChangeContext(None, NOW))
            return n

        return job

    results = [one for turn in (0, 20) for one in run_in_parallel(maria, [save(turn + n) for n in range(20)])]
    saved = [one for one in results if isinstance(one, int)]
    assert saved and len(saved) == maria.fresh(row).version - row.version
    lines = maria.rows(select(Activity).where(Activity.lead_id == row.id, Activity.kind == "field_change"))
    assert len(lines) == len(saved)
    assert all(isinstance(one, StaleDataError | Conflict | OperationalError | int) for one in results)


def test_stale_saves_over_rest_all_get_a_response(maria: Crm) -> None:
    row = maria.make.lead("ana")
    clients, codes = [maria.client("ana") for _ in range(20)], []

    def save(n: int) -> None:
        codes.append(
            clients[n].rest("PUT", f"lead/{row.id}", {"description": f"{n}", "version": row.version}).status_code
        )

    threads = [threading.Thread(target=save, args=(n,)) for n in range(len(clients))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    # 503: the transaction met another one, and was undone; the same request can be sent again.
    assert codes.count(200) == 1 and set(codes) <= {200, 409, 503}
    assert maria.fresh(row).version == row.version + 1


def test_a_user_added_concurrently_is_added_once(maria: Crm) -> None:
    about, dev = maria.make.ticket("cleo"), maria.make.user("dev", "Support User")

    def join(session: Session) -> bool:
        return assignment.add_assignee(session, session.get_one(Ticket, about.id), dev.id, Stamp(None, NOW))

    results = run_in_parallel(maria, [join] * 8)
    assert sorted(results) == [False] * 7 + [True]
    assert maria.count(Assignment, Assignment.user_id == dev.id, Assignment.ended_on.is_(None)) == 1


def test_concurrent_assigning_and_removing_leaves_one_current_assignee(maria: Crm) -> None:
    about = maria.make.ticket("cleo")
    others = [maria.make.user(f"s{n}", "Support User").id for n in range(4)]
    for key in others:
        assignment.add_assignee(maria.session, maria.session.get_one(Ticket, about.id), key, Stamp(None, NOW))
    maria.session.commit()

    def change(n: int) -> Callable[[Session], Any]:
        def job(session: Session) -> Any:
            row = session.get_one(Ticket, about.id)
            if n % 2:
                return assignment.assign(
                    session, row, assignment.NewAssignee(others[n % 4], "direct"), Stamp(None, NOW + HOUR)
                )
            return assignment.remove_assignee(session, row, others[n % 4], Stamp(None, NOW + HOUR))

        return job

    results = run_in_parallel(maria, [change(n) for n in range(12)])
    kinds = (bool, int, NotFound, RuleBroken, StaleDataError, OperationalError)
    assert all(isinstance(one, kinds) for one in results) and any(isinstance(one, int) for one in results)
    rows = maria.rows(select(Assignment.user_id).where(Assignment.ticket_id == about.id, Assignment.ended_on.is_(None)))
    assert len(rows) == len(set(rows)) and maria.fresh(about).assignee_id in rows


# --- What is written


def line_of(session: Session) -> Activity:
    """The newest timeline line."""
    return session.scalars(select(Activity).order_by(Activity.id.desc())).first()  # type: ignore[return-value]


@pytest.mark.parametrize("make", [lead, ticket])
def test_an_assignment_is_written_with_a_line_and_both_notices(db: Session, make: Any) -> None:
    ana, ben, mia = (user(db, name) for name in ("ana", "ben", "mia"))
    about = make(db, ana)
    assert assignment.assign(db, about, assignment.NewAssignee(ben.id, "direct"), Stamp(mia.id, NOW)) is True
    assert assignment.assign(db, about, assignment.NewAssignee(ben.id, "direct"), Stamp(mia.id, NOW)) is False
    row = db.scalars(select(Assignment)).one()
    assert (row.lead_id or row.ticket_id, row.reason, row.by_id, row.decision) == (about.id, "direct", mia.id, {})
    assert row.open_key == f"{about.__tablename__}:{about.id}:{ben.id}"
    line = line_of(db)
    assert (line.kind, line.actor_id, line.payload) == (
        "assignment",
        mia.id,
        {"to": ben.id, "old": ana.id, "reason": "direct"},
    )
    key = f"{about.__tablename__}:{about.id}:{NOW.isoformat()}"
    rows = db.scalars(select(Notification).order_by(Notification.id)).all()
    assert [(each.event_key, each.payload, each.actor_id) for each in rows] == [
        (f"assigned:{key}:{ben.id}", {"number": about.number}, mia.id),
        (f"unassigned:{key}:{ana.id}", {"number": about.number, "to": ben.id}, mia.id),
    ]


@pytest.mark.parametrize(
    "role, is_author, reason", [("Sales User", False, "round robin"), ("", True, "created"), ("", False, "direct")]
)
def test_the_first_assignment_says_why(db: Session, role: str, is_author: bool, reason: str) -> None:
    ana, about = user(db, "ana"), lead(db)
    decision = round_robin.TurnDecision(ana.id, role, [ana.id])
    assignment.open_first(db, about, decision, Stamp(ana.id if is_author else None, NOW))
    row = db.scalars(select(Assignment)).one()
    assert (row.reason, row.role, bool(row.decision)) == (reason, role or None, bool(role))
    assignment.open_first(db, about, round_robin.TurnDecision(None, role), Stamp(None, NOW))
    assert len(db.scalars(select(Assignment)).all()) == 1


@pytest.mark.parametrize("values", [{"assign_to_role": "Sales User"}, {"assignee_id": 999}])
def test_nobody_who_takes_no_work_is_chosen(db: Session, values: Any) -> None:
    with pytest.raises(RuleBroken) as refused:
        assignment.choose_assignee(db, values, Stamp(None, NOW))
    assert list(refused.value.errors) == ["assign_to_role" if "assign_to_role" in values else "assign_to"]
    assert "Sales User" in str(refused.value) or "assignee_id" in values


def test_the_assignee_is_chosen_by_role_by_name_or_is_the_author(db: Session) -> None:
    ana, ben = user(db, "ana", "Sales User"), user(db, "ben", available=False)
    choose = assignment.choose_assignee
    assert choose(db, {"assign_to_role": "Sales User"}, Stamp(ben.id, NOW)).user_id == ana.id
    assert choose(db, {"assignee_id": ana.id}, Stamp(ben.id, NOW)) == round_robin.TurnDecision(ana.id, "")
    assert choose(db, {"assignee_id": ben.id}, Stamp(ben.id, NOW)) == round_robin.TurnDecision(ben.id, "")
    assert choose(db, {}, Stamp(ben.id, NOW)) == round_robin.TurnDecision(ben.id, "")


def test_many_records_are_reassigned_as_one_is(db: Session) -> None:
    ana, ben, cy = (user(db, name) for name in ("ana", "ben", "cy"))
    first, second, other = lead(db, ana), ticket(db, ana), lead(db, ana)
    for about in (first, second, other):
        assignment.open_assignment(db, about, assignment.NewAssignee(ana.id, "created"), Stamp(None, NOW))
    for extra in (ben, cy):
        assignment.add_assignee(db, second, extra.id, Stamp(None, NOW))
    db.flush()
    decisions = [
        (first, round_robin.TurnDecision(ben.id, "Sales User", [ben.id], substitute_for=cy.id)),
        (second, round_robin.TurnDecision(ben.id, "")),
        (other, round_robin.TurnDecision(ana.id, "")),
        (lead(db), round_robin.TurnDecision(None, "")),
    ]
    assignment.reassign_many(db, decisions, "overdue", NOW + HOUR)
    db.expire_all()
    rows = db.scalars(select(Assignment).order_by(Assignment.id)).all()
    ended = {(row.lead_id, row.ticket_id, row.user_id) for row in rows if row.ended_on == NOW + HOUR}
    assert ended == {(first.id, None, ana.id), (None, second.id, ana.id), (None, second.id, ben.id)}
    assert all((row.open_key is None) == (row.ended_on is not None) for row in rows)
    new = [row for row in rows if row.started_on == NOW + HOUR]
    assert [(row.lead_id, row.ticket_id, row.user_id, row.role, row.stead_of_id) for row in new] == [
        (first.id, None, ben.id, "Sales User", cy.id),
        (None, second.id, ben.id, None, None),
    ]
    assert {(row.reason, row.by_id) for row in new} == {("overdue", None)}
    assert [row.open_key for row in new] == [f"leads:{first.id}:{ben.id}", f"ticket:{second.id}:{ben.id}"]
    assert new[0].decision == {"role": "Sales User", "candidates": [ben.id], "skipped": []}


def test_joining_and_leaving_are_written(db: Session) -> None:
    cleo, dev, sam = (user(db, name) for name in ("cleo", "dev", "sam"))
    about = ticket(db, cleo)
    assignment.add_assignee(db, about, dev.id, Stamp(sam.id, NOW + HOUR))
    row = db.scalars(select(Assignment)).one()
    assert (row.user_id, row.reason, row.by_id, about.changed_on) == (dev.id, "joined", sam.id, NOW + HOUR)
    assert line_of(db).payload == {"what": "joined", "to": dev.id}
    assignment.remove_assignee(db, about, dev.id, Stamp(sam.id, NOW + DAY))
    assert line_of(db).payload == {"what": "released", "old": dev.id, "to": None}
    assert (about.changed_on, about.assignee_id) == (NOW + DAY, cleo.id)
    rows = db.scalars(select(Notification).order_by(Notification.id)).all()
    assert [(each.kind, each.payload, each.event_key.split(":")[0]) for each in rows] == [
        ("assigned", {"number": about.number, "beside": cleo.id}, "joined"),
        ("unassigned", {"number": about.number, "to": None}, "released"),
    ]


def test_the_successor_is_notified_and_named(db: Session) -> None:
    cleo, dev = user(db, "cleo"), user(db, "dev")
    about = ticket(db, cleo)
    assignment.add_assignee(db, about, dev.id, Stamp(None, NOW))
    assignment.remove_assignee(db, about, cleo.id, Stamp(None, NOW + HOUR))
    assert line_of(db).payload == {"what": "released", "old": cleo.id, "to": dev.id}
    newest = db.scalars(select(Notification).order_by(Notification.id.desc())).first()
    assert newest and (newest.kind, newest.user_id, newest.at) == ("assigned", dev.id, NOW + HOUR)


def test_the_turns_of_a_role_are_its_newest(db: Session) -> None:
    ana, ben = user(db, "ana", "Sales User"), user(db, "ben", "Sales User")
    for index in range(3):
        decision = round_robin.take_turn(db, "Sales User", NOW)
        assignment.open_first(db, lead(db), decision, Stamp(None, NOW + index * HOUR))
    assignment.open_first(db, lead(db), round_robin.TurnDecision(ana.id, "Other"), Stamp(None, NOW + DAY))
    db.flush()
    assert [row.user_id for row in assignment.latest_turns(db, "Sales User", 2)] == [ana.id, ben.id]
    assert assignment.turn_counts(db, "Sales User", 10) == {ana.id: (2, NOW + 2 * HOUR), ben.id: (1, NOW + HOUR)}
    assert assignment.turn_counts(db, "Sales User", 2) == {ana.id: (1, NOW + 2 * HOUR), ben.id: (1, NOW + HOUR)}
