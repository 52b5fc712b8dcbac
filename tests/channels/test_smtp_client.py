"""SMTP: the reply code decides about a retry, headers can't be injected, and a late disconnect isn't a refusal."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Iterator
from email import message_from_string
from email.header import decode_header, make_header
from email.policy import default
from pathlib import Path
from typing import Any

import pytest

import config
from app.channels.base import AttachedFile, ChannelError, Content, DeliveryUnknown
from app.channels.console import Console
from app.channels.smtp_client import SmtpClient, server_of
from tests.channels.certificates import make_certificate
from tests.channels.smtp import MailServer, only, serving
from tests.servers import free_port

CONTENT = Content(
    "user 3: notice 12", "notice-12-1790000000", "Ravi’s lead was assigned to you.", "नमस्ते,\n\nhttp://x/leads/1\n"
)
SENDER = "Eshin CRM <crm@eshin.test>"


@pytest.fixture
def mail_server() -> Iterator[MailServer]:
    with serving() as mail_server:
        yield mail_server


@pytest.fixture
def email(mail_server: MailServer) -> SmtpClient:
    return SmtpClient(server_of(mail_server.url), SENDER, 1)


def test_a_message_arrives_as_written(mail_server: MailServer, email: SmtpClient) -> None:
    key = email.send("ana@eshin.test", CONTENT)
    (to, raw) = mail_server.mail[0]
    mail = message_from_string(raw, policy=default)
    assert (to, mail["To"], mail["From"]) == (["ana@eshin.test"], "ana@eshin.test", SENDER)
    assert (mail["Subject"], mail.get_content().replace("\r", "")) == (CONTENT.subject, CONTENT.text)
    assert key == mail["Message-ID"] == "<notice-12-1790000000@eshin.test>"
    assert mail["Auto-Submitted"] == "auto-generated"


@pytest.mark.parametrize(
    ("replies", "permanent"),
    [
        ({"to_rcpt": ["550 no such person"]}, True),
        ({"to_rcpt": ["451 busy"]}, False),
        ({"to_text": ["554 spam"]}, True),
        ({"to_text": ["452 disk full"]}, False),
        ({"to_rcpt": ["well"]}, False),
    ],
)
def test_the_reply_code_says_whether_to_try_again(
    mail_server: MailServer, email: SmtpClient, replies: Any, permanent: Any
) -> None:
    for name, reply in replies.items():
        setattr(mail_server, name, reply)
    with pytest.raises(ChannelError) as refused:
        email.send("ana@eshin.test", CONTENT)
    assert (refused.value.permanent, mail_server.mail) == (permanent, [])
    assert not isinstance(refused.value, DeliveryUnknown)
    assert "ana@" not in str(refused.value)


@pytest.mark.parametrize("reply", ["hang", "well, well"])
def test_without_a_reply_code_after_the_text_the_result_is_unknown(
    mail_server: MailServer, email: SmtpClient, reply: str
) -> None:
    mail_server.to_text = [reply]
    with pytest.raises(DeliveryUnknown):
        email.send("ana@eshin.test", CONTENT)


def test_an_unreachable_server_is_tried_again(email: SmtpClient) -> None:
    unreachable = SmtpClient(server_of(f"smtp://127.0.0.1:{free_port()}"), SENDER, 1)
    with pytest.raises(ChannelError) as refused:
        unreachable.send("ana@eshin.test", CONTENT)
    assert not refused.value.permanent


@pytest.mark.parametrize(
    "to",
    ["ana@eshin.test\r\nBcc: eve@evil.test", "ana@eshin.test, eve@evil.test", "", "ana", "आना@eshin.test", "a@b@c"],
)
def test_an_address_names_one_recipient_and_no_header(mail_server: MailServer, email: SmtpClient, to: str) -> None:
    with pytest.raises(ChannelError) as refused:
        email.send(to, CONTENT)
    assert (refused.value.permanent, mail_server.mail) == (True, [])


def test_a_subject_cannot_add_a_header(mail_server: MailServer, email: SmtpClient) -> None:
    email.send("ana@eshin.test", Content("x", "k", "Hi\r\nBcc: eve@evil.test\n\nbody", "text\n.\nRSET\n"))
    mail = message_from_string(mail_server.mail[0][1], policy=default)
    assert (mail["Bcc"], mail["Subject"]) == (None, "Hi Bcc: eve@evil.test body")
    assert (len(mail_server.mail), mail_server.mail[0][0]) == (1, ["ana@eshin.test"])


# --- encrypted, and signed in


ENCODED = "=?utf-8?q?=0d=0aBcc:_eve=40evil.in=0d=0a=0d=0ahello?="


@pytest.mark.parametrize(
    "subject", [ENCODED, f"Re: {ENCODED} x", f"a{ENCODED}", "=?utf-8?q?Namaste?=", f"आशा {ENCODED}"]
)
def test_what_looks_like_an_encoded_word_is_text(mail_server: MailServer, email: SmtpClient, subject: str) -> None:
    """Python's email package decodes it, line ends included, and writes the result into the headers."""
    file = AttachedFile(ENCODED, "text/csv; charset=utf-8", b"a")
    email.send("asha@example.in", Content("x", "k", subject, "t", html="<p>t</p>", files=(file,)))
    ((_to, raw),) = mail_server.mail
    sent = message_from_string(raw, policy=default)
    assert [*sent][:3] == ["From", "To", "Subject"]
    parts = [*sent.walk()]
    assert all(part["Bcc"] is None for part in parts)
    assert str(make_header(decode_header(message_from_string(raw)["Subject"]))) == subject
    assert {part.get_content_maintype() for part in parts} == {"multipart", "text"}
    assert [part.get_filename("").count("\n") for part in parts] == [0] * len(parts)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificate(tmp_path_factory.mktemp("tls"), "127.0.0.1")


@pytest.fixture
def protected_server(certificate: Path) -> Iterator[MailServer]:
    """A server that accepts mail only over TLS, and only from the user crm with the password s3cret@."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with serving(
        tls_context=context, require_starttls=True, authenticator=only("crm", "s3cret@"), auth_required=True
    ) as mail_server:
        yield mail_server


@pytest.mark.parametrize(
    ("scheme", "password", "arrives"),
    [
        ("smtp+starttls", "s3cret%40", True),
        ("smtp+starttls", "wrong", False),
        ("smtp", "s3cret%40", False),
    ],
)
def test_the_protected_server_requires_tls_and_the_password(
    protected_server: MailServer, certificate: Path, scheme: str, password: str, arrives: bool
) -> None:
    url = protected_server.url.replace("smtp://", f"{scheme}://crm:{password}@")
    email = SmtpClient(server_of(url), SENDER, 2, ssl.create_default_context(cafile=certificate))
    if not arrives:
        with pytest.raises(ChannelError, match=r"can.t be reached|disconnected|refused"):
            email.send("ana@eshin.test", CONTENT)
    else:
        email.send("ana@eshin.test", CONTENT)
    assert len(protected_server.mail) == arrives


def test_a_man_in_the_middle_gets_nothing(protected_server: MailServer) -> None:
    url = protected_server.url.replace("smtp://", "smtp+starttls://crm:s3cret%40@")
    with pytest.raises(ChannelError, match="SSLCertVerificationError"):
        SmtpClient(server_of(url), SENDER, 2).send("ana@eshin.test", CONTENT)


# --- settings and the console


@pytest.mark.parametrize(
    "environ",
    [
        {"CRM_SMTP_URL": "http://mail.example.in", "CRM_SMTP_FROM": "a@b.in"},
        {"CRM_SMTP_URL": "smtp://u:p@mail.example.in", "CRM_SMTP_FROM": "a@b.in"},
        {"CRM_SMTP_URL": "smtps://mail.example.in:no", "CRM_SMTP_FROM": "a@b.in"},
        {"CRM_SMTP_URL": "smtps://u:p@mail.example.in"},
        {"CRM_SMTP_FROM": "Eve\nBcc: a@b.in"},
    ],
)
def test_invalid_settings_are_named_without_the_password(tmp_path: Path, environ: dict[str, str]) -> None:
    with pytest.raises(config.WrongSetting, match="CRM_SMTP") as wrong:
        config.load(environ | {"CRM_INSTANCE_DIR": str(tmp_path)})
    assert "u:p" not in str(wrong.value)


def test_the_console_logs_neither_address_nor_text(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "crm.channels"):
        Console("e-mail").send("ana@eshin.test", CONTENT)
    assert caplog.messages == ["would send e-mail to user 3: notice 12"]
