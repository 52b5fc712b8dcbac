"""A campaign in a real browser: from selected leads through the check to results that update themselves."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import expect

from tests.browser.conftest import MANAGER, SELLER, OpenBrowser


def test_a_message_to_selected_leads(open_browser: OpenBrowser) -> None:
    asha = open_browser(MANAGER)
    page: Any = asha.tab
    asha.go("/leads/")
    for n in range(3):
        page.locator("[name=rowid]").nth(n).check()
    page.get_by_role("button", name="Send a message…").click()
    expect(page.get_by_label("The 3 selected records")).to_be_checked()
    page.get_by_role("button", name="Continue").click()
    page.get_by_label("Name").fill("Greetings")
    page.get_by_label("Purpose").select_option("service")
    page.get_by_label("Text", exact=True).fill("Namaste {{first_name}} ₹")
    expect(page.locator("[data-sms-for]")).to_have_text("1 SMS (UCS-2), 46 characters left")
    page.get_by_role("button", name="Show the variables").click()
    expect(page.get_by_label("{{first_name}}")).to_have_value("first_name")
    page.get_by_role("button", name="Check the recipients").click()
    expect(page.locator(".preview").first).to_contain_text("Namaste")  # the worker has checked them, and the page knows
    expect(page.locator("#recipients tbody tr")).to_have_count(3)
    page.get_by_role("button", name="Start now").click()
    confirm = page.locator("dialog[open]")
    expect(confirm).to_contain_text("Send this message to")
    confirm.get_by_role("button").last.click()
    expect(page.locator(".campaign-state")).to_contain_text("Done")
    assert asha.complaints == []


def test_who_may_not_send_to_many_sees_no_button(open_browser: OpenBrowser) -> None:
    rohan = open_browser(SELLER)
    rohan.go("/leads/")
    rohan.page.locator("[name=rowid]").first.check()
    expect(rohan.page.get_by_role("button", name="Send a message…")).to_have_count(0)
    expect(rohan.page.get_by_role("link", name="Campaigns")).to_have_count(0)
