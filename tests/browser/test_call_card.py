"""The call card stays across pages and asks for the outcome; an incoming call becomes a lead."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import COLLEAGUE, SELLER, OpenBrowser, UserBrowser
from tests.browser.test_journeys import new_lead, unopened_lead

DESK = "Demo desk"


@pytest.fixture
def desk(open_browser: OpenBrowser) -> UserBrowser:
    """The admin, on the page where they play the customer; promotional calls are allowed at any hour."""
    made = open_browser("admin")
    made.go("/settings/business/")
    made.page.fill("[name=promotional_hours]", "00:00-00:00")
    made.page.click(".form-foot .btn-primary")
    made.go("/settings/channels/")
    made.page.get_by_role("link", name=DESK).click()
    made.page.get_by_role("link", name="Play the customer").click()
    return made


def play(desk: UserBrowser, step: str) -> None:
    """Press a button of the newest call, which may have to arrive first."""
    button = desk.page.locator("#calls tbody tr").first.get_by_role("button", name=step, exact=True)
    for _each in range(50):
        if button.count():
            break
        desk.page.wait_for_timeout(100)
        desk.page.reload()
    button.click()
    desk.page.wait_for_load_state("load")


def card(who: UserBrowser, state: str) -> Any:
    """The card of this state, as soon as it is there."""
    found = who.page.locator(f'[data-card][data-state="{state}"]')
    expect(found.first).to_be_visible()
    return found.first


def test_a_call_is_on_every_page_and_asks_for_its_outcome(open_browser: OpenBrowser, desk: UserBrowser) -> None:
    rohan = open_browser(SELLER)
    page: Any = rohan.tab
    lead = unopened_lead(rohan, "Phonewala", f"98271{datetime.now():%S%f}"[:10])
    rohan.go(f"/leads/{lead}")
    rohan.await_socket()
    page.keyboard.press("c")
    expect(card(rohan, "ringing")).to_contain_text("+91 140 123 4567")
    play(desk, "Answer")
    card(rohan, "talking").locator("textarea").fill("Asks for an SIP of 5,000")
    rohan.go("/tasks/")
    expect(card(rohan, "talking").locator("textarea")).to_have_value("Asks for an SIP of 5,000")
    expect(card(rohan, "talking").locator("[data-seconds]")).to_have_text(re.compile(r"\d+:[0-5]\d"))
    page.locator("h1").click()  # out of the search field
    page.keyboard.press("p")
    expect(card(rohan, "talking").locator("textarea")).to_be_focused()
    play(desk, "Hang up")
    expect(page.locator(".dialog-outcome [name=note]")).to_have_value("Asks for an SIP of 5,000")
    page.keyboard.press("1")
    page.locator(".dialog-outcome .btn-primary").click()
    expect(page.locator("[data-card]")).to_have_count(0)
    rohan.go(f"/leads/{lead}")
    expect(page.locator(".timeline")).to_contain_text("called Phonewala")
    player = page.locator("[data-player]")
    expect(player).to_have_count(1)
    player.get_by_role("button", name="1.5×").click()
    assert page.evaluate("document.querySelector('audio').playbackRate") == 1.5
    assert rohan.complaints == []


def test_an_incoming_call_pops_up_and_becomes_a_lead(open_browser: OpenBrowser, desk: UserBrowser) -> None:
    rohan = open_browser(COLLEAGUE)
    page: Any = rohan.tab
    rohan.go("/me/")
    page.check("[name=takes_calls]")
    page.click(".form-foot .btn-primary")
    rohan.go("/")
    rohan.await_socket()
    digits = f"98281{datetime.now():%S%f}"[:10]
    desk.page.fill("#r-peer", digits)
    desk.page.get_by_role("button", name="Call in").click()
    card(rohan, "incoming").get_by_role("button", name="New lead").click()
    page.wait_for_url("**/leads/CRM-LEAD-*")
    expect(page.locator(".strip")).to_contain_text(f"+91 {digits[:5]} {digits[5:]}")
    play(desk, "No answer")
    expect(page.locator("[data-card]")).to_have_count(0)
    assert rohan.complaints == []


def test_a_call_after_one_of_which_nobody_knows_is_made_in_one_more_click(open_browser: OpenBrowser) -> None:
    rohan = open_browser(SELLER)
    page: Any = rohan.tab
    new_lead(rohan, "Nochmal", f"98272{datetime.now():%S%f}"[:10])
    asked: list[str] = []

    def answer(route: Any) -> None:
        asked.append(route.request.url.partition("/calls/dial/")[2])
        url = f"/calls/dial/{asked[-1]}?instead=1"
        told = {"X-Sentence": "Nobody knows%3A call Nochmal all the same%3F", "X-Instead": url}
        route.fulfill(status=200, body="") if "instead" in asked[-1] else route.fulfill(status=409, headers=told)

    page.route("**/calls/dial/**", answer)
    page.locator("a[data-dial]").first.click()
    expect(page.locator("#confirm")).to_contain_text("Nobody knows: call Nochmal all the same?")
    page.locator("#confirm [data-confirm-ok]").click()
    expect(page.locator("form[data-confirm^='Nobody']")).to_have_count(0)
    page.wait_for_function("!document.querySelector('[aria-busy=true]')")
    assert len(asked) == 2 and asked[1] == f"{asked[0]}?instead=1"
    rohan.complaints[:] = [each for each in rohan.complaints if "409" not in each]
    assert rohan.complaints == []
