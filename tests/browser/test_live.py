"""Live pages in a real browser: badges agree, one toast per item, messages for a deleted record and a lost socket."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import Page, WebSocketRoute, expect

from tests.browser.conftest import COLLEAGUE, MANAGER, SELLER, OpenBrowser, UserBrowser
from tests.browser.test_journeys import pick, unopened_lead, watches, write_note
from tests.servers import LiveServer

DOWN = "[data-live-state]"
BADGE = "[data-bell] [data-unread]"


class Plug:
    """The sockets of a page, which a test may pull out and put in again."""

    def __init__(self, page: Page) -> None:
        self.is_out, self._open = False, list[WebSocketRoute]()
        page.route_web_socket(re.compile("socket.io"), self._route)

    def _route(self, socket: WebSocketRoute) -> None:
        if self.is_out:
            socket.close()
            return
        socket.connect_to_server()
        self._open.append(socket)

    def pull(self) -> None:
        """Nothing gets through any more."""
        self.is_out = True
        for socket in self._open:
            socket.close()
        self._open.clear()


def give(boss: UserBrowser, number: str, to: str) -> None:
    """Hand the lead to the colleague of this first name."""
    boss.go(f"/leads/{number}")
    boss.page.click("a.record-people")
    pick(boss.page, "form:has(input[value=person])", to)
    boss.page.click("form:has(input[value=person]) button:has-text('Assign')")
    boss.page.wait_for_url(f"**/leads/{number}")


def test_a_record_that_went_to_somebody_else_says_so(open_browser: OpenBrowser) -> None:
    asha, rohan = open_browser(MANAGER), open_browser(SELLER)
    number = unopened_lead(asha, "Lostwali", "9825012401")
    give(asha, number, "Rohan")
    watches(rohan, asha, number)
    give(asha, number, "Manoj")
    lost = rohan.page.locator("[data-gone]")
    expect(lost).to_contain_text("no longer have access")
    write_note(asha, "For Manoj only")
    rohan.page.wait_for_timeout(1000)
    assert "For Manoj only" not in rohan.page.inner_text("[data-timeline]")
    lost.locator("a").click()
    rohan.page.wait_for_url("**/leads/")
    assert rohan.complaints == []


def test_quick_refreshes_leave_one_timeline_and_the_tab_that_was_opened(open_browser: OpenBrowser) -> None:
    asha, rohan = open_browser(MANAGER), open_browser(SELLER)
    number = unopened_lead(rohan, "Twicewali", "9825012406")
    watches(rohan, asha, number)
    page = rohan.page
    held: list[Any] = []
    page.wait_for_timeout(1000)  # what the page heard before is shown
    page.route("**/timeline/**", lambda route: held.append(route), times=2)
    write_note(asha, "First of two")
    page.wait_for_timeout(1000)
    write_note(asha, "Second of two")
    page.wait_for_timeout(1000)
    assert len(held) == 1
    page.locator(".record-tabs [data-tab=notes]").click()
    page.wait_for_timeout(200)
    for route in held:  # the answer for the tab before comes first
        route.continue_()
    expect(page.locator(".record-tabs [aria-current]")).to_have_attribute("data-tab", "notes")
    expect(page.locator(".entry-note", has_text="Second of two")).to_have_count(1)
    page.wait_for_timeout(1000)
    assert page.locator("[data-timeline]").count() == page.locator("#feed").count() == 1
    expect(page.locator(".record-tabs [aria-current]")).to_have_attribute("data-tab", "notes")
    assert rohan.complaints == []


def test_a_menu_stays_open_and_what_was_typed_in_it_stays_while_others_write(open_browser: OpenBrowser) -> None:
    asha, rohan = open_browser(MANAGER), open_browser(SELLER)
    number = unopened_lead(rohan, "Menuwali", "9825012407")
    watches(rohan, asha, number)
    page = rohan.page
    page.wait_for_timeout(1000)  # what the page heard before is shown
    page.locator(".feed-filter summary").click()
    page.fill("#feed-from", "2026-11-01")
    with page.expect_response("**/timeline/**"):
        write_note(asha, "While the menu is open")
    page.wait_for_timeout(500)
    expect(page.locator("details.feed-filter[open]")).to_have_count(1)
    expect(page.locator("#feed-from")).to_have_value("2026-11-01")
    page.keyboard.press("Escape")
    expect(page.locator(".entry-note", has_text="While the menu is open")).to_have_count(1)
    assert rohan.complaints == []


def test_one_toast_an_item_and_the_same_badge_everywhere(open_browser: OpenBrowser) -> None:
    asha, desk, telephone = open_browser(MANAGER), open_browser(COLLEAGUE), open_browser(COLLEAGUE)
    tab = UserBrowser(desk.tab.context.new_page(), desk.url)
    for each in (tab, telephone, desk):
        each.go("/")
    for each in (tab, telephone, desk):
        each.await_socket()
    number = unopened_lead(asha, "Toastwali", "9825012402")
    give(asha, number, "Manoj")
    pages = [desk.page, tab.page]
    expect(telephone.page.locator(".toast-note", has_text=number)).to_have_count(1)
    for page in [*pages, telephone.page]:
        expect(page.locator(BADGE)).to_be_visible()
    assert sum(page.locator(".toast-note", has_text=number).count() for page in pages) == 1
    desk.page.click("[data-bell] summary")
    desk.page.click("[data-bell] form[action$='/bell/read'] button, [data-bell] button:has-text('Mark all')")
    for page in [*pages, telephone.page]:
        expect(page.locator(BADGE)).to_be_hidden()


def _passes_until_it_is_down(page: Any) -> None:
    """The page's clock goes on by the grace again and again: when the break reaches it, is the machine's affair."""
    for _ in range(30):
        page.clock.fast_forward(6_000)
        if page.locator(DOWN).is_visible():
            return
        page.wait_for_timeout(200)
    expect(page.locator(DOWN)).to_be_visible()


def test_a_page_without_a_socket_says_so_and_asks_every_minute(open_browser: OpenBrowser) -> None:
    asha, manoj = open_browser(MANAGER), open_browser(COLLEAGUE)
    manoj.tab.clock.install()
    plug = Plug(manoj.tab)
    manoj.go("/")
    expect(manoj.page.locator(DOWN)).to_be_hidden()
    plug.pull()
    _passes_until_it_is_down(manoj.page)
    before = manoj.page.locator(BADGE).text_content()
    give(asha, unopened_lead(asha, "Pollwali", "9825012403"), "Manoj")
    with manoj.page.expect_response("**/bell/count"):
        manoj.page.clock.fast_forward(61_000)
    expect(manoj.page.locator(BADGE)).not_to_have_text(str(before))


def test_a_page_whose_socket_comes_back_catches_up(open_browser: OpenBrowser) -> None:
    asha, rohan = open_browser(MANAGER), open_browser(SELLER)
    number = unopened_lead(rohan, "Backwali", "9825012404")
    plug = Plug(rohan.page)
    watches(rohan, asha, number)
    plug.pull()
    write_note(asha, "Said meanwhile")
    expect(rohan.page.locator(DOWN)).to_be_visible()
    plug.is_out = False
    expect(rohan.page.locator(DOWN)).to_be_hidden()
    rohan.page.wait_for_selector(".entry-note:has-text('Said meanwhile')")


def test_a_server_that_dies_and_comes_again_is_found_again(open_browser: OpenBrowser, crm_server: LiveServer) -> None:
    asha, rohan = open_browser(MANAGER), open_browser(SELLER)
    number = unopened_lead(rohan, "Deathwali", "9825012405")
    watches(rohan, asha, number)
    crm_server.kill()
    expect(rohan.page.locator(DOWN)).to_be_visible()
    crm_server.start()
    expect(rohan.page.locator(DOWN)).to_be_hidden(timeout=90_000)
    asha.go(f"/leads/{number}")
    write_note(asha, "All is well")
    rohan.page.wait_for_selector(".entry-note:has-text('All is well')")


def test_signing_out_in_one_tab_ends_the_sockets_of_the_others(open_browser: OpenBrowser) -> None:
    rohan = open_browser(SELLER)
    heard: list[int] = []
    rohan.tab.on("websocket", lambda socket: socket.on("close", lambda _closed: heard.append(1)))
    rohan.go("/leads/")
    tab = UserBrowser(rohan.page.context.new_page(), rohan.url)
    tab.go("/logout/")
    tab.page.click("main button[type=submit]")
    tab.page.wait_for_url("**/login/**")
    expect(rohan.page.locator(DOWN)).to_be_visible()
    assert heard


@pytest.fixture(autouse=True)
def _up_again(crm_server: LiveServer) -> None:
    """Whatever a test before did to it, the office is open."""
    if crm_server.process is None:
        crm_server.start()
