"""Two-factor sign-in in a browser: set up, codes and recovery codes, with and without JavaScript."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from app.lib import totp
from tests.browser import axe
from tests.browser.conftest import PASSWORD, OpenBrowser, UserBrowser

#: Demo people whom no other test signs in: with scripts, and without.
PERSON, PERSON_WITHOUT_SCRIPTS = "sunita.rawat", "arjun.malhotra"


def code(key: str, steps: int) -> str:
    """The code of the app, this many steps later."""
    return totp.code_at(key, totp.step_at(datetime.now(UTC)) + steps)


def enter(browser: UserBrowser, name: str) -> Any:
    """Fill in the page of the password."""
    page = browser.tab
    browser.go("/login/")
    page.fill("#username", name)
    page.fill("#password", PASSWORD)
    page.click("form[name=login] button[type=submit]")
    return page


def turn_on(browser: UserBrowser, name: str) -> tuple[str, list[str]]:
    """Sign in and set it up; returns the key and the recovery codes."""
    page = enter(browser, name)
    page.wait_for_url(f"{browser.url}/")
    browser.go("/me/")
    page.click("a.tile[href='/two-factor/']")
    key = page.locator(".to-copy code").inner_text().replace(" ", "")
    expect(page.locator("svg.qr")).to_be_visible()
    page.fill("#on-password", PASSWORD)
    page.fill("#on-code", "12345")
    page.click("button:has-text('Turn on')")
    expect(page.locator(".field-error")).to_contain_text("doesn't fit")
    assert page.locator(".to-copy code").inner_text().replace(" ", "") == key
    page.fill("#on-password", PASSWORD)
    page.fill("#on-code", code(key, 0))
    page.click("button:has-text('Turn on')")
    expect(page.locator("h1")).to_have_text("Recovery codes")
    return key, page.locator(".recovery-codes code").all_inner_texts()


def turn_off(page: Any, recovery_code: str) -> None:
    page.fill("#off-password", PASSWORD)
    page.fill("#off-code", recovery_code)
    page.click("#off button[type=submit]")
    expect(page.locator(".page-head .chip")).to_have_text("Off")


@pytest.mark.parametrize(
    "name, options", [(PERSON, {}), (PERSON_WITHOUT_SCRIPTS, {"java_script_enabled": False})], ids=["scripts", "plain"]
)
def test_setting_it_up_and_signing_in_with_it(open_browser: OpenBrowser, name: str, options: dict[str, Any]) -> None:
    browser = open_browser(None, **options)
    _key, codes = turn_on(browser, name)
    page = browser.tab
    assert len(codes) == 10
    with page.expect_download() as download:
        page.click("a[download]")
    assert Path(download.value.path()).read_text().split() == codes
    page.click("text=I have kept them")
    expect(page.locator(".page-head .chip")).to_have_text("On")

    other = open_browser(None, **options)
    page = enter(other, name)
    expect(page.locator("#code")).to_be_focused()
    page.fill("#code", "000000")
    page.click("button:has-text('Sign in')")
    expect(page.locator("#code-error")).to_contain_text("wrong or was used")
    page.click("text=Use a recovery code")
    page.fill("#code", codes[0])
    page.check("[name=remember]")
    page.click("button:has-text('Sign in')")
    page.wait_for_url(f"{other.url}/")
    other.go("/two-factor/")
    expect(page.locator("dl")).to_contain_text("Recovery codes left")
    turn_off(page, codes[1])
    assert [each for each in [*browser.complaints, *other.complaints] if "status of 4" not in each] == []


def test_its_pages_have_no_faults(open_browser: OpenBrowser) -> None:
    browser = open_browser(None)
    page = enter(browser, PERSON)
    page.wait_for_url(f"{browser.url}/")
    browser.go("/two-factor/")
    found = axe.faults(page)
    browser.take_pictures("two-factor-off")
    _key, codes = turn_on(open_browser(None), PERSON)
    page = enter(browser, PERSON)
    expect(page.locator("#code")).to_be_visible()
    found += axe.faults(page)
    browser.take_pictures("two-factor-code")
    page.fill("#code", codes[0])
    page.click("button:has-text('Sign in')")
    page.wait_for_url(f"{browser.url}/")
    browser.go("/two-factor/")
    found += axe.faults(page)
    turn_off(page, codes[1])
    assert found == []
