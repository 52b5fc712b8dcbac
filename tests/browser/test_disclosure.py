"""The monthly disclosure of complaints in a real browser: figures, their lists, publishing, the HTML for a website."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from playwright.sync_api import expect

from app.domain.complaints import disclosure_periods
from tests.browser.axe import faults
from tests.browser.conftest import OpenBrowser
from tests.servers import LiveServer


def test_a_month_is_looked_at_and_published(open_browser: OpenBrowser) -> None:
    officer = open_browser(LiveServer.ADMIN[0])
    page: Any = officer.tab
    officer.go("/complaints-disclosure/")
    assert faults(page) == []
    figures = page.get_by_role("region", name="Data for the month ending")
    page.get_by_label("Layout").select_option("2021")
    page.get_by_role("button", name="Show").click()
    expect(figures.get_by_role("columnheader", name="Carried forward from previous month")).to_be_visible()
    figures.get_by_role("row", name="Grand total").get_by_role("link").first.click()
    page.wait_for_url("**/complaints/?*where=*")
    # The demo data have the last two months that were due.
    unpublished = disclosure_periods.month_of(date.today() - timedelta(days=150))
    officer.go(f"/complaints-disclosure/?month={disclosure_periods.month_name(unpublished)}")
    page.get_by_role("button", name="Publish", exact=False).first.click()
    confirm = page.locator("dialog[open]")
    expect(confirm).to_contain_text("Publish the figures as they are counted now?")
    confirm.get_by_role("button").last.click()
    expect(page.get_by_text("is published, version 1")).to_be_visible()
    page.locator("table.rows").get_by_role("link", name="1", exact=True).click()
    expect(page.get_by_text("Version 1, published on")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("link", name="HTML").click()
    page.goto("about:blank")  # of another website, with its own rules for styles
    page.set_content(download.value.path().read_text())
    expect(page.get_by_role("table").first).to_contain_text("Grand total")
    assert faults(page, part=".complaints-disclosure") == [] and officer.complaints == []
