"""A deployment: users on one database, servers for it, and the sockets of their pages.

The test's own process is a further one: for the servers, a request to its endpoints happens elsewhere.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from flask import Flask

from app.ops.database import connections
from tests.app_fixtures import FIELD_KEY, SECRET_KEY, Crm
from tests.raw_sockets import EventListener
from tests.servers import LiveServer, Redis, eventually

_serial = itertools.count(1)
#: Seconds. The fallback poll runs once a second, and a busy machine can be slow.
SOON = 60.0


class Deployment:
    """The users on one MariaDB, and the servers that serve it."""

    def __init__(self, crm: Crm, servers: list[LiveServer]) -> None:
        self.crm, self.servers = crm, servers
        self.redis: Redis | None = None
        self._ears: list[EventListener] = []

    def somebody(self, role: str = "Sales User") -> str:
        """Add a user and return their name.

        On SQLite, the transaction writes from its begin on: what it has read must not be written by a server meanwhile.
        """
        self.crm.session.rollback()
        token = connections.WRITES.set(True)
        try:
            return str(self.crm.make.user(f"p{next(_serial)}", role).username)
        finally:
            connections.WRITES.reset(token)

    def lead(self, who: str) -> Any:
        """A lead created by root and assigned to this user."""
        return self.crm.make.give(self.crm.make.lead("root"), who)

    def listeners(self, name: str, by: str = "key", each: int = 3) -> list[EventListener]:
        """This many sockets of the user on each server, spread over its workers."""
        headers = self.headers(name, by)
        first = len(self._ears)
        for server in self.servers:
            for _ in range(each):
                self._ears.append(EventListener(server.url, headers))
        return self._ears[first:]

    def silent(self, name: str, count: int) -> list[EventListener]:
        """This many sockets on the first server that do not send the Socket.IO greeting."""
        made = [EventListener(self.servers[0].url, self.headers(name), greet=False) for _ in range(count)]
        self._ears += made
        return made

    def headers(self, name: str, by: str = "key") -> dict[str, str]:
        """The headers that authenticate the user: API key or browser cookie."""
        client = self.crm.client(name)
        if by == "key":
            return client.headers
        return {"Cookie": f"crm={client.cookie('crm')}"}

    def note(self, lead: Any, who: str = "root") -> None:
        """Write a note, in another process."""
        answer = self.crm.client(who).form(f"/leads/note/{lead.id}", {"text": "He called", "body": "He called"})
        assert answer.status_code == 302, answer.text[:300]

    def give(self, lead: Any, to: str) -> None:
        """Reassign the lead as root, over REST."""
        answer = self.crm.client("root").rest("POST", f"lead/{lead.id}/assign", {"assign_to": to})
        assert answer.status_code == 200, answer.text[:300]

    def close(self) -> None:
        """Close all sockets."""
        for listener in self._ears:
            listener.close()
        self._ears.clear()


@contextlib.contextmanager
def open_deployment(app: Flask, folder: Path, servers: int, **settings: str) -> Iterator[Deployment]:
    """This many servers on the app's database; `settings` as environment variables."""
    crm = Crm(app)
    known = {"CRM_SECRET_KEY": SECRET_KEY, "CRM_FIELD_KEY": FIELD_KEY, "CRM_THREADS": "32", **settings}
    with contextlib.ExitStack() as stack:
        up = [stack.enter_context(LiveServer(folder / f"server{n}", **known)) for n in range(servers)]
        deployment = Deployment(crm, up)
        stack.callback(deployment.close)
        yield deployment
    crm.close()


def _has_heard(listener: EventListener, name: str, fits: Callable[[Any], bool]) -> bool:
    return any(fits(value) for value in listener.named(name))


def _is_closed(listener: EventListener) -> bool:
    return not listener.is_open


def _hears_a_note(listener: EventListener, deployment: Deployment, lead: Any) -> bool:
    """Whether the socket has heard of one; writes another if not."""
    if not listener.named("activity"):
        deployment.note(lead)
        return False
    return True


def expect_event(listeners: list[EventListener], name: str, fits: Callable[[Any], bool] = lambda value: True) -> None:
    for listener in listeners:
        eventually(partial(_has_heard, listener, name, fits), f"no {name}", SOON)


def expect_closed(listeners: list[EventListener]) -> None:
    for listener in listeners:
        eventually(partial(_is_closed, listener), "the socket stays open", SOON)


def watched(deployment: Deployment, name: str, lead: Any, each: int = 3) -> list[EventListener]:
    """Sockets that watch the lead; a first note proves that they do."""
    listeners = [listener.watch("lead", lead.id) for listener in deployment.listeners(name, each=each)]
    for listener in listeners:
        eventually(partial(_hears_a_note, listener, deployment, lead), "nobody watches", SOON)
    return listeners
