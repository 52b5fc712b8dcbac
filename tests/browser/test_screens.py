"""The pages for people: nothing is cut off or jumps, everything works by keyboard and is readable."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.axe import CUT, faults
from tests.browser.conftest import MANAGER, SELLER, OpenBrowser, UserBrowser
from tests.servers import LiveServer

#: Of a status and of a person; both change what stands above the rows.
TOP = "() => document.querySelector('.list-scroll').getBoundingClientRect().top"
FOCUS = "() => document.activeElement.tagName"


def admin(open_browser: OpenBrowser, **options: Any) -> UserBrowser:
    return open_browser(LiveServer.ADMIN[0], **options)


def test_nothing_is_cut_off_on_a_telephone_in_hindi(open_browser: OpenBrowser) -> None:
    browser = admin(open_browser, viewport={"width": 390, "height": 844})
    browser.go("/leads/")
    lead, cut = browser.page.locator("[name=rowid]").first.get_attribute("value"), {}
    browser.go("/lang/hi")
    for path in (
        "/leads/quick",
        f"/mail/compose?record=lead:{lead}",
        "/imports/new",
        "/tasks/?layout=calendar&span=month",
    ):
        browser.go(path)
        cut[path] = browser.page.evaluate(
            "() => [...document.querySelectorAll('main :is(.btn:not(.wide-only), h1, h2, label, select)')]"
            ".filter((each) => each.scrollWidth > each.clientWidth + 1 && each.clientWidth > 1)"
            ".map((each) => each.innerText.slice(0, 60))"
        )
    assert {path: texts for path, texts in cut.items() if texts} == {}


def test_names_of_reports_are_whole_on_a_telephone(open_browser: OpenBrowser) -> None:
    """Also of one that is sent by email, which is said behind its name."""
    browser = open_browser(MANAGER, viewport={"width": 390, "height": 844})
    browser.go("/reports/")
    names = browser.page.locator("tbody .first")
    assert any("by email" in each for each in names.all_inner_texts())
    assert names.evaluate_all("all => all.map((each) => each.scrollWidth > each.clientWidth)").count(True) == 0


def test_the_filter_panel_is_built_by_keyboard_and_without_javascript(open_browser: OpenBrowser) -> None:
    browser = open_browser(MANAGER)
    browser.go("/leads/?q=a")
    page, panel = browser.page, browser.page.locator("[data-filter-menu]")
    panel.locator("summary").press("Enter")
    expect(panel.locator("[data-filter-add]")).to_be_visible()
    assert faults(page, part="[data-filter-menu]") == []
    panel.locator("summary").press("Tab")
    expect(panel.locator(".filter-foot [type=submit]")).to_be_in_viewport()
    panel.locator("[data-filter-add]").select_option("first_name")
    page.keyboard.press("Tab")
    page.keyboard.type("a")
    page.keyboard.press("Enter")
    expect(page.locator(".filter-chip")).to_have_count(1)
    assert "q=a" in page.url and "_flt_eq_first_name=a" in page.url and browser.complaints == []
    plain = open_browser(MANAGER, java_script_enabled=False)
    plain.go("/leads/?q=a")
    plain.page.locator("[data-filter-menu] summary").press("Enter")
    plain.page.locator("#filter-page").press("Enter")
    plain.page.fill("[name=_flt_eq_first_name]", "a")
    plain.page.locator(".filter-foot [type=submit]").press("Enter")
    expect(plain.page.locator(".filter-chip")).to_have_count(1)
    assert "q=a" in plain.page.url


def a_quick_filter_moves_no_row(page: Any, path: str) -> None:
    assert page.evaluate(CUT) == []
    before = page.evaluate(TOP)
    status = page.locator(".quick-field select.form-select:visible").first
    with page.expect_response(lambda answer: "_flt_eq_" in answer.url):
        status.select_option(index=1)
    expect(page.locator("#quick-clear")).to_be_visible()
    assert page.evaluate("() => document.querySelector('#list').getBoundingClientRect().top") == before
    page.locator("#quick-clear").click()
    page.wait_for_url(lambda url: url.endswith(path))
    assert page.evaluate(TOP) == before


def a_chosen_person_moves_no_row(page: Any) -> None:
    before = page.evaluate("() => document.querySelector('#list').getBoundingClientRect().top")
    box = page.locator(".quick-field .ts-control input").first
    box.click()
    box.press_sequentially("Manoj")
    with page.expect_response(lambda answer: "_flt_eq_assignee" in answer.url):
        page.locator(".ts-dropdown .option", has_text="Manoj").first.click()
    assert page.evaluate("() => document.querySelector('#list').getBoundingClientRect().top") == before


def a_click_into_an_open_pick_list_keeps_what_was_typed(page: Any) -> None:
    box = page.locator(".quick-field .ts-control input").first
    box.click()
    opened = page.locator(".quick-field .dropdown-active")
    expect(opened).to_have_count(1)
    box.click()
    expect(opened).to_have_count(1)
    box.press_sequentially("Man")
    expect(box).to_have_value("Man")
    box.press("Escape")
    expect(opened).to_have_count(0)


STEPS_OF_LEADS = (a_click_into_an_open_pick_list_keeps_what_was_typed, a_chosen_person_moves_no_row)


def test_filters_above_a_list(open_browser: OpenBrowser, subtests: pytest.Subtests) -> None:
    browser = admin(open_browser)
    for path in ("/leads/", "/tickets/", "/tasks/", "/calls/", "/requests/?tab=all"):
        browser.go(path)
        with subtests.test(f"a_quick_filter_moves_no_row {path}"):
            a_quick_filter_moves_no_row(browser.page, path)
        for step in STEPS_OF_LEADS if path == "/leads/" else ():
            with subtests.test(step.__name__):
                step(browser.page)


def replaces_the_list(page: Any, step: Callable[[], Any]) -> None:
    """Take the step and wait until another list has come: the one that goes has the focus until then."""
    page.locator("#list").evaluate("list => { list.dataset.leaves = '' }")
    step()
    expect(page.locator("#list:not([data-leaves])")).to_have_count(1)


def test_the_focus_never_falls_to_the_body(open_browser: OpenBrowser) -> None:
    browser = admin(open_browser)
    browser.go("/leads/?psize=20")
    page = browser.page
    for step in (
        lambda: page.locator("th a.sort").first.press("Enter"),
        lambda: page.locator("a[rel=next]").press("Enter"),
        lambda: page.locator("a[rel=prev]").first.press("Enter"),
        lambda: page.locator(".page-sizes a").nth(1).press("Enter"),
    ):
        replaces_the_list(page, step)
        expect(page.locator("main *:focus")).to_have_count(1)
    browser.go("/leads/?_flt_eq_category=Direct&_flt_neq_category=Indirect")
    replaces_the_list(page, lambda: page.locator(".filter-chip a").first.press("Enter"))
    expect(page.locator("main *:focus, main:focus")).to_have_count(1)


def keys_lead_through_a_list(browser: UserBrowser) -> None:
    page, rows = browser.page, browser.page.locator("main tbody tr")
    page.keyboard.press("j")
    expect(rows.nth(0).locator(":focus")).to_have_count(1)
    page.keyboard.press("j")
    page.keyboard.press("x")
    expect(rows.nth(1).locator("[name=rowid]")).to_be_checked()
    page.keyboard.press("k")
    expect(rows.nth(0).locator(":focus")).to_have_count(1)
    address = rows.nth(0).locator(".row-link").get_attribute("href")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**{address}")
    assert browser.complaints == []


def the_shortcuts_are_told_and_the_search_is_a_key_away(browser: UserBrowser) -> None:
    page = browser.page
    page.keyboard.press("?")
    expect(page.locator("#shortcuts")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#shortcuts")).not_to_be_visible()
    page.keyboard.press("Control+k")
    expect(page.locator("#palette input")).to_be_focused()
    page.keyboard.type("what? j k x")
    expect(page.locator("#shortcuts")).not_to_be_visible()
    expect(page.locator("#palette [role=status]")).to_contain_text("No results.")
    page.keyboard.press("Enter")
    page.wait_for_url("**/search?q=*")
    expect(page.locator("h1")).to_have_text("Search: what? j k x")


def test_keys_of_a_list_and_of_a_record(open_browser: OpenBrowser, subtests: pytest.Subtests) -> None:
    browser = open_browser(SELLER)
    browser.go("/leads/")
    for step in (keys_lead_through_a_list, the_shortcuts_are_told_and_the_search_is_a_key_away):
        with subtests.test(step.__name__):
            step(browser)


def test_the_link_of_a_search_keeps_what_was_typed(open_browser: OpenBrowser) -> None:
    browser = open_browser(SELLER)
    page = browser.page
    for typed in ("a+b", "a & b", "#12", "50%", "x=y?z"):
        browser.create("lead", first_name=f"Qz {typed}", mobile="9825977001")
        page.fill("[data-search]", f"Qz {typed}")
        page.press("[data-search]", "Enter")
        page.locator(".day-part h2 a", has_text="Leads").click()
        expect(page.locator("#list-q")).to_have_value(f"Qz {typed}")
        expect(page.locator("main tbody")).to_contain_text(f"Qz {typed}")


def test_forms_of_new_records(open_browser: OpenBrowser, subtests: pytest.Subtests) -> None:
    browser = admin(open_browser)
    for path, name in (("/leads/add", "first_name"), ("/tasks/add", "title")):
        browser.go(path)
        with subtests.test(f"the_first_field_has_the_focus {path}"):
            expect(browser.page.locator(f"main [name={name}]")).to_be_focused()
        if path == "/leads/add":
            with subtests.test("a_new_lead_shows_what_it_will_get"):
                a_new_lead_shows_what_it_will_get(browser.page)
    browser.go("/tickets/add")
    with subtests.test("a_new_ticket_shows_what_it_will_get"):
        a_new_ticket_shows_what_it_will_get(browser.page)


def a_new_lead_shows_what_it_will_get(page: Any) -> None:
    expect(page.locator("[name=status] option:checked")).to_have_text("New")
    expect(page.locator("[name=category]")).to_have_value("Direct")


def a_new_ticket_shows_what_it_will_get(page: Any) -> None:
    expect(page.locator("[name=priority]")).to_have_value("Medium")
    expect(page.locator("[name=source]")).to_have_value("On Call")
    expect(page.locator("[name=resolution]")).to_have_count(0)
    expect(page.locator(".ts-wrapper")).not_to_have_count(0)
    expect(page.locator(".dropdown-active")).to_have_count(0)


PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}


def test_lists_on_a_phone(open_browser: OpenBrowser, subtests: pytest.Subtests) -> None:
    browser = admin(open_browser, **PHONE)
    browser.go("/leads/")
    with subtests.test("a_phone_shows_six_leads"):
        shows_six_rows(browser.page)
    for path in ("/leads/", "/tickets/", "/tasks/", "/calls/", "/requests/", "/customers/"):
        if path != "/leads/":
            browser.go(path)
        with subtests.test(f"nothing_is_cut_off {path}"):
            is_no_wider_than_the_phone(browser.page)
        if path == "/leads/":
            with subtests.test("a_list_on_a_phone_is_sorted_by_keyboard"):
                is_sorted_by_keyboard(browser.page)


def shows_six_rows(page: Any) -> None:
    rows = page.evaluate(
        "() => [...document.querySelectorAll('main tbody tr')]"
        ".filter((row) => row.getBoundingClientRect().bottom <= innerHeight).length"
    )
    assert rows >= 6


def is_no_wider_than_the_phone(page: Any) -> None:
    width, height = page.evaluate("() => [document.documentElement.scrollWidth, document.body.scrollHeight]")
    assert width == 390 and height < 4000


def test_requests_are_decided_in_their_list(open_browser: OpenBrowser) -> None:
    browser = admin(open_browser)
    browser.go("/requests/?tab=waiting")
    page = browser.page
    waiting = page.locator("main tbody tr")
    before = waiting.count()
    waiting.first.get_by_role("button", name="Approve").click()
    expect(page.locator(".notes")).to_contain_text("Approved.")
    expect(waiting).to_have_count(before - 1)
    waiting.first.get_by_role("link", name="Reject").click()
    page.fill("[name=note]", "Not now")
    page.click("main form[data-form] button[type=submit]")
    expect(page.locator(".notes")).to_contain_text("Rejected.")


def is_sorted_by_keyboard(page: Any) -> None:
    page.locator("#list-sort-button").press("Enter")
    menu = page.locator("#list-sort nav")
    expect(menu).to_be_visible()
    box = menu.bounding_box()
    assert box["x"] == 0 and box["width"] == 390 and round(box["y"] + box["height"]) == 844
    assert faults(page, part="#list-sort") == []
    menu.get_by_role("link", name="Created", exact=True).press("Enter")
    page.wait_for_url("**/leads/?_oc=created_on&_od=desc")
    expect(page.locator("#list-sort nav")).to_be_hidden()
    expect(page.locator("#list-sort-button")).to_be_focused()
    page.locator("#list-sort-button").press("Enter")
    page.locator("#list-sort nav").get_by_role("link", name="Earliest first").press("Enter")
    page.wait_for_url("**/leads/?_oc=created_on&_od=asc")
    page.locator("#list-sort-button").press("Enter")
    page.locator("#list-sort nav").get_by_role("link", name="Default order").press("Enter")
    page.wait_for_url("**/leads/")
    assert "data-sorted" not in page.locator("#list-sort").inner_html()


def test_a_list_is_sorted_without_javascript(open_browser: OpenBrowser) -> None:
    browser = admin(open_browser, **PHONE, java_script_enabled=False)
    browser.go("/leads/")
    browser.page.locator("#list-sort-button").click()
    browser.page.locator("#list-sort nav").get_by_role("link", name="Created", exact=True).click()
    browser.page.wait_for_url("**/leads/?_oc=created_on&_od=desc")


def test_a_view_as_another_user_disables_what_would_be_refused(open_browser: OpenBrowser) -> None:
    browser = admin(open_browser)
    page = browser.tab
    browser.go("/users/list/")
    page.locator("main tr", has_text=SELLER).locator("a[href*='/users/show/']").first.click()
    page.get_by_role("button", name="View as").click()
    page.wait_for_load_state("load")
    try:
        browser.go("/leads/")
        browser.go(str(page.locator("main .row-link").first.get_attribute("href")))
        expect(page.locator("[data-composer]")).to_have_count(0)
        expect(page.locator("main a[data-dial], main a[href^='tel:']")).to_have_count(0)
        dead = page.locator(".record-strip a[aria-disabled=true], [data-head] a[aria-disabled=true]").first
        expect(dead).to_have_attribute("title", re.compile("nothing can be changed"))
        assert faults(page) == []
        assert browser.complaints == []
    finally:
        page.get_by_role("button", name="End the view").click()
