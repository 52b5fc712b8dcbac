"""Every page for people with a screen reader, in both themes: axe, and names for all controls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.axe import AXE, FAULTS, faults
from tests.browser.conftest import MANAGER, Seat
from tests.servers import LiveServer

Sit = Callable[..., Seat]
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
WORK += ["/bell/", "/bell/choices/", "/me/", "/phone/", "/sessions/", "/keys/", "/signature/"]
WORK += ["/leads/?layout=board", "/tasks/?layout=calendar", "/campaigns/", "/exports/", "/imports/new", "/help/"]
SETTINGS = ["/tickets/", "/tickets/add", "/settings/", "/users/list/", "/users/add", "/roles/matrix/", "/users/can/"]
SETTINGS += ["/settings/business/", "/settings/hours/", "/settings/holidays/list/", "/turns/", "/settings/sla/list/"]
SETTINGS += ["/settings/sla/add", "/settings/lead-statuses/list/", "/settings/lead-statuses/add", "/jobs/", "/queue/"]
SETTINGS += ["/settings/channels/", "/settings/channels/add/twilio", "/settings/channels/console/1/", "/undelivered/"]
SETTINGS += ["/mails/", "/health/", "/self-test/", "/backups/", "/settings/retention/", "/settings/do-not-disturb/"]
SETTINGS += ["/settings/caller-ids/", "/settings/lists/", "/roles/list/", "/help/admin"]
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


def page_faults(seat: Seat, path: str) -> list[str]:
    """What is wrong with the page, and what the browser itself complains of."""
    seat.complaints.clear()
    answer = seat.go(path)
    assert answer.status == 200, path
    found = faults(seat.page, stays=False)
    return found + [f"{path}: {each}" for each in (*seat.page.evaluate(FAULTS), *seat.complaints)]


def first_record(page: Any) -> str:
    """The address of the first record of the list on the page."""
    return str(page.locator("main tbody .row-link").first.get_attribute("href"))


@pytest.mark.parametrize("pages", [WORK, SETTINGS], ids=["work", "settings"])
def test_axe_finds_nothing_serious(seat: Sit, pages: list[str]) -> None:
    sits = seat(MANAGER if pages is WORK else LiveServer.ADMIN[0], color_scheme="light", reduced_motion="reduce")
    sits.tab.add_init_script(path=AXE)
    found = []
    for path in pages:
        found += page_faults(sits, path)
    sits.go("/leads/" if pages is WORK else "/tickets/")
    found += page_faults(sits, first_record(sits.page))
    for dialog, opens in DIALOGS.items():
        opens(sits.page)
        expect(sits.page.locator(dialog).first).to_be_visible()
        found += faults(sits.page, stays=False)
        sits.page.keyboard.press("Escape")
        # A closed dialog keeps the focus until the next frame, and so the next key: nobody types as fast, a test does.
        sits.page.wait_for_function("() => !document.activeElement.closest('dialog')")
    assert found == []


def test_the_sign_in_page_has_names_and_no_complaints(seat: Sit) -> None:
    assert page_faults(seat(None, color_scheme="light"), "/login/") == []
