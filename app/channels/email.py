"""E-mail goes out by SMTP; a server's number says whether another try makes sense."""

from __future__ import annotations

import smtplib
import ssl
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.errors import HeaderParseError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr
from urllib.parse import unquote, urlsplit

from app.channels.base import ChannelError, Content, DeliveryUnknown

#: Scheme of the address -> its usual port.
PORTS = {"smtp": 25, "smtp+starttls": 587, "smtps": 465}
#: Longer subjects are cut.
LONGEST_SUBJECT = 200
#: The server may have the whole text already, and only its answer got lost.
UNSURE = "Unknown whether it arrived: the mail server disconnected at the end."


@dataclass(frozen=True)
class Server:
    """Where mail is handed over."""

    #: smtp (in the clear), smtp+starttls or smtps.
    scheme: str
    host: str
    port: int
    user: str = ""
    password: str = ""


def server_of(url: str) -> Server:
    """The server that an address such as smtp+starttls://user:password@host:587 names; config.py has checked it."""
    parts = urlsplit(url)
    port = parts.port or PORTS[parts.scheme]
    return Server(
        parts.scheme, parts.hostname or "", port, unquote(parts.username or ""), unquote(parts.password or "")
    )


class Email:
    """Hands each message to one SMTP server, over a connection of its own."""

    def __init__(self, server: Server, sender: str, seconds: float, trust: ssl.SSLContext | None = None) -> None:
        """`sender`: "Name <address>"; `seconds` that the server may take for each answer."""
        self.server, self.sender, self.seconds = server, sender, seconds
        self.trust = trust or ssl.create_default_context()

    def send(self, to: str, content: Content) -> str:
        """Send to one address; answers the Message-ID. Raises ChannelError, Unsure when the line broke too late."""
        message = self._message(to, content)
        line = self._open()
        try:
            self._hand_over(line, to, message)
        finally:
            with suppress(smtplib.SMTPException, OSError):
                line.quit()
        return str(message["Message-ID"])

    def _message(self, to: str, content: Content) -> EmailMessage:
        """The message; an address or subject can name no further header: line ends are blanks or refused."""
        address = parseaddr(self.sender)[1]
        message = EmailMessage(policy=SMTP.clone(cte_type="7bit"))  # what every server takes
        message["From"] = self.sender
        message["To"] = _address(to)
        message["Subject"] = " ".join(content.subject.split())[:LONGEST_SUBJECT]
        message["Date"] = format_datetime(datetime.now(UTC))
        message["Message-ID"] = f"<{content.key}@{address.rpartition('@')[2]}>"
        message["Auto-Submitted"] = "auto-generated"  # no machine shall answer a machine
        message.set_content(content.text)
        return message

    def _open(self) -> smtplib.SMTP:
        """A line to the server, encrypted and signed in as the settings say. What fails here says nothing of a mail."""
        line: smtplib.SMTP | None = None
        try:
            line = self._line()
            line.ehlo()
            if self.server.scheme == "smtp+starttls":
                line.starttls(context=self.trust)
                line.ehlo()
            if self.server.user:
                line.login(self.server.user, self.server.password)
        except (smtplib.SMTPException, OSError) as error:
            if line is not None:
                line.close()
            raise ChannelError(f"The mail server can't be reached ({_kind(error)}).") from error
        return line

    def _line(self) -> smtplib.SMTP:
        where = (self.server.host, self.server.port)
        if self.server.scheme == "smtps":
            return smtplib.SMTP_SSL(*where, timeout=self.seconds, context=self.trust)
        return smtplib.SMTP(*where, timeout=self.seconds)

    def _hand_over(self, line: smtplib.SMTP, to: str, message: EmailMessage) -> None:
        """Sender, recipient, text; each answer by its number: 4xx another time, 5xx never."""
        try:
            _expect(line.mail(parseaddr(self.sender)[1]))
            _expect(line.rcpt(to))
        except (smtplib.SMTPException, OSError) as error:
            raise ChannelError(f"The mail server disconnected ({_kind(error)}).") from error
        try:
            answer = line.data(message.as_bytes())
        except smtplib.SMTPDataError as error:
            answer = (max(error.smtp_code, 400), b"")  # it did not want to hear the text
        except (smtplib.SMTPException, OSError) as error:
            raise DeliveryUnknown(UNSURE) from error
        if answer[0] < 200:
            raise DeliveryUnknown(UNSURE)  # words, but no number
        _expect(answer)


def _address(to: str) -> Address:
    """One address in plain letters. Raises ChannelError for anything else, also for two in one."""
    with suppress(ValueError, IndexError, HeaderParseError):
        if to.isascii() and to.isprintable():
            return Address(addr_spec=to)
    raise ChannelError("The email address isn't valid.", permanent=True)


def _expect(answer: tuple[int, bytes]) -> None:
    """Raise ChannelError for a refusal. The server's own words stay out: they may hold the address."""
    code = answer[0]
    if not 200 <= code < 300:
        again = "for now" if code < 500 else "for good"
        raise ChannelError(f"The mail server refused it {again} ({code}).", permanent=code >= 500)


def _kind(error: Exception) -> str:
    return str(getattr(error, "smtp_code", "") or type(error).__name__)
