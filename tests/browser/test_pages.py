"""The main pages in a real browser: no complaint, no side-scrolling on a phone, names for all that can be used."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

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

#: Sentences about what a person with a screen reader would miss.
FAULTS = """() => {
  const faults = [], all = (selector) => [...document.querySelectorAll(selector)];
  const seen = (one) => one.checkVisibility({ checkVisibilityCSS: true }) && !one.closest('[aria-hidden=true]');
  if (!document.documentElement.lang) faults.push('no language');
  if (all('h1').filter(seen).length !== 1) faults.push(`${all('h1').filter(seen).length} h1`);
  if (all('main').length !== 1) faults.push('not one main');
  if (!document.title.trim()) faults.push('no title');
  const named = (one) => one.labels?.length || one.getAttribute('aria-label') || one.getAttribute('aria-labelledby')
    || one.title;
  all('input:not([type=hidden]), select, textarea').filter((one) => seen(one) && !named(one))
    .forEach((one) => faults.push(`no label: ${one.outerHTML.slice(0, 120)}`));
  all('button, a[href], summary').filter((one) => seen(one) && !one.textContent.trim() && !named(one))
    .forEach((one) => faults.push(`no name: ${one.outerHTML.slice(0, 120)}`));
  all('img:not([alt])').forEach((one) => faults.push(`no alt: ${one.src}`));
  const ids = all('[id]').map((one) => one.id), twice = ids.filter((id, at) => ids.indexOf(id) !== at);
  if (twice.length) faults.push(`twice the same id: ${[...new Set(twice)]}`);
  return faults;
}"""
WIDER = """() => document.documentElement.scrollWidth <= innerWidth ? [] : [...document.querySelectorAll('main *')]
  .filter((one) => one.getBoundingClientRect().right > innerWidth + 1).slice(0,
      5).map((one) => one.outerHTML.slice(0, 140))
  .concat(`${document.documentElement.scrollWidth} > ${innerWidth}`)"""


def a_lead(seat: Seat) -> str:
    """The address of a lead on the list."""
    seat.go("/leads/")
    return str(seat.page.locator("main a[href^='/leads/CRM-LEAD']").first.get_attribute("href"))


def faults_of(seat: Seat, paths: Any, question: str, themes: Sequence[str] = ("light",)) -> dict[str, list[str]]:
    """What the question finds on each page, and what the browser itself complains of."""
    found = {}
    for path in paths:
        seat.complaints.clear()
        assert seat.go(path).status == 200, path
        seat.page.wait_for_timeout(150)  # type-aheads are dressed after the page is there
        found[path] = []
        for theme in themes:
            seat.page.emulate_media(color_scheme=theme)
            seat.page.wait_for_timeout(50 * (theme != "light"))
            found[path] += [*seat.page.evaluate(question), *seat.complaints]
    return {path: faults for path, faults in found.items() if faults}


def test_pages_have_names_and_no_complaints(seat: Sit) -> None:
    admin = seat("admin")
    assert faults_of(admin, [*PAGES, a_lead(admin)], FAULTS, ("light", "dark")) == {}


def test_the_admins_pages_have_names_and_no_complaints(seat: Sit) -> None:
    assert faults_of(seat("admin"), [page for page in ADMINS if "swagger" not in page], FAULTS) == {}


def test_the_sign_in_page_has_names_and_no_complaints(seat: Sit) -> None:
    assert faults_of(seat(None), ["/login/"], FAULTS) == {}


def test_swagger_is_drawn_without_complaints(seat: Sit) -> None:
    admin = seat("admin")
    admin.go("/swagger/v1")
    admin.page.wait_for_selector(".opblock")
    assert admin.complaints == []


def test_nothing_scrolls_sideways_on_a_phone(seat: Sit) -> None:
    admin = seat("admin", viewport=PHONE, has_touch=True)
    assert faults_of(admin, [*PAGES, a_lead(admin)], WIDER) == {}


def test_nothing_of_the_admins_scrolls_sideways_on_a_phone(seat: Sit) -> None:
    assert faults_of(seat("admin", viewport=PHONE, has_touch=True), [*ADMINS], WIDER) == {}


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
