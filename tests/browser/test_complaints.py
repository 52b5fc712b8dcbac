"""A complaint in a real browser, from its ticket to the resolution."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from tests.browser.conftest import OpenBrowser

#: Support Manager of the demo data.
HEAD = "leena.fernandes"


def test_a_complaint_from_its_ticket_to_the_resolution(open_browser: OpenBrowser) -> None:
    leena = open_browser(HEAD)
    page = leena.tab
    ticket = leena.create("ticket", subjects=["Pay-out delay"], summary="Pay-out of Monday missing", first_name="Asha")
    leena.go(f"/complaints/add?ticket={ticket['number']}&title=Pay-out of Monday missing")
    page.select_option("[name=source]", "SEBI SCORES")
    page.fill("[name=reference]", "SEBIE/MH26/9000001")
    page.fill("[name=received_on]", "2026-01-05")
    page.select_option("[name=category]", label="Margin and funds: Pay-out not received")
    page.click("main form[data-form] button[type=submit]")
    page.wait_for_url(re.compile(r"/complaints/CRM-COMPLAINT-"))
    number = page.url.rpartition("/")[2]
    page.click("main button:has-text('Acknowledge')")
    page.click("main a:has-text('Write the report')")
    page.wait_for_url(re.compile(r"/complaints/edit/"))
    page.select_option("[name=outcome]", "Resolved")
    page.click("main form[data-form] button[type=submit]")
    expect(page.locator("[data-error-summary]")).to_contain_text("please write what was done")
    page.fill("[name=report_actions]", "The pay-out was credited.")
    page.click("main form[data-form] button[type=submit]")
    page.wait_for_url(re.compile(f"/complaints/{number}"))
    expect(page.locator("[data-timeline]")).to_contain_text(f"disposed of the complaint {number}: Resolved")
    page.click(".record-acts a:has-text('Go to the ticket')")
    page.wait_for_url(re.compile(r"/tickets/CRM-TICKET-"))
    expect(page.locator(".record-side")).to_contain_text(number)
    page.click(".record-acts .btn-primary:has-text('Resolve')")
    page.locator("dialog[open] [name=resolution]").fill("Credited, see the complaint.")
    page.locator("dialog[open] button[type=submit]").click()
    page.wait_for_selector(".status-button:has-text('Resolved')")
    assert all("422" in each for each in leena.complaints)  # the outcome without a report
