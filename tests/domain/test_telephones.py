"""Sync of phones: first replies by calls, and quarantined records."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from app.domain.leads import Lead
from app.domain.telephony import telephones
from app.domain.telephony.call_sync import sync
from app.domain.telephony.telephones import QuarantinedCall
from tests import factories
from tests.domain.test_call_sync import call, telephone
from tests.factories import NOW

#: When call() started.
STARTED = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)
HALF_HOUR = timedelta(minutes=30)


@pytest.fixture
def ana(db: Session) -> Any:
    return factories.user(db, "ana", "Sales User")


@pytest.fixture
def lead(db: Session, ana: Any) -> Any:
    return factories.lead(db, ana, mobile="98200 00001", mobile_e164="+919820000001", at=NOW - timedelta(days=3))


def set_sla(session: Session, lead: Any, **values: Any) -> None:
    step = update(Lead).where(Lead.id == lead.id).values(replied_on=None, **values)
    session.execute(step, execution_options={"synchronize_session": False})


def stored(session: Session, lead: Any) -> tuple[Any, ...]:
    columns = (Lead.replied_on, Lead.reply_due_on, Lead.reply_late_on)
    return tuple(session.execute(select(*columns).where(Lead.id == lead.id)).one())


@pytest.mark.parametrize(
    ("due", "late", "then"),
    [
        (STARTED + HALF_HOUR, None, None),
        (STARTED - HALF_HOUR, None, STARTED - HALF_HOUR),
        (STARTED + HALF_HOUR, STARTED + HALF_HOUR, None),  # the sync was late, not the employee
    ],
)
def test_a_talk_is_the_first_reply_at_the_time_of_the_call(
    db: Session, ana: Any, lead: Any, due: Any, late: Any, then: Any
) -> None:
    set_sla(db, lead, reply_due_on=due, reply_late_on=late)
    sync(db, telephone(ana), [call(1)], NOW)
    assert stored(db, lead) == (STARTED, None, then)


@pytest.mark.parametrize(
    "values", [{"duration": 0}, {"type": "Missed"}, {"type": "Voicemail", "to": "98200"}, {"from": "9820000009"}]
)
def test_a_call_that_reached_nobody_is_no_reply(db: Session, ana: Any, lead: Any, values: Any) -> None:
    set_sla(db, lead, reply_due_on=STARTED + HALF_HOUR)
    sync(db, telephone(ana), [call(1, **values)], NOW)
    assert stored(db, lead) == (None, STARTED + HALF_HOUR, None)


def test_the_first_of_several_talks_is_the_reply(db: Session, ana: Any, lead: Any) -> None:
    set_sla(db, lead)
    starts = ("2026-11-23 09:50:00", "2026-11-23 09:30:00", "2026-11-23 09:40:00")
    sync(db, telephone(ana), [call(1, start_time=s, device_call_id=s) for s in starts], NOW)
    assert stored(db, lead)[0] == STARTED


def test_a_call_that_is_answered_later_is_a_reply(db: Session, ana: Any, lead: Any) -> None:
    set_sla(db, lead)
    for seconds in (0, 40):
        sync(db, telephone(ana), [call(1, duration=seconds)], NOW)
    assert stored(db, lead)[0] == STARTED


# --- Quarantined records


def quarantined(session: Session) -> int:
    return int(session.scalar(select(func.count(QuarantinedCall.id))) or 0)


def test_only_the_parsed_fields_of_an_unreadable_record_are_kept(db: Session, ana: Any) -> None:
    deep: Any = []
    for _ in range(200):
        deep = [deep]
    unreadable = {"from": deep, "secret": "x" * 9000, "start_time": float("nan"), "contact_name": "y" * 9000}
    sync(db, telephone(ana), [unreadable], NOW)
    assert db.scalars(select(QuarantinedCall.raw)).one() == {
        "from": ["list"],
        "start_time": "nan",
        "contact_name": "y" * 200,
    }


def test_the_newest_of_very_many_unreadable_records_are_kept(db: Session, ana: Any) -> None:
    many = [call(n, to="") for n in range(telephones.MAX_KEPT + 50)]
    sync(db, telephone(ana), many, NOW)
    assert quarantined(db) == telephones.MAX_KEPT
