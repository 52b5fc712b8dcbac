"""Daily tasks by keyboard alone, without a pointer; after every swap something visible has the focus."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import COLLEAGUE, MANAGER, PASSWORD, SELLER, OpenBrowser, UserBrowser
from tests.servers import LiveServer

FOCUSED = "() => document.activeElement !== document.body && document.activeElement.checkVisibility()"
#: A pointer that is used after all is a complaint of the page.
NO_POINTER = "addEventListener('pointerdown', () => console.error('a pointer was used'), true)"


class Keys:
    """The keyboard of a browser."""

    def __init__(self, browser: UserBrowser) -> None:
        self.page = browser.tab

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def type(self, text: str) -> None:
        self.page.keyboard.type(text)

    def tab_to(self, place: Any, most: int = 80, key: str = "Tab") -> None:
        """Walk on with Tab until `place` has the focus."""
        expect(place).to_be_visible()
        for _ in range(most):
            if place.evaluate("(each) => each === document.activeElement"):
                return
            self.press(key)
        raise AssertionError(f"{place} is not reached by {most} times {key}")

    def arrow_to(self, place: Any, most: int = 40) -> None:
        """Go down a menu until `place` has the focus."""
        self.tab_to(place, most, "ArrowDown")

    def has_focus(self) -> None:
        """Something that can be seen has the focus, once all is at rest."""
        self.page.wait_for_function(FOCUSED)


def phone() -> str:
    """A number that no other test has."""
    return f"98{datetime.now():%M%S%f}"[:10]


@pytest.fixture
def open_browser(open_browser: OpenBrowser) -> OpenBrowser:
    """Whose pages complain of a pointer; who is signed in was so by a click."""

    def opened(name: str | None) -> UserBrowser:
        script = NO_POINTER if name is None else f"location.pathname !== '/login/' && {NO_POINTER}"
        return open_browser(name, init_script=script)

    return opened


@pytest.fixture
def rohan(open_browser: OpenBrowser) -> UserBrowser:
    """A seller."""
    return open_browser(SELLER)


@pytest.fixture
def lead(rohan: UserBrowser) -> str:
    """The number of a lead of theirs."""
    return str(rohan.create("lead", first_name="Tastenwali", mobile=phone())["number"])


def test_one_signs_in(open_browser: OpenBrowser) -> None:
    stranger = open_browser(None)
    keys, page = Keys(stranger), stranger.tab
    stranger.go("/login/")
    expect(page.locator("#username")).to_be_focused()
    keys.type(SELLER)
    keys.press("Tab")
    keys.type(PASSWORD)
    keys.press("Enter")
    page.wait_for_url(stranger.url + "/")
    assert stranger.complaints == []


def test_a_lead_is_created(rohan: UserBrowser) -> None:
    keys, page = Keys(rohan), rohan.tab
    rohan.go("/leads/")
    keys.press("Shift+N")
    expect(page.locator("#dialog-page [name=first_name]")).to_be_focused()
    keys.type("Keyswala")
    keys.tab_to(page.locator("#dialog-page [name=mobile]"))
    keys.type(phone())
    keys.press("Enter")
    page.wait_for_url("**/leads/CRM-LEAD-*")
    expect(page.locator("h1")).to_contain_text("Keyswala")
    assert rohan.complaints == []


def a_record_is_found_and_opened(rohan: UserBrowser, lead: str) -> None:
    keys, page = Keys(rohan), rohan.tab
    rohan.go("/tasks/")
    keys.press("Control+k")
    keys.type(lead)
    expect(page.locator("#palette .palette-hint").first).to_be_visible()
    keys.press("Enter")
    page.wait_for_url(f"**/leads/{lead}")
    assert rohan.complaints == []


def a_value_is_edited_in_its_place(rohan: UserBrowser, _lead: str) -> None:
    keys, page = Keys(rohan), rohan.tab
    pencil = page.locator("[data-pair=email] .inline-edit")
    keys.tab_to(pencil, 120)
    keys.press("Enter")
    expect(page.locator("[data-pair=email] [name=email]")).to_be_focused()
    keys.type("keys@mail.example")
    keys.press("Enter")
    expect(page.locator("[data-pair=email] .inline-value")).to_have_text("keys@mail.example")
    expect(pencil).to_be_focused()
    assert rohan.complaints == []


def a_status_asks_for_what_it_needs(rohan: UserBrowser, _lead: str) -> None:
    keys, page = Keys(rohan), rohan.tab
    keys.press("s")
    menu = page.locator("details[data-key=s]")
    expect(menu.locator(".menu-item").first).to_be_focused()
    keys.arrow_to(menu.locator(".menu-item", has_text="Sent to HO"))
    keys.press("Enter")
    expect(page.locator("dialog[open] [name=pod_id]")).to_be_focused()
    # What others change meanwhile doesn't take the place away to which the focus returns
    page.locator("[data-side]").evaluate(
        "(side) => side.insertAdjacentHTML('beforeend', '<i data-related id=old></i>')"
    )
    page.evaluate("dispatchEvent(new Event('crm:activity'))")
    expect(page.locator("#old")).to_have_count(0)  # it was drawn anew
    keys.press("Escape")
    expect(menu.locator("summary")).to_be_focused()
    keys.press("s")
    keys.arrow_to(menu.locator(".menu-item", has_text="Sent to HO"))
    keys.press("Enter")
    expect(page.locator("dialog[open] [name=pod_id]")).to_be_focused()
    keys.type("POD-4713")
    keys.press("Enter")
    expect(page.locator(".status-button")).to_contain_text("Sent to HO")
    assert rohan.complaints == []


def a_call_is_logged_with_its_follow_up(rohan: UserBrowser, _lead: str) -> None:
    keys, page = Keys(rohan), rohan.tab
    keys.tab_to(page.locator(".composer [data-compose=call]"))
    keys.press("Enter")
    form = page.locator("[data-compose-part=call]")
    keys.tab_to(form.locator("[name=outcome]").first)
    keys.press("Space")
    keys.tab_to(form.locator("[name=note]"))
    keys.type("Spoken without a mouse")
    keys.tab_to(form.get_by_role("button", name="Save", exact=True))
    keys.press("Enter")
    expect(page.locator(".timeline")).to_contain_text("Spoken without a mouse")
    page.wait_for_load_state()  # the keys of the page that came are heard then
    assert rohan.complaints == []


def a_note_names_a_colleague(rohan: UserBrowser, _lead: str) -> None:
    keys, page = Keys(rohan), rohan.tab
    keys.press("n")
    area = page.locator("[data-compose-part=note] textarea")
    expect(area).to_be_focused()
    keys.type("Please look, @ash")
    expect(page.locator(".mention-option[aria-selected=true]")).to_contain_text("Asha Deshmukh")
    keys.press("Enter")
    expect(area).to_have_value("Please look, @asha.deshmukh ")
    with page.expect_navigation():
        keys.press("Control+Enter")
    expect(page.locator(".mention")).to_have_text("@Asha Deshmukh")
    keys.has_focus()
    assert rohan.complaints == []


#: The first one opens the record.
STEPS = (
    a_record_is_found_and_opened,
    a_value_is_edited_in_its_place,
    a_status_asks_for_what_it_needs,  # at once, while the page still has the version before that edit
    a_call_is_logged_with_its_follow_up,
    a_note_names_a_colleague,
)


def test_a_record_is_worked_on(rohan: UserBrowser, lead: str, subtests: pytest.Subtests) -> None:
    for step in STEPS:
        with subtests.test(step.__name__):
            step(rohan, lead)


def test_tasks_are_done_from_their_list_and_from_their_record(rohan: UserBrowser, lead: str) -> None:
    due = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    task = rohan.create("task", title="Finished by keys", lead=lead, due_on=due)
    rohan.create("task", title="Finished at the lead", lead=lead, due_on=due)
    keys, page = Keys(rohan), rohan.tab
    rohan.go("/tasks/?q=Finished+by+keys")
    keys.press("j", "Enter")
    page.wait_for_url(f"**/{task['id']}*")
    keys.tab_to(page.get_by_role("button", name="Done", exact=True).first)
    keys.press("Enter")
    expect(page.locator(".notes")).to_contain_text("Done: Finished by keys")
    rohan.go(f"/leads/{lead}")
    keys.tab_to(page.locator(".next-steps").get_by_role("button", name="Done: Finished at the lead"))
    keys.press("Enter")
    expect(page.locator(".notes")).to_contain_text("Done: Finished at the lead")
    expect(page.locator(".next-steps", has_text="Finished at the lead")).to_have_count(0)
    assert rohan.complaints == []


def a_card_is_moved(rohan: UserBrowser, lead: str) -> None:
    keys, page = Keys(rohan), rohan.tab
    rohan.go(f"/leads/?layout=board&q={lead}")
    card = page.locator("[data-card]")
    title = card.locator(".card-title")
    keys.tab_to(page.locator("[data-board-columns]"))
    keys.press("ArrowDown")
    expect(title).to_be_focused()
    with page.expect_response(lambda answer: "/board/move/" in answer.url):
        keys.press("Shift+ArrowRight")
    expect(page.locator("[data-column]", has=card)).to_contain_text("Contacted")
    expect(title).to_be_focused()
    keys.press("m")
    keys.has_focus()
    expect(page.locator("#dialog-page button", has_text="Nurture")).to_be_visible()
    keys.press("Escape")
    expect(title).to_be_focused()
    assert rohan.complaints == []


def a_board_is_not_drawn_anew_behind_a_dialog(rohan: UserBrowser, _lead: str) -> None:
    keys, page = Keys(rohan), rohan.tab
    title, dialog = page.locator("[data-card] .card-title"), page.locator("#dialog-page")
    held: list[Any] = []
    page.route("**/leads/?layout=board*", lambda route: held.append(route))
    title.focus()
    with page.expect_request(lambda request: "layout=board" in request.url):
        page.evaluate("dispatchEvent(new Event('crm:board'))")
    keys.press("m")
    expect(dialog).to_be_visible()
    title.evaluate("(each) => { each.dataset.old = ''; }")  # so that the answer differs
    with page.expect_response(lambda answer: "layout=board" in answer.url):
        held[0].continue_()
    page.evaluate("() => new Promise((done) => setTimeout(done, 100))")
    keys.press("Escape")
    expect(page.locator("[data-card] .card-title[data-old]")).to_be_focused()
    assert rohan.complaints == []


def test_a_board(rohan: UserBrowser, lead: str, subtests: pytest.Subtests) -> None:
    for step in (a_card_is_moved, a_board_is_not_drawn_anew_behind_a_dialog):
        with subtests.test(step.__name__):
            step(rohan, lead)


def test_rows_are_chosen_and_changed_together(rohan: UserBrowser) -> None:
    mark = f"Buendel{phone()}"
    for _ in range(3):
        rohan.create("lead", first_name=mark, mobile=phone())
    keys, page = Keys(rohan), rohan.tab
    rohan.go(f"/leads/?q={mark}")
    keys.press("j", "x", "j", "x", "k", "j", "j", "x")
    expect(page.locator("[data-bulk-count]")).to_have_text("3")
    keys.tab_to(page.locator(".bulk > button", has_text="Status"), 120)
    keys.press("Enter")
    chooser = page.locator("dialog[open] select[name=status]")
    keys.tab_to(chooser)
    keys.type("Nurture")
    expect(page.locator("dialog[open] .bulk-allowed")).to_contain_text("3 records will change.")
    keys.tab_to(page.locator("dialog[open] .btn-primary"))
    keys.press("Enter")
    expect(page.locator("main tbody .col-status", has_text="Nurture")).to_have_count(3)
    keys.tab_to(page.locator("[data-undo] button"), 120)
    keys.press("Enter")
    expect(page.locator(".notes")).to_contain_text("Undone for 3")
    assert rohan.complaints == []


def test_a_filter_is_built(rohan: UserBrowser, lead: str) -> None:
    keys, page = Keys(rohan), rohan.tab
    rohan.go("/leads/")
    keys.tab_to(page.locator("[data-filter-menu] > summary"))
    keys.press("Enter")
    chooser = page.locator("[data-filter-menu] [data-filter-add]")
    keys.tab_to(chooser)
    keys.type("First name")
    keys.press("Enter")
    row = page.locator("[data-condition=first_name]")
    expect(row.locator("[data-filter-op]")).to_be_focused()
    keys.press("Tab")
    keys.type("Tastenwali")
    keys.press("Enter")
    expect(page.locator(".filter-chip")).to_have_count(1)
    expect(page.locator("main tbody")).to_contain_text(lead)
    assert rohan.complaints == []


def test_a_task_gets_another_day(rohan: UserBrowser, lead: str) -> None:
    due = (datetime.now(UTC) + timedelta(days=40)).replace(day=12, hour=6, minute=0, second=0, microsecond=0)
    task = rohan.create("task", title="Moved by keys", lead=lead, due_on=due.isoformat())
    keys, page = Keys(rohan), rohan.tab
    rohan.go(f"/tasks/?layout=calendar&span=month&from={due:%Y-%m-%d}&_flt_eq_assignee=%40me")
    item = page.locator(f'[data-item="task-{task["id"]}"]')
    keys.tab_to(item.locator(".cal-link"), 150)
    with page.expect_response(lambda answer: "/calendar/move/" in answer.url):
        keys.press("Shift+ArrowRight")
    after = f"{due + timedelta(days=1):%Y-%m-%d}"
    expect(page.locator(f'[data-cell="{after}"] [data-item="task-{task["id"]}"] .cal-link')).to_be_focused()
    assert rohan.complaints == []


def test_a_request_is_decided(open_browser: OpenBrowser) -> None:
    rohan = open_browser(SELLER)  # those of the demo may be decided by other tests
    lead = rohan.create("lead", first_name="Requested", last_name="By keys", mobile="9820077193")["number"]
    rohan.create("assignment_request", lead=lead, requested_user=COLLEAGUE, reason="They know the customer.")
    asha = open_browser(MANAGER)
    keys, page = Keys(asha), asha.tab
    asha.go("/requests/?tab=waiting")
    waiting = page.locator("main tbody tr")
    before = waiting.count()
    keys.press("j")
    keys.tab_to(waiting.first.get_by_role("button", name="Approve"))
    keys.press("Enter")
    expect(page.locator(".notes")).to_contain_text("Approved.")
    expect(waiting).to_have_count(before - 1)
    assert asha.complaints == []


def test_a_saved_reply_is_sent(open_browser: OpenBrowser) -> None:
    address = open_browser(LiveServer.ADMIN[0]).receive("Have my documents come?")
    asha = open_browser(MANAGER)
    keys, page = Keys(asha), asha.tab
    asha.go("/inbox/?folder=unassigned&channel=whatsapp")
    keys.tab_to(page.locator(f".inbox-row a[href^='{address}?']"), 120)
    keys.press("Enter")
    expect(page.locator(".thread-who h2")).to_be_visible()
    keys.tab_to(page.locator("textarea[data-text]"), 120)
    keys.type("/docu")
    expect(page.locator(".pick-option", has_text="Documents received")).to_be_visible()
    keys.press("Enter")
    value = page.get_by_label("Value of first name")
    expect(value).to_be_focused()
    keys.press("Control+a")
    keys.type("Kavita")
    keys.tab_to(page.locator("form[data-write]").get_by_role("button", name="Send", exact=True))
    with page.expect_navigation():
        keys.press("Enter")
    expect(page.locator(".bubble-text").last).to_have_text(
        "Namaste Kavita, your documents have reached our head office."
    )
    assert asha.complaints == []


def test_two_records_are_merged(open_browser: OpenBrowser) -> None:
    asha = open_browser(MANAGER)
    kept, gone = (asha.create("lead", first_name="Doppelwala", mobile=phone()) for _ in range(2))
    keys, page = Keys(asha), asha.tab
    asha.go(f"/merge/lead?ids={kept['id']},{gone['id']}")
    keys.tab_to(page.get_by_role("button", name="Merge", exact=True))
    keys.press("Enter")
    page.wait_for_url(f"**/leads/{kept['number']}")
    expect(page.locator(".notes")).to_be_visible()
    assert asha.complaints == []


def test_the_cursor_waits_in_no_date_below_a_check_box(open_browser: OpenBrowser) -> None:
    rohan = open_browser(SELLER)
    focused = "() => document.activeElement.name || document.activeElement.tagName"
    rohan.go("/me/")
    expect(rohan.page.locator("[name=available]")).to_be_visible()
    rohan.page.wait_for_load_state("networkidle")
    assert rohan.page.evaluate(focused) == "BODY"
    rohan.go("/tasks/add")
    rohan.until(lambda: rohan.page.evaluate(focused) == "title", "the first field of a form isn't focused")
