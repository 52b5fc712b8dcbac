"""The palette in Chromium: opens at the first press on every page, works by keyboard, and leaves nothing behind."""

from __future__ import annotations

import re
from typing import Any

from playwright.sync_api import Route, expect

from tests.browser.axe import faults
from tests.browser.conftest import MANAGER, SELLER, OpenBrowser
from tests.browser.test_journeys import new_lead, write_note

PAGES = ("/", "/leads/", "/tasks/?layout=board", "/dashboard/", "/me/")
RECENT = "() => localStorage.getItem('recent')"


def press_at_once(page: Any, url: str) -> Any:
    """Ctrl+K before the scripts of the page have come; returns the field of the palette."""
    page.goto(url, wait_until="commit")
    page.wait_for_selector("#main", state="attached")
    page.keyboard.press("Control+k")
    return page.locator("#palette input")


def test_it_opens_finds_opens_and_gives_the_focus_back(open_browser: OpenBrowser) -> None:
    browser = open_browser(SELLER)
    page = browser.tab
    for path in PAGES:
        expect(press_at_once(page, browser.url + path)).to_be_focused()
        page.wait_for_load_state("load")
        page.keyboard.press("Escape")
        expect(page.locator("#palette")).not_to_be_visible()

    browser.go("/leads/")
    row = page.locator("main tbody tr", has=page.locator(".kind-phone a")).first
    digits = row.locator(".kind-phone a").inner_text()[-5:]
    address = row.locator(".row-link").get_attribute("href")
    page.locator("#list-q").focus()
    page.keyboard.press("Control+k")
    page.keyboard.type(digits)
    hit = page.locator(f"#palette [role=option][href='{address}']")
    expect(hit).to_be_visible()
    assert faults(page, part="#palette") == []
    page.keyboard.press("Escape")
    expect(page.locator("#list-q")).to_be_focused()

    page.locator("[data-search]").click()
    page.keyboard.type(digits)
    page.keyboard.press("Enter")  # before the answer has come: the first hit is opened then
    page.wait_for_url(lambda url: "/leads/CRM-LEAD-" in url)
    number = page.locator(".record-number").inner_text()
    browser.go("/me/")
    page.keyboard.press("Control+k")
    expect(page.locator("#palette [role=option]").first).to_contain_text(number)
    page.keyboard.type("new lead")
    page.keyboard.press("Enter")
    expect(page.locator("#dialog-page [name=first_name]")).to_be_focused()
    page.keyboard.press("Escape")

    page.keyboard.press("Control+k")
    page.keyboard.type("go tas")
    with page.context.expect_page() as opened:
        page.keyboard.press("Control+Enter")
    assert "/tasks/" in opened.value.url
    opened.value.close()
    page.keyboard.press("Control+a")
    page.keyboard.type("theme dark")
    page.keyboard.press("Enter")
    expect(page.locator("html")).to_have_attribute("data-bs-theme", "dark")
    page.keyboard.press("Control+k")
    assert number in page.evaluate(RECENT) and faults(page, part="#palette") == []
    page.keyboard.type("sign out")
    page.keyboard.press("Enter")
    page.wait_for_url("**/login/**")
    assert page.evaluate(RECENT) is None
    assert browser.complaints == []


def test_it_fits_a_phone_and_is_the_search_page_without_scripts(open_browser: OpenBrowser) -> None:
    phone = {"viewport": {"width": 390, "height": 844}}
    page = open_browser(SELLER, **phone).page
    page.locator(".search-field").click()
    expect(page.locator("#palette input")).to_be_focused()
    box = page.locator("#palette").bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= 390 and box["y"] + box["height"] <= 844
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 390
    plain = open_browser(SELLER, java_script_enabled=False).page
    plain.fill("[data-search]", "mehta")
    plain.press("[data-search]", "Enter")
    expect(plain.locator("h1")).to_have_text("Search: mehta")


def test_what_is_typed_before_its_script_has_come_is_kept(open_browser: OpenBrowser) -> None:
    browser = open_browser(MANAGER)
    page = browser.tab
    held: list[Route] = []
    page.route(re.compile(r"/palette\.\S*js"), lambda route: held.append(route))
    field = press_at_once(page, browser.url + "/leads/")
    page.keyboard.type("taks")
    page.keyboard.press("Backspace")
    page.keyboard.press("Backspace")
    page.keyboard.type("sks")
    page.keyboard.press("Enter")
    assert held
    for route in held:
        route.continue_()
    expect(field).to_have_value("tasks")
    expect(page.locator("#palette [role=option][aria-selected=true]")).to_contain_text("Tasks")
    assert browser.complaints == []


def test_it_assigns_selected_rows_and_the_record_of_a_page(open_browser: OpenBrowser) -> None:
    browser = open_browser(MANAGER)
    page = browser.tab
    browser.go("/leads/?_oc=created_on&_od=asc")
    page.locator("[name=rowid]").first.focus()
    page.keyboard.press("Space")
    page.keyboard.press("Control+k")
    page.keyboard.type("assign")
    page.keyboard.press("Enter")  # "Assign the selected records (1) to …" waits for a name
    page.keyboard.type("to neha")
    page.keyboard.press("Enter")  # before the answer has come: there is one Neha
    expect(page.locator("[data-undo]")).to_be_visible()
    page.locator(".row-link").first.click()
    holder = page.locator("[data-assign]")
    expect(holder).to_contain_text("Neha")
    page.keyboard.press("Control+k")
    page.keyboard.type("assign nobody-at-all")
    expect(page.locator(".palette-note")).to_contain_text("no colleague")
    page.keyboard.press("Control+a")
    page.keyboard.type("assign manoj")
    expect(page.locator("#palette [role=option]")).to_contain_text("to Manoj")
    page.keyboard.press("Enter")
    expect(holder).to_contain_text("Manoj")
    page.locator("[data-undo] button").click()
    expect(holder).to_contain_text("Neha")
    assert browser.complaints == []


def test_it_finds_a_note_and_marks_it_on_the_timeline(open_browser: OpenBrowser) -> None:
    browser = open_browser(SELLER)
    page = browser.page
    number = new_lead(browser, "Notewali", "9825012577")
    write_note(browser, "Wants the unmistakable ledger of March")
    for text in ("Called again", "Sent the form"):
        write_note(browser, text)
    browser.go("/tasks/")
    page.keyboard.press("Control+k")
    page.keyboard.type("ledg unmistak")
    hit = page.locator("#palette [role=option][href*='/notes/']")
    expect(hit).to_have_count(1)
    expect(hit).to_contain_text("unmistakable ledger")
    expect(hit).to_contain_text(number)
    assert faults(page, part="#palette") == []
    hit.click()
    page.wait_for_url(re.compile(rf"/leads/{number}\?tab=notes#entry-\d+$"))
    entry = page.locator(".entry:target")
    expect(entry).to_contain_text("unmistakable ledger")
    expect(entry).to_be_in_viewport()
    assert entry.locator(".entry-body").evaluate("each => getComputedStyle(each).outlineStyle") == "solid"
    assert faults(page, part="#feed") == []
