"""My day without a mouse: tasks by key, undo, the next step in a dialog; and others' changes appear by themselves."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import COLLEAGUE, MANAGER, SELLER, OpenBrowser, UserBrowser
from tests.browser.test_journeys import unopened_lead


def row(page: Any, title: str) -> Any:
    return page.locator(".day-row", has_text=title)


def focus(page: Any, title: str) -> None:
    row(page, title).locator("[data-act=open]").focus()


#: Steps of My day, whose page is read and not opened: what tests have left is done.
DONE = """async (titles) => {
  const day = new DOMParser().parseFromString(await (await fetch('/')).text(), 'text/html');
  for (const row of day.querySelectorAll('.day-row')) {
    const form = row.querySelector('[data-act=done]')?.form;
    if (form && titles.some((title) => row.textContent.includes(title)))
      await fetch(form.action, {method: 'POST', body: new FormData(form), redirect: 'manual'});
  }
}"""
TITLES = ["First of the day", "Second of the day", "What comes after"]


@pytest.fixture
def rohan(open_browser: OpenBrowser) -> Iterator[UserBrowser]:
    """At his day, with two tasks that were due an hour ago."""
    made = open_browser(SELLER)
    lead = made.create("lead", first_name="Daywali", mobile=f"98250{datetime.now():%S%f}"[:10])
    due = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    for title in TITLES[:2]:
        made.create("task", title=title, lead=lead["number"], due_on=due)
    made.go("/")
    yield made
    made.page.evaluate(DONE, TITLES)
    assert made.complaints == []


def arrows_walk_through_the_rows(rohan: UserBrowser) -> None:
    first = rohan.page.locator(".day-row [data-act=open]").first
    first.focus()
    rohan.page.keyboard.press("ArrowDown")
    expect(rohan.page.locator(".day-row [data-act=open]").nth(1)).to_be_focused()
    rohan.page.keyboard.press("ArrowUp")
    expect(first).to_be_focused()


def a_menu_closes_by_escape_and_changes_nothing(rohan: UserBrowser) -> None:
    focus(rohan.page, "Second of the day")
    rohan.page.keyboard.press("s")
    rohan.page.keyboard.press("Escape")
    expect(row(rohan.page, "Second of the day").locator("summary")).to_be_focused()
    expect(rohan.page.locator("details[open]")).to_have_count(0)


def done_and_undone_by_key(rohan: UserBrowser) -> None:
    page = rohan.page
    before = int(page.locator("[data-part=overdue] .count").inner_text())
    focus(page, "First of the day")
    page.keyboard.press("d")
    expect(row(page, "First of the day")).to_have_count(0)
    expect(page.locator("[data-part=overdue] .count")).to_have_text(str(before - 1))
    expect(page.locator(".day-row:focus-within")).to_have_count(1)
    page.keyboard.press("u")
    expect(row(page, "First of the day")).to_have_count(1)
    expect(page.locator(".day-notes")).to_contain_text("Reopened")


def undo_is_a_button_too(rohan: UserBrowser) -> None:
    row(rohan.page, "First of the day").locator("[data-act=done]").press("Enter")
    expect(row(rohan.page, "First of the day")).to_have_count(0)
    expect(rohan.page.locator(".day-row:focus-within")).to_have_count(1)  # the page has put the focus where it stays
    rohan.page.locator("[data-undo] button").click()
    expect(row(rohan.page, "First of the day")).to_have_count(1)


def a_refused_next_step_keeps_the_words(rohan: UserBrowser) -> None:
    page = rohan.page
    focus(page, "First of the day")
    page.keyboard.press("n")
    dialog = page.locator("dialog[open]")
    dialog.locator("[name=note]").fill("He signs on Monday")
    dialog.locator("[name=due_on]").fill("")
    dialog.locator("button[type=submit]").press("Enter")
    expect(dialog.locator(".field-error")).to_contain_text("When is the next follow-up")
    expect(dialog.locator("[name=note]")).to_have_value("He signs on Monday")
    expect(dialog.locator("[name=due_on]")).to_be_focused()
    rohan.complaints.clear()  # the browser notes the refusal
    page.keyboard.press("Escape")
    expect(row(page, "First of the day")).to_have_count(1)


#: All of them leave the day as it was.
STEPS = (
    a_menu_closes_by_escape_and_changes_nothing,
    done_and_undone_by_key,
    undo_is_a_button_too,
    a_refused_next_step_keeps_the_words,
    arrows_walk_through_the_rows,
)


def test_steps_of_one_visit(rohan: UserBrowser, subtests: pytest.Subtests) -> None:
    for step in STEPS:
        with subtests.test(step.__name__):
            step(rohan)


#: Somebody else's news, as live.js tells them.
NEWS = "() => dispatchEvent(new CustomEvent('crm:activity', { detail: {} }))"


@pytest.mark.parametrize("first", ["news", "step"])
def test_news_do_not_take_the_page_from_under_a_step_on_its_way(rohan: UserBrowser, first: str) -> None:
    page = rohan.page

    def held(route: Any) -> None:
        page.evaluate(NEWS)
        page.wait_for_timeout(1200)
        route.continue_()

    page.route("**/tasks/done/*", held)
    focus(page, "First of the day")
    if first == "news":
        page.evaluate(NEWS)
        page.wait_for_timeout(380)  # they are asked for after 400 ms
    page.keyboard.press("d")
    expect(row(page, "First of the day")).to_have_count(0)
    page.unroute("**/tasks/done/*")
    page.locator("[data-undo] button").click()
    expect(row(page, "First of the day")).to_have_count(1)


def test_a_key_counts_while_news_settle(rohan: UserBrowser) -> None:
    page = rohan.page
    page.evaluate("() => { htmx.config.defaultSettleDelay = 600_000 }")
    focus(page, "Second of the day")
    row(page, "Second of the day").evaluate("row => { row.dataset.leaves = '' }")
    page.evaluate(NEWS)
    expect(page.locator(".day-row:not([data-leaves])", has_text="Second of the day")).to_have_count(1)
    page.keyboard.press("s")
    expect(page.locator("details[open] .menu-item:focus")).to_have_text("15 min")


def test_a_step_is_undone_on_another_page_too(rohan: UserBrowser) -> None:
    page = rohan.page
    row(page, "First of the day").locator("[data-act=done]").evaluate(
        "button => fetch(button.form.action, {method: 'POST', body: new FormData(button.form), redirect: 'manual'})"
    )
    rohan.go("/tasks/")
    page.locator("[data-undo] button").click()
    expect(page.locator(".notes")).to_contain_text("Reopened: First of the day")


def test_put_off_by_key(rohan: UserBrowser) -> None:
    page = rohan.page
    focus(page, "Second of the day")
    page.keyboard.press("s")
    expect(page.locator("details[open] .menu-item:focus")).to_have_text("15 min")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.locator("[data-part=soon]")).to_contain_text("Second of the day")
    expect(page.locator(".day-notes")).to_contain_text("snoozed until")


def test_done_and_next_by_key(rohan: UserBrowser) -> None:
    page = rohan.page
    focus(page, "First of the day")
    page.keyboard.press("n")
    dialog = page.locator("dialog[open]")
    expect(dialog.locator("[name=note]")).to_be_focused()
    page.keyboard.type("He signs on Monday")
    dialog.locator("[name=title]").fill("What comes after")
    dialog.locator("[name=title]").press("Enter")
    expect(dialog).to_have_count(0)
    expect(row(page, "First of the day")).to_have_count(0)
    href = row(page, "Second of the day").locator("[data-act=open]").get_attribute("href")
    rohan.go(str(href))
    told = page.locator("[data-timeline]")
    expect(told).to_contain_text("He signs on Monday")
    expect(told).to_contain_text("What comes after")


def test_what_a_colleague_gives_me_appears_by_itself_but_not_under_my_hands(
    rohan: UserBrowser, open_browser: OpenBrowser
) -> None:
    asha, manoj = open_browser(MANAGER), open_browser(COLLEAGUE)
    number = unopened_lead(asha, "Handover", f"98251{datetime.now():%S%f}"[:10])
    manoj.await_socket()
    manoj.page.locator(".topbar summary").first.press("Enter")
    asha.go(f"/leads/{number}")
    asha.page.click("a.record-people")
    box = asha.page.locator("form:has(input[value=person]) .ts-control input")
    box.press_sequentially("Manoj")
    asha.page.locator(".ts-dropdown .option", has_text="Manoj").first.click()
    asha.page.click("form:has(input[value=person]) button:has-text('Assign')")
    expect(manoj.page.locator("[data-bell] [data-unread]")).to_be_visible()
    expect(row(manoj.page, number)).to_have_count(0)
    manoj.page.keyboard.press("Escape")
    expect(row(manoj.page, number).first).to_be_visible()
    assert [*asha.complaints, *manoj.complaints] == []


def test_everything_works_without_scripts(rohan: UserBrowser, open_browser: OpenBrowser) -> None:
    plain = open_browser(SELLER, java_script_enabled=False)
    row(plain.page, "First of the day").locator("[data-act=next]").click()
    plain.page.fill("[name=due_on]", "2000-01-01T10:00")
    plain.page.click("main form[data-form] button[type=submit]")
    expect(plain.page.locator(".field-error")).to_contain_text("The next follow-up is in the past")
    plain.go("/")
    row(plain.page, "First of the day").locator("[data-act=done]").click()
    plain.page.locator(".note button", has_text="Undo").click()
    expect(row(plain.page, "First of the day")).to_have_count(1)


def test_numbers_and_recent_records_stand_beside_the_work_on_a_wide_screen(open_browser: OpenBrowser) -> None:
    asha = open_browser(MANAGER)
    lead = asha.create("lead", first_name="Nachbar", mobile=f"98252{datetime.now():%S%f}"[:10])
    asha.go(f"/leads/{lead['number']}")
    asha.until(lambda: asha.page.evaluate("() => localStorage.getItem('recent')"), "the record isn't remembered")
    asha.go("/")
    side = asha.page.locator(".day-side")
    expect(side.locator(".day-numbers a").first).to_be_visible()
    expect(side.locator("[data-day-recent] a").first).to_contain_text("Nachbar")
    asha.page.set_viewport_size({"width": 390, "height": 844})
    expect(side).to_be_hidden()
    assert asha.complaints == []
