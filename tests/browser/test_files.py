"""Files of a record in a real browser: dropped, pasted, canceled, enlarged, seen live by a second person, undone."""

from __future__ import annotations

import base64
from typing import Any

from playwright.sync_api import expect

from tests import sample_uploads
from tests.browser.conftest import MANAGER, PICTURES, SELLER, OpenBrowser, UserBrowser
from tests.browser.test_journeys import lead_by_form

#: A PDF that viewers open.
PDF = sample_uploads.picture((400, 300), "PDF")
#: Fires an event that carries a file, as a drag or the clipboard does.
CARRY = """([kind, name, type, base64]) => {
  const bytes = Uint8Array.from(atob(base64), (sign) => sign.charCodeAt(0));
  const carried = new DataTransfer();
  carried.items.add(new File([bytes], name, { type }));
  const more = { bubbles: true, cancelable: true };
  const event = kind === 'paste' ? new ClipboardEvent('paste', { ...more, clipboardData: carried })
    : new DragEvent(kind, { ...more, dataTransfer: carried });
  document.querySelector('[data-record]').dispatchEvent(event);
}"""


def carry(browser: UserBrowser, kind: str, name: str, mime: str, content: bytes) -> None:
    browser.page.evaluate(CARRY, [kind, name, mime, base64.b64encode(content).decode()])


def test_files_are_dropped_pasted_shown_and_seen_by_a_colleague(open_browser: OpenBrowser) -> None:
    rohan, asha = open_browser(SELLER), open_browser(MANAGER)
    asha.go(f"/leads/{lead_by_form(rohan, 'Filewali', '9825012481')}")
    asha.await_socket()
    mine, theirs = rohan.page.locator(".file-row[data-file]"), asha.page.locator(".file-row[data-file]")
    asha.page.locator(".record-tabs a", has_text="Files").click()
    expect(asha.page.locator(".files-drop")).to_be_visible()
    expect(rohan.page.locator(".files-drop")).to_have_count(1)  # behind another tab, until there is a file
    carry(rohan, "dragover", "form.pdf", "application/pdf", PDF)
    expect(rohan.page.locator("body.is-drop")).to_have_count(1)
    carry(rohan, "drop", "form.pdf", "application/pdf", PDF)
    carry(rohan, "paste", "image.png", "image/png", sample_uploads.picture((900, 600), "PNG"))
    for rows in (mine, theirs):  # the colleague has touched nothing
        expect(rows).to_have_count(2)
        expect(rows.locator("img")).to_have_count(1)
    # Both are sent at the same time, and either may arrive first
    expect(mine.locator(".clip", has_text="Picture 20")).to_have_count(1)
    # What is refused says why, beside what was taken
    rohan.page.locator(".files-add input[type=file]").set_input_files(
        [
            {"name": "run.pdf", "mimeType": "application/pdf", "buffer": sample_uploads.PROGRAM},
            {"name": "form.pdf", "mimeType": "application/pdf", "buffer": PDF + b"%2"},
        ]
    )
    expect(rohan.page.locator(".file-row.is-refused")).to_contain_text("is a program")
    expect(mine).to_have_count(3)
    rohan.take_pictures("files-record")
    rohan.page.locator(".file-row.is-refused button").click()
    # A file of the same name becomes its new version
    rohan.page.get_by_role("button", name="Make this its new version").click()
    expect(mine).to_have_count(2)
    expect(mine.first).to_contain_text("version 2")
    expect(theirs).to_have_count(2)
    # Shown large: the PDF in a frame, the picture as our preview
    rohan.page.get_by_role("link", name="Preview form.pdf").click()
    frame = rohan.page.locator(".file-dialog iframe")
    expect(frame).to_be_visible()
    if PICTURES:
        rohan.page.wait_for_timeout(1500)  # the viewer is another program, which nobody can ask
    rohan.take_pictures("files-pdf")
    rohan.page.keyboard.press("Escape")
    rohan.page.locator("[data-picture-open]").click()
    shown = rohan.page.locator(".file-dialog img")
    assert shown.evaluate("img => img.decode().then(() => img.naturalWidth)") == 640
    rohan.take_pictures("files-picture")
    rohan.page.keyboard.press("Escape")
    # Deleted, and taken back
    rohan.page.locator(".file-row[data-file] button[title=Delete]").first.click()
    expect(rohan.page.locator(".files-said")).to_contain_text("was deleted")
    expect(theirs).to_have_count(1)
    rohan.page.get_by_role("button", name="Undo").click()
    expect(theirs).to_have_count(2)
    # A refused file is an answer that the console counts; the browser's own viewer of PDFs styles its pages inline.
    said = [each for each in (*rohan.complaints, *asha.complaints) if "422" not in each]
    assert [each for each in said if not each.startswith("Applying inline style")] == []


def test_a_slow_list_never_hides_a_newer_file(open_browser: OpenBrowser) -> None:
    rohan = open_browser(SELLER)
    rohan.go(f"/leads/{lead_by_form(rohan, 'Dheerewali', '9825012482')}")
    expect(rohan.page.locator(".files-drop")).to_have_count(1)  # the files come after the page
    held: list[Any] = []

    def hold_first(route: Any) -> None:
        """Hold the first list that has the first file; it arrives after the second was sent."""
        if route.request.method != "GET" or held:
            route.continue_()
            return
        answer = route.fetch()
        if "one.txt" in answer.text():
            held.append((route, answer))
        else:  # the page has heard of the new lead
            route.fulfill(response=answer)

    rohan.page.route("**" + rohan.page.locator("[data-files][data-url]").first.get_attribute("data-url"), hold_first)
    rows = rohan.page.locator(".file-row[data-file]")
    carry(rohan, "drop", "one.txt", "text/plain", b"One")
    rohan.until(lambda: held, "the list is not asked for")
    with rohan.page.expect_response(lambda answer: answer.request.method == "POST"):
        carry(rohan, "drop", "two.txt", "text/plain", b"Two")
    expect(rohan.page.locator(".file-row.is-busy")).to_have_count(0)
    route, answer = held[0]
    route.fulfill(response=answer)
    expect(rows).to_have_count(2)


def test_news_of_a_step_do_not_take_the_place_of_its_answer(open_browser: OpenBrowser) -> None:
    """On a busy server the page hears of what it has done before the answer is there."""
    rohan = open_browser(SELLER)
    rohan.go(f"/leads/{lead_by_form(rohan, 'Sunwali', '9825012483')}")
    expect(rohan.page.locator(".files-drop")).to_have_count(1)
    carry(rohan, "drop", "one.txt", "text/plain", b"One")
    rows, said = rohan.page.locator(".file-row[data-file]"), rohan.page.locator(".files-said")
    expect(rows).to_have_count(1)
    rohan.page.locator(".record-tabs a", has_text="Files").click()

    def late(route: Any) -> None:
        answer = route.fetch()
        rohan.page.evaluate("() => dispatchEvent(new CustomEvent('crm:activity', { detail: {} }))")
        rohan.page.wait_for_timeout(1000)  # the list is asked for after 250 ms
        route.fulfill(response=answer)

    rohan.page.route("**/files/*/delete", late)
    rows.locator("button[title=Delete]").click()
    expect(said).to_contain_text("was deleted")
    expect(rows).to_have_count(0)
    rohan.page.get_by_role("button", name="Undo").click()
    expect(rows).to_have_count(1)


def test_files_chosen_while_a_colleague_attaches_one_are_sent(open_browser: OpenBrowser) -> None:
    """The list is drawn again while the dialog of the system is open."""
    rohan, asha = open_browser(SELLER), open_browser(MANAGER)
    asha.go(f"/leads/{lead_by_form(rohan, 'Chunnewali', '9825012484')}")
    rohan.await_socket()
    rohan.page.locator(".record-tabs a", has_text="Files").click()
    rows = rohan.page.locator(".file-row[data-file]")
    with rohan.page.expect_file_chooser() as opened:
        rohan.page.locator(".files-add label").click()
    expect(asha.page.locator(".files-drop")).to_have_count(1)
    carry(asha, "drop", "theirs.txt", "text/plain", b"Theirs")
    expect(rows).to_have_count(1)
    opened.value.set_files([{"name": "mine.txt", "mimeType": "text/plain", "buffer": b"Mine"}])
    expect(rows).to_have_count(2)
    with rohan.page.expect_file_chooser() as opened:
        rohan.page.locator(".file-row", has_text="mine.txt").locator(".file-version label").click()
    carry(asha, "drop", "more.txt", "text/plain", b"More")
    expect(rows).to_have_count(3)
    opened.value.set_files([{"name": "mine.txt", "mimeType": "text/plain", "buffer": b"Mine, again"}])
    expect(rows.filter(has_text="mine.txt")).to_contain_text("version 2")


def test_files_are_attached_without_javascript(open_browser: OpenBrowser) -> None:
    rohan = open_browser(SELLER, java_script_enabled=False)
    rohan.go("/leads/")
    rohan.page.locator('.rows a[href*="CRM-LEAD-"]').first.click()
    rohan.page.locator(".record-tabs a", has_text="Files").click()
    rohan.page.locator(".files-part a", has_text="Files").click()
    chosen = [{"name": "a.txt", "mimeType": "text/plain", "buffer": b"Hello"}]
    rohan.page.locator(".files-add input[type=file]").set_input_files(chosen)
    rohan.page.get_by_role("button", name="Attach").click()
    expect(rohan.page.locator(".file-row", has_text="a.txt")).to_be_visible()
    rohan.take_pictures("files-plain")
