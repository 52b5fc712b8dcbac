"""The calendar of tasks in Chromium: dragging changes a due time, colleagues see it, and a refused change is undone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from playwright.sync_api import expect

from tests.browser.conftest import MANAGER, SELLER, UserBrowser
from tests.browser.test_journeys import unopened_lead


def test_a_drag_gives_another_due_time_and_a_colleague_sees_it(open_browser: Callable[..., UserBrowser]) -> None:
    mover, watcher = open_browser(SELLER), open_browser(MANAGER)
    page = mover.tab
    # Of their own: the jobs of the server take away what is overdue, so one of the demo may be gone
    due = (datetime.now(UTC) + timedelta(days=40)).replace(day=10, hour=6, minute=0, second=0, microsecond=0)
    lead = unopened_lead(mover, "Kalenderwala", "9825100017")
    made = mover.create("task", title="Send the form", lead=lead, due_on=due.isoformat())
    mover.go(f"/tasks/?layout=calendar&span=month&from={due:%Y-%m-%d}&_flt_eq_assignee=%40me")
    watcher.go(page.url.removeprefix(mover.url).replace("&_flt_eq_assignee=%40me", ""))
    watcher.await_socket()
    name = f"task-{made['id']}"
    held = page.locator(f'[data-item="{name}"].can-move')
    version = held.get_attribute("data-version")
    days = [each.get_attribute("data-cell") for each in page.locator("[data-cell]").all()]
    day = days[days.index(held.get_attribute("data-day")) + 2]
    target = page.locator(f'[data-cell="{day}"]')

    def drag() -> None:
        page.wait_for_function("() => document.querySelector('[data-cell]').crmSortable")
        with page.expect_response(lambda answer: "/calendar/move/" in answer.url):
            held.drag_to(target)

    held.evaluate("item => { item.dataset.version = 99 }")
    drag()
    expect(page.locator("[data-toasts]")).to_contain_text("changed")
    expect(target.locator(f'[data-item="{name}"]')).to_have_count(0)
    expect(page.locator(f'[data-item="{name}"][data-version="{version}"]')).to_have_count(1)

    mover.complaints.clear()  # the browser tells of the refusal
    drag()
    expect(target.locator(f'[data-item="{name}"]')).to_have_attribute("data-version", str(int(version or 0) + 1))
    expect(watcher.page.locator(f'[data-cell="{day}"] [data-item="{name}"]')).to_have_count(1)

    held.locator(".cal-link").focus()
    with page.expect_response(lambda answer: "/calendar/move/" in answer.url):
        page.keyboard.press("Shift+ArrowRight")
    after = days[days.index(day) + 1]
    expect(page.locator(f'[data-cell="{after}"] [data-item="{name}"] .cal-link')).to_be_focused()
    page.keyboard.press("v")
    expect(page.locator(".preview h2")).to_be_visible()
    watcher.go(f"/tasks/?_flt_eq_due_on={after}")
    expect(watcher.page.locator(f'tr[data-id="{(name or "").removeprefix("task-")}"]')).to_have_count(1)
    assert mover.complaints == watcher.complaints == []


def test_on_a_phone_moving_and_the_span_share_a_line(open_browser: Callable[..., UserBrowser]) -> None:
    rohan = open_browser(SELLER)
    rohan.tab.set_viewport_size({"width": 390, "height": 844})
    rohan.go("/tasks/?layout=calendar")
    parts = [rohan.tab.locator(name).bounding_box() for name in (".cal-ways", ".cal-bar > :last-child")]
    assert parts[0] is not None and parts[1] is not None
    assert abs(parts[0]["y"] + parts[0]["height"] / 2 - parts[1]["y"] - parts[1]["height"] / 2) < 2


def test_on_a_phone_no_day_of_the_week_is_half_behind_the_times(open_browser: Callable[..., UserBrowser]) -> None:
    rohan = open_browser(SELLER)
    for width in (390, 640):
        rohan.tab.set_viewport_size({"width": width, "height": 844})
        rohan.go("/tasks/?layout=calendar&span=week")
        rohan.tab.evaluate("document.querySelector('.cal-scroll').scrollLeft = 10000")
        [clock, *days] = rohan.tab.locator(".cal-of-week thead th").all()
        edge, starts = clock.bounding_box(), [day.bounding_box() for day in days]
        assert edge is not None
        behind = edge["x"] + edge["width"]
        gaps = [abs(each["x"] - behind) for each in starts if each is not None]
        assert min(gaps) < 1.5, (width, gaps)


def test_on_a_phone_a_day_says_whole_that_the_office_is_closed(
    open_browser: Callable[..., UserBrowser],
) -> None:
    rohan = open_browser(SELLER)
    for width in (320, 390):
        rohan.tab.set_viewport_size({"width": width, "height": 844})
        rohan.go("/tasks/?layout=calendar&span=week")
        heads = rohan.tab.locator(".cal-of-week thead th:has(.cal-closed)")
        assert heads.count()
        assert (
            heads.evaluate_all("all => all.map((each) => each.scrollWidth > each.clientWidth)")
            == [False] * heads.count()
        )
