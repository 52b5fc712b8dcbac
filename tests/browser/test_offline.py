"""Offline: open pages stay readable, and input is sent once, never as another user."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from playwright.sync_api import Error, expect

from tests.browser.conftest import COLLEAGUE, PATIENCE, SELLER, OpenBrowser, UserBrowser
from tests.servers import LiveServer

READY = "() => navigator.serviceWorker.ready.then(() => Boolean(navigator.serviceWorker.controller))"
ONLINE = "() => dispatchEvent(new Event('online'))"
RELOADED = "() => performance.getEntriesByType('navigation')[0]?.type === 'reload'"
KEPT = "() => caches.keys().then((names) => names.filter((name) => name.startsWith('crm-pages-')))"


def app(open_browser: OpenBrowser, who: str = SELLER) -> UserBrowser:
    """A signed-in browser whose service worker is at work."""
    made = open_browser(who, service_workers="allow")
    made.page.wait_for_function(READY)
    return made


def a_lead(made: UserBrowser) -> str:
    """The address of an own lead, whose page is open and kept, as is the list."""
    made.go("/leads/")
    href = str(made.page.locator("main tbody .row-link").first.get_attribute("href"))
    made.go(href)
    made.page.wait_for_function(
        "(href) => caches.match(location.origin + href, { ignoreVary: true }).then(Boolean)", arg=href
    )
    return href


def write(page: Any, text: str) -> None:
    page.fill("[data-compose-part=note] textarea", text)
    page.click("[data-compose-part=note] button[type=submit]")


def waiting(page: Any, count: int) -> None:
    pill = page.locator("[data-outbox-open]")
    if count:
        expect(pill).to_have_text(f"Waiting to be sent ({count})")
    else:
        expect(pill).to_be_hidden()


def await_reload(page: Any) -> None:
    """Wait until the page has loaded anew by itself, which would compete with what a test opens in it."""
    page.wait_for_function(RELOADED)
    page.wait_for_load_state()


def test_pages_stay_readable_and_what_is_typed_is_sent_once(open_browser: OpenBrowser, crm_server: LiveServer) -> None:
    rohan = app(open_browser)
    rohan.create("lead", first_name="Mary", last_name="O'Brien & Sons", mobile="9825019471")
    page, href = rohan.page, a_lead(rohan)
    other = page.context.new_page()
    other.goto(rohan.url + "/leads/")
    title = page.locator("h1").inner_text()
    assert title == "Mary O'Brien & Sons"
    crm_server.stop()
    page.reload()
    expect(page.locator("h1")).to_have_text(title)
    expect(page.locator("[data-offline-bar]")).to_contain_text("You are offline. This page is as of")
    unkept = page.context.new_page()
    unkept.goto(rohan.url + "/tasks/")
    rohan.go("/customers/")
    expect(page.locator("h1")).to_have_text("You are offline")
    page.locator(".offline-kept a", has_text=title).first.click()
    write(page, "Typed in the lift")
    page.wait_for_url(f"**{href}")
    waiting(page, 1)
    page.click("[data-compose=task]")
    page.fill("[data-compose-part=task] [name=title]", "Call from the lift")
    page.fill("[data-compose-part=task] [name=due_on]", "2031-01-07T10:00")
    page.click("[data-compose-part=task] button[type=submit]")
    waiting(page, 2)
    other.reload()
    waiting(other, 2)
    crm_server.start()
    page.evaluate(ONLINE)
    other.evaluate(ONLINE)  # both tabs would send; one does
    waiting(page, 0)
    waiting(other, 0)
    await_reload(page)
    rohan.go(href)
    expect(page.locator(".entry-note", has_text="Typed in the lift")).to_have_count(1)
    expect(page.locator(".entry-task", has_text="Call from the lift")).to_have_count(1)
    expect(unkept.locator("h1")).to_have_text(
        "Tasks", timeout=PATIENCE
    )  # by itself: the browser was online all the time


def test_a_form_that_reaches_nobody_stays_with_what_was_typed(open_browser: OpenBrowser) -> None:
    rohan = app(open_browser)
    page, href = rohan.page, a_lead(rohan)
    rohan.go(page.locator("a[href*='/leads/edit/']").first.get_attribute("href"))
    page.locator("[name=description]").fill("Typed before the line broke")
    page.context.set_offline(True)
    page.locator("main form button[type=submit]", has_text="Save").first.click()
    expect(page.locator("[data-toasts]")).to_contain_text("The CRM could not be reached")
    expect(page.locator("[name=description]")).to_have_value("Typed before the line broke")
    page.context.set_offline(False)
    page.locator("main form button[type=submit]", has_text="Save").first.click()
    page.wait_for_url(f"**{href}")
    expect(page.locator("[data-texts]")).to_contain_text("Typed before the line broke")


def test_a_lost_answer_and_a_refusal(open_browser: OpenBrowser) -> None:
    rohan, colleague = app(open_browser), open_browser("admin")
    page, href = rohan.page, a_lead(rohan)
    page.context.set_offline(True)
    write(page, "Said twice?")
    waiting(page, 1)
    sent = []

    def lose(route: Any) -> None:
        """The server does it; the answer does not arrive."""
        sent.append(route.fetch().status)
        route.abort()

    page.route("**/leads/note/*", lose, times=1)
    with page.expect_navigation():  # once it is sent, the page loads anew
        page.context.set_offline(False)
    waiting(page, 0)
    rohan.go(href)
    expect(page.locator(".entry-note", has_text="Said twice?")).to_have_count(1)
    assert sent == [204]
    # Somebody else changes the record meanwhile.
    page.context.set_offline(True)
    page.locator(".status-button").click()
    page.locator("details[data-key=s] button[name=status]").first.click()
    waiting(page, 1)
    colleague.go(href)
    with colleague.page.expect_navigation():  # it is saved before the other one's is sent
        colleague.page.locator("details[data-key=s] button[name=status]").nth(1).dispatch_event("click")
    page.context.set_offline(False)
    page.evaluate(ONLINE)
    expect(page.locator("#outbox .field-error")).to_contain_text("Someone else changed")
    page.locator("#outbox [data-do=discard]").click()
    waiting(page, 0)


def test_it_waits_for_who_typed_it(open_browser: OpenBrowser, cookies: Any) -> None:
    rohan = app(open_browser)
    page, href = rohan.page, a_lead(rohan)
    page.context.set_offline(True)
    write(page, "Only mine")
    expect(page.locator("html[data-as-of]")).to_have_count(1)  # the page is back after the form
    waiting(page, 1)
    page.context.clear_cookies()  # before the page could send it, or be signed in anew by an answer on its way
    page.context.set_offline(False)
    page.wait_for_function(f"() => ({KEPT})().then((names) => names.length === 0)")  # the session is over
    page.wait_for_url("**/login/**")
    rohan.sign_in(COLLEAGUE)
    waiting(page, 0)
    page.context.set_offline(True)
    rohan.go(href)
    expect(page.locator("h1")).to_have_text("You are offline")
    expect(page.locator(".offline-kept")).not_to_contain_text("LEAD")
    page.context.clear_cookies()
    page.context.set_offline(False)
    page.wait_for_url("**/login/**")
    sent = []
    page.on("response", lambda answer: sent.append(answer.url) if "/leads/note/" in answer.url else None)
    rohan.sign_in(SELLER)
    cookies[(SELLER, 1)] = page.context.cookies()
    rohan.until(lambda: sent, "what waited was not sent")
    waiting(page, 0)
    await_reload(page)
    rohan.go(href)
    expect(page.locator(".entry-note", has_text="Only mine")).to_have_count(1)


def test_what_a_person_may_see_no_more_is_kept_no_more(open_browser: OpenBrowser) -> None:
    rohan, admin = app(open_browser), open_browser("admin")
    other = a_lead(rohan)  # the newest, so before there is another one
    made = rohan.create("lead", first_name="Soon gone", mobile="9820077001")
    page, href = rohan.page, f"/leads/{made['number']}"
    kept = "(href) => caches.match(location.origin + href, { ignoreVary: true }).then(Boolean)"
    rohan.go(href)
    page.wait_for_function(kept, arg=href)
    deleted = admin.page.evaluate(
        "(url) => fetch(url, { method: 'DELETE', headers: { 'X-CSRFToken':"
        " document.querySelector('meta[name=csrf-token]').content } }).then((answer) => answer.status)",
        f"/api/v1/lead/{made['id']}",
    )
    assert deleted == 200
    assert rohan.go(href).status in (404, 410)
    page.wait_for_function(f"(href) => ({kept})(href).then((is) => !is)", arg=href)
    assert page.evaluate(kept, other)
    # What a page was kept under is not what the person may see now.
    page.evaluate(
        "async () => { const meta = await caches.open('crm-meta'); const told = await (await meta.match('/')).json();"
        " await meta.put('/', new Response(JSON.stringify({ ...told, rights: 'other' }))); }"
    )
    rohan.go("/tasks/")
    page.wait_for_function(kept, arg="/tasks/")
    assert not page.evaluate(kept, other)


def test_steps_of_my_day_and_the_sign_out(open_browser: OpenBrowser, cookies: Any) -> None:
    rohan = app(open_browser)
    page = rohan.page
    title = "Step without a connection"  # those of the demo are given to others when they are overdue
    lead = rohan.create("lead", first_name="Offlinewali", mobile="9825012491")["number"]
    rohan.create("task", title=title, lead=lead, due_on=(datetime.now(UTC) - timedelta(hours=1)).isoformat())
    rohan.go("/")
    row = page.locator("#day [data-row]", has_text=title)
    page.context.set_offline(True)
    row.locator("[data-act=done]").click()
    waiting(page, 1)
    expect(row).to_have_attribute("data-waits", "")
    with page.expect_navigation():  # the browser says that it is online; once all is sent, the page loads anew
        page.context.set_offline(False)
    waiting(page, 0)
    expect(page.locator("#day [data-row]", has_text=title)).to_have_count(0)
    assert page.evaluate(KEPT) != []
    page.evaluate("() => document.querySelector('form[action=\"/logout/\"]').submit()")
    page.wait_for_url("**/login/*")
    page.wait_for_function(f"() => ({KEPT})().then((names) => names.length === 0)")
    del cookies[(SELLER, 1)]


def test_a_page_out_of_the_browsers_memory_is_shown_to_nobody_else(open_browser: OpenBrowser, cookies: Any) -> None:
    rohan = open_browser(SELLER)
    page, shown = rohan.page, "() => dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))"
    rohan.go("/leads/")
    page.evaluate("() => { window.isBefore = true; }")
    page.evaluate(shown)
    page.wait_for_load_state("networkidle")
    assert page.evaluate("() => window.isBefore")
    cookies.pop((SELLER, 1), None)
    page.context.clear_cookies()
    with page.expect_navigation(url="**/login/**"):
        page.evaluate(shown)


def test_nor_is_it_shown_without_a_connection(open_browser: OpenBrowser) -> None:
    rohan = app(open_browser)
    page = rohan.page
    a_lead(rohan)
    name = page.locator("h1").inner_text()
    shown = "() => dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))"
    page.context.set_offline(True)
    page.evaluate("() => { window.isBefore = true; }")
    page.evaluate(shown)
    expect(page.locator("h1")).to_have_text(name)  # their own page, and nobody has signed out
    page.evaluate("() => navigator.serviceWorker.controller.postMessage({ kind: 'ended' })")
    page.wait_for_function(f"() => ({KEPT})().then((names) => names.length === 0)")
    page.evaluate(shown)
    page.wait_for_function("() => !window.isBefore")
    expect(page.locator("[data-kept-none]")).to_be_visible()
    assert name not in page.content()
    page.context.set_offline(False)


@pytest.mark.parametrize(("workers", "is_away"), [("block", False), ("allow", True)])
def test_back_after_a_sign_out_shows_no_page_of_before(
    open_browser: OpenBrowser, cookies: Any, workers: str, is_away: bool
) -> None:
    rohan = open_browser(SELLER, service_workers=workers)
    page = rohan.page
    rohan.go("/leads/")
    name = page.locator("main tbody .row-link").first.inner_text()
    page.evaluate("() => document.querySelector('form[action=\"/logout/\"]').submit()")
    page.wait_for_url("**/login/*")
    cookies.pop((SELLER, 1), None)
    page.context.set_offline(is_away)
    with suppress(Error):  # the browser's own page says that there is no connection
        page.go_back(timeout=5000)
    page.wait_for_timeout(500)
    expect(page.get_by_text(name)).to_have_count(0)
    page.context.set_offline(False)


def test_other_tabs_show_nothing_after_a_sign_out(open_browser: OpenBrowser, cookies: Any) -> None:
    rohan = app(open_browser)
    page, other = rohan.page, rohan.page.context.new_page()
    a_lead(rohan)
    name = page.locator("h1").inner_text()
    other.goto(rohan.url + "/tasks/")
    other.evaluate("() => document.querySelector('form[action=\"/logout/\"]').submit()")
    other.wait_for_url("**/login/*")
    cookies.pop((SELLER, 1), None)
    page.wait_for_url("**/login/**")
    expect(page.get_by_text(name)).to_have_count(0)
