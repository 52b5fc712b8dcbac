"""A local mail server with configurable responses."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_string
from email.message import EmailMessage
from email.policy import default
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from tests.servers import free_port


@dataclass
class MailServer:
    """What arrived, and what the server answers next; after that, it accepts everything."""

    #: Replies to RCPT and to DATA, for example "550 no such person"; "hang" = no reply.
    to_rcpt: list[str] = field(default_factory=list)
    to_text: list[str] = field(default_factory=list)
    #: (recipients, text) of what arrived.
    mail: list[tuple[list[str], str]] = field(default_factory=list)
    #: Set to end the connections that hang.
    released: threading.Event = field(default_factory=threading.Event)
    url: str = ""

    async def handle_RCPT(self, _server: Any, _session: Any, envelope: Any, address: str, _options: Any) -> str:
        """The recipient."""
        answer = self.to_rcpt.pop(0) if self.to_rcpt else "250 OK"
        if answer.startswith("250"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:
        """The text, which has arrived whatever the reply."""
        answer = self.to_text.pop(0) if self.to_text else "250 taken"
        if answer == "hang":
            self.mail.append((envelope.rcpt_tos, envelope.content.decode()))
            while not self.released.is_set():
                await asyncio.sleep(0.05)
        elif answer.startswith("250"):
            self.mail.append((envelope.rcpt_tos, envelope.content.decode()))
        return answer


@contextmanager
def serving(**options: Any) -> Iterator[MailServer]:
    """A running server; `options` go to aiosmtpd."""
    mail_server = MailServer()
    controller = Controller(mail_server, hostname="127.0.0.1", port=free_port(), **options)
    controller.start()
    mail_server.url = f"smtp://127.0.0.1:{controller.port}"
    try:
        yield mail_server
    finally:
        mail_server.released.set()
        controller.stop()


def only(user: str, password: str) -> Callable[..., AuthResult]:
    """An authenticator that accepts one user."""
    known = (user.encode(), password.encode())
    return lambda _server, _session, _envelope, _way, given: AuthResult(
        success=(given.login, given.password) == known, handled=False
    )


def text_of(raw: str) -> str:
    """The plain text of an email."""
    body = message_from_string(raw, EmailMessage, policy=default).get_body(("plain",))
    assert body is not None
    return str(body.get_content())
