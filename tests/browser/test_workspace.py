"""The workspace in Chromium: the number of actions for common tasks, shared boards, cells, and no JavaScript."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import MANAGER, SELLER, OpenBrowser


class Actions:
    """Clicks, choices and keys of a job; typing text isn't counted."""

    def __init__(self, page: Any) -> None:
        self.page, self.count = page, 0

    def click(self, place: Any, **options: Any) -> None:
        self.count += 1
        place.click(**options)

    def choose(self, place: Any, **option: Any) -> None:
        self.count += 1
        place.select_option(**option)

    def press(self, key: str) -> None:
        self.count += 1
        self.page.keyboard.press(key)


def test_twelve_leads_are_moved_by_six_actions_and_back_by_one(open_browser: OpenBrowser) -> None:
    browser = open_browser(MANAGER)
    browser.go("/leads/?view=all")
    page, act = browser.page, Actions(browser.page)
    boxes = page.locator("[name=rowid]")
    act.click(boxes.nth(0))
    act.click(boxes.nth(11), modifiers=["Shift"])
    act.click(page.locator(".bulk > button", has_text="Status"))
    act.choose(page.locator("dialog[open] select[name=status]"), label="Nurture")
    expect(page.locator("dialog[open] .bulk-allowed")).to_contain_text("records will change.")
    act.click(page.locator("dialog[open] .btn-primary"))
    expect(page.locator("[data-undo]")).to_be_visible()
    assert act.count <= 6
    page.locator("[data-undo] button").click()
    expect(page.locator(".notes")).to_contain_text("Undone for")
    assert browser.complaints == []


def test_a_walk_in_is_saved_by_six_actions_and_known_people_are_told(open_browser: OpenBrowser) -> None:
    browser = open_browser(SELLER)
    browser.go("/leads/?view=all")
    known = browser.page.locator("tbody .kind-phone a").first.inner_text()
    browser.go("/tasks/")
    page, act = browser.page, Actions(browser.page)
    page.locator("tbody [name=rowid]").first.focus()  # a check box isn't typing
    act.press("Shift+N")
    expect(page.locator("#dialog-page [name=first_name]")).to_be_focused()
    page.keyboard.type("Walkin")
    act.press("Tab")
    act.press("Tab")
    page.keyboard.type(known)
    expect(page.locator("#dialog-page .field:has([name=mobile]) + .known .known-list li")).not_to_have_count(0)
    page.locator("#dialog-page [name=mobile]").fill("98111 22334")
    expect(page.locator(".known-list li")).to_have_count(0)
    act.press("Enter")
    page.wait_for_url("**/leads/CRM-LEAD-*")
    assert act.count <= 6 and browser.complaints == []


def column(page: Any, label: str) -> Any:
    return page.locator("[data-column]", has=page.locator(".state-label", has_text=label)).first


def test_a_card_is_dragged_and_a_colleague_sees_it_move(open_browser: OpenBrowser) -> None:
    mover, watcher = open_browser(SELLER), open_browser(MANAGER)
    watcher.go("/leads/?layout=board")
    watcher.await_socket()
    mover.go("/leads/?layout=board")
    page, target = mover.page, column(mover.page, "Contacted")
    card = page.locator("[data-card]", has=page.locator(".card-title")).first
    key = card.get_attribute("data-card")
    page.wait_for_function("() => document.querySelector('[data-cards]').crmSortable")
    start, end = card.bounding_box(), target.locator("[data-cards]").bounding_box()
    page.mouse.move(start["x"] + 60, start["y"] + 40)
    page.mouse.down()
    page.mouse.move(end["x"] + 60, end["y"] + 40, steps=10)
    with page.expect_response(lambda answer: "/board/move/" in answer.url) as moved:
        page.mouse.up()
    assert moved.value.status == 200
    expect(target.locator(f'[data-card="{key}"]')).to_have_count(1)
    expect(column(watcher.page, "Contacted").locator(f'[data-card="{key}"]')).to_have_count(1)
    assert mover.complaints == watcher.complaints == []


def test_a_gate_asks_by_keyboard_and_a_cancelled_move_goes_back(open_browser: OpenBrowser) -> None:
    browser = open_browser(MANAGER)
    browser.go("/leads/?layout=board")
    page, new = browser.page, column(browser.page, "New")
    card = new.locator("[data-card]").first
    key = card.get_attribute("data-card")
    card.locator(".card-title").focus()
    page.keyboard.press("m")
    page.locator("#dialog-page button", has_text="Sent to HO").press("Enter")
    expect(page.locator("#dialog-page [name=pod_id]")).to_be_focused()
    page.keyboard.press("Escape")
    expect(new.locator(f'[data-card="{key}"]')).to_have_count(1)
    assert browser.complaints == []


def test_a_cell_is_edited_and_a_row_previewed(open_browser: OpenBrowser) -> None:
    browser = open_browser(MANAGER)
    browser.go("/leads/?view=all&cols=name,email,status")
    page = browser.page
    cell = page.locator("tbody tr").nth(2).locator("td").nth(1)
    cell.dblclick()
    page.locator("[data-cell-form] [name=email]").fill("walk.in@mail.example")
    page.keyboard.press("Enter")
    expect(cell).to_have_text("walk.in@mail.example")
    page.locator("tbody tr").nth(3).locator(".col-status").click()
    expect(page.locator(".preview h2")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator(".preview")).not_to_be_visible()
    page.locator("tbody .first a").nth(1).click()
    page.wait_for_url("**/leads/show/*")  # the list has no numbers
    expect(page.locator("[data-record-nav]")).to_be_visible()
    first = page.url
    page.keyboard.press("j")
    page.wait_for_url(lambda url: url != first)
    expect(page.locator("[data-record-nav]")).to_be_visible()
    page.keyboard.press("k")
    page.wait_for_url(first)
    assert browser.complaints == []


@pytest.mark.parametrize("path", ["/leads/quick", "/views/new?list=leads&query=q%3Da", "/views/columns?list=leads"])
def test_the_dialogs_are_pages_without_javascript(open_browser: OpenBrowser, path: str) -> None:
    browser = open_browser(MANAGER, java_script_enabled=False)
    browser.go(path)
    page = browser.page
    if path == "/leads/quick":
        page.fill("[name=first_name]", "Plain")
        page.fill("[name=mobile]", "98111 22399")
    if "/new" in path:
        page.fill("[name=label]", "Plain view")
    page.locator("main .dialog-foot .btn-primary").click()
    page.wait_for_url("**/leads/*")
    expect(page.locator("h1")).to_be_visible()


def test_the_full_form_shows_who_is_known_and_takes_them_over(open_browser: OpenBrowser) -> None:
    browser = open_browser(MANAGER)
    browser.go("/leads/?view=all&cols=name,mobile")
    page = browser.page
    mobile = page.locator("tbody tr").first.locator("td").nth(1).inner_text().strip()
    browser.go("/leads/add")
    page.fill("[name=mobile]", mobile)
    known = page.locator("[data-form] .known")
    expect(known).to_contain_text("Known already?")
    known.locator("[data-use]").first.click()
    expect(page.locator("[name=first_name]")).not_to_have_value("")
    expect(page.locator(".form-foot .btn-primary")).to_be_focused()
    assert browser.complaints == []


def test_on_a_phone_the_buttons_of_the_quick_form_stay_in_sight(open_browser: OpenBrowser) -> None:
    browser = open_browser(SELLER, viewport={"width": 390, "height": 664})
    browser.go("/leads/")
    browser.page.keyboard.press("Shift+N")
    expect(browser.page.locator("dialog[open] .dialog-foot .btn-primary")).to_be_in_viewport(ratio=1)
    assert browser.complaints == []


def test_beside_a_customer_nothing_of_a_ticket_is_cut(open_browser: OpenBrowser) -> None:
    browser = open_browser("leena.fernandes")
    browser.go("/customers/?q=")
    browser.page.locator("main tbody .row-link").first.click()
    rows = browser.page.locator("[data-related] .related-what")
    expect(rows.first).to_be_visible()
    cut = "all => all.filter((each) => each.scrollWidth > each.clientWidth).map((each) => each.textContent)"
    assert rows.evaluate_all(cut) == [] and browser.page.locator(".related-about").evaluate_all(cut) == []


@pytest.mark.parametrize("width", [1440, 390])
def test_boards_fit_the_window(open_browser: OpenBrowser, width: int) -> None:
    browser = open_browser(MANAGER, viewport={"width": width, "height": 844})
    for path in ("/leads/?layout=board", "/leads/?group=status", "/views/", "/tasks/?layout=board"):
        browser.go(path)
        over = browser.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert over == 0, path
    assert browser.complaints == []


#: What is clicked, and what comes then.
FETCHED = (
    ("tbody tr:nth-child(2) td.col-created_on", ".preview h2"),
    ("a[data-dialog-page][data-with-query]", "dialog#dialog-page[open]"),
)


def test_what_could_not_be_fetched_is_said_and_tried_again(open_browser: OpenBrowser) -> None:
    browser = open_browser(SELLER)
    browser.go("/leads/?view=all")
    page = browser.page
    for clicked, shown in FETCHED:
        page.context.set_offline(True)
        try:
            page.locator(clicked).first.click()
            note = page.locator(".toast-note", has_text="could not be reached")
            expect(note).to_be_visible()
        finally:  # the context is kept for the next test
            page.context.set_offline(False)
        note.locator("button").click()
        expect(page.locator(shown)).to_be_visible()
        page.keyboard.press("Escape")


def test_links_of_a_collapsed_sidebar_have_names_and_tooltips(open_browser: OpenBrowser) -> None:
    rohan = open_browser(SELLER)
    rohan.go("/leads/")
    page = rohan.tab
    link = page.get_by_role("navigation", name="Main menu").get_by_role("link", name="Customers")
    link.hover()
    assert not link.get_attribute("title")
    page.locator("[data-sidebar-toggle]").click()
    expect(link).to_be_visible()
    link.hover()
    expect(link).to_have_attribute("title", "Customers")
    page.locator("[data-sidebar-toggle]").click()
