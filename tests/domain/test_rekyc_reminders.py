"""Owners are reminded that the KYC of a customer has to be renewed: once for each date."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.domain.automation.rekyc_reminders import due_customers, remind_many
from app.domain.business_settings import BusinessSetting
from app.domain.notifications.notices import Notification
from tests import factories
from tests.factories import NOW

ZONE = "Asia/Kolkata"
TODAY = NOW.date()


@pytest.fixture
def ana(session: Session) -> Any:
    mia = factories.user(session, "mia", "Sales Manager")
    return factories.user(session, "ana", "Sales User", manager_id=mia.id)


def customer(session: Session, owner: Any, rekyc_on: date | None) -> Any:
    made = factories.double(session)
    made.owner_id, made.rekyc_on = owner.id, rekyc_on
    session.flush()
    return made


def run(session: Session, later: int = 0) -> list[str]:
    """What the job does on a day."""
    now = NOW + timedelta(days=later)
    return remind_many(session, due_customers(session, now, ZONE, 100), now, ZONE)


def told(session: Session) -> list[Notification]:
    return list(session.scalars(select(Notification).where(Notification.kind == "rekyc").order_by(Notification.id)))


@pytest.mark.parametrize(
    ("days", "due"), [(None, False), (31, False), (30, True), (1, True), (0, True), (-30, True), (-31, False)]
)
def test_when_somebody_is_reminded(session: Session, ana: Any, days: int | None, due: bool) -> None:
    made = customer(session, ana, None if days is None else TODAY + timedelta(days=days))
    assert due_customers(session, NOW, ZONE, 100) == ([made.id] if due else [])


def test_the_owner_is_reminded_once_for_each_date(session: Session, ana: Any) -> None:
    made = customer(session, ana, TODAY + timedelta(days=30))
    assert run(session) == ["reminded"] and run(session) == [] and run(session, 1) == []
    assert remind_many(session, [made.id], NOW, ZONE) == ["skipped"]
    made.rekyc_on = TODAY + timedelta(days=20)
    session.flush()
    assert run(session) == ["reminded"]
    assert [(each.user_id, each.customer_id, each.payload["days"]) for each in told(session)] == [
        (ana.id, made.id, 30),
        (ana.id, made.id, 20),
    ]


def test_for_an_owner_who_left_their_manager_is_reminded(session: Session, ana: Any) -> None:
    customer(session, ana, TODAY)
    ana.active = False
    session.flush()
    assert run(session) == ["reminded"]
    assert [each.user_id for each in told(session)] == [ana.manager_id]


def test_nobody_is_reminded_of_inactive_customers_and_of_those_of_nobody(session: Session, ana: Any) -> None:
    inactive, orphan = customer(session, ana, TODAY), customer(session, ana, TODAY)
    inactive.status, orphan.owner_id = "Inactive", None
    session.flush()
    assert run(session) == []


def test_those_who_were_reminded_keep_nobody_else_from_it(session: Session, ana: Any) -> None:
    made = [customer(session, ana, TODAY) for _ in range(5)]
    remind_many(session, [made[0].id, made[1].id, made[2].id], NOW, ZONE)
    assert due_customers(session, NOW, ZONE, 2) == [made[3].id, made[4].id]


def test_the_number_of_days_is_a_business_setting(session: Session, ana: Any) -> None:
    customer(session, ana, TODAY + timedelta(days=50))
    session.add(BusinessSetting(key="rekyc_reminder_days", value=60))
    session.flush()
    assert run(session) == ["reminded"]
