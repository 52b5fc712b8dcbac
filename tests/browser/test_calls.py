"""After a call: outcome and next follow-up in three actions, from the list, without leaving it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import SELLER, Seat
from tests.browser.test_journeys import new_lead

Sit = Callable[..., Seat]
#: Log an outgoing call of a minute with this number, on this lead.
LOG = """async ([digits, number]) => (await fetch('/api/v1/call_log/', {
  method: 'POST',
  headers: {'Content-Type': 'application/json', 'X-CSRFToken': document.querySelector('meta[name=csrf-token]').content},
  body: JSON.stringify({direction: 'Outgoing', status: 'Completed', to_number: digits, lead: number,
    duration_seconds: 61, started_on: new Date(Date.now() - 90000).toISOString()}),
})).status"""


@pytest.fixture
def called(seat: Sit) -> Seat:
    """Rohan, on the list of his calls without an outcome; the newest is with a lead of his."""
    made = seat(SELLER)
    digits = f"98251{datetime.now():%S%f}"[:10]
    made.lead = new_lead(made, "Phonewali", digits)  # type: ignore[attr-defined]
    logged = made.page.evaluate(LOG, [digits, made.lead])
    assert logged == 201
    made.go("/calls/?tab=open")
    return made


def test_outcome_and_follow_up_in_three_actions(called: Seat) -> None:
    page: Any = called.page
    page.locator("tr", has_text="Phonewali").get_by_role("link", name="Log outcome").click()
    page.get_by_role("radio", name="Interested", exact=True).click()
    page.locator(".dialog-outcome").get_by_role("button", name="In 1 hour").click()
    expect(page.locator("tr", has_text="Phonewali")).to_have_count(0)
    assert "tab=open" in page.url
    called.go(f"/leads/{called.lead}")
    expect(page.locator(".timeline")).to_contain_text("called Phonewali")
    expect(page.locator(".timeline")).to_contain_text("Follow up: Interested")
    assert called.complaints == []


def test_an_outcome_that_says_nothing_stays_open(called: Seat) -> None:
    page: Any = called.page
    page.locator("tr", has_text="Phonewali").get_by_role("link", name="Log outcome").first.click()
    page.fill(".dialog-outcome [name=note]", "He was in a hurry")
    page.locator(".dialog-outcome .btn-primary").click()
    expect(page.locator(".dialog-outcome .field-error").first).to_be_visible()
    expect(page.locator(".dialog-outcome [name=note]")).to_have_value("He was in a hurry")
    page.keyboard.press("Escape")
    expect(page.locator(".dialog-outcome")).not_to_be_visible()


def test_without_scripts_it_is_a_page(called: Seat) -> None:
    page: Any = called.page
    address = (
        page.locator("tr", has_text="Phonewali").get_by_role("link", name="Log outcome").first.get_attribute("href")
    )
    assert address is not None
    assert called.go(address).status == 200
    page.get_by_role("radio", name="Call back later").click()
    page.locator(".outcome-page .btn-primary").click()
    expect(page.locator("body")).to_contain_text("The outcome is logged.")
