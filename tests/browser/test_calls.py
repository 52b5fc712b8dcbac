"""After a call: outcome and next follow-up in three actions, from the list, without leaving it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import SELLER, OpenBrowser, UserBrowser
from tests.browser.test_journeys import unopened_lead


def log_call(browser: UserBrowser, digits: str, lead: str | None) -> None:
    """Log an outgoing call of a minute with this number, on this lead."""
    started = (datetime.now(UTC) - timedelta(seconds=90)).isoformat()
    told = {"direction": "Outgoing", "status": "Completed", "to_number": digits, "lead": lead}
    browser.create("call_log", **told, duration_seconds=61, started_on=started)


@pytest.fixture
def called(open_browser: OpenBrowser) -> Any:
    """Rohan, on the list of his calls without an outcome; the newest is with a lead of his."""
    made: Any = open_browser(SELLER)
    digits = f"98251{datetime.now():%S%f}"[:10]
    made.lead = unopened_lead(made, "Phonewali", digits)
    log_call(made, digits, made.lead)
    made.go("/calls/?tab=open")
    return made


def test_outcome_and_follow_up_in_three_actions(called: Any) -> None:
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


def test_no_answer_and_a_call_tomorrow_take_three_keys(called: Any) -> None:
    page: Any = called.page
    page.keyboard.press("o")
    expect(page.locator(".dialog-outcome input[name=outcome]").first).to_be_focused()
    page.keyboard.press("5")
    page.keyboard.press("t")
    expect(page.locator("tr", has_text="Phonewali")).to_have_count(0)
    called.go(f"/leads/{called.lead}")
    expect(page.locator(".timeline")).to_contain_text("Follow up: No answer")
    assert called.complaints == []


def test_keys_write_where_one_writes(called: UserBrowser) -> None:
    page: Any = called.page
    page.keyboard.press("o")
    page.locator(".dialog-outcome [name=note]").press_sequentially("not 5 o'clock")
    expect(page.locator(".dialog-outcome [name=note]")).to_have_value("not 5 o'clock")
    expect(page.locator(".dialog-outcome input[name=outcome]:checked")).to_have_count(0)


def test_an_unknown_number_becomes_a_lead_with_its_follow_up_at_once(called: UserBrowser) -> None:
    page: Any = called.page
    digits = f"98241{datetime.now():%S%f}"[:10]
    called.go("/calls/add")
    page.fill("[name=to_number]", digits)
    page.click(".form-foot .btn-primary")
    page.wait_for_url("**/calls/outcome/*")
    page.keyboard.press("1")
    expect(page.locator(".outcome-next")).not_to_be_visible()
    page.keyboard.press("n")
    page.fill("[name=note]", "Asks for an SIP")
    page.fill("[name=other]", "x" * 500)
    page.locator(".outcome-at summary").click()
    page.fill("[name=follow_up_on]", "2001-01-01T10:00")
    page.locator(".outcome-page .btn-primary").click()
    expect(page.locator(".field-error")).to_contain_text("is in the past")
    expect(page.locator("[name=note]")).to_have_value("Asks for an SIP")
    page.fill("[name=other]", "")
    page.fill("[name=follow_up_on]", "")
    page.get_by_role("radio", name="Interested", exact=True).focus()
    page.keyboard.press("h")
    page.wait_for_url("**/calls/show/*")
    page.locator(".record-side a", has_text="CRM-LEAD-").click()
    expect(page.locator(".timeline")).to_contain_text("Asks for an SIP")
    expect(page.locator(".timeline")).to_contain_text("Follow up: Interested")


def test_a_number_that_nobody_knew_is_linked_in_the_same_step(called: UserBrowser) -> None:
    page: Any = called.page
    log_call(called, f"98231{datetime.now():%S%f}"[:10], None)
    called.go("/calls/?tab=open")
    page.keyboard.press("o")
    expect(page.locator(".dialog-outcome input[name=outcome]").first).to_be_focused()
    page.keyboard.press("1")
    expect(page.locator(".outcome-next")).not_to_be_visible()
    page.keyboard.press("l")
    expect(page.locator("#outcome-place-ts-control")).to_be_focused()
    page.keyboard.type(called.lead)  # type: ignore[attr-defined]
    page.locator(".dialog-outcome .ts-dropdown .option", has_text=called.lead).click()  # type: ignore[attr-defined]
    page.fill(".dialog-outcome [name=note]", "Calls from his brother's telephone")
    page.locator(".dialog-outcome").get_by_role("button", name="In 1 hour").click()
    expect(page.locator(".dialog-outcome")).not_to_be_visible()
    called.go(f"/leads/{called.lead}")  # type: ignore[attr-defined]
    expect(page.locator(".timeline")).to_contain_text("Calls from his brother's telephone")
    expect(page.locator(".timeline")).to_contain_text("Follow up: Interested")
    assert called.complaints == []


def test_an_outcome_that_says_nothing_stays_open(called: UserBrowser) -> None:
    page: Any = called.page
    page.locator("tr", has_text="Phonewali").get_by_role("link", name="Log outcome").first.click()
    page.fill(".dialog-outcome [name=note]", "He was in a hurry")
    page.locator(".dialog-outcome .btn-primary").click()
    expect(page.locator(".dialog-outcome .field-error").first).to_be_visible()
    expect(page.locator(".dialog-outcome [name=note]")).to_have_value("He was in a hurry")
    page.keyboard.press("Escape")
    expect(page.locator(".dialog-outcome")).not_to_be_visible()


def test_without_scripts_it_is_a_page(called: UserBrowser) -> None:
    page: Any = called.page
    address = (
        page.locator("tr", has_text="Phonewali").get_by_role("link", name="Log outcome").first.get_attribute("href")
    )
    assert address is not None
    assert called.go(address).status == 200
    page.get_by_role("radio", name="Call back later").click()
    page.locator(".outcome-page .btn-primary").click()
    expect(page.locator("body")).to_contain_text("Outcome logged.")
