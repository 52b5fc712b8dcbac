"""Dashboards in a browser: charts from tables, figures that open their lists, both without scripts; on paper."""

from __future__ import annotations

import re
from collections.abc import Callable

from playwright.sync_api import expect

from tests.browser.conftest import MANAGER, Seat

Sit = Callable[..., Seat]


def test_charts_are_drawn_from_their_tables_in_both_themes(seat: Sit) -> None:
    asha = seat(MANAGER)
    page = asha.page
    asha.go("/dashboard/analytics")
    part = page.locator("[data-widget=leads_by_status]")
    expect(part.locator("canvas")).to_be_visible()
    expect(part.locator("table")).to_be_hidden()
    light = part.locator("canvas").screenshot()
    page.evaluate("() => document.documentElement.setAttribute('data-bs-theme', 'dark')")
    assert part.locator("canvas").screenshot() != light
    part.locator("summary").press("Enter")
    expect(part.locator("table")).to_be_visible()
    # A click on the first bar opens the list of the first row.
    count = part.locator("td a").first.inner_text()
    box = part.locator("canvas").bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + 20)
    page.wait_for_url(re.compile("/leads/.*figure=leads"))
    assert page.locator("#list-count").inner_text() == count
    asha.go("/dashboard/calls")
    page.emulate_media(media="print")
    page.evaluate("() => window.dispatchEvent(new Event('beforeprint'))")
    expect(page.locator("[data-widget=calls_by_status] table")).to_be_visible()
    expect(page.locator(".sidebar")).to_be_hidden()
    assert asha.complaints == []


def test_a_dashboard_works_without_scripts(seat: Sit) -> None:
    page = seat(MANAGER, java_script_enabled=False).page
    page.goto(page.url.rstrip("/") + "/dashboard/analytics")
    expect(page.locator("[data-widget=leads_by_status] table")).to_be_visible()
    page.locator("select[name=who]").select_option(label="Rohan Parikh")
    page.locator("form:has(select[name=who]) button").click()
    expect(page.locator(".dash-about")).to_contain_text("Rohan Parikh")
    number = page.locator("[data-widget=leads] .dash-value a")
    count = number.inner_text()
    number.click()
    expect(page.locator("#list-count")).to_have_text(count)
    expect(page.locator(".filter-chip")).to_contain_text("Rohan Parikh")
