"""Forms without JavaScript: leads, tickets, tasks and notes are created and changed; invalid input keeps the values."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import COLLEAGUE, MANAGER, SELLER, OpenBrowser, UserBrowser
from tests.servers import LiveServer


@pytest.fixture
def rohan(open_browser: OpenBrowser) -> UserBrowser:
    """A seller whose browser runs no scripts."""
    return open_browser(SELLER, java_script_enabled=False)


def phone() -> str:
    """A number that no other test has."""
    return f"97{datetime.now():%M%S%f}"[:10]


def save(page: Any) -> None:
    with page.expect_navigation():
        page.locator("main form[data-form] button[type=submit]").last.click()


def error(page: Any, name: str) -> Any:
    return page.locator(f"[data-field={name}] .field-error")


def test_a_lead(rohan: UserBrowser) -> None:
    page = rohan.tab
    rohan.go("/leads/add")
    typed = {"first_name": "Sadiwali", "last_name": "Iyer", "description": "Two\nlines", "mobile": "12"}
    for name, text in typed.items():
        page.fill(f"[name={name}]", text)
    page.select_option("[name=source]", label="Walk In")
    save(page)
    expect(error(page, "mobile")).to_be_visible()
    for name, text in typed.items():
        expect(page.locator(f"[name={name}]")).to_have_value(text)
    expect(page.locator("[name=source] option:checked")).to_have_text("Walk In")
    page.fill("[name=mobile]", phone())
    save(page)
    expect(page.locator("h1")).to_have_text("Sadiwali Iyer")
    page.locator("[data-values] header a").first.click()
    page.fill("[name=last_name]", "Iyengar")
    page.fill("[name=email]", "no address")
    page.evaluate("() => { document.querySelector('main form[data-form]').noValidate = true; }")
    save(page)
    expect(error(page, "email")).to_be_visible()
    expect(page.locator("[name=last_name]")).to_have_value("Iyengar")
    expect(page.locator("[name=email]")).to_have_value("no address")
    page.fill("[name=email]", "iyengar@mail.example")
    save(page)
    expect(page.locator("h1")).to_have_text("Sadiwali Iyengar")


def test_a_ticket(open_browser: OpenBrowser) -> None:
    admin = open_browser(LiveServer.ADMIN[0], java_script_enabled=False)
    page = admin.tab
    admin.go("/tickets/add")
    number = phone()
    typed = {"first_name": "Sadi", "mobile": number, "description": "The app\ndoes not open"}
    for name, text in typed.items():
        page.fill(f"[name={name}]", text)
    page.fill("[name=customer--typed]", "CRM-CUST-2020-99999")
    page.select_option("[name=subjects]", label="Mobile app problem")
    save(page)
    expect(error(page, "customer")).to_be_visible()
    for name, text in typed.items():
        expect(page.locator(f"[name={name}]")).to_have_value(text)
    expect(page.locator("[name=subjects] option:checked")).to_have_text("Mobile app problem")
    page.select_option("[name=customer]", "")
    save(page)
    expect(page.locator("h1")).to_have_text("Mobile app problem")
    expect(page.locator(".texts")).to_contain_text("does not open")
    page.locator("[data-values] header a").first.click()
    page.fill("[name=description]", "It opens, but slowly")
    page.select_option("[name=status]", label="Resolved")
    save(page)
    expect(error(page, "resolution")).to_be_visible()
    expect(page.locator("[name=description]")).to_have_value("It opens, but slowly")
    page.fill("[name=resolution]", "A new telephone")
    save(page)
    expect(page.locator(".status-button, .status-still").first).to_contain_text("Resolved")


def test_a_task(open_browser: OpenBrowser) -> None:
    asha = open_browser(MANAGER, java_script_enabled=False)
    lead = asha.create("lead", first_name="Aufgabwali", mobile=phone())
    page = asha.tab
    asha.go("/tasks/add")
    page.fill("[name=title]", "Call without scripts")
    page.fill("[name=due_on]", f"{datetime.now().year + 1}-01-15T10:30")
    page.fill("[name=assignee--typed]", "zed.nobody")
    save(page)
    expect(error(page, "assignee")).to_contain_text("zed.nobody")
    expect(page.locator("[name=title]")).to_have_value("Call without scripts")
    expect(page.locator("[name=due_on]")).to_have_value(f"{datetime.now().year + 1}-01-15T10:30")
    page.fill("[name=assignee--typed]", COLLEAGUE)
    page.fill("[name=lead--typed]", str(lead["number"]))
    save(page)
    expect(page.locator("h1")).to_have_text("Call without scripts")
    expect(page.locator("[data-pair=assignee]")).to_contain_text("Manoj Thakkar")


def test_a_note_and_the_status(rohan: UserBrowser, open_browser: OpenBrowser) -> None:
    made = open_browser(SELLER).create("lead", first_name="Notwali", mobile=phone())
    page = rohan.tab
    rohan.go(f"/leads/{made['number']}")
    page.fill("[data-compose-part=note] textarea", "Written\nplainly")
    with page.expect_navigation():
        page.click("[data-compose-part=note] button[type=submit]")
    expect(page.locator(".entry-note .entry-text").first).to_have_text("Written\nplainly")
    page.locator(".status-button").click()
    page.locator(".menu-item", has_text="Sent to HO").click()
    page.fill("[name=pod_id]", "<b>")
    with page.expect_navigation():
        page.locator("main form").filter(has=page.locator("[name=pod_id]")).locator("button[type=submit]").click()
    expect(page.locator("[name=pod_id]")).to_have_value("<b>")
    page.fill("[name=pod_id]", "POD-4714")
    with page.expect_navigation():
        page.locator("main form").filter(has=page.locator("[name=pod_id]")).locator("button[type=submit]").click()
    expect(page.locator(".status-button")).to_contain_text("Sent to HO")
