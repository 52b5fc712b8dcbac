"""Emails of the CRM itself have an HTML part under the brand, which loads nothing and shows markup as text."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from email import message_from_string
from email.message import EmailMessage
from email.policy import default
from typing import Any

import pytest
from PIL import Image
from sqlalchemy import update

from app import shown_brand
from app.channels.base import Content
from app.channels.smtp_client import SmtpClient, server_of
from app.domain.brand import Logo
from app.models import User
from app.outbox import system_emails
from app.outbox.system_emails import Link, SystemEmail
from app.shown_brand import ShownBrand
from tests.app_fixtures import Crm
from tests.app_pool import AppMaker
from tests.channels.smtp import MailServer, serving
from tests.outbox.test_notice_delivery import notify, open_product, run_calls

URL = "https://crm.eshin.test/leads/CRM-LEAD-2026-00001"
EMAIL = SystemEmail(
    about="user 1: notice 1",
    key="notice-1",
    subject="<b>Ravi</b> & Sons was assigned to you.",
    lines=("<b>Ravi</b> & Sons was assigned to you.", "It has 3 rows."),
    link=f"{URL}?a=1&b=2",
    button="Open in R&D",
    after="The link works once.",
    reason="You turned it on.",
    choices=Link("Notification preferences", "https://crm.eshin.test/bell/choices/"),
)


@pytest.fixture
def mail_server() -> Iterator[MailServer]:
    with serving() as mail_server:
        yield mail_server


def logo(crm: Crm, size: tuple[int, int] = (480, 120)) -> Logo:
    file = io.BytesIO()
    Image.new("RGB", size, "green").save(file, "PNG")
    return Logo(crm.app.extensions["crm_files"].put(file.getvalue()).digest, *size)


def made(crm: Crm, brand: ShownBrand) -> Content:
    with crm.app.app_context():
        return system_emails.content_of(EMAIL, brand)


def parts(raw: str) -> EmailMessage:
    return message_from_string(raw, EmailMessage, policy=default)


def test_markup_in_names_is_shown_as_text(crm: Crm) -> None:
    html = made(crm, ShownBrand("R&D <i>Broking</i>", "#0b7a4b")).html
    assert "&lt;b&gt;Ravi&lt;/b&gt; &amp; Sons was assigned to you." in html
    assert "R&amp;D &lt;i&gt;Broking&lt;/i&gt;" in html and "<b>" not in html and "<i>" not in html
    assert f'href="{URL}?a=1&amp;b=2"' in html and html.count("#0b7a4b") == 2


def test_the_text_says_all_that_the_html_says(crm: Crm) -> None:
    assert made(crm, ShownBrand("Eshin")).text.splitlines() == [
        *EMAIL.lines,
        "",
        EMAIL.link,
        "",
        EMAIL.after,
        "",
        "-- ",
        EMAIL.reason,
        "https://crm.eshin.test/bell/choices/",
    ]


def test_the_html_loads_nothing(crm: Crm) -> None:
    content = made(crm, ShownBrand("Eshin", logo=logo(crm)))
    assert re.findall(r'src="([^"]*)"', content.html) == ["cid:logo"]
    assert not re.search(r"url\(|<link|<script|@import", content.html)


@pytest.mark.parametrize(("size", "shown", "has_name"), [((480, 120), (128, 32), False), ((60, 60), (32, 32), True)])
def test_a_wide_logo_replaces_the_name(crm: Crm, size: Any, shown: Any, has_name: bool) -> None:
    html = made(crm, ShownBrand("Eshin Broking", logo=logo(crm, size))).html
    assert f'width="{shown[0]}" height="{shown[1]}"' in html
    assert (">Eshin Broking</span>" in html) == has_name


def test_without_the_storage_the_email_has_the_name(crm: Crm, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_digest: str) -> Any:
        raise OSError("away")

    brand = ShownBrand("Eshin", logo=logo(crm))
    monkeypatch.setattr(crm.app.extensions["crm_files"], "open", refuse)
    content = made(crm, brand)
    assert not content.pictures and "cid:" not in content.html and ">Eshin</span>" in content.html


def test_the_logo_and_the_html_arrive(crm: Crm, mail_server: MailServer) -> None:
    content = made(crm, ShownBrand("Eshin", logo=logo(crm)))
    SmtpClient(server_of(mail_server.url), "Eshin <crm@eshin.test>", 5).send("ana@eshin.test", content)
    mail = parts(mail_server.mail[0][1])
    text, html = mail.get_body(("plain",)), mail.get_body(("related",))
    assert text is not None and text.get_content().splitlines() == content.text.splitlines()
    assert html is not None
    _text, picture = html.iter_parts()
    assert isinstance(picture, EmailMessage)
    assert (picture["Content-ID"], picture.get_content_disposition()) == ("<logo>", "inline")
    assert picture.get_content().startswith(b"\x89PNG")


def test_a_notice_has_html_in_the_language_of_its_reader(app_with: AppMaker, mail_server: MailServer) -> None:
    crm = open_product(app_with, mail_server)
    crm.session.execute(update(User).where(User.username == "ana").values(locale="hi"))
    crm.session.commit()
    lead = crm.make.lead("ana", first_name="<b>Ravi</b>")
    notify(crm, about=lead)
    run_calls(crm)
    html = parts(mail_server.mail[0][1]).get_body(("html",))
    assert html is not None
    content, brand = html.get_content(), shown_brand.last_loaded(crm.app).name
    assert '<html lang="hi">' in content and f"{brand} में खोलें" in content
    assert "&lt;b&gt;Ravi&lt;/b&gt;" in content and f'href="https://crm.eshin.test/leads/{lead.number}"' in content
    crm.close()
