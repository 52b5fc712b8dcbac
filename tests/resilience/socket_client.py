"""A browser's socket, written by hand: Engine.IO 4 and Socket.IO 5 over one WebSocket."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Self

from simple_websocket import Client, ConnectionClosed

from tests.resilience.tcp_connections import children
from tests.servers import LiveServer, ServerFailed, eventually

#: So long is an event waited for.
PATIENCE_SECONDS = 30.0


class Wire:
    """One socket of one person; hears in a thread of its own."""

    def __init__(self, port: int, who: str) -> None:
        """By the person's API key. Raises ServerFailed when he is not let in."""
        key = {"Authorization": f"token key{who}:secret-{who}"}
        self._line = Client(f"ws://127.0.0.1:{port}/socket.io/?EIO=4&transport=websocket", headers=key)
        #: (moment, event, payload) of all that was heard; moments of time.monotonic().
        self.heard: list[tuple[float, str, Any]] = []
        self._open = threading.Event()
        threading.Thread(target=self._listen, daemon=True).start()
        self._line.send("40")
        if not self._open.wait(PATIENCE_SECONDS):
            raise ServerFailed("the socket was not opened")

    @property
    def port(self) -> int:
        """The port at our end."""
        return int(self._line.sock.getsockname()[1])

    def _listen(self) -> None:
        try:
            while True:
                self._take(str(self._line.receive()))
        except (ConnectionClosed, OSError):
            return

    def _take(self, packet: str) -> None:
        if packet == "2":  # are you there?
            self._line.send("3")
        elif packet.startswith("40"):
            self._open.set()
        elif packet.startswith("42"):
            name, *payload = json.loads(packet[2:])
            self.heard.append((time.monotonic(), name, payload[0] if payload else None))

    def watch(self, kind: str, key: int) -> None:
        """The page shows this record."""
        self._line.send("42" + json.dumps(["watch", {"kind": kind, "id": key}]))

    def has_heard(self, name: str, since: float = 0.0, **wanted: Any) -> float | None:
        """The moment at which the first such event came after `since`, if one did."""
        for at, event, payload in list(self.heard):
            if at >= since and event == name and wanted.items() <= (payload or {}).items():
                return at
        return None

    def await_event(self, name: str, since: float, **wanted: Any) -> float:
        """The same, waited for. Raises ServerFailed when none comes."""
        what = f"no {name} {wanted}"
        eventually(lambda: self.has_heard(name, since, **wanted) is not None, what, PATIENCE_SECONDS)
        return self.has_heard(name, since, **wanted) or 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._line.close()


@contextmanager
def wires(web: LiveServer, who: str, workers: int = 2) -> Iterator[list[Wire]]:
    """Sockets of one person, one on each worker process of the server."""
    eventually(lambda: len(children(web.pid)) == workers, "the workers are not there")
    with ExitStack() as opened:
        yield [opened.enter_context(_on(worker, web, who)) for worker in children(web.pid)]


def _on(worker: int, web: LiveServer, who: str) -> Wire:
    """A socket that this worker takes, for the others stand still meanwhile."""
    others = [pid for pid in children(web.pid) if pid != worker]
    for pid in others:
        os.kill(pid, signal.SIGSTOP)
    try:
        return Wire(web.port, who)
    finally:
        for pid in others:
            os.kill(pid, signal.SIGCONT)
