"""Notes and notices in a real browser: mentions by keyboard, inline edits, snoozed for an hour."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Locator, expect

from tests.browser.conftest import MANAGER, SELLER, OpenBrowser
from tests.browser.test_journeys import bell, new_lead


def write(page: Any, text: str) -> None:
    """Add a note and wait for the page that has it."""
    page.locator(".composer textarea").fill(text)
    with page.expect_navigation():
        page.keyboard.press("Control+Enter")
    expect(page.locator(".entry-note").first).to_contain_text(text.split("@")[0])


def open_form(page: Any) -> Any:
    """The text of the note's form, once the page has put the caret into it."""
    page.wait_for_load_state("networkidle")  # no news of one's own last step is on its way
    page.locator("a.note-edit").first.click(force=True)
    area = page.locator(".timeline [data-note-form] textarea[data-met]")
    expect(area).to_be_focused()
    return area


def assert_on_its_line(note: Locator, shown: str) -> None:
    """What is seen when one points at the note stands within its text."""
    note.hover()
    text, button = note.locator(".entry-text").bounding_box(), note.locator(shown).bounding_box()
    assert text is not None and button is not None
    assert text["y"] <= button["y"] and button["y"] + button["height"] <= text["y"] + text["height"]
    assert button["x"] + button["width"] <= text["x"] + text["width"]


def test_a_note_leaves_no_empty_line_for_what_is_seen_when_one_points_at_it(open_browser: OpenBrowser) -> None:
    rohan = open_browser(SELLER)
    new_lead(rohan, "Eckenwala", "9825012409")
    write(rohan.page, "Documents are with the branch.")
    assert_on_its_line(rohan.page.locator(".entry-note").first, "a.note-edit")


def test_a_note_is_deleted_and_comes_back(open_browser: OpenBrowser) -> None:
    rohan = open_browser(SELLER)
    new_lead(rohan, "Mitanewali", "9825012419")
    write(rohan.page, "Written on the wrong lead.")
    note = rohan.page.locator(".entry-note").first
    assert_on_its_line(note, "form.note-edit")
    note.get_by_role("button", name="Delete note").click()
    expect(rohan.page.locator(".notes")).to_contain_text("Note deleted.")
    expect(rohan.page.locator(".entry-note")).to_have_count(0)
    rohan.page.get_by_role("button", name="Undo").click()
    expect(rohan.page.locator(".entry-note")).to_contain_text("Written on the wrong lead.")
    assert rohan.complaints == []


def test_a_colleague_is_named_with_the_keyboard(open_browser: OpenBrowser) -> None:
    rohan = open_browser(SELLER)
    new_lead(rohan, "Namewali", "9825012401")
    field = rohan.page.locator(".composer textarea")
    field.press_sequentially("Please look, @ash")
    expect(rohan.page.locator(".mention-option[aria-selected=true]")).to_contain_text("Asha Deshmukh")
    field.press("Escape")
    expect(rohan.page.locator(".mention-list")).to_have_count(0)
    field.press_sequentially("a")
    expect(rohan.page.locator(".mention-list")).to_be_visible()
    field.press("Enter")
    assert field.input_value() == "Please look, @asha.deshmukh "
    with rohan.page.expect_navigation():
        rohan.page.keyboard.press("Control+Enter")
    expect(rohan.page.locator(".mention")).to_have_text("@Asha Deshmukh")
    assert rohan.complaints == []


def test_whoever_sent_a_note_can_write_the_next_one_and_leave_by_escape(open_browser: OpenBrowser) -> None:
    rohan = open_browser(SELLER)
    new_lead(rohan, "Dobarwali", "9825012403")
    write(rohan.page, "Wants a demo")
    field = rohan.page.locator(".composer [data-compose-part=note] textarea")
    expect(field).to_be_focused()
    expect(field).to_have_value("")
    rohan.page.keyboard.type("On Friday")
    expect(field).to_have_value("On Friday")
    rohan.page.keyboard.press("Escape")
    rohan.page.keyboard.press("t")
    expect(rohan.page.locator("#task-title")).to_be_focused()
    rohan.page.keyboard.press("Escape")
    rohan.page.keyboard.press("n")
    expect(field).to_be_focused()
    expect(field).to_have_value("On Friday")
    assert rohan.complaints == []


def test_who_cannot_see_the_record_is_not_offered(open_browser: OpenBrowser) -> None:
    rohan = open_browser(SELLER)
    new_lead(rohan, "Chupwali", "9825012402")
    field = rohan.page.locator(".composer textarea")
    with rohan.page.expect_response("**/people/lookup**q=manoj**") as answer:
        field.press_sequentially("@manoj")
    assert answer.value.json()["results"] == []
    expect(rohan.page.locator(".mention-list")).to_have_count(0)


def test_a_note_is_changed_in_place_and_keeps_its_past(open_browser: OpenBrowser) -> None:
    rohan = open_browser(SELLER)
    new_lead(rohan, "Badalwali", "9825012403")
    page = rohan.page
    write(page, "Call on Monday")
    open_form(page).fill("Call on Friday")
    with page.expect_response("**/leads/timeline/**"):  # one's own page hears of the change, too
        page.locator("[data-note-form] .btn-primary").click()
    note = page.locator(".entry-note", has_text="Call on Friday")
    expect(note.locator(".former summary")).to_contain_text("edited")
    expect(note.locator(".former summary")).to_have_attribute("title", "Call on Monday")
    open_form(page).fill("Never mind")
    page.locator("[data-note-form] a").click()
    expect(note.locator(".entry-text").first).to_have_text("Call on Friday")
    assert rohan.complaints == []


def test_a_stale_edit_keeps_what_was_typed(open_browser: OpenBrowser) -> None:
    first, second = open_browser(SELLER), open_browser(SELLER)
    number = new_lead(first, "Dohriwali", "9825012404")
    write(first.page, "Call on Monday")
    second.go(f"/leads/{number}")
    form = open_form(second.page)
    expect(form).to_be_focused()
    open_form(first.page).fill("Call on Friday")
    first.page.locator("[data-note-form] .btn-primary").click()
    expect(first.page.locator(".former")).to_be_visible()
    form.fill("Call on Sunday")
    second.page.locator("[data-note-form] .btn-primary").click()
    expect(second.page.locator(".note-stored")).to_contain_text("Call on Friday")
    assert form.input_value() == "Call on Sunday"


def test_a_notice_is_hidden_for_an_hour(open_browser: OpenBrowser) -> None:
    rohan, asha = open_browser(SELLER), open_browser(MANAGER)
    number = new_lead(rohan, "Chhupawali", "9825012405")
    asha.go(f"/leads/{number}")
    write(asha.page, "Well done")
    rohan.go("/")
    page, before = rohan.page, bell(rohan.page)
    page.click("[data-bell] > summary")
    first = page.locator(".bell-item.is-new").first
    first.locator(".bell-more summary").click()
    first.locator("button[value='1h']").click()
    expect(page.locator("[data-bell] [data-unread]")).to_have_text(str(before - 1))
    rohan.go("/bell/?show=snoozed")
    page.locator(".notices button[value='now']").first.click()
    expect(page.locator("[data-bell] [data-unread]")).to_have_text(str(before))
    assert rohan.complaints == []
