"""Outgoing email of an account: its contents, refusals, and no header injection."""

from __future__ import annotations

import os
from collections.abc import Iterator
from email import message_from_string
from email.policy import default
from pathlib import Path
from typing import Any

import pytest

from app.channels.base import ChannelError, DeliveryUnknown
from app.channels.mail_account import check_address
from app.channels.provider import OutgoingMessage, ProviderRefusal
from app.channels.smtp_provider import SmtpProvider
from tests.channels.smtp import MailServer, serving

ASHA = "asha@example.in"


#: Python's email package decodes it in a header, line ends included.
ENCODED = "=?utf-8?q?=0d=0aBcc:_eve=40evil.in?="


@pytest.fixture
def mail_server() -> Iterator[MailServer]:
    with serving() as mail_server:
        yield mail_server


@pytest.fixture
def provider(mail_server: MailServer, monkeypatch: pytest.MonkeyPatch) -> SmtpProvider:
    monkeypatch.setattr("app.channels.smtp_provider.TIMEOUT", 1.0)
    values = {"host": "127.0.0.1", "port": mail_server.url.rpartition(":")[2], "security": "none"}
    return SmtpProvider(values | {"from": "Eshin Support <support@eshin.in>", "reply_to": "answers@eshin.in"})


def mail(**more: Any) -> OutgoingMessage:
    return OutgoingMessage(**{"key": "m7", "channel": "email", "to": ASHA, "text": "Hi नमस्ते", "subject": "S", **more})


def test_a_mail_has_its_thread_both_forms_copies_and_files(mail_server: MailServer, provider: SmtpProvider) -> None:
    accepted = provider.send(
        mail(
            html="<p>Hi</p>",
            also_to=("d@e.in",),
            cc=("b@c.in", ASHA),
            in_reply_to="x@y.in",
            headers={"Message-ID": "<m7.seal@eshin.in>", "References": "<w@y.in> <x@y.in>"},
            attachments=(("रिपोर्ट.pdf", "application/pdf", b"%PDF-"), ("m.eml", "message/rfc822", b"x")),
        )
    )
    ((to, raw),) = mail_server.mail
    sent = message_from_string(raw, policy=default)
    assert (accepted.provider_id, accepted.state, to) == ("m7.seal@eshin.in", "sent", [ASHA, "d@e.in", "b@c.in"])
    assert sent["To"] == f"{ASHA}, d@e.in"
    assert (sent["From"], sent["Reply-To"], sent["Cc"]) == (
        *("Eshin Support <support@eshin.in>", "answers@eshin.in"),
        f"b@c.in, {ASHA}",
    )
    assert (sent["In-Reply-To"], sent["References"]) == ("<x@y.in>", "<w@y.in> <x@y.in>")
    assert sent["Message-ID"] == "<m7.seal@eshin.in>" and sent["X-Loop"] == "support@eshin.in"
    body, html = sent.get_body(("plain",)), sent.get_body(("html",))
    assert body is not None and html is not None
    assert (body.get_content().strip(), html.get_content().strip()) == ("Hi नमस्ते", "<p>Hi</p>")
    files = [(each.get_filename(), each.get_content_type()) for each in sent.iter_attachments()]
    assert files == [("रिपोर्ट.pdf", "application/pdf"), ("m.eml", "application/octet-stream")]


@pytest.mark.parametrize(
    "more",
    [
        {"subject": "S\r\nBcc: eve@evil.in"},
        {"in_reply_to": "x@y.in>\r\nBcc: <eve@evil.in"},
        {"headers": {"References": "<a@b>\r\nBcc: eve@evil.in", "Bcc": "eve@evil.in", "Message-ID": "<a\r\nBcc: b>"}},
        {"attachments": (("a\r\nBcc: eve@evil.in.pdf", "text/x\r\nBcc: eve@evil.in", b"x"),)},
        {"subject": ENCODED},
        {"subject": f"Re: a{ENCODED}"},
        {"in_reply_to": f"{ENCODED}@y.in"},
        {"headers": {"References": f"<{ENCODED}@b>", "List-Unsubscribe": ENCODED, "Message-ID": f"<{ENCODED}@b>"}},
        {"attachments": ((f"{ENCODED}.pdf", f"text/{ENCODED}", b"x"),)},
    ],
)
def test_no_value_adds_a_header_or_a_recipient(mail_server: MailServer, provider: SmtpProvider, more: Any) -> None:
    provider.send(mail(**more))
    ((to, raw),) = mail_server.mail
    sent = message_from_string(raw, policy=default)
    assert to == [ASHA]
    assert all(part["Bcc"] is None for part in sent.walk())


@pytest.mark.parametrize("more", [{"to": "a@b.in\r\nBcc: e@v.in"}, {"cc": ("a@b.in, e@v.in",)}, {"cc": ("x",)}])
def test_an_address_names_one_recipient(mail_server: MailServer, provider: SmtpProvider, more: Any) -> None:
    with pytest.raises(ChannelError) as refused:
        provider.send(mail(**more))
    assert (refused.value.permanent, mail_server.mail) == (True, [])


@pytest.mark.parametrize(
    ("replies", "sentence", "permanent"),
    [
        ({"to_rcpt": ["550 no"]}, r"refused the recipient for good \(550\)", True),
        ({"to_rcpt": ["250 OK", "450 later"]}, r"refused cc address 1 for now \(450\)", False),
        ({"to_text": ["554 spam"]}, r"refused it for good \(554\)", True),
    ],
)
def test_a_refusal_says_whom_it_is_about_and_nobody_gets_a_copy(
    mail_server: MailServer, provider: SmtpProvider, replies: Any, sentence: str, permanent: bool
) -> None:
    for name, reply in replies.items():
        setattr(mail_server, name, reply)
    with pytest.raises(ChannelError, match=sentence) as refused:
        provider.send(mail(cc=("b@c.in",)))
    assert (refused.value.permanent, mail_server.mail) == (permanent, [])
    assert "@" not in str(refused.value)


def test_a_break_at_the_end_is_unknown_and_too_much_is_refused(mail_server: MailServer, provider: SmtpProvider) -> None:
    mail_server.to_text = ["hang"]
    with pytest.raises(DeliveryUnknown):
        provider.send(mail())
    with pytest.raises(ProviderRefusal, match="larger than 25 MB"):
        provider.send(mail(attachments=(("a.bin", "application/x", b"x" * 20_000_000),)))


def test_settings_are_checked(provider: SmtpProvider) -> None:
    assert check_address("Support <a@b.in>") is None and check_address(f"{ENCODED} <a@b.in>")
    assert "sent as support@eshin.in" in provider.check()
    with pytest.raises(ValueError, match="could be read on the way"):
        SmtpProvider({"host": "mail.x.in", "security": "none", "user": "u", "password": "p", "from": "a@b.in"})


def test_a_pipe_is_no_file_of_certificates(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "ca.pem")
    settings = {"host": "mail.example.in", "from": "a@x.in", "ca_file": str(tmp_path / "ca.pem")}
    with pytest.raises(ValueError, match="can't be read"):
        SmtpProvider(settings)
