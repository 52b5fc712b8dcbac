"""Daily work in a real browser."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any

from playwright.sync_api import TimeoutError, expect

from tests.browser.conftest import COLLEAGUE, MANAGER, SELLER, OpenBrowser, UserBrowser
from tests.servers import LiveServer


def unopened_lead(browser: UserBrowser, first_name: str, mobile: str) -> str:
    """Create a lead; answers its number."""
    return str(browser.create("lead", first_name=first_name, mobile=mobile)["number"])


def new_lead(browser: UserBrowser, first_name: str, mobile: str) -> str:
    """Create a lead and open its page; answers its number."""
    number = unopened_lead(browser, first_name, mobile)
    browser.go(f"/leads/{number}")
    return number


def lead_by_form(browser: UserBrowser, first_name: str, mobile: str) -> str:
    """Fill in the form of a new lead; answers its number."""
    browser.go("/leads/add")
    browser.page.fill("[name=first_name]", first_name)
    browser.page.fill("[name=mobile]", mobile)
    browser.page.click("main form[data-form] button[type=submit]")
    browser.page.wait_for_url(re.compile(r"/leads/CRM-LEAD-"))
    return str(browser.page.url.rpartition("/")[2])


def pick(page: Any, form: str, typed: str) -> None:
    """Choose a colleague in the type-ahead of the form."""
    box = page.locator(f"{form} .ts-control input")
    box.click()
    box.press_sequentially(typed)
    page.locator(".ts-dropdown .option", has_text=typed).first.click()


def write_note(browser: UserBrowser, text: str) -> None:
    browser.page.fill("[data-compose-part=note] textarea", text)
    browser.page.click("[data-compose-part=note] button[type=submit]")
    browser.page.wait_for_selector(f".entry-note:has-text('{text}')")


def watches(browser: UserBrowser, writer: UserBrowser, number: str) -> None:
    """Both open the lead; notes of the one, until the other's page shows one by itself: then it is live."""
    browser.go(f"/leads/{number}")
    writer.go(f"/leads/{number}")
    browser.await_socket()
    for n in range(1, 10):
        write_note(writer, f"Is it live? {n}")
        with suppress(TimeoutError):  # written before the socket watched the lead
            browser.page.wait_for_selector(f".entry-note:has-text('Is it live? {n}')", timeout=n * 1000)
            return
    raise AssertionError("the page hears of no note")


def bell(page: Any) -> int:
    badge = page.locator("[data-bell] [data-unread]")
    return int(badge.text_content()) if badge.is_visible() else 0


def test_the_admin_signs_in_and_out(open_browser: OpenBrowser) -> None:
    admin = open_browser(None)
    admin.sign_in(*LiveServer.ADMIN)
    assert admin.page.locator("h1").is_visible()
    admin.go("/logout/")
    admin.page.click("main button[type=submit]")
    admin.page.wait_for_url("**/login/**")
    assert admin.go("/leads/").url.startswith(admin.url + "/login/")
    assert admin.complaints == []


def test_a_wrong_password_keeps_the_name(open_browser: OpenBrowser) -> None:
    stranger = open_browser(None)
    stranger.go("/login/")
    stranger.page.fill("#username", SELLER)
    stranger.page.fill("#password", "not this one")
    stranger.page.click("form[name=login] button[type=submit]")
    stranger.page.wait_for_selector(".field-error")
    assert stranger.page.input_value("#username") == SELLER
    assert stranger.page.input_value("#password") == ""


def test_a_lead_goes_through_the_gate(open_browser: OpenBrowser) -> None:
    rohan = open_browser(SELLER)
    page = rohan.tab
    lead_by_form(rohan, "Gatewali", "9825012301")
    page.click(".status-button")
    page.click(".menu-item:has-text('Sent to HO')")
    dialog = page.locator("dialog[open]")
    dialog.locator("[name=pod_id]").fill("POD-4711")
    dialog.locator("button[type=submit]").click()
    page.wait_for_selector(".status-button:has-text('Sent to HO')")
    assert "changed the status from New to Sent to HO" in page.locator("[data-timeline]").inner_text()
    assert "POD-4711" in page.locator(".record-side").inner_text()
    assert rohan.complaints == []


def test_the_gate_asks_before_the_server_must(open_browser: OpenBrowser) -> None:
    rohan = open_browser(SELLER)
    new_lead(rohan, "Gatewala", "9825012302")
    rohan.page.click(".status-button")
    rohan.page.click(".menu-item:has-text('Sent to HO')")
    dialog = rohan.page.locator("dialog[open]")
    dialog.locator("button[type=submit]").click()
    assert dialog.is_visible()
    assert dialog.locator("[name=pod_id]").evaluate("field => field.matches(':invalid')")


def test_a_note_stands_in_the_timeline(open_browser: OpenBrowser) -> None:
    rohan = open_browser(SELLER)
    new_lead(rohan, "Notewali", "9825012303")
    rohan.page.fill("[data-compose-part=note] textarea", "Calls back on Monday <b>at ten</b>")
    rohan.page.click("[data-compose-part=note] button[type=submit]")
    entry = rohan.page.locator(".entry-note .entry-text").first
    entry.wait_for()
    assert entry.inner_text() == "Calls back on Monday <b>at ten</b>"
    assert rohan.complaints == []


def test_the_bell_rings_without_a_reload(open_browser: OpenBrowser) -> None:
    rohan, manoj, asha = open_browser(SELLER), open_browser(COLLEAGUE), open_browser(MANAGER)
    number = unopened_lead(rohan, "Bellwali", "9825012304")
    before = bell(manoj.page)
    manoj.await_socket()
    asha.go(f"/leads/{number}")
    asha.page.click("a.record-people")
    pick(asha.page, "form:has(input[value=person])", "Manoj")
    asha.page.click("form:has(input[value=person]) button:has-text('Assign')")
    asha.page.wait_for_url(f"**/leads/{number}")
    badge = manoj.page.locator("[data-bell] [data-unread]")
    expect(badge).to_have_text(str(before + 1))
    expect(badge).to_be_visible()
    assert manoj.go(f"/leads/{number}").status == 200
    assert [*rohan.complaints, *manoj.complaints, *asha.complaints] == []


def test_a_note_of_another_appears_on_the_open_page(open_browser: OpenBrowser) -> None:
    rohan, asha = open_browser(SELLER), open_browser(MANAGER)
    number = unopened_lead(rohan, "Livewali", "9825012305")
    watches(rohan, asha, number)
    write_note(asha, "Please hurry")
    rohan.page.wait_for_selector(".entry-note:has-text('Please hurry')")


def test_wrong_input_keeps_what_was_typed(open_browser: OpenBrowser) -> None:
    rohan = open_browser(SELLER)
    page = rohan.tab
    rohan.go("/leads/add")
    page.fill("[name=first_name]", "Typedonce")
    page.fill("[name=mobile]", "12")
    page.fill("[name=pan]", "WRONG")
    page.fill("[name=description]", "Two\nlines")
    page.evaluate("document.querySelector('main form[data-form]').noValidate = true")
    page.click("main form[data-form] button[type=submit]")
    page.wait_for_selector(".field-error")
    assert page.input_value("[name=first_name]") == "Typedonce"
    assert page.input_value("[name=mobile]") == "12"
    assert page.input_value("[name=description]") == "Two\nlines"
    told = page.locator("[data-field=mobile] [aria-invalid=true]").get_attribute("aria-describedby")
    assert page.locator(f"#{told.split()[0]}").is_visible()


def test_the_search_of_a_list_needs_no_reload(open_browser: OpenBrowser) -> None:
    rohan = open_browser(SELLER)
    number = unopened_lead(rohan, "Findewali", "9825012306")
    rohan.go("/leads/")
    rohan.page.fill("main input[type=search]", "Findewali")
    rohan.page.press("main input[type=search]", "Enter")
    expect(rohan.page.locator("main tbody tr")).to_have_count(1)
    assert number in rohan.page.locator("main tbody").inner_text()
    assert rohan.complaints == []


def test_what_is_typed_into_a_picklist_without_choosing_comes_back(open_browser: OpenBrowser) -> None:
    rohan = open_browser(SELLER)
    rohan.go("/tasks/add")
    rohan.page.fill("[name=title]", "Call back")
    rohan.page.locator("[data-field=assignee] .ts-control").click()
    rohan.page.locator("#f-assignee-ts-control").press("Backspace")  # oneself, who is chosen at first
    rohan.page.locator("#f-assignee-ts-control").press_sequentially("Zed Nobody")
    rohan.page.click("main form[data-form] button[type=submit]")
    expect(rohan.page.locator("[data-field=assignee] .item")).to_have_text("Zed Nobody")
    expect(rohan.page.locator("[data-field=assignee] .field-error")).to_contain_text("Zed Nobody")
    assert rohan.page.input_value("[name=title]") == "Call back"
