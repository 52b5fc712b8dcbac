"""The main pages in a real browser: no horizontal scrolling on a phone, no error in the console."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.browser.axe import FAULTS
from tests.browser.conftest import SELLER, Seat

Sit = Callable[..., Seat]
LISTS = ("/leads/", "/tickets/", "/customers/", "/tasks/", "/calls/", "/messages/", "/requests/")
FORMS = ("/leads/add", "/tickets/add", "/customers/add", "/tasks/add", "/calls/add", "/messages/add")
ADMINS = (
    "/settings/",
    "/users/list/",
    "/roles/list/",
    "/roles/matrix/",
    "/settings/holidays/list/",
    "/keys/",
    "/sessions/",
    "/audit/",
    "/jobs/",
    "/swagger/v1",
    "/users/userinfo/",
)
PAGES = ("/", "/me/", *LISTS, *FORMS, "/bell/")
PHONE = {"width": 390, "height": 844}

WIDER = """() => document.documentElement.scrollWidth <= innerWidth ? [] : [...document.querySelectorAll('main *')]
  .filter((one) => one.getBoundingClientRect().right > innerWidth + 1).slice(0,
      5).map((one) => one.outerHTML.slice(0, 140))
  .concat(`${document.documentElement.scrollWidth} > ${innerWidth}`)"""


def a_lead(seat: Seat) -> str:
    """The address of a lead on the list."""
    seat.go("/leads/")
    return str(seat.page.locator("main a[href^='/leads/CRM-LEAD']").first.get_attribute("href"))


def wide_pages(seat: Seat, paths: Any) -> dict[str, list[str]]:
    """What is wider than the window on each page, and what the browser itself complains of."""
    found = {}
    for path in paths:
        seat.complaints.clear()
        assert seat.go(path).status == 200, path
        seat.page.wait_for_timeout(150)  # type-aheads are dressed after the page is there
        found[path] = [*seat.page.evaluate(WIDER), *seat.complaints]
    return {path: faults for path, faults in found.items() if faults}


def test_swagger_is_drawn_without_complaints(seat: Sit) -> None:
    admin = seat("admin")
    admin.go("/swagger/v1")
    admin.page.wait_for_selector(".opblock")
    assert admin.complaints == []


def test_nothing_scrolls_sideways_on_a_phone(seat: Sit) -> None:
    admin = seat("admin", viewport=PHONE, has_touch=True)
    assert wide_pages(admin, [*PAGES, a_lead(admin)]) == {}


def test_nothing_of_the_admins_scrolls_sideways_on_a_phone(seat: Sit) -> None:
    assert wide_pages(seat("admin", viewport=PHONE, has_touch=True), ADMINS) == {}


def test_an_error_page_shows_the_way_back(seat: Sit) -> None:
    rohan = seat(SELLER)
    assert rohan.go("/leads/CRM-LEAD-1999-00001").status == 404
    assert rohan.page.evaluate(FAULTS) == []
    rohan.page.click(".sorry-acts a")
    rohan.page.wait_for_url(rohan.url + "/")


def test_the_role_matrix_saves_a_cell(seat: Sit) -> None:
    admin = seat("admin")
    admin.go("/roles/matrix/")
    admin.page.click(".role-list a:has-text('Support User')")
    cell = admin.page.locator("select[name='level_Support Pages_delete']")
    assert cell.count() == 1 and admin.page.locator(".matrix tbody tr").count() >= 10
    before = cell.input_value()
    after = "none" if before != "none" else "all"
    cell.select_option(after)
    admin.page.click("form[data-matrix] button[type=submit]")
    admin.page.wait_for_load_state("load")
    assert admin.page.locator("select[name='level_Support Pages_delete']").input_value() == after
    assert admin.complaints == []
