"""A record's page with two people: inline edits, presence, a masked value shown for a moment."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import MANAGER, SELLER, OpenBrowser, UserBrowser
from tests.browser.test_journeys import new_lead

PAN = "ABCDE1234F"


def pair(browser: UserBrowser, name: str) -> Any:
    return browser.page.locator(f"[data-pair={name}]")


def pencil(browser: UserBrowser, name: str) -> Any:
    return pair(browser, name).locator(".inline-edit")


def control(browser: UserBrowser, name: str) -> Any:
    return pair(browser, name).locator(f"[name={name}]")


@pytest.fixture
def two(open_browser: OpenBrowser) -> tuple[UserBrowser, UserBrowser]:
    """Asha and Rohan, each at a new lead of Rohan's."""
    asha, rohan = open_browser(MANAGER), open_browser(SELLER)
    number = new_lead(rohan, "Inlinewali", f"98250{datetime.now():%S%f}"[:10])
    asha.go(f"/leads/{number}")
    for each, name in ((asha, "Rohan"), (rohan, "Asha")):
        expect(each.page.locator("[data-presence]")).to_contain_text(f"Also here: {name}")
    return asha, rohan


def test_a_value_is_saved_by_key_and_appears_to_the_other(two: tuple[UserBrowser, UserBrowser]) -> None:
    asha, rohan = two
    pencil(rohan, "email").focus()
    rohan.page.keyboard.press("Enter")
    expect(control(rohan, "email")).to_be_focused()
    expect(pair(asha, "email")).to_contain_text("Rohan Parikh is editing this")
    rohan.page.keyboard.type("new@mail.example")
    rohan.page.keyboard.press("Enter")
    expect(pencil(rohan, "email")).to_be_focused()
    expect(pair(asha, "email").locator(".inline-value")).to_have_text("new@mail.example")
    expect(asha.page.locator(".here-edits")).to_have_count(0)
    # Tab goes on to the next value, Esc leaves it as it was; the form of the status in the head has the new version.
    rohan.page.keyboard.press("Enter")
    expect(control(rohan, "email")).to_be_focused()
    rohan.page.keyboard.press("Tab")
    expect(control(rohan, "address")).to_be_focused()
    rohan.page.keyboard.type("Not saved")
    rohan.page.keyboard.press("Escape")
    expect(rohan.page.locator("[data-cell-form]")).to_have_count(0)
    assert "Not saved" not in rohan.page.content()
    rohan.page.click(".status-button")
    rohan.page.click(".menu-item:has-text('Contacted')")
    expect(rohan.page.locator(".status-button")).to_contain_text("Contacted")
    expect(asha.page.locator(".status-button")).to_contain_text("Contacted")
    assert [*asha.complaints, *rohan.complaints] == []


def test_a_conflict_is_decided_and_a_refusal_keeps_what_was_typed(two: tuple[UserBrowser, UserBrowser]) -> None:
    asha, rohan = two
    pencil(asha, "email").click()
    control(asha, "email").fill("mine@mail.example")
    pencil(rohan, "email").click()
    control(rohan, "email").fill("theirs@mail.example")
    rohan.page.keyboard.press("Enter")
    expect(pair(rohan, "email").locator(".inline-value")).to_have_text("theirs@mail.example")
    asha.page.locator("h1").click()  # the focus leaves: saved
    both = pair(asha, "email").locator("[data-cell-conflict]")
    expect(both).to_contain_text("Rohan Parikh changed this meanwhile")
    expect(both.locator("[data-cell-theirs]")).to_have_text("theirs@mail.example")
    expect(control(asha, "email")).to_have_value("mine@mail.example")
    both.locator("button", has_text="Keep mine").click()
    expect(pair(rohan, "email").locator(".inline-value")).to_have_text("mine@mail.example")
    pencil(asha, "mobile").click()
    control(asha, "mobile").fill("12")
    asha.page.locator("h1").click()
    expect(pair(asha, "mobile").locator("[role=alert]")).to_be_visible()
    expect(control(asha, "mobile")).to_have_value("12")
    asha.complaints.clear()  # the browser notes the refusals
    asha.page.keyboard.press("Escape")
    expect(pair(asha, "mobile").locator(".inline-value")).to_contain_text("98250")
    assert [*asha.complaints, *rohan.complaints] == []


def test_a_status_is_chosen_by_keys_and_asks_for_what_it_needs(two: tuple[UserBrowser, UserBrowser]) -> None:
    asha, rohan = two
    page = rohan.page
    pencil(rohan, "status").focus()
    page.keyboard.press("Enter")
    expect(control(rohan, "status")).to_be_focused()
    before = control(rohan, "status").input_value()
    page.keyboard.press("ArrowDown")
    expect(control(rohan, "status")).not_to_have_value(before)  # passed by, not saved
    control(rohan, "status").select_option(label="Sent to HO")
    page.keyboard.press("Enter")
    dialog = page.locator("dialog[open]")
    dialog.locator("[name=pod_id]").fill("POD-4712")
    dialog.locator("button[type=submit]").click()
    expect(pair(rohan, "pod_id")).to_contain_text("POD-4712")
    expect(page.locator(".status-button")).to_contain_text("Sent to HO")
    assert rohan.complaints == []
    # The forms of a page that is not drawn anew go on from its own edits, but not from a colleague's.
    page.route("**/panel/*", lambda _route: None)
    edit_and_choose(rohan, "Own edit", "Contacted")
    expect(page.locator(".status-button")).to_contain_text("Contacted")
    save(asha, "email", "theirs@mail.example")
    edit_and_choose(rohan, "Edit after hers", "Nurture")
    expect(page.locator("body")).to_contain_text("Someone else changed this record")


def save(browser: UserBrowser, name: str, typed: str) -> None:
    pencil(browser, name).click()
    control(browser, name).fill(typed)
    control(browser, name).blur()
    expect(pair(browser, name).locator(".inline-value")).to_have_text(typed)


def edit_and_choose(browser: UserBrowser, address: str, status: str) -> None:
    """Edit a value, and choose a status while it is still on its way."""
    browser.page.wait_for_load_state()  # the status that was chosen before has opened the page anew
    pencil(browser, "address").click()
    control(browser, "address").fill(address)
    control(browser, "address").blur()
    browser.page.click(".status-button")
    browser.page.click(f".menu-item:has-text('{status}')")


def test_who_leaves_is_gone(two: tuple[UserBrowser, UserBrowser]) -> None:
    asha, rohan = two
    rohan.page.close()
    expect(asha.page.locator("[data-presence]")).to_be_hidden()


def test_a_masked_value_is_revealed_for_a_moment(
    two: tuple[UserBrowser, UserBrowser], open_browser: OpenBrowser
) -> None:
    asha, rohan = two
    rohan.page.locator("[data-values] header a").first.click()
    rohan.page.fill("[name=pan]", PAN)
    rohan.page.click("main form[data-form] button[type=submit]")
    eye = asha.page.locator("[data-strip-item=pan] [data-reveal]")
    expect(eye).to_be_visible()
    asha.page.clock.install()
    eye.click()
    dialog = asha.page.locator("dialog[open]")
    dialog.locator("[name=reason]").fill("no")
    dialog.locator("button[type=submit]").click()
    expect(dialog.locator(".field-error")).to_contain_text("Please say in a few words")
    expect(dialog.locator("[name=reason]")).to_have_value("no")
    dialog.locator("[name=reason]").fill("He asks which PAN we have")
    asha.page.keyboard.press("Enter")
    value = asha.page.locator("[data-strip-item=pan] .revealed-value")
    expect(value).to_have_text(PAN)
    expect(eye).to_be_focused()
    for _ in range(32):
        asha.page.clock.run_for(1000)
    expect(value).to_have_count(0)
    assert PAN not in asha.page.content()
    asha.complaints.clear()
    plain = open_browser(MANAGER, java_script_enabled=False)
    plain.go(re.sub(r"^https?://[^/]+", "", asha.page.url))
    plain.page.locator("[data-strip-item=pan] [data-reveal]").click()
    plain.page.fill("[name=reason]", "He asks which PAN we have")
    plain.page.click("main form button[type=submit]")
    expect(plain.page.locator(".revealed-value")).to_have_text(PAN)
