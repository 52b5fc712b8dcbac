"""Dashboards in a browser: charts from tables, figures with links to their lists, both without scripts; and printed."""

from __future__ import annotations

import re
from typing import Any

from playwright.sync_api import expect

from tests.browser.conftest import MANAGER, OpenBrowser


def place_of(thing: Any) -> tuple[float, ...]:
    box = thing.bounding_box()
    assert box is not None
    return tuple(round(box[side], 1) for side in ("x", "y", "width", "height"))


def test_a_chart_that_is_pointed_at_comes_to_life_in_place(open_browser: OpenBrowser) -> None:
    asha = open_browser(MANAGER)
    page = asha.tab
    # Figures are kept for a minute. Those of this period are counted now: no other test has opened them.
    asha.go("/dashboard/analytics?period=week")
    part = page.locator("[data-widget=leads_by_status]")
    plot, canvas = part.locator("[data-plot]"), part.locator("canvas")
    part.scroll_into_view_if_needed()
    bar = place_of(plot.locator("rect").first)
    expect(part.locator("table")).to_be_hidden()
    assert page.locator("canvas").count() == 0
    before, names = place_of(part), place_of(part.locator(".chart-names"))
    part.locator("h2").hover()
    expect(canvas).to_be_visible()
    expect(plot.locator("[data-marks]")).to_be_hidden()
    assert (place_of(part), place_of(part.locator(".chart-names"))) == (before, names)
    light = canvas.screenshot()
    page.evaluate("() => document.documentElement.setAttribute('data-bs-theme', 'dark')")
    assert canvas.screenshot() != light
    part.locator("summary").press("Enter")
    expect(part.locator("table")).to_be_visible()
    # A click on the first bar, where the picture had it, opens the list of the first row.
    count = part.locator("td a").first.inner_text()
    page.mouse.click(bar[0] + bar[2] / 2, bar[1] + bar[3] / 2)
    page.wait_for_url(re.compile("/leads/.*figure=leads"))
    assert page.locator("#list-count").inner_text() == count
    asha.go("/dashboard/calls")
    page.emulate_media(media="print")
    page.evaluate("() => window.dispatchEvent(new Event('beforeprint'))")
    expect(page.locator("[data-widget=calls_by_status] table")).to_be_visible()
    expect(page.locator(".sidebar")).to_be_hidden()
    assert asha.complaints == []


def test_a_series_is_hidden_from_its_legend_with_the_keyboard(open_browser: OpenBrowser) -> None:
    asha = open_browser(MANAGER)
    asha.go("/dashboard/calls")
    part = asha.page.locator("[data-widget=calls_trend]")
    first = part.locator("[data-key]").first
    first.focus()
    expect(part.locator("canvas")).to_be_visible()
    both = part.locator("canvas").screenshot()
    first.press("Enter")
    expect(first).to_have_attribute("aria-pressed", "false")
    asha.until(lambda: part.locator("canvas").screenshot() != both, "the series is still drawn")
    first.press("Enter")
    asha.until(lambda: part.locator("canvas").screenshot() == both, "the series is not drawn again")
    assert asha.complaints == []


def test_what_a_number_means_is_said_when_its_mark_is_reached(open_browser: OpenBrowser) -> None:
    asha = open_browser(MANAGER)
    asha.go("/dashboard/analytics")
    card = asha.page.locator("[data-widget=conversion]")
    help_ = card.locator("[role=tooltip]")
    expect(help_).to_be_hidden()
    card.locator("button").focus()
    expect(help_).to_be_visible()
    # On a desk, the numbers leave room for the first chart.
    chart = place_of(asha.page.locator("[data-chart]").first)
    assert chart[1] + chart[3] <= 900
    cards = [place_of(each)[3] for each in asha.page.locator(".dash-number").all()]
    assert max(cards) - min(cards) < 2


def test_a_dashboard_works_without_scripts(open_browser: OpenBrowser) -> None:
    asha = open_browser(MANAGER, java_script_enabled=False)
    asha.go("/dashboard/analytics")
    page = asha.page
    part = page.locator("[data-widget=leads_by_status]")
    expect(part.locator("rect").first).to_be_visible()
    part.locator("summary").click()
    expect(part.locator("table")).to_be_visible()
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
    drawn = page.locator(".dash-board section, .dash-chart [data-plot], .dash-rows")
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
