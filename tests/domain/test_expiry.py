"""Expiry of leads without changes and of assignment requests without a decision."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.domain import assignment_requests
from app.domain.base import Stamp
from app.domain.expiry import due_leads, due_requests, expire_lead, expire_request
from app.domain.notices import Notification
from app.domain.settings import BusinessSetting
from app.domain.timeline import Activity, StatusChange
from tests import makers
from tests.makers import ALWAYS_OPEN, DAY, HOUR, NOW, OFFICE


@pytest.fixture
def ana(session: Session) -> Any:
    return makers.user(session, "ana", "Sales User")


@pytest.mark.parametrize(
    ("meaning", "days", "ends_as"),
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
def test_when_a_lead_expires(session, ana, meaning, days, ends_as):
    lead = makers.lead(session, ana, meaning, at=NOW - days * DAY)
    for lead_id in due_leads(session, NOW, 100):
        expire_lead(session, lead_id, NOW)
    assert lead.status.meaning == (ends_as or meaning)


def test_a_lead_changed_meanwhile_stays(session, ana):
    lead = makers.lead(session, ana, at=NOW - 61 * DAY)
    found = due_leads(session, NOW, 100)
    lead.stamp(Stamp(ana.id, NOW - HOUR))
    session.flush()
    assert [expire_lead(session, lead_id, NOW) for lead_id in found] == ["skipped"]


def test_expiring_goes_through_the_state_machine(session, ana):
    lead = makers.lead(session, ana, at=NOW - 61 * DAY)
    expire_lead(session, lead.id, NOW)
    assert session.scalars(select(StatusChange)).one().seconds == 61 * 24 * 3600
    assert session.scalars(select(Activity.kind)).all() == ["status_change"]
    assert session.scalars(select(Notification.kind)).all() == ["status"]


def test_the_number_of_days_is_a_business_setting(session, ana):
    session.add(BusinessSetting(key="lead_expiry_days", value=10))
    makers.lead(session, ana, at=NOW - 11 * DAY)
    assert len(due_leads(session, NOW, 100)) == 1


def pending_request(session: Session, ana: Any, at: Any) -> assignment_requests.AssignmentRequest:
    ben = makers.user(session, "ben", "Sales User")
    return assignment_requests.create(session, makers.lead(session, ben), ana.id, "I know him", Stamp(ben.id, at))


@pytest.mark.parametrize(
    ("office", "days_ago", "is_due"),
    # Requested at 10:00 on Friday, Thursday …: the weekend has no working days
    [(OFFICE, 3, False), (OFFICE, 4, False), (OFFICE, 5, True), (ALWAYS_OPEN, 3, True), (ALWAYS_OPEN, 2, False)],
)
def test_a_request_expires_after_three_working_days(session, ana, office, days_ago, is_due):
    request = pending_request(session, ana, NOW - days_ago * DAY)
    assert due_requests(session, NOW, office, 100) == ([request.id] if is_due else [])


def test_an_expired_request_is_closed_and_its_creator_notified(session, ana):
    request = pending_request(session, ana, NOW - 10 * DAY)
    assert [expire_request(session, request.id, NOW) for _ in range(2)] == ["expired", "skipped"]
    session.refresh(request)
    assert (request.status, request.pending_key) == ("Expired", None)
    told = session.scalars(select(Notification).where(Notification.kind == "request_expired")).one()
    assert told.user_id == request.created_by_id


def test_after_it_expired_a_new_request_is_possible(session, ana):
    request = pending_request(session, ana, NOW - 10 * DAY)
    expire_request(session, request.id, NOW)
    lead = session.get_one(makers.Lead, request.lead_id)
    again = assignment_requests.create(session, lead, ana.id, "I still know him", Stamp(request.created_by_id, NOW))
    assert again.status == "Pending"


def test_a_decided_request_does_not_expire(session, ana):
    request = pending_request(session, ana, NOW - 10 * DAY)
    lead = session.get_one(makers.Lead, request.lead_id)
    assignment_requests.decide(
        session, request, lead, assignment_requests.Verdict(True), Stamp(ana.id, NOW - timedelta(days=1))
    )
    assert due_requests(session, NOW, ALWAYS_OPEN, 100) == []
    assert expire_request(session, request.id, NOW) == "skipped"
