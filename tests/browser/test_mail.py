"""An email thread in a real browser: formatted, with signature and file, with replies through a real mailbox."""

from __future__ import annotations

import re
from collections.abc import Iterator
from email import message_from_string
from email.policy import default
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import MANAGER, OpenBrowser
from tests.channels import imap
from tests.channels.smtp import MailServer, serving
from tests.servers import LiveServer, eventually


@pytest.fixture(scope="module")
def mail_server() -> Iterator[MailServer]:
    with serving() as server:
        yield server


@pytest.fixture(scope="module")
def mailbox() -> Iterator[imap.Dovecot]:
    with imap.serving() as server:
        yield server


def connect(admin: Any, kind: str, **settings: str) -> None:
    """Add an account, by its form in the settings."""
    admin.go(f"/settings/channels/add/{kind}")
    admin.page.fill("[name=name]", f"Mail {kind}")
    for name, value in ({"host": "127.0.0.1"} | settings).items():
        admin.page.fill(f'[name="set.{name}"]', value)
    admin.page.select_option('[name="set.security"]', "none")
    if kind == "imap":
        admin.page.select_option('[name="set.opens"]', "ticket")
        admin.page.select_option('[name="set.owner"]', MANAGER)
        admin.page.select_option('[name="set.answer_account"]', "Mail smtp")
    admin.page.get_by_role("button", name="Add account").click()
    expect(admin.page.locator("h1")).to_have_text(f"Mail {kind}")


def fetch(admin: Any) -> None:
    """Have the mailbox read, by the page of jobs."""
    admin.go("/jobs/fetch%20mail/")
    with admin.page.expect_navigation():
        admin.page.get_by_role("button", name="Run now").click()


def type_email(page: Any, subject: str) -> None:
    expect(page.locator("[data-mail-editor]")).to_be_visible()  # the form has come, and its script runs
    if page.locator("select[name=to]").count():  # the lead has an address, which is not written to
        page.select_option("[name=to]", "")
    page.fill("[name=to_other]", "asha@mail.example")
    page.fill("#mail-subject", subject)
    page.locator("[data-mail-editor]").click()
    page.keyboard.press("Control+Home")
    page.keyboard.type("Dear customer, please send the ")
    page.keyboard.press("Control+b")
    page.keyboard.type("papers")
    page.keyboard.press("Control+b")
    page.keyboard.type(".")
    page.set_input_files("[data-mail-pick]", {"name": "list.csv", "mimeType": "text/csv", "buffer": b"pan,aadhaar\n"})
    expect(page.locator(".mail-file [name=file]")).to_have_count(1)
    expect(page.locator(".files-part.is-open")).to_have_count(0)  # it is no file of the record


def reply_to(sent: Any) -> bytes:
    lines = [f"From: {sent['To']}", "To: support@eshin.test", f"Subject: Re: {sent['Subject']}"]
    lines += ["Message-ID: <answer@example.in>", f"In-Reply-To: {sent['Message-ID']}"]
    html = '<p>Here they are. <img src="https://spy.example/x.png" alt="logo"></p><script>alert(1)</script>'
    return "\r\n".join([*lines, "Content-Type: text/html; charset=utf-8", "", html]).encode()


def test_an_email_thread(
    open_browser: OpenBrowser, crm_server: LiveServer, mail_server: MailServer, mailbox: imap.Dovecot
) -> None:
    admin, asha = open_browser(LiveServer.ADMIN[0]), open_browser(MANAGER)
    connect(admin, "smtp", port=mail_server.url.rpartition(":")[2], **{"from": "Support <support@eshin.test>"})
    secret = {"user": imap.USER, "password": imap.PASSWORD, "address": "support@eshin.test"}
    connect(admin, "imap", port=str(mailbox.port), **secret)
    fetch(admin)
    page = asha.tab
    # A signature
    asha.go("/signature/")
    page.locator("[data-mail-editor]").click()
    page.keyboard.type("{{name}}, Eshin Broking")
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".mail-preview")).to_have_text("Asha Deshmukh, Eshin Broking")
    # Written on the page of a lead, lost by a reload, restored, sent, taken back, and sent
    asha.go("/leads/")
    lead = re.findall(r"/leads/edit/(\d+)", page.content())[0]
    asha.go(f"/leads/show/{lead}")
    page.locator("[data-compose=email]").first.click()
    type_email(page, "Your papers")
    page.select_option("[name=account]", label="Mail smtp")
    page.wait_for_timeout(400)  # the draft is kept a moment after the last key
    asha.go(f"/leads/show/{lead}")
    page.locator("[data-compose=email]").first.click()
    expect(page.locator(".mail-note")).to_contain_text("Your draft was restored")
    expect(page.locator(".mail-file")).to_contain_text("list.csv")
    page.locator("[data-mail-editor]").click()
    page.keyboard.press("Control+Enter")
    sent_bar = page.locator(".mail-sent, [data-mail-error]:not([hidden])")
    expect(sent_bar).to_contain_text("leaves in a few seconds")
    sent_bar.get_by_role("button", name="Undo").click()
    expect(page.locator("[data-mail-editor]")).to_contain_text("please send the papers")
    page.locator(".mail-send").get_by_role("button", name="Send").click()
    eventually(lambda: len(mail_server.mail) > 0, "the email has not arrived")
    sent = message_from_string(mail_server.mail[0][1], policy=default)
    html, text = sent.get_body(("html",)), sent.get_body(("plain",))
    assert html is not None and "<b>papers</b>" in html.get_content()
    assert text is not None and "Asha Deshmukh, Eshin Broking" in text.get_content()
    assert [each.get_filename() for each in sent.iter_attachments()] == ["list.csv"]
    # The answer arrives in its thread, on the page that is open
    mailbox.put(reply_to(sent))
    fetch(admin)
    answer = page.locator(".entry", has_text="Here they are.")
    expect(answer).to_be_visible()
    assert len(mail_server.mail) == 1  # the one that was taken back never left
    answer.get_by_role("link", name="Open email").click()
    frame = page.frame_locator("[data-mail-frame]")
    expect(frame.locator("p")).to_contain_text("Here they are.")
    assert frame.locator("script").count() == 0 and frame.locator("img[src]").count() == 0
    expect(page.get_by_role("link", name="Show pictures")).to_be_visible()
    page.get_by_role("link", name="Reply", exact=True).click()
    expect(page.locator("#mail-subject")).to_have_value("Re: Your papers")
    expect(page.locator(".mail-quoted")).to_have_count(1)
    assert asha.complaints == admin.complaints == []


def test_templates_are_offered_by_a_slash(open_browser: OpenBrowser) -> None:
    address = open_browser(LiveServer.ADMIN[0]).receive("Have my documents come?")
    asha = open_browser(MANAGER)
    asha.go(address)
    box = asha.page.locator("textarea[data-text]")
    box.click()
    box.press_sequentially("/docu")
    option = asha.page.locator(".pick-option", has_text="Documents received")
    expect(option).to_be_visible()
    asha.page.locator("[data-thread]").dispatch_event("scroll")  # as when a picture or a message comes
    expect(option).to_be_visible()
    asha.page.keyboard.press("Enter")
    expect(asha.page.locator("#template option:checked")).to_have_text("Documents received")
    expect(asha.page.get_by_label("Value of first name")).to_be_visible()
    assert asha.complaints == []
