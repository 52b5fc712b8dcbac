"""Every page, once: for people with a screen reader, in both themes, and nothing wider than the window or cut off."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.axe import AXE, CUT, FAULTS, SIDEWAYS, faults, thin
from tests.browser.conftest import MANAGER, OpenBrowser, UserBrowser
from tests.servers import LiveServer

#: Pages of a manager, and of the admin.
WORK = [
    "/",
    "/leads/",
    "/leads/add",
    "/customers/",
    "/tasks/",
    "/calls/",
    "/messages/",
    "/inbox/?folder=unassigned",
    "/requests/",
    "/search?q=mehta",
]
WORK += ["/dashboard/", "/dashboard/team", "/dashboard/calls"]
WORK += ["/bell/", "/bell/choices/", "/me/", "/phone/", "/sessions/", "/two-factor/", "/keys/", "/signature/"]
WORK += [
    "/leads/?layout=board",
    "/tasks/?tab=all",
    "/tasks/?layout=calendar",
    "/campaigns/",
    "/exports/",
    "/imports/new",
    "/help/",
]
SETTINGS = ["/tickets/", "/tickets/add", "/settings/", "/users/list/", "/users/add", "/roles/matrix/", "/users/can/"]
SETTINGS += ["/settings/business/", "/settings/hours/", "/settings/holidays/list/", "/turns/", "/settings/sla/list/"]
SETTINGS += ["/settings/sla/add", "/settings/lead-statuses/list/", "/settings/lead-statuses/add", "/jobs/", "/queue/"]
SETTINGS += ["/settings/channels/", "/settings/channels/add/twilio", "/settings/channels/console/1/", "/undelivered/"]
SETTINGS += ["/mails/", "/health/", "/self-test/", "/backups/", "/settings/retention/", "/settings/do-not-disturb/"]
SETTINGS += ["/complaints-disclosure/", "/settings/caller-ids/", "/settings/lists/", "/roles/list/", "/help/admin"]
SETTINGS += ["/customers/add", "/tasks/add", "/calls/add", "/messages/add", "/users/userinfo/"]
SETTINGS += ["/webhooks/", "/webhooks/add", "/audit/", "/settings/message-templates/list/", "/groups/list/"]
#: Dialog of a record's page -> how it opens. The last one is there when something typed offline waits.
DIALOGS: dict[str, Callable[[Any], Any]] = {
    "#shortcuts": lambda page: page.keyboard.press("?"),
    "#palette": lambda page: page.keyboard.press("Control+k"),
    "#dialog-page .dialog-foot": lambda page: page.keyboard.press("Shift+N"),
    "dialog[id^=move-]:modal": lambda page: (
        page.locator(".status-button").click(),
        page.locator("[data-dialog^=move-]").first.click(),
    ),
    "#outbox li": lambda page: page.evaluate(OUTBOX),
}
OUTBOX = """() => self.crmOutbox.add({
  key: 'k', user: document.querySelector('[data-offline]').dataset.user, url: '/leads/note/1', label: 'Note',
  fields: [['body', 'Typed in the lift']], at: Date.now(), state: 'refused', sentence: 'Someone changed it.' })
  .then(() => document.querySelector('[data-outbox-open]').click())"""


DESKTOP, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}


def page_faults(browser: UserBrowser, path: str, known: set[str] | None = None) -> list[str]:
    """What is wrong with the page, and what the browser itself complains of.

    With what is `known` already, axe looks at the rest, and the page is left without what is known.
    """
    browser.complaints.clear()
    answer = browser.go(path)
    assert answer.status == 200, path
    page = browser.page
    found = page.evaluate(FAULTS) + page.evaluate(CUT)
    page.set_viewport_size(PHONE)
    found += page.evaluate(SIDEWAYS)
    if known is not None:
        thin(page, known)
    page.set_viewport_size(DESKTOP)
    return faults(page, stays=False) + [f"{path}: {each}" for each in (*found, *browser.complaints)]


def first_record(page: Any) -> str:
    """The address of the first record of the list on the page."""
    return str(page.locator("main tbody .row-link").first.get_attribute("href"))


@pytest.fixture(scope="module")
def known() -> set[str]:
    """The looks that axe has seen on the pages before."""
    return set()


@pytest.mark.parametrize("pages", [WORK, SETTINGS], ids=["work", "settings"])
def test_axe_finds_nothing_serious(open_browser: OpenBrowser, pages: list[str], known: set[str]) -> None:
    browser = open_browser(
        MANAGER if pages is WORK else LiveServer.ADMIN[0],
        color_scheme="light",
        reduced_motion="reduce",
        init_script=AXE.read_text(),
    )
    found = []
    for path in pages:
        found += page_faults(browser, path, known)
    browser.go("/leads/" if pages is WORK else "/tickets/")
    found += page_faults(browser, first_record(browser.page))
    for dialog, opens in DIALOGS.items():
        opens(browser.page)
        expect(browser.page.locator(dialog).first).to_be_visible()
        found += faults(browser.page, stays=False, part="dialog[open]")
        browser.page.keyboard.press("Escape")
        # A closed dialog keeps the focus until the next frame, and so the next key: nobody types as fast, a test does.
        browser.page.wait_for_function("() => !document.activeElement.closest('dialog')")
    assert found == []


def test_the_sign_in_page_has_names_and_no_complaints(open_browser: OpenBrowser) -> None:
    assert page_faults(open_browser(None, color_scheme="light"), "/login/") == []
