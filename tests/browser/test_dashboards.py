"""Dashboards in a browser: charts from tables, figures with links to their lists, both without scripts; and printed."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from tests.browser.conftest import MANAGER, OpenBrowser


def test_charts_are_drawn_from_their_tables_in_both_themes(open_browser: OpenBrowser) -> None:
    asha = open_browser(MANAGER)
    page = asha.tab
    # Figures are kept for a minute. Those of this period are counted now: no other test has opened them.
    asha.go("/dashboard/analytics?period=week")
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


def test_a_dashboard_works_without_scripts(open_browser: OpenBrowser) -> None:
    asha = open_browser(MANAGER, java_script_enabled=False)
    asha.go("/dashboard/analytics")
    page = asha.page
    expect(page.locator("[data-widget=leads_by_status] table")).to_be_visible()
    page.locator("select[name=who]").select_option(label="Rohan Parikh")
    page.locator("form:has(select[name=who]) button").click()
    expect(page.locator(".dash-about")).to_contain_text("Rohan Parikh")
    number = page.locator("[data-widget=leads] .dash-value a")
    count = number.inner_text()
    number.click()
    expect(page.locator("#list-count")).to_have_text(count)
    expect(page.locator(".filter-chip")).to_contain_text("Rohan Parikh")


def test_a_board_is_arranged_with_pointer_and_keys_and_printed_on_a4(open_browser: OpenBrowser) -> None:
    asha = open_browser(MANAGER)
    page = asha.tab
    asha.go("/dashboard/calls")
    page.locator(".dash-arrange").click()
    page.locator("#board-label").fill("Mornings")
    names = page.locator("[data-card] [data-name]")
    first, second = names.nth(0).inner_text(), names.nth(1).inner_text()
    page.locator("[data-card]").nth(0).locator("[data-do=down]").press("Enter")
    expect(names.nth(0)).to_have_text(second)
    expect(page.locator("[data-card]").nth(1).locator("[data-do=down]")).to_be_focused()
    expect(page.locator("[data-said]")).to_contain_text(first)
    page.locator("[data-card]").nth(0).locator("[data-size]").select_option("12")
    expect(page.locator("[data-card]").nth(0)).to_have_class(re.compile("dash-w12"))
    page.locator("[data-card]").nth(2).locator("[data-do=remove]").click()
    # The last card is dragged to the front; both are in sight.
    page.set_viewport_size({"width": 1440, "height": 1800})
    last = names.last.inner_text()
    grip, target = page.locator("[data-grip]").last.bounding_box(), page.locator("[data-card]").first.bounding_box()
    assert grip is not None and target is not None
    page.mouse.move(grip["x"] + 5, grip["y"] + 5)
    page.mouse.down()

    def is_first() -> bool:
        page.mouse.move(target["x"] + 20, target["y"] + 40, steps=8)
        page.mouse.move(target["x"] + 10, target["y"] + 10, steps=4)
        return bool(names.nth(0).inner_text() == last)

    asha.until(is_first, "the dragged card takes no place")  # it takes none while others slide to theirs
    page.mouse.up()
    expect(names.nth(0)).to_have_text(last)
    page.locator("button[value=save]").click()
    page.wait_for_url(re.compile(r"/dashboard/boards/\d+$"))
    labels = page.locator(".dash-board h2")
    assert labels.all_inner_texts()[:3] == [last, second, first]
    expect(page.locator(".dash-tabs .tab[aria-current]")).to_have_text("Mornings")
    # On paper.
    page.evaluate("() => window.dispatchEvent(new Event('beforeprint'))")
    paper = page.pdf(format="A4", print_background=True)
    assert paper.startswith(b"%PDF-") and 1 <= len(re.findall(rb"/Type\s*/Page\b", paper)) <= 4
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 718, "height": 1000})  # A4 without its margins, at 96 dpi
    drawn = page.locator(".dash-board section, .dash-chart canvas, .dash-rows")
    cut = "(all) => all.filter((each) => each.getBoundingClientRect().right > innerWidth + 1).length"
    assert drawn.evaluate_all(cut) == 0
    assert asha.complaints == []


def test_a_heat_map_on_a_phone_begins_where_the_office_opens(open_browser: OpenBrowser) -> None:
    asha = open_browser(MANAGER)
    asha.tab.set_viewport_size({"width": 390, "height": 844})
    asha.go("/dashboard/calls?period=month")
    place = asha.page.locator("[data-widget=calls_heat_map] .dash-scroll")
    hour = place.evaluate(
        """(box) => {
            const [label, ...hours] = box.querySelectorAll("thead th");
            const edge = box.getBoundingClientRect().left + label.offsetWidth;
            return hours.find((each) => each.getBoundingClientRect().left >= edge - 2).textContent;
        }"""
    )
    assert 8 <= int(hour) <= 10
