"""The next follow-up of a lead when its tasks are planned, and planned anew."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.app_fixtures import Crm

HOUR = timedelta(hours=1)
NOON = datetime(2099, 1, 5, 12, tzinfo=UTC)
PAST = datetime(2020, 1, 5, 12, tzinfo=UTC)


def planned(crm: Crm, body: dict[str, Any], stored: datetime | None) -> tuple[int, Any]:
    lead = crm.make.lead("ana", task={}, next_follow_up_on=stored)
    status = crm.client("ana").rest("POST", "task/", {"title": "Call", "lead": lead.id} | body).status_code
    return status, crm.stored(lead)["next_follow_up_on"]


@pytest.mark.parametrize("stored, expected", [(None, NOON), (PAST, NOON), (NOON + HOUR, NOON), (NOON - HOUR,) * 2])
def test_a_new_task_becomes_it_unless_another_is_ahead_and_earlier(crm: Crm, stored: Any, expected: Any) -> None:
    assert planned(crm, {"due_on": NOON.isoformat()}, stored) == (201, expected)


def test_a_task_without_a_due_time_leaves_it(crm: Crm) -> None:
    assert planned(crm, {}, NOON) == (201, NOON)


@pytest.mark.parametrize(
    "former, stored, expected",
    [
        (NOON - HOUR, NOON - HOUR, NOON),
        (NOON - 2 * HOUR, NOON - HOUR, NOON - HOUR),
        (NOON + 3 * HOUR, NOON + HOUR, NOON),
        (NOON + 3 * HOUR, None, NOON),
        (None, NOON + HOUR, NOON),
        (NOON - HOUR, PAST, NOON),
    ],
)
def test_a_task_that_is_moved_becomes_it_likewise(crm: Crm, former: Any, stored: Any, expected: Any) -> None:
    lead = crm.make.lead("ana", task={}, next_follow_up_on=stored)
    task = crm.make.task(lead, "ana", due_on=former)
    body = {"due_on": NOON.isoformat(), "version": task.version}
    assert crm.client("ana").rest("PUT", f"task/{task.id}", body).status_code == 200
    assert crm.stored(lead)["next_follow_up_on"] == expected
