"""Invalid URLs, ids and queries of the admin screens cause no server error."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import pytest

from app.web.settings import settings_menu
from app.web.settings.office_hours import OfficeRanges
from tests.cases import each_case
from tests.web.settings_app import (
    INVALID_QUERIES,
    Site,
)

FAB_LISTS = [
    "/users/list/",
    "/roles/list/",
    "/groups/list/",
    "/permissions/list/",
    "/viewmenus/list/",
    "/permissionviews/list/",
]
FAB_VIEWS = dict(
    zip(FAB_LISTS, ["Users", "Roles", "Groups", "Permissions", "ViewMenus", "PermissionViews"], strict=True)
)
#: URL of a list -> name of its view.
SETTINGS_VIEWS = {
    entry.url: entry.view.__name__ for entry in settings_menu.BUSINESS if entry.url.endswith("/list/")
} | {"/settings/office-ranges/list/": OfficeRanges.__name__}


def queries_of(url: str, urls: Collection[str]) -> Sequence[str]:
    """All of INVALID_QUERIES for the first of the lists, a third, in turn, for each other one: one class reads them."""
    place = [*urls].index(url)
    return INVALID_QUERIES[place % 3 :: 3] if place else INVALID_QUERIES


@each_case("url", FAB_LISTS)
def test_invalid_queries_of_lists(site: Site, url: str) -> None:
    for odd in queries_of(url, FAB_LISTS):
        response = site.get("root", f"{url}?{odd.format(v=FAB_VIEWS[url])}")
        assert response.status_code == 200, odd


@pytest.mark.parametrize("base", ["/users", "/roles", "/groups"])
def test_invalid_ids_and_actions_are_404(site: Site, base: str) -> None:
    for key in ("abc", "0", "-1", "999999", "99999999999999999999", "1e3"):
        assert site.get("root", f"{base}/show/{key}").status_code == 404
        assert site.get("root", f"{base}/edit/{key}").status_code == 404
        assert site.post("root", f"{base}/delete/{key}").status_code == 404
        assert site.post("root", f"{base}/action/nothing/{key}").status_code == 404
    assert site.post("root", f"{base}/action_post", action="nothing", rowid="1").status_code == 404
    assert site.post("root", f"{base}/action_post").status_code == 404


def test_actions_check_permissions_and_rows(site: Site) -> None:
    assert site.post("root", "/roles/action_post", action="copyrole", rowid="999999").status_code == 404
    assert site.post("root", "/roles/action_post", action="copyrole").status_code == 302
    assert site.post("ana", "/roles/action_post", action="copyrole", rowid="1").status_code == 403
    assert site.post("sid", f"/users/action/resetpasswords/{site.user('ana')}").status_code == 403
    to = site.post("root", f"/users/action/abilities/{site.user('ana')}")
    assert to.location.endswith(f"/users/can/{site.user('ana')}")


def test_searches_of_people_are_separate(site: Site) -> None:
    assert "Ana Shah" in site.get("root", "/users/list/?_flt_2_username=ana").text
    page = site.get("sid", "/users/list/").text
    assert "Ben Shah" in page and "Clear all" not in page


def test_search_and_order(site: Site) -> None:
    page = site.get("root", f"/users/list/?_flt_0_roles={site.role('Sales User')}&_oc_Users=email&_od_Users=desc").text
    assert "Ana Shah" in page and "Cleo Shah" not in page and page.index("Ben Shah") < page.index("Ana Shah")


def test_every_page_opens(site: Site, sees: Callable[[str], None]) -> None:
    for url in (
        *FAB_LISTS,
        "/users/add",
        "/roles/add",
        "/groups/add",
        f"/roles/show/{site.role('Sales User')}",
        f"/roles/edit/{site.role('Sales User')}",
        f"/users/edit/{site.user('ana')}",
    ):
        sees(url)


@pytest.fixture
def sees(site: Site) -> Callable[[str], None]:
    """Open a page as root and check that it has nothing the content security policy forbids."""

    def look(url: str) -> None:
        response = site.get("root", url)
        assert response.status_code == 200, url
        for forbidden in (" style=", "onclick=", "<script>", "javascript:"):
            assert forbidden not in response.text, (url, forbidden)

    return look


@each_case("url", SETTINGS_VIEWS)
def test_invalid_queries_and_ids_of_settings_lists(site: Site, url: str) -> None:
    odd = [
        *queries_of(url, SETTINGS_VIEWS),
        "_flt_0_label=%25",
        "_flt_0_position=x",
        "_flt_0_day=soon",
        "_flt_0_weekday=mon",
    ]
    for each in odd:
        assert site.get("root", f"{url}?{each.format(v=SETTINGS_VIEWS[url])}").status_code == 200, each
    base = url.removesuffix("list/")
    for key in ("abc", "0", "-1", "99999999999999999999"):
        assert site.get("root", f"{base}edit/{key}").status_code == 404
        assert site.get("root", f"{base}show/{key}").status_code == 404
        assert site.post("root", f"{base}delete/{key}").status_code == 404
    assert site.post("root", f"{base}action_post", action="nothing").status_code == 404
    assert site.get("root", f"{base}add").status_code == 200
