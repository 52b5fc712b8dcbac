"""Expiry of leads without changes and of assignment requests without a decision."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.domain import assignment_requests, timeline
from app.domain.automation.expiry import due_leads, due_requests, expire_leads, expire_request
from app.domain.base import Stamp
from app.domain.business_settings import BusinessSetting
from app.domain.leads import Lead
from app.domain.notifications.notices import Notification
from app.domain.timeline import Activity, StatusChange
from app.ops.database.connections import STATEMENTS
from tests import factories
from tests.cases import each_case
from tests.factories import ALWAYS_OPEN, DAY, HOUR, MINUTE, NOW, OFFICE


@pytest.fixture
def ana(session: Session) -> Any:
    return factories.user(session, "ana", "Sales User")


@each_case(
    "meaning, days, ends_as",
    [
        ("new", 59, None),
        ("new", 60, "expired"),
        ("working", 61, "expired"),
        ("scheduled", 61, "expired"),
        ("rejected", 61, "expired"),
        ("opened", 29, None),
        ("opened", 30, "expired_opened"),
        ("activated", 400, None),
        ("unqualified", 400, None),
        ("junk", 400, None),
        ("expired", 400, None),
    ],
)
def test_when_a_lead_expires(session: Session, ana: Any, meaning: Any, days: Any, ends_as: Any) -> None:
    lead = factories.lead(session, ana, meaning, at=NOW - days * DAY)
    expire_leads(session, due_leads(session, NOW, 100), NOW)
    assert lead.status.meaning == (ends_as or meaning)


@each_case(
    "kind, days_ago, stays",
    [
        ("note", 59, True),
        ("call", 1, True),
        ("message", 1, True),
        ("task", 1, True),
        ("note", 60, False),
        ("system", 1, False),
    ],
)
def test_a_lead_with_activity_stays(session: Session, ana: Any, kind: str, days_ago: int, stays: bool) -> None:
    lead = factories.lead(session, ana, at=NOW - 90 * DAY)
    timeline.write(session, lead, kind, Stamp(ana.id, NOW - days_ago * DAY), text="Called.")
    session.flush()
    assert due_leads(session, NOW, 100) == ([] if stays else [lead.id])
    assert expire_leads(session, [lead.id], NOW) == ["skipped" if stays else "expired"]


def test_an_opened_account_expires_by_its_status_alone(session: Session, ana: Any) -> None:
    lead = factories.lead(session, ana, "opened", at=NOW - 30 * DAY)
    timeline.write(session, lead, "note", Stamp(ana.id, NOW), text="Called.")
    session.flush()
    assert expire_leads(session, due_leads(session, NOW, 100), NOW) == ["expired"]


def test_leads_with_activity_do_not_keep_others_from_expiring(session: Session, ana: Any) -> None:
    """At most so many are found at once, and the oldest come first."""
    made = [factories.lead(session, ana, at=NOW - 90 * DAY) for _ in range(7)]
    for lead in made[:4]:
        timeline.write(session, lead, "note", Stamp(ana.id, NOW), text="Called.")
    session.flush()
    assert due_leads(session, NOW, 2) == [made[4].id, made[5].id]


def test_a_lead_changed_meanwhile_stays(session: Session, ana: Any) -> None:
    lead = factories.lead(session, ana, at=NOW - 61 * DAY)
    found = due_leads(session, NOW, 100)
    lead.stamp(Stamp(ana.id, NOW - HOUR))
    session.flush()
    assert expire_leads(session, found, NOW) == ["skipped"]


def test_expiring_goes_through_the_state_machine(session: Session, ana: Any) -> None:
    lead = factories.lead(session, ana, at=NOW - 61 * DAY)
    expire_leads(session, [lead.id], NOW)
    assert session.scalars(select(StatusChange)).one().seconds == 61 * 24 * 3600
    assert session.scalars(select(Activity.kind)).all() == ["status_change"]
    assert session.scalars(select(Notification.kind)).all() == ["status"]


def test_many_leads_expire_with_few_statements_each(session: Session, ana: Any) -> None:
    old, opened, fresh = NOW - 61 * DAY, NOW - 40 * DAY, NOW - DAY
    made = [factories.lead(session, ana, at=old) for _ in range(20)]
    made += [factories.lead(session, ana, "opened", at=opened), factories.lead(session, ana, at=fresh)]
    session.commit()
    statements: list[str] = []
    token = STATEMENTS.set(statements)
    done = expire_leads(session, [lead.id for lead in reversed(made)], NOW)
    STATEMENTS.reset(token)
    assert done == ["skipped", *["expired"] * 21]
    assert [lead.status.meaning for lead in made] == ["expired"] * 20 + ["expired_opened", "new"]
    assert len(session.scalars(select(StatusChange)).all()) == 21
    assert len(statements) < 60, statements


def test_the_number_of_days_is_a_business_setting(session: Session, ana: Any) -> None:
    session.add(BusinessSetting(key="lead_expiry_days", value=10))
    factories.lead(session, ana, at=NOW - 11 * DAY)
    assert len(due_leads(session, NOW, 100)) == 1


def pending_request(session: Session, ana: Any, at: Any) -> assignment_requests.AssignmentRequest:
    ben = factories.user(session, "ben", "Sales User")
    return assignment_requests.create(session, factories.lead(session, ben), ana.id, "I know him", Stamp(ben.id, at))


@pytest.mark.parametrize(
    ("db", "days_ago", "is_due"),
    # Requested at 10:00 on Friday, Thursday …: the weekend has no working days
    [(OFFICE, 3, False), (OFFICE, 4, False), (OFFICE, 5, True), (ALWAYS_OPEN, 3, True), (ALWAYS_OPEN, 2, False)],
)
def test_a_request_expires_after_three_working_days(
    session: Session, ana: Any, db: Any, days_ago: int, is_due: bool
) -> None:
    request = pending_request(session, ana, NOW - days_ago * DAY)
    assert due_requests(session, NOW, db, 100) == ([request.id] if is_due else [])


def test_an_expired_request_is_closed_and_its_creator_notified(session: Session, ana: Any) -> None:
    request = pending_request(session, ana, NOW - 10 * DAY)
    assert [expire_request(session, request.id, NOW) for _ in range(2)] == ["expired", "skipped"]
    session.refresh(request)
    assert (request.status, request.pending_key) == ("Expired", None)
    told = session.scalars(select(Notification).where(Notification.kind == "request_expired")).one()
    assert told.user_id == request.created_by_id


def test_after_it_expired_a_new_request_is_possible(session: Session, ana: Any) -> None:
    request = pending_request(session, ana, NOW - 10 * DAY)
    expire_request(session, request.id, NOW)
    lead = session.get_one(Lead, request.lead_id)
    again = assignment_requests.create(session, lead, ana.id, "I still know him", Stamp(request.created_by_id, NOW))
    assert again.status == "Pending"


def test_a_decided_request_does_not_expire(session: Session, ana: Any) -> None:
    request = pending_request(session, ana, NOW - 10 * DAY)
    lead = session.get_one(Lead, request.lead_id)
    assignment_requests.decide(
        session, request, lead, assignment_requests.RequestDecision(True), Stamp(ana.id, NOW - timedelta(days=1))
    )
    assert due_requests(session, NOW, ALWAYS_OPEN, 100) == []
    assert expire_request(session, request.id, NOW) == "skipped"


# --- Order, chunks and what is written


def test_the_longest_unchanged_leads_come_first(session: Session, ana: Any) -> None:
    rows = [factories.lead(session, ana, at=NOW - days * DAY) for days in (61, 63, 62, 62)]
    ids = [rows[index].id for index in (1, 2, 3, 0)]
    assert due_leads(session, NOW, 100) == ids
    assert due_leads(session, NOW, 2) == ids[:2]


@pytest.mark.parametrize(
    ("key", "meaning"), [("lead_expiry_days", "new"), ("opened_expiry_days", "opened"), ("lead_expiry_days", "working")]
)
def test_each_state_has_its_own_number_of_days(session: Session, ana: Any, key: str, meaning: str) -> None:
    session.add(BusinessSetting(key=key, value=10))
    lead = factories.lead(session, ana, meaning, at=NOW - 10 * DAY)
    factories.lead(session, ana, meaning, at=NOW - 10 * DAY + MINUTE)
    assert due_leads(session, NOW, 100) == [lead.id]


def test_an_opened_lead_expires_by_its_status_not_by_its_last_change(session: Session, ana: Any) -> None:
    lead = factories.lead(session, ana, "opened", at=NOW - 30 * DAY)
    lead.stamp(Stamp(ana.id, NOW))
    session.flush()
    assert due_leads(session, NOW, 100) == [lead.id]
    lead.status_on, lead.changed_on = NOW, NOW - 400 * DAY
    session.flush()
    assert due_leads(session, NOW, 100) == []


def test_an_expiry_reads_the_lead_as_it_is_now(session: Session, ana: Any) -> None:
    factories.lead(session, ana, at=NOW - 61 * DAY)
    lead = factories.lead(session, ana, at=NOW - 61 * DAY)
    assert lead.description is None
    session.execute(update(Lead).values(description="Newer"), execution_options={"synchronize_session": False})
    assert expire_leads(session, [lead.id], NOW) == ["expired"]
    after: Any = (lead.status.meaning, lead.description)
    assert after == ("expired", "Newer")


def test_the_oldest_requests_come_first(session: Session, ana: Any) -> None:
    people = [factories.user(session, name, "Sales User") for name in ("cy", "dev", "eve", "fay")]
    about = factories.lead(session, ana)
    rows = [
        assignment_requests.create(session, about, each.id, "Please", Stamp(ana.id, NOW - days * DAY))
        for each, days in zip(people, (7, 9, 8, 8), strict=True)
    ]
    ids = [rows[index].id for index in (1, 2, 3, 0)]
    assert due_requests(session, NOW, OFFICE, 100) == ids
    assert due_requests(session, NOW, OFFICE, 2) == ids[:2]


@pytest.mark.parametrize("make", [factories.lead, factories.ticket])
def test_an_expired_request_is_written_everywhere(session: Session, ana: Any, make: Any) -> None:
    ben = factories.user(session, "ben", "Sales User", manager_id=ana.id)
    about = make(session, ana)
    request = assignment_requests.create(session, about, ben.id, "Please", Stamp(ana.id, NOW - 9 * DAY))
    other = assignment_requests.create(session, make(session, ana), ben.id, "Please", Stamp(ana.id, NOW - 9 * DAY))
    assert expire_request(session, request.id, NOW) == "expired"
    session.expire_all()
    assert (request.status, request.pending_key, request.decided_on, request.decided_by_id) == (
        "Expired",
        None,
        NOW,
        None,
    )
    assert (request.changed_on, request.changed_by_id, other.status) == (NOW, None, "Pending")
    line = session.scalars(select(Activity).order_by(Activity.id.desc())).first()
    assert line is not None and (line.kind, line.at, line.actor_id) == ("assignment", NOW, None)
    assert line.payload == {"what": "request expired", "to": ben.id}
    notice = session.scalars(select(Notification).where(Notification.kind == "request_expired")).one()
    assert (notice.user_id, notice.payload) == (ana.id, {"number": about.number})
    assert (notice.lead_id or notice.ticket_id, notice.event_key) == (
        about.id,
        f"request_expired:{request.id}:{ana.id}",
    )


def test_the_approvers_notice_of_an_expired_request_is_read(session: Session, ana: Any) -> None:
    mia = factories.user(session, "mia")
    ben = factories.user(session, "ben", "Sales User", manager_id=mia.id)
    request = assignment_requests.create(
        session, factories.lead(session, ana), ben.id, "x", Stamp(ana.id, NOW - 9 * DAY)
    )
    expire_request(session, request.id, NOW)
    assert session.scalars(select(Notification.read_on).where(Notification.kind == "request")).all() == [NOW]


def test_an_expired_request_without_an_author_notifies_no_one(session: Session, ana: Any) -> None:
    request = assignment_requests.create(session, factories.lead(session), ana.id, "x", Stamp(None, NOW - 9 * DAY))
    assert expire_request(session, request.id, NOW) == "expired"
    assert session.scalars(select(Notification).where(Notification.kind == "request_expired")).all() == []
