"""Email over SMTP. The server's reply code says whether another attempt makes sense."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.errors import HeaderParseError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr
from typing import Any
from urllib.parse import unquote, urlsplit

from app.channels.base import AttachedFile, ChannelError, Content, DeliveryUnknown
from app.channels.tls import trusted_by_this_machine
from app.lib import deadline
from app.lib.deadline import DeadlineWatchdog
from app.lib.mail_headers import file_name, text_of_header

#: Scheme of CRM_SMTP_URL -> its default port.
DEFAULT_PORTS = {"smtp": 25, "smtp+starttls": 587, "smtps": 465}
#: Seconds for a message, from the look-up of the server to its last reply; less than the limit of a queued call.
TOTAL_SECONDS = 45.0
#: All replies of a server to one message, in bytes.
MAX_REPLY_BYTES = 65_536
#: Longer subjects are cut.
MAX_SUBJECT = 200
BAD_ADDRESS = "The email address isn't valid."
#: The server may have the whole message; only its reply was lost.
NOT_KNOWN = "Unknown whether it arrived: the mail server disconnected at the end."


@dataclass(frozen=True)
class MailServer:
    """The mail server and how to sign in."""

    #: smtp (unencrypted), smtp+starttls or smtps.
    scheme: str
    host: str
    port: int
    user: str = ""
    password: str = ""


def server_of(url: str) -> MailServer:
    """The server of a URL such as smtp+starttls://user:password@host:587, already checked by config.py."""
    parts = urlsplit(url)
    port = parts.port or DEFAULT_PORTS[parts.scheme]
    return MailServer(
        parts.scheme, parts.hostname or "", port, unquote(parts.username or ""), unquote(parts.password or "")
    )


class RecipientRefused(ChannelError):
    """The server refused one of the recipients; nothing was sent to anybody."""

    def __init__(self, number: int, code: int) -> None:
        """`number` counts the recipients from 0, `code` is the server's reply to this one."""
        super().__init__(_refusal(code), permanent=code >= 500)
        self.number, self.code = number, code


class SmtpClient:
    """Sends each message to one SMTP server, over a connection of its own."""

    def __init__(self, server: MailServer, sender: str, timeout: float, tls: ssl.SSLContext | None = None) -> None:
        """`sender` is "Name <address>"; `timeout` is the seconds that the server may take for each reply.

        A message takes at most TOTAL_SECONDS, however slowly the server replies.
        """
        self.server, self.sender, self.timeout = server, sender, timeout
        self.tls = tls or trusted_by_this_machine()

    def send(self, to: str, content: Content) -> str:
        """Send to one address and return the Message-ID. Raises ChannelError, DeliveryUnknown."""
        message = self._message(to, content)
        self.deliver(message.as_bytes(), [to])
        return str(message["Message-ID"])

    def deliver(self, message: bytes, recipients: Sequence[str]) -> None:
        """Send a message to all of these addresses, or to none.

        Raises RecipientRefused, ChannelError when the server doesn't take it, and DeliveryUnknown.
        """
        with self.connection() as connection:
            self._transfer(connection, recipients, message)

    @contextmanager
    def connection(self) -> Iterator[smtplib.SMTP]:
        """A connection that is ready to send, for at most TOTAL_SECONDS. Raises ChannelError."""
        with DeadlineWatchdog(TOTAL_SECONDS) as cutter:
            connection = self._open(cutter)
            try:
                yield connection
            finally:
                with suppress(smtplib.SMTPException, OSError):
                    connection.quit()
                connection.close()

    def _message(self, to: str, content: Content) -> EmailMessage:
        """The message. Neither address nor subject nor name of a file can add a header."""
        address = parseaddr(self.sender)[1]
        message = EmailMessage(policy=SMTP.clone(cte_type="7bit"))  # accepted by every server
        message["From"] = self.sender
        message["To"] = one_address(to)
        message["Subject"] = text_of_header("Subject", content.subject[:MAX_SUBJECT])
        message["Date"] = format_datetime(datetime.now(UTC))
        message["Message-ID"] = f"<{content.key}@{address.rpartition('@')[2]}>"
        message["Auto-Submitted"] = "auto-generated"  # automatic replies are not wanted
        message.set_content(content.text)
        if content.html:
            _add_html(message, content)
        for each in content.files:
            kind, subtype = _type_of(each)
            message.add_attachment(each.data, maintype=kind, subtype=subtype, filename=file_name(each.name))
        return message

    def _open(self, cutter: DeadlineWatchdog) -> smtplib.SMTP:
        """A connection to the server, encrypted and signed in as configured.

        Its errors don't concern any single message.
        """
        connection = _Connection(self.server, self.timeout, cutter, self.tls)
        try:
            connection.connect(self.server.host, self.server.port)
            connection.ehlo()
            if self.server.scheme == "smtp+starttls":
                connection.starttls(context=self.tls)
                connection.ehlo()
            if self.server.user:
                connection.login(self.server.user, self.server.password)
        except (smtplib.SMTPException, OSError) as error:
            connection.close()
            raise ChannelError(f"The mail server can't be reached ({_kind(error)}).") from error
        return connection

    def _transfer(self, connection: smtplib.SMTP, recipients: Sequence[str], message: bytes) -> None:
        """Send sender, recipients and text. A 4xx reply is a temporary refusal, 5xx a permanent one."""
        try:
            _expect_success(connection.mail(parseaddr(self.sender)[1]))
            for number, each in enumerate(recipients):
                code = connection.rcpt(each)[0]
                if not 200 <= code < 300:
                    raise RecipientRefused(number, code)
        except (smtplib.SMTPException, OSError) as error:
            raise ChannelError(f"The mail server disconnected ({_kind(error)}).") from error
        try:
            reply = connection.data(message)
        except smtplib.SMTPDataError as error:
            reply = (max(error.smtp_code, 400), b"")  # it refused to receive the text
        except (smtplib.SMTPException, OSError) as error:
            raise DeliveryUnknown(NOT_KNOWN) from error
        if reply[0] < 200:
            raise DeliveryUnknown(NOT_KNOWN)  # a text without a reply code
        _expect_success(reply)


class _Connection(smtplib.SMTP):
    """A connection that is cut at a deadline, or if the server sends too much."""

    def __init__(self, server: MailServer, timeout: float, cutter: DeadlineWatchdog, tls: ssl.SSLContext) -> None:
        super().__init__(timeout=timeout)
        self._host, self._cutter = server.host, cutter
        self._tls = tls if server.scheme == "smtps" else None

    def _get_socket(self, host: str, port: int, timeout: float) -> Any:
        made = deadline.connect(host, port, min(timeout, self._cutter.remaining))
        self._cutter.guard(made)
        made.settimeout(timeout)
        return self._tls.wrap_socket(made, server_hostname=host) if self._tls is not None else made

    def getreply(self) -> tuple[int, bytes]:
        """The next reply. Raises SMTPServerDisconnected when all replies together are too long."""
        if self.file is None and self.sock is not None:
            self.file = _Replies(self.sock.makefile("rb"))
        return super().getreply()


class _Replies:
    """The server's replies, up to MAX_REPLY_BYTES in all."""

    def __init__(self, file: Any) -> None:
        self._file, self._left = file, MAX_REPLY_BYTES

    def readline(self, size: int) -> bytes:
        """The next line; b"" once the server has sent too much."""
        line: bytes = self._file.readline(min(size, self._left)) if self._left > 0 else b""
        self._left -= len(line)
        return line

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def one_address(to: str) -> Address:
    """One ASCII address. Raises ChannelError for anything else, including two addresses in one."""
    with suppress(ValueError, IndexError, HeaderParseError):
        if to.isascii() and to.isprintable():
            return Address(addr_spec=to)
    raise ChannelError(BAD_ADDRESS, permanent=True)


def _expect_success(reply: tuple[int, bytes]) -> None:
    """Raise ChannelError for a refusal. The server's text is left out: it may contain the address."""
    code = reply[0]
    if not 200 <= code < 300:
        raise ChannelError(_refusal(code), permanent=code >= 500)


def _refusal(code: int) -> str:
    return f"The mail server refused it {'for now' if code < 500 else 'for good'} ({code})."


def _kind(error: Exception) -> str:
    return str(getattr(error, "smtp_code", "") or type(error).__name__)


def _add_html(message: EmailMessage, content: Content) -> None:
    """The HTML beside the text, with its pictures."""
    message.add_alternative(content.html, subtype="html")
    html = message.get_body(("html",))
    for each in content.pictures:
        kind, subtype = _type_of(each)
        html.add_related(each.data, kind, subtype, cid=f"<{each.name}>", disposition="inline")  # type: ignore[union-attr]


def _type_of(file: AttachedFile) -> tuple[str, str]:
    """("text", "csv") of text/csv; charset=utf-8."""
    kind, _slash, subtype = file.mime_type.partition(";")[0].partition("/")
    return kind, subtype
