"""Assignment requests: approvers, decisions, and concurrency on a real server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.domain import assignment, assignment_requests
from app.domain.base import Conflict, RuleBroken, Stamp
from app.models import Activity, Assignment, AssignmentRequest, Lead, Notification
from tests.app_fixtures import Crm
from tests.domain.test_assignment import notices_of, run_in_parallel
from tests.factories import DAY, HOUR, NOW, lead, user


def create_request(session: Session, about: Any, wanted: Any, by: Any, reason: str = "I know him") -> AssignmentRequest:
    return assignment_requests.create(session, about, wanted.id, reason, Stamp(by.id, NOW))


def test_a_request_goes_to_the_managers_above(db: Session) -> None:
    root = user(db, "root")
    mia = user(db, "mia", manager_id=root.id)
    ana, ben = user(db, "ana", manager_id=mia.id), user(db, "ben")
    request = create_request(db, lead(db, ben), ana, ben)
    assert (request.number, request.status) == ("CAR-2026-00001", "Pending")
    assert notices_of(db) == {(mia.id, "request"), (root.id, "request")}


def test_a_request_needs_a_reason_and_another_assignee(db: Session) -> None:
    ana, ben = user(db, "ana"), user(db, "ben")
    about = lead(db, ana)
    with pytest.raises(RuleBroken, match="a reason why"):
        create_request(db, about, ben, ana, " ")
    with pytest.raises(RuleBroken, match="already"):
        create_request(db, about, ana, ana)


def test_a_second_request_conflicts_only_while_the_first_is_pending(db: Session) -> None:
    ana, ben, mia = (user(db, name) for name in ("ana", "ben", "mia"))
    about = lead(db, ana)
    first = create_request(db, about, ben, ana)
    with pytest.raises(Conflict):
        create_request(db, about, ben, ana)
    assignment_requests.decide(
        db, first, about, assignment_requests.RequestDecision(False, "Not now"), Stamp(mia.id, NOW)
    )
    assert create_request(db, about, ben, ana).id != first.id


def test_an_approval_assigns_and_notifies_author_and_assignee(db: Session) -> None:
    ana, ben, mia = (user(db, name) for name in ("ana", "ben", "mia"))
    about = lead(db, ana)
    request = create_request(db, about, ben, ana)
    assignment_requests.decide(db, request, about, assignment_requests.RequestDecision(True), Stamp(mia.id, NOW + HOUR))
    assert (about.assignee_id, request.status, request.decided_by_id, request.decided_on) == (
        ben.id,
        "Approved",
        mia.id,
        NOW + HOUR,
    )
    assert {(ana.id, "request_approved"), (ben.id, "request_approved"), (ben.id, "assigned")} <= notices_of(db)
    with pytest.raises(Conflict):
        assignment_requests.decide(
            db, request, about, assignment_requests.RequestDecision(True), Stamp(mia.id, NOW + DAY)
        )


def test_a_rejection_needs_a_reason_and_assigns_nothing(db: Session) -> None:
    ana, ben, mia = (user(db, name) for name in ("ana", "ben", "mia"))
    about = lead(db, ana)
    request = create_request(db, about, ben, ana)
    with pytest.raises(RuleBroken, match="reason for rejecting"):
        assignment_requests.decide(
            db, request, about, assignment_requests.RequestDecision(False, " "), Stamp(mia.id, NOW)
        )
    assignment_requests.decide(
        db, request, about, assignment_requests.RequestDecision(False, "He has enough"), Stamp(mia.id, NOW)
    )
    assert (about.assignee_id, request.status, request.decision_note) == (ana.id, "Rejected", "He has enough")


def test_a_request_for_a_user_without_a_manager_goes_to_the_admins(db: Session) -> None:
    ana, ben, ada = user(db, "ana"), user(db, "ben"), user(db, "ada", "Admin")
    user(db, "old", "Admin", active=False)
    create_request(db, lead(db, ana), ben, ana)
    assert notices_of(db) == {(ada.id, "request")}


def test_a_manager_who_requests_for_their_own_team_is_no_approver(db: Session) -> None:
    ada = user(db, "ada", "Admin")
    mia = user(db, "mia")
    ana = user(db, "ana", manager_id=mia.id)
    create_request(db, lead(db), ana, mia)
    assert notices_of(db) == {(ada.id, "request")}


def test_only_the_author_withdraws_and_the_approvers_notice_is_read(db: Session) -> None:
    mia = user(db, "mia")
    ana, ben = user(db, "ana", manager_id=mia.id), user(db, "ben")
    about = lead(db, ben)
    request = create_request(db, about, ana, ben)
    with pytest.raises(RuleBroken, match="Only the person who sent"):
        assignment_requests.withdraw(db, request, about, Stamp(mia.id, NOW))
    assignment_requests.withdraw(db, request, about, Stamp(ben.id, NOW + HOUR))
    assert (request.status, about.assignee_id) == ("Withdrawn", ben.id)
    notices = db.execute(select(Notification.kind, Notification.read_on).order_by(Notification.id)).all()
    assert [tuple(row) for row in notices] == [("request", NOW + HOUR), ("request_withdrawn", None)]
    with pytest.raises(Conflict):
        assignment_requests.decide(db, request, about, assignment_requests.RequestDecision(True), Stamp(mia.id, NOW))
    assert create_request(db, about, ana, ben).status == "Pending"


def test_a_request_for_an_absent_user_stays_pending(db: Session) -> None:
    ana, ben, mia = (user(db, name) for name in ("ana", "ben", "mia"))
    about = lead(db, ana)
    request = create_request(db, about, ben, ana)
    ben.available = False
    with pytest.raises(RuleBroken, match="Ben Shah is not available and can't take new work now"):
        assignment_requests.decide(db, request, about, assignment_requests.RequestDecision(True), Stamp(mia.id, NOW))
    assert (request.status, request.pending_key is None, about.assignee_id) == ("Pending", False, ana.id)


def test_an_approval_applies_though_the_record_was_reassigned_meanwhile(db: Session) -> None:
    ana, ben, dev, mia = (user(db, name) for name in ("ana", "ben", "dev", "mia"))
    about = lead(db, ana)
    request = create_request(db, about, ben, ana)
    assignment.assign(db, about, assignment.NewAssignee(dev.id, "direct"), Stamp(mia.id, NOW + HOUR))
    assignment_requests.decide(db, request, about, assignment_requests.RequestDecision(True), Stamp(mia.id, NOW + DAY))
    assert about.assignee_id == ben.id and (dev.id, "unassigned") in notices_of(db)


# --- Concurrency


def test_one_of_several_concurrent_decisions_wins(maria: Crm) -> None:
    request = maria.make.request(maria.make.lead("ana"), "ben")

    def decide(approve: bool) -> Callable[[Session], Any]:
        def job(session: Session) -> str:
            row = session.get_one(AssignmentRequest, request.id)
            about = session.get_one(Lead, request.lead_id)
            assignment_requests.decide(
                session,
                row,
                about,
                assignment_requests.RequestDecision(approve, "x"),
                Stamp(maria.people["root"].id, NOW),
            )
            return str(row.status)

        return job

    results = run_in_parallel(maria, [decide(True), decide(False)] * 3)
    won = [one for one in results if isinstance(one, str)]
    assert len(won) == 1 and maria.fresh(request).status == won[0]
    assert all(isinstance(one, Conflict) for one in results if not isinstance(one, str))


def test_one_of_concurrent_withdrawals_and_approvals_wins(maria: Crm) -> None:
    request = maria.make.request(maria.make.lead("ana"), "ben")

    def end(how: str) -> Callable[[Session], Any]:
        def job(session: Session) -> str:
            row, about = session.get_one(AssignmentRequest, request.id), session.get_one(Lead, request.lead_id)
            if how == "withdraw":
                assignment_requests.withdraw(session, row, about, Stamp(maria.people["ana"].id, NOW))
            else:
                assignment_requests.decide(
                    session, row, about, assignment_requests.RequestDecision(True), Stamp(maria.people["root"].id, NOW)
                )
            return str(row.status)

        return job

    results = run_in_parallel(maria, [end("withdraw"), end("approve")] * 3)
    (won,) = [one for one in results if isinstance(one, str)]
    assert maria.fresh(request).status == won and all(isinstance(one, Conflict | str) for one in results)
    has_it = "ben" if won == "Approved" else "ana"
    assert maria.rows(select(Lead.assignee_id).where(Lead.id == request.lead_id)) == [maria.people[has_it].id]


# --- What is written, and where a refusal belongs


def test_a_new_request_is_written_with_a_line_and_its_notices(db: Session) -> None:
    mia = user(db, "mia")
    ana, ben = user(db, "ana", manager_id=mia.id), user(db, "ben")
    about = lead(db, ben)
    request = create_request(db, about, ana, ben, " I know him ")
    assert (request.lead_id, request.requested_user_id, request.reason) == (about.id, ana.id, "I know him")
    assert (request.created_by_id, request.created_on, request.decided_on) == (ben.id, NOW, None)
    line = db.scalars(select(Activity)).one()
    assert (line.kind, line.at, line.actor_id, line.lead_id) == ("assignment", NOW, ben.id, about.id)
    assert line.payload == {"what": "requested", "to": ana.id, "text": "I know him"}
    notice = db.scalars(select(Notification)).one()
    assert (notice.event_key, notice.actor_id, notice.at) == (f"request:{request.id}:{mia.id}", ben.id, NOW)
    assert (notice.payload, notice.lead_id) == ({"number": about.number}, about.id)


@pytest.mark.parametrize("is_approved", [True, False])
def test_a_decision_is_written_with_its_notices(db: Session, is_approved: bool) -> None:
    ana, ben, mia = (user(db, name) for name in ("ana", "ben", "mia"))
    about = lead(db, ana)
    request = create_request(db, about, ben, ana)
    verdict = assignment_requests.RequestDecision(is_approved, " Why not ")
    assignment_requests.decide(db, request, about, verdict, Stamp(mia.id, NOW + HOUR))
    assert (request.decision_note, request.changed_by_id, request.changed_on) == ("Why not", mia.id, NOW + HOUR)
    kind = "request_approved" if is_approved else "request_rejected"
    rows = db.scalars(select(Notification).where(Notification.kind == kind).order_by(Notification.user_id)).all()
    assert [(row.event_key, row.actor_id) for row in rows] == [
        (f"{kind}:{request.id}:{each.id}", mia.id) for each in (ana, ben)
    ]
    assert all((row.payload, row.at, row.lead_id) == ({"number": about.number}, NOW + HOUR, about.id) for row in rows)
    assert (about.changed_on == NOW + HOUR, about.changed_by_id == mia.id) == (is_approved, is_approved)
    reasons = db.scalars(select(Assignment.reason)).all()
    assert reasons == ["request"] * is_approved


def test_a_decision_marks_the_notices_of_the_approvers_as_read(db: Session) -> None:
    mia = user(db, "mia")
    ana, ben = user(db, "ana", manager_id=mia.id), user(db, "ben")
    about = lead(db, ben)
    request = create_request(db, about, ana, ben)
    assignment_requests.decide(db, request, about, assignment_requests.RequestDecision(True), Stamp(mia.id, NOW + HOUR))
    assert db.scalars(select(Notification.read_on).where(Notification.kind == "request")).all() == [NOW + HOUR]


def test_a_withdrawal_is_written_with_a_line_and_a_notice(db: Session) -> None:
    mia = user(db, "mia")
    ana, ben = user(db, "ana", manager_id=mia.id), user(db, "ben")
    about = lead(db, ben)
    request = create_request(db, about, ana, ben)
    assignment_requests.withdraw(db, request, about, Stamp(ben.id, NOW + HOUR))
    line = db.scalars(select(Activity).order_by(Activity.id.desc())).first()
    assert line is not None and line.payload == {"what": "request withdrawn", "to": ana.id}
    assert (line.kind, line.at, line.actor_id) == ("assignment", NOW + HOUR, ben.id)
    notice = db.scalars(select(Notification).where(Notification.kind == "request_withdrawn")).one()
    assert notice.event_key == f"request_withdrawn:{request.id}:{mia.id}"
    assert (notice.payload, notice.actor_id, notice.at) == ({"number": about.number}, ben.id, NOW + HOUR)


def test_each_refusal_of_a_request_names_its_field(db: Session) -> None:
    ana, ben = user(db, "ana"), user(db, "ben", away_until=NOW + HOUR)
    about = lead(db, ana)
    for wanted, reason, field in ((ben, " ", "reason"), (ana, "x", "requested_user"), (ben, "x", "requested_user")):
        with pytest.raises(RuleBroken) as refused:
            create_request(db, about, wanted, ana, reason)
        assert list(refused.value.errors) == [field]
    ben.away_until = NOW
    request = create_request(db, about, ben, ana)
    ben.away_until = NOW + DAY
    for verdict, field in ((True, "requested_user"), (False, "decision_note")):
        with pytest.raises(RuleBroken) as refused:
            assignment_requests.decide(db, request, about, assignment_requests.RequestDecision(verdict), Stamp(1, NOW))
        assert list(refused.value.errors) == [field]


def test_closing_a_request_leaves_others_pending(db: Session) -> None:
    ana, ben, dev = (user(db, name) for name in ("ana", "ben", "dev"))
    about = lead(db, ana)
    first, second = create_request(db, about, ben, ana), create_request(db, about, dev, ana)
    assert (first.number, second.number) == ("CAR-2026-00001", "CAR-2026-00002")
    assignment_requests.close(db, first, assignment_requests.RequestOutcome("Rejected"), Stamp(ana.id, NOW))
    db.expire_all()
    assert (first.status, first.pending_key, second.status) == ("Rejected", None, "Pending")
