"""A hand-written Socket.IO client, which can also send invalid packets."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from typing import Any, Self

import orjson
import simple_websocket

from tests.servers import eventually


class Wire(simple_websocket.Client):
    """A WebSocket that leaves nothing open when it is refused."""

    def __init__(self, url: str, headers: dict[str, str]) -> None:
        try:
            super().__init__(url, headers=headers)
        except simple_websocket.ConnectionError:
            self.sock.close()
            raise


class EventListener:
    """One open socket of a user, with the events received so far."""

    def __init__(self, url: str, headers: dict[str, str], greet: bool = True) -> None:
        """`url`: the server's. Raises simple_websocket.ConnectionError when it is refused."""
        address = url.replace("http", "ws", 1) + "/socket.io/?EIO=4&transport=websocket"
        self.wire = Wire(address, headers)
        #: (name, value, monotonic seconds) of each event.
        self.events: list[tuple[str, Any, float]] = []
        #: Whether the server has accepted the connection.
        self.is_in = False
        self._reader = threading.Thread(target=self._read_on, daemon=True)
        self._reader.start()
        if greet:
            self.say("40")
            eventually(lambda: self.is_in and bool(self.named("bell")), "the socket hears nothing")

    def _read_on(self) -> None:
        with suppress(simple_websocket.ConnectionClosed, OSError):
            while True:
                self._take(str(self.wire.receive()))

    def _take(self, word: str) -> None:
        if word == "2":
            self.say("3")
        elif word.startswith("40"):
            self.is_in = True
        elif word.startswith("42"):
            name, value = orjson.loads(word[2:])
            self.events.append((name, value, time.monotonic()))

    def say(self, word: Any) -> None:
        """Send a raw packet; errors of a closed connection are ignored."""
        with suppress(simple_websocket.ConnectionClosed, OSError):
            self.wire.send(word)

    def emit(self, name: str, value: Any) -> None:
        """Emit an event, as a page does."""
        self.say("42" + orjson.dumps([name, value]).decode())

    def watch(self, kind: str, key: int) -> Self:
        """Subscribe to a record, as its page does."""
        self.emit("watch", {"kind": kind, "id": key})
        return self

    def named(self, name: str) -> list[Any]:
        """The values of all events of that name."""
        return [value for each, value, _at in list(self.events) if each == name]

    @property
    def is_open(self) -> bool:
        """Whether the connection is still open."""
        return self._reader.is_alive()

    def close(self) -> None:
        """Close the connection."""
        with suppress(simple_websocket.ConnectionClosed, OSError):
            self.wire.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
