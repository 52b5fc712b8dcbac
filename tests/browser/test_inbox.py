"""The inbox in a real browser: two people at one conversation, and a page without JavaScript."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import MANAGER, SELLER, OpenBrowser
from tests.servers import LiveServer


@pytest.fixture
def address(open_browser: OpenBrowser) -> str:
    """The path of a conversation on WhatsApp that is nobody's, with one message."""
    return open_browser(LiveServer.ADMIN[0]).receive("Hi, do you have a branch in Surat?")


def test_an_answer_reaches_a_colleague_live_and_is_sent(open_browser: OpenBrowser, address: str) -> None:
    rohan, asha = open_browser(SELLER), open_browser(MANAGER)
    rohan.go(address)
    rohan.page.get_by_role("button", name="Take it").click()
    expect(rohan.page.locator(".note")).to_contain_text("You answer this conversation now")
    asha.go(address)
    asha.await_socket()
    rohan.page.locator("[data-text]").fill("Good morning! Which branch is near you?")
    with rohan.page.expect_navigation():
        rohan.page.keyboard.press("Control+Enter")
    for each in (rohan, asha):
        expect(each.page.locator(".bubble-text").last).to_have_text("Good morning! Which branch is near you?")
    # The console provider takes it, and the page learns of it by itself
    expect(asha.page.locator(".bubble-state").last).to_have_attribute("title", "Sent")
    assert rohan.page.locator("[data-text]").input_value() == ""
    assert asha.complaints == rohan.complaints == []


def test_a_template_is_filled_in_before_the_eyes(open_browser: OpenBrowser, address: str) -> None:
    asha = open_browser(MANAGER)
    asha.go(address)
    asha.page.select_option("#template", label="Documents received")
    expect(asha.page.locator("[data-text]")).to_be_hidden()
    asha.page.get_by_label("Value of first name").fill("Kavita")
    expect(asha.page.locator("[data-preview]")).to_have_text(
        "Namaste Kavita, your documents have reached our head office."
    )
    assert asha.complaints == []


def test_a_click_counts_though_the_list_is_refreshed_meanwhile(open_browser: OpenBrowser, address: str) -> None:
    asha = open_browser(MANAGER)
    asha.go("/inbox/?folder=unassigned")
    asha.await_socket()
    asha.page.locator(f".inbox-row a[href^='{address}?']").hover()
    asha.page.mouse.down()
    asha.page.evaluate("document.activeElement.blur(); document.querySelector('#conversations').dataset.old = 1")
    with asha.page.expect_response(lambda answer: "folder=unassigned" in answer.url):
        asha.page.evaluate("dispatchEvent(new CustomEvent('crm:activity', {detail: {}}))")
    asha.page.wait_for_timeout(200)
    expect(asha.page.locator("#conversations[data-old]")).to_have_count(1)
    asha.page.mouse.up()
    expect(asha.page.locator(".thread-who h2")).to_be_visible()
    assert asha.complaints == []


def test_it_works_without_javascript(open_browser: OpenBrowser, address: str) -> None:
    asha = open_browser(MANAGER, java_script_enabled=False)
    asha.go(address)
    asha.page.locator("[data-text]").fill("Written without scripts")
    asha.page.get_by_role("button", name="Send", exact=True).click()
    expect(asha.page.locator(".bubble-text").last).to_have_text("Written without scripts")
