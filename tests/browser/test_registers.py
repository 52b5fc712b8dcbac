"""The registers of compliance in a real browser: a request with its copy, a breach with its texts, and an order."""

from __future__ import annotations

import json
import re
import zipfile
from typing import Any

from playwright.sync_api import expect

from tests.browser.conftest import MANAGER, OpenBrowser
from tests.browser.test_calls import called  # noqa: F401  # a fixture
from tests.servers import LiveServer

ADMIN = LiveServer.ADMIN[0]


def test_a_request_for_access_is_answered_with_a_copy(open_browser: OpenBrowser) -> None:
    root = open_browser(ADMIN)
    page: Any = root.page
    root.go("/data-requests/?_flt_eq_kind=access")
    page.locator("tbody tr").first.locator("a").first.click()
    page.wait_for_url("**/data-requests/DR-*")
    key = page.url.rpartition("-")[2]
    root.go(f"/data-requests/edit/{key}")
    page.fill("[name=identity_how]", "Called back on the known number")
    page.click(".form-foot .btn-primary")
    page.wait_for_url("**/data-requests/show/*")
    expect(page.locator("main")).to_contain_text("changed: ")
    root.take_pictures("data-request")
    root.go(f"/data-requests/copy/{key}")
    page.get_by_role("button", name="Make the copy").click()
    download = page.get_by_role("button", name="Download the copy")
    expect(download).to_be_visible()  # the page watches by itself
    root.take_pictures("data-request-copy")
    with page.expect_download() as caught:
        download.click()
    with zipfile.ZipFile(caught.value.path()) as archive:
        assert archive.testzip() is None
        assert len(json.loads(archive.read("personal-data.json"))["customer"]) == 1
        assert b"<h2>" in archive.read("personal-data.html")
    root.go(f"/data-requests/copy/{key}")
    expect(page.locator("#copy")).to_contain_text("was downloaded")
    assert root.complaints == []


def test_a_breach_has_texts_to_copy(open_browser: OpenBrowser) -> None:
    root = open_browser(ADMIN)
    page: Any = root.page
    root.go("/breaches/add")
    page.fill("[name=title]", "Parcel with forms lost")
    page.fill("[name=measures]", "The courier looks for it.")
    page.click(".form-foot .btn-primary")
    page.wait_for_url("**/breaches/show/*")
    root.go(f"/breaches/texts/{page.url.rpartition('/')[2]}")
    expect(page.locator("textarea").first).to_have_value(re.compile("Parcel with forms lost"))
    root.take_pictures("breach-texts")
    page.get_by_role("button", name="Copy").first.click()
    assert root.complaints == []
    asha = open_browser(MANAGER)
    asha.go("/leads/")
    expect(asha.page.locator("a[href='/breaches/']")).to_have_count(0)


def test_a_call_becomes_an_order_by_keyboard(called: Any) -> None:  # noqa: F811
    page: Any = called.page
    page.keyboard.press("o")
    expect(page.locator(".dialog-outcome input[name=outcome]").first).to_be_focused()
    page.keyboard.press("1")
    page.keyboard.press("o")
    expect(page.locator(".dialog-outcome [name=is_order]")).to_be_checked()
    page.keyboard.press("t")
    expect(page.locator("tr", has_text="Phonewali")).to_have_count(0)
    called.go("/calls/?tab=orders")
    page.locator("tr", has_text="Phonewali").locator("a").first.click()
    page.wait_for_url("**/calls/show/*")
    called.go(f"/calls/evidence/{page.url.rpartition('/')[2]}")
    expect(page.locator("main")).to_contain_text("No evidence yet.")
    called.take_pictures("order-evidence")
    assert called.complaints == []
