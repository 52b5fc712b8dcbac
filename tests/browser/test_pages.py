"""Pages in a real browser that none of the others opens: what each page shows is in test_screen_readers.py."""

from __future__ import annotations

from tests.browser.axe import FAULTS, SIDEWAYS
from tests.browser.conftest import SELLER, OpenBrowser


def test_swagger_is_drawn_without_complaints(open_browser: OpenBrowser) -> None:
    admin = open_browser("admin")
    admin.go("/swagger/v1")
    admin.page.wait_for_selector(".opblock")
    admin.page.set_viewport_size({"width": 390, "height": 844})
    assert admin.page.evaluate(SIDEWAYS) == admin.complaints == []


def test_an_error_page_shows_the_way_back(open_browser: OpenBrowser) -> None:
    rohan = open_browser(SELLER)
    assert rohan.go("/leads/CRM-LEAD-1999-00001").status == 404
    assert rohan.page.evaluate(FAULTS) == []
    rohan.page.click(".sorry-acts a")
    rohan.page.wait_for_url(rohan.url + "/")


def test_the_role_matrix_saves_a_cell(open_browser: OpenBrowser) -> None:
    admin = open_browser("admin")
    admin.go("/roles/matrix/")
    admin.page.click(".role-list a:has-text('Support User')")
    cell = admin.page.locator("select[name='level_Support Pages_delete']")
    cell.wait_for()
    assert admin.page.locator(".matrix tbody tr").count() >= 10
    before = cell.input_value()
    after = "none" if before != "none" else "all"
    cell.select_option(after)
    admin.page.click("form[data-matrix] button[type=submit]")
    admin.page.wait_for_load_state("load")
    assert admin.page.locator("select[name='level_Support Pages_delete']").input_value() == after
    assert admin.complaints == []
