"""Files, reactions and typing in a real browser: two people at one conversation, and a third as the customer."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from playwright.sync_api import expect

from tests import sample_uploads
from tests.browser.conftest import MANAGER, SELLER, OpenBrowser
from tests.servers import LiveServer


def play_customer(admin: Any, path: Path, text: str) -> None:
    """Send a picture as the customer of the newest conversation on WhatsApp."""
    admin.go("/settings/channels/")
    admin.page.locator("a[href^='/settings/channels/']", has_text=re.compile("desk|console|demo", re.I)).first.click()
    admin.page.get_by_role("link", name=re.compile("Play the customer")).click()
    admin.page.select_option("#c-channel", "whatsapp")
    admin.page.fill("#c-peer", "+91 98199 12345")
    admin.page.fill("#c-name", "Kavita Iyer")
    admin.page.fill("#c-text", text)
    admin.page.set_input_files("#c-file", path)
    admin.page.get_by_role("button", name="Send as the customer").click()
    expect(admin.page.locator(".note")).to_contain_text("has arrived")


def test_files_reactions_and_typing_between_two_people(open_browser: OpenBrowser, tmp_path: Path) -> None:
    mine, theirs = tmp_path / "form.jpg", tmp_path / "pan card.png"
    mine.write_bytes(sample_uploads.picture((1600, 1000)))
    theirs.write_bytes(sample_uploads.picture((900, 600), "PNG"))
    play_customer(open_browser(LiveServer.ADMIN[0]), theirs, "My PAN card")
    rohan, asha = open_browser(SELLER), open_browser(MANAGER)
    rohan.go("/inbox/?folder=unassigned")
    rohan.page.locator(".inbox-row a", has_text="Kavita Iyer").click()
    expect(rohan.page.locator(".file-picture img")).to_be_visible()
    assert rohan.page.locator(".file-picture img").evaluate("img => img.decode().then(() => img.naturalWidth)") == 640
    address = rohan.page.url.removeprefix(rohan.url).partition("?")[0]
    asha.go(address)
    asha.await_socket()
    rohan.await_socket()
    # Typing is seen by the other one only, and not stored
    rohan.page.locator("[data-text]").type("Here is the form")
    expect(asha.page.locator("[data-typing]")).to_have_text(re.compile("Rohan Parikh is writing"))
    expect(rohan.page.locator("[data-typing]")).to_be_hidden()
    asha.take_pictures("typing")
    # A file that is refused stays with its reason, and what was typed stays too
    rohan.page.set_input_files(
        "[data-choose]", [{"name": "x.png", "mimeType": "image/png", "buffer": sample_uploads.HTML}]
    )
    expect(rohan.page.locator(".write-file.is-refused")).to_contain_text("no picture, video")
    rohan.page.set_input_files("[data-choose]", [mine])
    expect(rohan.page.locator(".write-file [name=file]")).to_have_count(1)
    rohan.take_pictures("composer")
    rohan.page.locator(".write-file.is-refused button").click()
    with rohan.page.expect_navigation():
        rohan.page.get_by_role("button", name="Send", exact=True).click()
    for each in (rohan, asha):
        expect(each.page.locator(".is-out .bubble-text").last).to_have_text("Here is the form")
        expect(each.page.locator(".is-out .file-picture img").last).to_be_visible()
    expect(asha.page.locator("[data-typing]")).to_be_hidden()
    # A reaction by one is seen by the other
    bubble = asha.page.locator(".bubble.is-in").last
    bubble.hover()
    bubble.locator(".bubble-tools summary").click()
    asha.take_pictures("reacting")
    bubble.get_by_role("button", name="🙏").click()
    expect(rohan.page.locator(".bubble.is-in .bubble-reactions").last).to_contain_text("🙏")
    # An answer quotes the message
    rohan.page.locator(".bubble.is-in").last.hover()
    rohan.page.locator(".bubble.is-in [data-reply]").last.click()
    expect(rohan.page.locator(".write-reply")).to_contain_text("My PAN card")
    rohan.page.locator("[data-text]").fill("Thank you, it is readable")
    with rohan.page.expect_navigation():
        rohan.page.keyboard.press("Control+Enter")
    expect(asha.page.locator(".is-out .bubble-reply").last).to_contain_text("My PAN card")
    asha.take_pictures("thread")
    # Refused files are answers of the server that the browser's console counts as errors.
    assert [each for each in (*rohan.complaints, *asha.complaints) if "422" not in each] == []


def test_files_go_without_javascript(open_browser: OpenBrowser) -> None:
    address = open_browser(LiveServer.ADMIN[0]).receive("Which papers do you need?")
    rohan = open_browser(SELLER, java_script_enabled=False)
    rohan.go(address)
    chosen = [{"name": "a.pdf", "mimeType": "application/pdf", "buffer": sample_uploads.PDF}]
    chosen += [{"name": "bad.pdf", "mimeType": "application/pdf", "buffer": sample_uploads.PROGRAM}]
    rohan.page.locator("[data-text]").fill("Two files")
    rohan.page.locator("[data-choose]").set_input_files(chosen)
    rohan.page.get_by_role("button", name="Send", exact=True).click()
    expect(rohan.page.locator(".write [role=alert]")).to_contain_text("bad.pdf")
    expect(rohan.page.locator("[data-text]")).to_have_value("Two files")
    rohan.take_pictures("no-javascript")
    rohan.page.get_by_role("button", name="Send", exact=True).click()
    expect(rohan.page.locator(".bubble-file").last).to_contain_text("a.pdf")
