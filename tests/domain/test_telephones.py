"""What a telephone's batch does beside the calls: first answers, and what is kept of what could not be taken."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from app.domain import telephones
from app.domain.call_sync import sync
from app.domain.leads import Lead
from app.domain.telephones import QuarantinedCall
from tests import makers
from tests.domain.test_call_sync import call, telephone
from tests.makers import NOW

#: When call() began.
BEGAN = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)
HALF_HOUR = timedelta(minutes=30)


@pytest.fixture
def ana(office: Session) -> Any:
    return makers.user(office, "ana", "Sales User")


@pytest.fixture
def lead(office: Session, ana: Any) -> Any:
    return makers.lead(office, ana, mobile="98200 00001", mobile_e164="+919820000001", at=NOW - timedelta(days=3))


def promise(session: Session, lead: Any, **values: Any) -> None:
    step = update(Lead).where(Lead.id == lead.id).values(replied_on=None, **values)
    session.execute(step, execution_options={"synchronize_session": False})


def stored(session: Session, lead: Any) -> tuple[Any, ...]:
    columns = (Lead.replied_on, Lead.reply_due_on, Lead.reply_late_on)
    return tuple(session.execute(select(*columns).where(Lead.id == lead.id)).one())


@pytest.mark.parametrize(
    ("due", "late", "then"),
    [
        (BEGAN + HALF_HOUR, None, None),
        (BEGAN - HALF_HOUR, None, BEGAN - HALF_HOUR),
        (BEGAN + HALF_HOUR, BEGAN + HALF_HOUR, None),  # the telephone was late, not the employee
    ],
)
def test_a_talk_is_the_first_answer_at_its_own_time(office, ana, lead, due, late, then):
    promise(office, lead, reply_due_on=due, reply_late_on=late)
    sync(office, telephone(ana), [call(1)], NOW)
    assert stored(office, lead) == (BEGAN, None, then)


@pytest.mark.parametrize(
    "said", [{"duration": 0}, {"type": "Missed"}, {"type": "Voicemail", "to": "98200"}, {"from": "9820000009"}]
)
def test_who_talked_with_nobody_has_not_answered(office, ana, lead, said):
    promise(office, lead, reply_due_on=BEGAN + HALF_HOUR)
    sync(office, telephone(ana), [call(1, **said)], NOW)
    assert stored(office, lead) == (None, BEGAN + HALF_HOUR, None)


def test_of_many_talks_the_first_is_the_answer(office, ana, lead):
    promise(office, lead)
    starts = ("2026-11-23 09:50:00", "2026-11-23 09:30:00", "2026-11-23 09:40:00")
    sync(office, telephone(ana), [call(1, start_time=s, device_call_id=s) for s in starts], NOW)
    assert stored(office, lead)[0] == BEGAN


def test_a_call_that_is_answered_after_all_is_an_answer(office, ana, lead):
    promise(office, lead)
    for seconds in (0, 40):
        sync(office, telephone(ana), [call(1, duration=seconds)], NOW)
    assert stored(office, lead)[0] == BEGAN


# --- what is kept


def kept(session: Session) -> int:
    return int(session.scalar(select(func.count(QuarantinedCall.id))) or 0)


def test_of_a_wrong_record_only_what_is_read_is_kept(office, ana):
    deep: Any = []
    for _ in range(200):
        deep = [deep]
    odd = {"from": deep, "secret": "x" * 9000, "start_time": float("nan"), "contact_name": "y" * 9000}
    sync(office, telephone(ana), [odd], NOW)
    assert office.scalars(select(QuarantinedCall.raw)).one() == {
        "from": ["list"],
        "start_time": "nan",
        "contact_name": "y" * 200,
    }


def test_what_is_not_sent_again_is_forgotten(office, ana):
    sync(office, telephone(ana), [call(1, to="")], NOW - telephones.KEEP_FOR - timedelta(days=1))
    sync(office, telephone(ana), [call(2, to="")], NOW)
    assert kept(office) == 1


def test_of_very_many_wrong_records_the_newest_are_kept(office, ana):
    many = [call(n, to="") for n in range(telephones.MAX_KEPT + 50)]
    sync(office, telephone(ana), many, NOW)
    assert kept(office) == telephones.MAX_KEPT
