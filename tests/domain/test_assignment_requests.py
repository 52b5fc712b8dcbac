"""Requests to be given a record: who is asked, how they end, and races on a real server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.domain import assignment, assignment_requests
from app.domain.base import Conflict, RuleBroken, Stamp
from app.models import AssignmentRequest, Lead, Notification
from tests.app_fixtures import World
from tests.domain.test_assignment import at_once, told
from tests.makers import DAY, HOUR, NOW, lead, user


def ask(session: Session, about: Any, wanted: Any, by: Any, reason: str = "I know him") -> AssignmentRequest:
    return assignment_requests.create(session, about, wanted.id, reason, Stamp(by.id, NOW))


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
    with pytest.raises(RuleBroken, match="a reason why"):
        ask(office, about, ben, ana, " ")
    with pytest.raises(RuleBroken, match="already"):
        ask(office, about, ana, ana)


def test_a_second_pending_request_is_a_conflict_a_later_one_is_not(office: Session) -> None:
    ana, ben, mia = (user(office, name) for name in ("ana", "ben", "mia"))
    about = lead(office, ana)
    first = ask(office, about, ben, ana)
    with pytest.raises(Conflict):
        ask(office, about, ben, ana)
    assignment_requests.decide(office, first, about, assignment_requests.Verdict(False, "Not now"), Stamp(mia.id, NOW))
    assert ask(office, about, ben, ana).id != first.id


def test_an_approval_assigns_and_tells_both(office: Session) -> None:
    ana, ben, mia = (user(office, name) for name in ("ana", "ben", "mia"))
    about = lead(office, ana)
    asked = ask(office, about, ben, ana)
    assignment_requests.decide(office, asked, about, assignment_requests.Verdict(True), Stamp(mia.id, NOW + HOUR))
    assert (about.assignee_id, asked.status, asked.decided_by_id, asked.decided_on) == (
        ben.id,
        "Approved",
        mia.id,
        NOW + HOUR,
    )
    assert {(ana.id, "request_approved"), (ben.id, "request_approved"), (ben.id, "assigned")} <= told(office)
    with pytest.raises(Conflict):
        assignment_requests.decide(office, asked, about, assignment_requests.Verdict(True), Stamp(mia.id, NOW + DAY))


def test_a_rejection_says_why_and_changes_nothing(office: Session) -> None:
    ana, ben, mia = (user(office, name) for name in ("ana", "ben", "mia"))
    about = lead(office, ana)
    asked = ask(office, about, ben, ana)
    with pytest.raises(RuleBroken, match="reason for rejecting"):
        assignment_requests.decide(office, asked, about, assignment_requests.Verdict(False, " "), Stamp(mia.id, NOW))
    assignment_requests.decide(
        office, asked, about, assignment_requests.Verdict(False, "He has enough"), Stamp(mia.id, NOW)
    )
    assert (about.assignee_id, asked.status, asked.decision_note) == (ana.id, "Rejected", "He has enough")


def test_a_request_about_a_person_without_a_manager_goes_to_the_admins(office: Session) -> None:
    ana, ben, ada = user(office, "ana"), user(office, "ben"), user(office, "ada", "Admin")
    user(office, "old", "Admin", active=False)
    ask(office, lead(office, ana), ben, ana)
    assert told(office) == {(ada.id, "request")}


def test_who_asks_for_one_of_his_own_team_is_not_asked(office: Session) -> None:
    ada = user(office, "ada", "Admin")
    mia = user(office, "mia")
    ana = user(office, "ana", manager_id=mia.id)
    ask(office, lead(office), ana, mia)
    assert told(office) == {(ada.id, "request")}


def test_who_asked_withdraws_and_the_deciders_need_not_look(office: Session) -> None:
    mia = user(office, "mia")
    ana, ben = user(office, "ana", manager_id=mia.id), user(office, "ben")
    about = lead(office, ben)
    asked = ask(office, about, ana, ben)
    with pytest.raises(RuleBroken, match="Only the person who sent"):
        assignment_requests.withdraw(office, asked, about, Stamp(mia.id, NOW))
    assignment_requests.withdraw(office, asked, about, Stamp(ben.id, NOW + HOUR))
    assert (asked.status, about.assignee_id) == ("Withdrawn", ben.id)
    notices = office.execute(select(Notification.kind, Notification.read_on).order_by(Notification.id)).all()
    assert [tuple(row) for row in notices] == [("request", NOW + HOUR), ("request_withdrawn", None)]
    with pytest.raises(Conflict):
        assignment_requests.decide(office, asked, about, assignment_requests.Verdict(True), Stamp(mia.id, NOW))
    assert ask(office, about, ana, ben).status == "Pending"


def test_who_is_away_when_it_is_approved_gets_nothing_and_the_request_waits(office: Session) -> None:
    ana, ben, mia = (user(office, name) for name in ("ana", "ben", "mia"))
    about = lead(office, ana)
    asked = ask(office, about, ben, ana)
    ben.available = False
    with pytest.raises(RuleBroken, match="Ben Shah is not available and takes no work now"):
        assignment_requests.decide(office, asked, about, assignment_requests.Verdict(True), Stamp(mia.id, NOW))
    assert (asked.status, asked.pending_key is None, about.assignee_id) == ("Pending", False, ana.id)


def test_an_approval_holds_though_the_record_changed_meanwhile(office: Session) -> None:
    ana, ben, dev, mia = (user(office, name) for name in ("ana", "ben", "dev", "mia"))
    about = lead(office, ana)
    asked = ask(office, about, ben, ana)
    assignment.assign(office, about, assignment.NewAssignee(dev.id, "direct"), Stamp(mia.id, NOW + HOUR))
    assignment_requests.decide(office, asked, about, assignment_requests.Verdict(True), Stamp(mia.id, NOW + DAY))
    assert about.assignee_id == ben.id and (dev.id, "unassigned") in told(office)


# --- races


def test_of_two_deciders_exactly_one_wins(maria: World) -> None:
    asked = maria.make.request(maria.make.lead("ana"), "ben")

    def decide(approve: bool) -> Callable[[Session], Any]:
        def job(session: Session) -> str:
            row = session.get_one(AssignmentRequest, asked.id)
            about = session.get_one(Lead, asked.lead_id)
            assignment_requests.decide(
                session, row, about, assignment_requests.Verdict(approve, "x"), Stamp(maria.people["root"].id, NOW)
            )
            return str(row.status)

        return job

    results = at_once(maria, [decide(True), decide(False)] * 3)
    won = [one for one in results if isinstance(one, str)]
    assert len(won) == 1 and maria.fresh(asked).status == won[0]
    assert all(isinstance(one, Conflict) for one in results if not isinstance(one, str))


def test_of_a_withdrawal_and_an_approval_one_wins(maria: World) -> None:
    asked = maria.make.request(maria.make.lead("ana"), "ben")

    def end(how: str) -> Callable[[Session], Any]:
        def job(session: Session) -> str:
            row, about = session.get_one(AssignmentRequest, asked.id), session.get_one(Lead, asked.lead_id)
            if how == "withdraw":
                assignment_requests.withdraw(session, row, about, Stamp(maria.people["ana"].id, NOW))
            else:
                assignment_requests.decide(
                    session, row, about, assignment_requests.Verdict(True), Stamp(maria.people["root"].id, NOW)
                )
            return str(row.status)

        return job

    results = at_once(maria, [end("withdraw"), end("approve")] * 3)
    (won,) = [one for one in results if isinstance(one, str)]
    assert maria.fresh(asked).status == won and all(isinstance(one, Conflict | str) for one in results)
    has_it = "ben" if won == "Approved" else "ana"
    assert maria.rows(select(Lead.assignee_id).where(Lead.id == asked.lead_id)) == [maria.people[has_it].id]
