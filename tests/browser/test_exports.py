"""Export of everything as one file in a real browser: requested, confirmed, followed, downloaded, read."""

from __future__ import annotations

import hashlib
import json
import zipfile

from playwright.sync_api import expect

from tests.browser.conftest import MANAGER, OpenBrowser
from tests.servers import LiveServer

ADMIN = LiveServer.ADMIN[0]


def test_an_admin_downloads_everything(open_browser: OpenBrowser) -> None:
    root = open_browser(ADMIN)
    root.go("/exports/")
    root.take_pictures("exports-list")
    root.page.get_by_role("button", name="Export everything").click()
    dialog = root.page.locator("dialog[open]")
    expect(dialog).to_contain_text("also what is masked")
    root.take_pictures("exports-confirm")
    dialog.get_by_role("button", name="Cancel").click()
    expect(dialog).to_have_count(0)
    assert root.page.url.endswith("/exports/")
    root.page.get_by_role("button", name="Export everything").click()
    root.page.locator("dialog[open] [data-confirm-ok]").click()
    root.page.wait_for_url("**/exports/*/")
    download = root.page.get_by_role("link", name="Download", exact=True)
    expect(download).to_be_visible()  # the page watches by itself
    root.take_pictures("exports-ready")
    with root.page.expect_download() as caught:
        download.click()
    with zipfile.ZipFile(caught.value.path()) as archive:
        assert archive.testzip() is None
        manifest = json.loads(archive.read("manifest.json"))
        for table in manifest["tables"].values():
            assert hashlib.sha256(archive.read(table["file"])).hexdigest() == table["sha256"], table["file"]
    assert manifest["tables"]["leads"]["rows"] >= 40
    assert root.complaints == []


def test_a_manager_is_not_offered_everything(open_browser: OpenBrowser) -> None:
    asha = open_browser(MANAGER)
    asha.go("/exports/")
    expect(asha.page.locator("h1")).to_have_text("Exports")
    expect(asha.page.get_by_role("button", name="Export everything")).to_have_count(0)
