"""Assignment: who has what, since when, why; requests, and races on a real server."""

from __future__ import annotations

import collections
import threading
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session
from sqlalchemy.orm.exc import StaleDataError

from app.domain import assignment, leads, team
from app.domain.base import Conflict, RuleBroken, refuse_stale
from app.models import Activity, Assignment, AssignmentRequest, Lead, Notification
from tests.app_fixtures import World
from tests.makers import DAY, HOUR, NOW, lead, user


def told(session: Session) -> set[tuple[int, str]]:
    return {(row.user_id, row.kind) for row in session.scalars(select(Notification))}


def test_handing_on_ends_one_stretch_and_begins_another(office: Session) -> None:
    ana, ben, mia = (user(office, name) for name in ("ana", "ben", "mia"))
    about = lead(office)
    assignment.give(office, about, ana.id, "direct", mia.id, NOW)
    assignment.give(office, about, ben.id, "direct", mia.id, NOW + HOUR)
    office.flush()
    rows = office.scalars(select(Assignment).order_by(Assignment.id)).all()
    office.expire_all()
    assert [(r.user_id, r.started_on, r.ended_on) for r in rows] == [
        (ana.id, NOW, NOW + HOUR),
        (ben.id, NOW + HOUR, None),
    ]
    assert told(office) == {(ana.id, "assigned"), (ana.id, "unassigned"), (ben.id, "assigned")}
    assert about.assignee_id == ben.id and [r.user_id for r in assignment.history(office, about)] == [ben.id, ana.id]


def test_giving_it_to_who_has_it_is_nothing(office: Session) -> None:
    ana = user(office, "ana")
    about = lead(office, ana)
    assignment.give(office, about, ana.id, "direct", None, NOW)
    assert not office.scalars(select(Activity)).all() and not told(office)


def test_nothing_is_given_to_the_absent_or_unknown(office: Session) -> None:
    gone = user(office, "gone", active=False)
    with pytest.raises(RuleBroken, match="deactivated"):
        assignment.refuse_absent(office, gone.id, NOW)
    with pytest.raises(RuleBroken, match="no such colleague"):
        assignment.refuse_absent(office, 999, NOW)


def ask(session: Session, about: Any, wanted: Any, by: Any, reason: str = "I know him") -> AssignmentRequest:
    return assignment.ask(session, about, wanted.id, reason, by.id, NOW)


def test_a_request_goes_to_the_managers_above(office: Session) -> None:
    root = user(office, "root")
    mia = user(office, "mia", manager_id=root.id)
    ana, ben = user(office, "ana", manager_id=mia.id), user(office, "ben")
    asked = ask(office, lead(office, ben), ana, ben)
    assert (asked.number, asked.status) == ("CAR-2026-00001", "Pending")
    assert told(office) == {(mia.id, "request"), (root.id, "request")}


def test_a_request_needs_a_reason_and_somebody_else(office: Session) -> None:
    ana, ben = user(office, "ana"), user(office, "ben")
    about = lead(office, ana)
    with pytest.raises(RuleBroken, match="say why"):
        ask(office, about, ben, ana, " ")
    with pytest.raises(RuleBroken, match="already"):
        ask(office, about, ana, ana)


def test_a_second_pending_request_is_a_conflict_a_later_one_is_not(office: Session) -> None:
    ana, ben, mia = (user(office, name) for name in ("ana", "ben", "mia"))
    about = lead(office, ana)
    first = ask(office, about, ben, ana)
    with pytest.raises(Conflict):
        ask(office, about, ben, ana)
    assignment.decide(office, first, about, False, "Not now", mia.id, NOW)
    assert ask(office, about, ben, ana).id != first.id


def test_an_approval_assigns_and_tells_both(office: Session) -> None:
    ana, ben, mia = (user(office, name) for name in ("ana", "ben", "mia"))
    about = lead(office, ana)
    asked = ask(office, about, ben, ana)
    assignment.decide(office, asked, about, True, None, mia.id, NOW + HOUR)
    assert (about.assignee_id, asked.status, asked.decided_by_id, asked.decided_on) == (
        ben.id,
        "Approved",
        mia.id,
        NOW + HOUR,
    )
    assert {(ana.id, "request_approved"), (ben.id, "request_approved"), (ben.id, "assigned")} <= told(office)
    with pytest.raises(Conflict):
        assignment.decide(office, asked, about, True, None, mia.id, NOW + DAY)


def test_a_rejection_says_why_and_changes_nothing(office: Session) -> None:
    ana, ben, mia = (user(office, name) for name in ("ana", "ben", "mia"))
    about = lead(office, ana)
    asked = ask(office, about, ben, ana)
    with pytest.raises(RuleBroken, match="why you reject"):
        assignment.decide(office, asked, about, False, " ", mia.id, NOW)
    assignment.decide(office, asked, about, False, "He has enough", mia.id, NOW)
    assert (about.assignee_id, asked.status, asked.decision_note) == (ana.id, "Rejected", "He has enough")


# --- races


def at_once(world: World, jobs: list[Callable[[Session], Any]]) -> list[Any]:
    """Run every job in a transaction and thread of its own, all starting together; answers or errors, in order."""
    start, results = threading.Barrier(len(jobs)), [None] * len(jobs)

    def work(place: int) -> None:
        with world.new_session() as session:
            session.connection()  # connecting takes longer than the race
            start.wait(30)
            results[place] = outcome(session, jobs[place])

    threads = [threading.Thread(target=work, args=(place,)) for place in range(len(jobs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return results


def outcome(session: Session, job: Callable[[Session], Any]) -> Any:
    try:
        answer = job(session)
        session.commit()
    except (RuleBroken, StaleDataError, OperationalError) as error:
        session.rollback()
        return error
    return answer


def test_parallel_turns_spread_evenly(maria: World) -> None:
    people = [maria.people["ana"].id, maria.people["ben"].id]
    people += [maria.make.user(f"s{n}", "Sales User").id for n in range(5)]
    # Fewer at once than the pool is wide; the first turns of all come at once, too
    done = [
        one
        for _ in range(2)
        for one in at_once(maria, [lambda s: team.next_in_turn(s, "Sales User", NOW).user_id] * 25)
    ]
    assert not [one for one in done if isinstance(one, Exception)]
    counts = collections.Counter(done)
    assert set(counts) == set(people) and max(counts.values()) - min(counts.values()) <= 1


def test_of_two_deciders_exactly_one_wins(maria: World) -> None:
    asked = maria.make.request(maria.make.lead("ana"), "ben")

    def decide(approve: bool) -> Callable[[Session], Any]:
        def job(session: Session) -> str:
            row = session.get_one(AssignmentRequest, asked.id)
            about = session.get_one(Lead, asked.lead_id)
            assignment.decide(session, row, about, approve, "x", maria.people["root"].id, NOW)
            return str(row.status)

        return job

    results = at_once(maria, [decide(True), decide(False)] * 3)
    won = [one for one in results if isinstance(one, str)]
    assert len(won) == 1 and maria.fresh(asked).status == won[0]
    assert all(isinstance(one, Conflict) for one in results if not isinstance(one, str))


def test_no_save_of_many_is_lost_silently(maria: World) -> None:
    row = maria.make.lead("ana")

    def save(n: int) -> Callable[[Session], Any]:
        def job(session: Session) -> int:
            held = session.get_one(Lead, row.id)
            refuse_stale(held, held.version)
            leads.change(session, held, {"description": f"save {n}"}, None, NOW, None)
            return n

        return job

    results = [one for turn in (0, 20) for one in at_once(maria, [save(turn + n) for n in range(20)])]
    saved = [one for one in results if isinstance(one, int)]
    assert saved and len(saved) == maria.fresh(row).version - row.version
    lines = maria.rows(select(Activity).where(Activity.lead_id == row.id, Activity.kind == "field_change"))
    assert len(lines) == len(saved)
    assert all(isinstance(one, StaleDataError | Conflict | OperationalError | int) for one in results)


def test_stale_saves_over_rest_are_all_answered(maria: World) -> None:
    row = maria.make.lead("ana")
    doors, codes = [maria.door("ana") for _ in range(20)], []

    def save(n: int) -> None:
        codes.append(
            doors[n].rest("PUT", f"lead/{row.id}", {"description": f"{n}", "version": row.version}).status_code
        )

    threads = [threading.Thread(target=save, args=(n,)) for n in range(len(doors))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert collections.Counter(codes) == {200: 1, 409: 19}
    assert maria.fresh(row).version == row.version + 1
