"""Pages with prepared statements: a removed right takes effect with the next request."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.app_fixtures import Crm


def give_away(crm: Crm, lead: Any) -> None:
    crm.make.give(lead, "ben")


def forbid(crm: Crm, _lead: Any) -> None:
    crm.make.cell("Sales User", "Leads", "read", "none")


@pytest.mark.parametrize("take", [give_away, forbid])
def test_a_lead_that_is_taken_away_leaves_my_day_and_its_pages(crm: Crm, take: Callable[..., None]) -> None:
    lead = crm.make.lead("root", assignee_id=crm.people["ana"].id, first_name="Zubin", task={})
    client = crm.client("ana")
    for _ in range(3):  # the third time, every statement is a finished one
        assert lead.number in client.screen("/").text
        assert "Zubin" in client.screen(f"/leads/{lead.number}").text
    take(crm, lead)
    assert f"/leads/{lead.number}" not in client.screen("/").text
    assert client.screen(f"/leads/{lead.number}").status_code in (403, 404)


def test_the_bell_counts_what_has_come_since(crm: Crm) -> None:
    client = crm.client("ana")
    for _ in range(3):
        before = client.screen("/").text.count("data-unread hidden")
    crm.make.lead("root", assignee_id=crm.people["ana"].id)
    assert before == 1 and "data-unread >" in client.screen("/").text
