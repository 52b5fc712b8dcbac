"""The record page in a real browser: timeline tabs, a composer that keeps its text, on a phone, without scripts."""

from __future__ import annotations

import re
from typing import Any

from playwright.sync_api import expect

from tests.browser.conftest import SELLER, OpenBrowser
from tests.browser.test_journeys import new_lead, unopened_lead, write_note


def part(page: Any, name: str) -> Any:
    return page.locator(f"[data-compose-part={name}]")


def test_tabs_keep_their_address_and_the_composer_what_was_typed(open_browser: OpenBrowser) -> None:
    rohan = open_browser(SELLER)
    number = new_lead(rohan, "Tabwali", "9825012501")
    page = rohan.page
    write_note(rohan, "Likes to be called at noon")
    page.locator("h1").click()
    page.keyboard.press("n")
    part(page, "note").locator("textarea").fill("Half a thought")
    page.locator("h1").click()
    page.keyboard.press("w")
    text = part(page, "whatsapp").locator("textarea")
    expect(text).to_be_focused()
    text.fill("Namaste")
    page.locator("[data-compose=call]").click()
    expect(part(page, "call").locator("[name=direction]").first).to_be_focused()
    page.locator(".record-tabs [data-tab=tasks]").click()
    expect(page.locator("#feed .task-line")).to_have_count(1)
    expect(page).to_have_url(re.compile(rf"/{number}\?tab=tasks$"))
    page.locator(".record-tabs [data-tab=notes]").click()
    expect(page.locator(".timeline")).to_contain_text("called at noon")
    page.go_back()
    expect(page.locator(".record-tabs [aria-current]")).to_have_text(re.compile("Tasks"))
    for name, typed in (("note", "Half a thought"), ("whatsapp", "Namaste")):  # a reload loses neither
        page.locator(f"[data-compose={name}]").first.click()
        expect(part(page, name).locator("textarea")).to_have_value(typed)
    page.locator("#feed .task-tick").first.click()
    expect(page.locator("[data-notes]")).to_contain_text("Done")
    expect(page.locator(".feed .empty-small")).to_be_visible()
    page.locator(".segment", has_text="Done").click()
    expect(page.locator("#feed .task-line.is-done")).to_have_count(1)
    assert rohan.complaints == []


def test_filters_are_in_the_address_and_can_be_cleared(open_browser: OpenBrowser) -> None:
    rohan = open_browser(SELLER)
    number = new_lead(rohan, "Filterwali", "9825012502")
    write_note(rohan, "Only a note")
    page = rohan.page
    page.locator(".feed-filter summary").click()
    page.select_option("#feed-kind", "call")
    page.locator(".feed-foot button").click()
    expect(page.locator(".feed .empty-small")).to_be_visible()
    expect(page).to_have_url(re.compile(rf"/{number}\?kind=call$"))
    page.locator(".feed-clear").click()
    expect(page.locator(".timeline")).to_contain_text("Only a note")
    expect(page).to_have_url(re.compile(rf"/{number}$"))
    assert rohan.complaints == []


def test_a_call_is_logged_in_three_actions_and_a_refused_one_is_kept(open_browser: OpenBrowser) -> None:
    rohan = open_browser(SELLER)
    new_lead(rohan, "Callwali", "9825012503")
    page, form = rohan.page, part(rohan.page, "call")
    page.locator("[data-compose=call]").click()
    form.locator("[name=note]").fill("Asked for the form")
    form.locator(".dialog-foot .btn-primary").click()
    expect(form.locator(".field-error")).to_be_visible()
    expect(form.locator("[name=note]")).to_have_value("Asked for the form")
    form.locator(".pick:has([value=Interested])").click()
    form.locator("[name=when][value=tomorrow]").click()
    expect(page.locator(".timeline")).to_contain_text("Asked for the form")
    expect(page.locator(".timeline")).to_contain_text("Follow up: Interested")
    assert [each for each in rohan.complaints if "422" not in each] == []


def test_a_phone_has_the_details_first_and_the_deeds_below(open_browser: OpenBrowser) -> None:
    rohan = open_browser(SELLER, viewport={"width": 390, "height": 844})
    new_lead(rohan, "Phonetab", "9825012504")
    page = rohan.page
    expect(page.locator(".record-side")).to_be_visible()
    expect(page.locator("#feed")).to_be_hidden()
    page.locator(".bottom-bar [data-compose=note]").click()
    expect(part(page, "note").locator("textarea")).to_be_focused()
    expect(page.locator(".record-side")).to_be_hidden()
    page.locator(".record-tabs [data-tab=changes]").click()
    expect(page.locator(".record-tabs [data-on=true]")).to_have_text(re.compile("Changes"))
    page.locator("[data-pane-open=details]").click()
    expect(page.locator(".record-side")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth") and rohan.complaints == []


def test_without_scripts_tabs_are_links_and_forms_are_forms(open_browser: OpenBrowser) -> None:
    rohan = open_browser(SELLER)
    number = unopened_lead(rohan, "Plainwali", "9825012505")
    plain = open_browser(SELLER, java_script_enabled=False)
    plain.go(f"/leads/{number}")
    page = plain.page
    page.locator("[data-compose-part=note] textarea").fill("Plain words")
    page.locator("[data-compose-part=note] button[type=submit]").click()
    page.locator(".record-tabs [data-tab=notes]").click()
    expect(page.locator(".timeline")).to_contain_text("Plain words")
    page.locator(".composer-tabs [data-compose=call]").click()
    page.locator("[name=other]").fill("Came by himself")
    page.locator(".outcome-form .dialog-foot .btn-primary").click()
    page.locator(".record-tabs [data-tab=calls]").click()
    expect(page.locator(".timeline")).to_contain_text("Came by himself")
