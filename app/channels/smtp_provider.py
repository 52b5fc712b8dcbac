"""Outgoing email, by the SMTP server of an account (kind "smtp")."""

from __future__ import annotations

import smtplib
from collections.abc import Mapping
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr

from app.channels.base import ChannelError
from app.channels.mail_account import CA_FILE, MailAccount, check_address, security_of, server_settings, trusted
from app.channels.provider import (
    Abilities,
    AccountSetting,
    OutgoingMessage,
    ProviderAcceptance,
    ProviderKind,
    ProviderRefusal,
)
from app.channels.provider_file_limits import MAIL_FILES
from app.channels.smtp_client import MAX_SUBJECT, MailServer, RecipientRefused, SmtpClient, one_address
from app.lib.mail_addresses import message_ids
from app.lib.mail_headers import ENCODED_WORD, file_name, text_of_header

#: Seconds for each reply of the server; smtp_client.TOTAL_SECONDS for all of them.
TIMEOUT = 15.0
#: Larger mails are refused by most servers.
MAX_BYTES = 25_000_000
TOO_LARGE = "The email with its files is larger than 25 MB. Please attach less."
MAX_CC = 50
PORTS = {"tls": 465, "starttls": 587, "none": 25}
_SCHEMES = {"tls": "smtps", "starttls": "smtp+starttls", "none": "smtp"}
#: Headers that the caller may set; all others are set here.
_ALLOWED_HEADERS = ("Message-ID", "References", "Auto-Submitted", "List-Unsubscribe")


class SmtpProvider(MailAccount):
    """Sends each message over a connection of its own, to all recipients or to none."""

    def __init__(self, values: Mapping[str, str]) -> None:
        """Raises ValueError for settings that contradict each other."""
        security = security_of(values)
        port = int(values.get("port") or PORTS[security])
        server = MailServer(
            _SCHEMES[security], values["host"], port, values.get("user", ""), values.get("password", "")
        )
        self.sender, self.reply_to = values["from"], values.get("reply_to", "")
        self.address = parseaddr(self.sender)[1].lower()
        self._smtp = SmtpClient(server, self.sender, TIMEOUT, trusted(values) if security != "none" else None)

    def send(self, message: OutgoingMessage) -> ProviderAcceptance:
        """Send an email. The provider's id is its Message-ID, without angle brackets."""
        others = (*message.also_to, *message.cc)
        if len(others) > MAX_CC:
            raise ProviderRefusal(f"An email can have up to {MAX_CC} cc addresses.", permanent=True)
        mail = self.compose(message)
        raw = mail.as_bytes()
        if len(raw) > MAX_BYTES:
            raise ProviderRefusal(TOO_LARGE, permanent=True)
        try:
            self._smtp.deliver(raw, list(dict.fromkeys((message.to, *others))))
        except RecipientRefused as error:
            raise ProviderRefusal(_refused_recipient(error), permanent=error.permanent, code=str(error.code)) from error
        return ProviderAcceptance(message_ids(str(mail["Message-ID"]))[0], "sent")

    def compose(self, message: OutgoingMessage) -> EmailMessage:
        """The email. No value can add a header: line ends are refused or become spaces, encoded words stay as typed."""
        mail = EmailMessage(policy=SMTP.clone(cte_type="7bit"))
        mail["From"] = self.sender
        mail["To"] = tuple(one_address(each) for each in (message.to, *message.also_to))
        if message.cc:
            mail["Cc"] = tuple(one_address(each) for each in message.cc)
        if self.reply_to:
            mail["Reply-To"] = self.reply_to
        mail["Subject"] = text_of_header("Subject", message.subject[:MAX_SUBJECT])
        mail["Date"] = format_datetime(datetime.now(UTC))
        mail["Message-ID"] = f"<{message.key}@{self.address.rpartition('@')[2]}>"
        for name, value in self._threading(message).items():
            del mail[name]
            mail[name] = value
        # Marks our emails, so that a forwarded copy is recognized and never answered.
        mail["X-Loop"] = self.address
        mail.set_content(message.text)
        if message.html:
            mail.add_alternative(message.html, subtype="html")
        for name, mime_type, content in message.attachments:
            kind, _slash, subtype = _attachable(mime_type).partition("/")
            mail.add_attachment(content, maintype=kind, subtype=subtype, filename=file_name(name)[:150])
        return mail

    def _threading(self, message: OutgoingMessage) -> dict[str, str]:
        """The headers set by the caller. Ids are rewritten; a value of several lines becomes one."""
        found = {}
        for name in _ALLOWED_HEADERS:
            value = " ".join(message.headers.get(name, "").split())
            if name in ("Message-ID", "References"):
                value = " ".join(f"<{each}>" for each in message_ids(value, 30) if _is_plain(each))
            if value and _is_plain(value):
                found[name] = value[:2_000]
        answered = message_ids(f"<{message.in_reply_to}>") if message.in_reply_to else ()
        if answered and _is_plain(answered[0]):
            found["In-Reply-To"] = f"<{answered[0]}>"
            found.setdefault("References", found["In-Reply-To"])
        return found

    def check(self) -> str:
        """Connect and sign in, without sending anything."""
        with self._smtp.connection() as connection:
            try:
                code = connection.noop()[0]
            except (smtplib.SMTPException, OSError) as error:
                raise ChannelError("The mail server disconnected.") from error
        if code != 250:
            raise ChannelError(f"The mail server answered {code}.")
        return f"Signed in to {self._smtp.server.host}. Emails are sent as {self.address}."


def _is_plain(value: str) -> bool:
    """Whether it can stand in a header as it is. Ids come from emails of strangers."""
    return value.isascii() and value.isprintable() and ENCODED_WORD not in value


def _attachable(mime_type: str) -> str:
    """The type of an attached file; bytes for types that can't be sent in base64."""
    is_plain = mime_type.count("/") == 1 and _is_plain(mime_type)
    return (
        mime_type if is_plain and not mime_type.startswith(("multipart/", "message/")) else "application/octet-stream"
    )


def _refused_recipient(error: RecipientRefused) -> str:
    """A sentence without the address, which may be masked for its reader."""
    whom = "the recipient" if error.number == 0 else f"cc address {error.number}"
    duration = "for good" if error.permanent else "for now"
    return f"The mail server refused {whom} {duration} ({error.code}). Nothing was sent."


KIND = ProviderKind(
    name="smtp",
    label="Email out (SMTP)",
    channels=("email",),
    has_hooks=False,
    settings=(
        *server_settings(PORTS),
        AccountSetting("from", "Sender", "Name and address: Support <support@example.in>.", check=check_address),
        AccountSetting(
            "reply_to", "Answers go to", "An address, if not the sender's.", is_required=False, check=check_address
        ),
        CA_FILE,
    ),
    make=SmtpProvider,
    abilities={"email": Abilities(MAIL_FILES, files_per_message=10)},
)
