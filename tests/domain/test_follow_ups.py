"""Planning the next follow-up of a lead or ticket."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy.orm import Session

from app.domain import follow_ups
from app.domain.base import RuleBroken
from app.domain.next_follow_up import PlannedTask
from tests import factories
from tests.factories import DAY, HOUR, MINUTE, NOW

IN_THE_PAST = "The next follow-up is in the past. Please choose a later time."


def test_all_errors_of_a_follow_up_are_reported_together() -> None:
    with pytest.raises(RuleBroken) as broken:
        follow_ups.refuse_invalid_follow_up({"title": " ", "due_on": None}, NOW)
    assert set(broken.value.errors) == {"title", "due_on"}
    with pytest.raises(RuleBroken, match="past"):
        follow_ups.refuse_invalid_follow_up({"title": "Call", "due_on": NOW}, NOW)


@pytest.mark.parametrize(
    "stored, expected",
    [(None, NOW + DAY), (NOW - DAY, NOW + DAY), (NOW + 3 * DAY, NOW + DAY), (NOW + 5 * HOUR, NOW + 5 * HOUR)],
)
def test_the_leads_follow_up_is_the_next_one(session: Session, stored: Any, expected: datetime) -> None:
    lead = factories.lead(session, factories.user(session, "ana", "Sales User"))
    lead.next_follow_up_on = stored
    session.flush()
    follow_ups.set_follow_up(session, lead.id, PlannedTask(NOW + DAY, NOW))
    session.refresh(lead)
    assert lead.next_follow_up_on == expected


@pytest.mark.parametrize(
    "values, errors",
    [
        ({"title": "Call", "due_on": NOW + MINUTE}, {}),
        ({"title": "", "due_on": NOW + MINUTE}, {"title": ["Please enter what to do next."]}),
        ({"title": None, "due_on": NOW + MINUTE}, {"title": ["Please enter what to do next."]}),
        ({"due_on": NOW + MINUTE}, {"title": ["Please enter what to do next."]}),
        ({"title": "Call"}, {"due_on": ["When is the next follow-up? Please choose a day and time."]}),
        (
            {"title": "Call", "due_on": NOW},
            {"due_on": ["The next follow-up is in the past. Please choose a later time."]},
        ),
    ],
)
def test_a_follow_up_has_a_title_and_a_time_ahead(values: Any, errors: Any) -> None:
    if not errors:
        follow_ups.refuse_invalid_follow_up(values, NOW)
        return
    with pytest.raises(RuleBroken, match=re.escape(next(iter(errors.values()))[0])) as broken:
        follow_ups.refuse_invalid_follow_up(values, NOW)
    assert broken.value.errors == errors


@pytest.mark.parametrize(
    "stored, expected",
    [(NOW, NOW + DAY), (NOW + MINUTE, NOW + MINUTE), (NOW + DAY, NOW + DAY), (NOW + DAY + MINUTE, NOW + DAY)],
)
def test_a_follow_up_at_the_boundaries(session: Session, stored: Any, expected: datetime) -> None:
    rows = [factories.lead(session, next_follow_up_on=stored) for _ in range(2)]
    follow_ups.set_follow_up(session, rows[0].id, PlannedTask(NOW + DAY, NOW))
    session.expire_all()
    assert [each.next_follow_up_on for each in rows] == [expected, stored]


@pytest.mark.parametrize("replaced", [(), (NOW + HOUR,), (NOW + 2 * DAY, NOW + HOUR)])
@pytest.mark.parametrize("stored", [None, NOW - DAY, NOW, NOW + HOUR, NOW + 2 * HOUR, NOW + DAY, NOW + 2 * DAY])
def test_a_row_in_memory_and_an_update_move_alike(session: Session, stored: Any, replaced: Any) -> None:
    planned = PlannedTask(NOW + DAY, NOW, replaced)
    lead = factories.lead(session, next_follow_up_on=stored)
    follow_ups.set_follow_up(session, lead.id, planned)
    session.expire_all()
    assert lead.next_follow_up_on == planned.next_after(stored)
