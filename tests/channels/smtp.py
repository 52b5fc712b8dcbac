"""A mail server on this machine that answers as a test wants."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from tests.servers import free_port


@dataclass
class MailServer:
    """What arrived, and what the server answers next; once all answers are given it takes everything."""

    #: Answers to RCPT and to the text, e.g. "550 no such person"; "hang" = none for a long time.
    to_rcpt: list[str] = field(default_factory=list)
    to_text: list[str] = field(default_factory=list)
    #: (recipients, text) of what arrived.
    mail: list[tuple[list[str], str]] = field(default_factory=list)
    #: Set to let go of those that hang.
    released: threading.Event = field(default_factory=threading.Event)
    url: str = ""

    async def handle_RCPT(self, _server: Any, _session: Any, envelope: Any, address: str, _options: Any) -> str:
        """The recipient."""
        answer = self.to_rcpt.pop(0) if self.to_rcpt else "250 OK"
        if answer.startswith("250"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:
        """The text has arrived; whether the answer does is another matter."""
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
    post = MailServer()
    controller = Controller(post, hostname="127.0.0.1", port=free_port(), **options)
    controller.start()
    post.url = f"smtp://127.0.0.1:{controller.port}"
    try:
        yield post
    finally:
        post.released.set()
        controller.stop()


def only(user: str, password: str) -> Callable[..., AuthResult]:
    """An authenticator that lets one person in."""
    known = (user.encode(), password.encode())
    return lambda _server, _session, _envelope, _way, given: AuthResult(
        success=(given.login, given.password) == known, handled=False
    )
