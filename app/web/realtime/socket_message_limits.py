"""Limits what a Socket.IO client may send: only expected messages, and not too many messages and frames."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import suppress
from socket import SHUT_RDWR
from typing import Any

import orjson
import simple_websocket
from engineio.async_drivers.threading import SimpleWebSocketWSGI

#: Events that our pages send; all others are ignored.
CLIENT_EVENTS = ("watch", "shown", "typing", "editing", "board")
#: Limit of one message from a client; those of our pages are shorter than 100 bytes. One with a token is longer.
MAX_MESSAGE_BYTES = 4096
#: Token bucket for the messages of one client; a client that exceeds it is disconnected.
MESSAGE_BURST, MESSAGES_PER_SECOND = 60.0, 20.0
#: The same for all frames of its WebSocket, including pings, and for the pieces in which they arrive.
FRAME_BURST, FRAMES_PER_SECOND = 240.0, 80.0
#: How long a thread waits for a message before it checks that its connection is alive.
RECEIVE_TIMEOUT_SECONDS = 2.0
_EVENT = re.compile(r'42\d{0,9}(?=\[")')


class TokenBucket:
    """A rate limiter: a bucket of tokens that fills up over time."""

    def __init__(self, burst: float, per_second: float) -> None:
        self.burst, self.per_second = burst, per_second
        self._left, self._refilled_at = burst, time.monotonic()

    def take(self) -> bool:
        """Take one; False when there is none left."""
        now = time.monotonic()
        self._left = min(self.burst, self._left + (now - self._refilled_at) * self.per_second) - 1
        self._refilled_at = now
        return self._left >= 0


class FrameServer(simple_websocket.Server):
    """A WebSocket that counts everything received. Pings, pongs and empty pieces never become a message."""

    def __init__(self, environ: dict[str, Any], **options: Any) -> None:
        self.allowance = TokenBucket(FRAME_BURST, FRAMES_PER_SECOND)
        super().__init__(environ, **options)

    def handshake(self) -> None:
        """Count the frames from the first on."""
        events = self.ws.events
        self.ws.events = lambda: self._counted(events())
        super().handshake()

    def _handle_events(self) -> Any:
        self._count()
        return super()._handle_events()

    def _counted(self, events: Iterator[Any]) -> Iterator[Any]:
        for event in events:
            self._count()
            yield event

    def _count(self) -> None:
        """Raise OSError, which ends the connection, if there is too much."""
        if not self.allowance.take():
            close_tcp(self.sock)
            raise OSError("too many frames")


class SocketTransport(SimpleWebSocketWSGI):
    """The WebSocket of a client. Passes on only expected messages, and frees its thread when the connection breaks."""

    #: Engine.IO's id of a session -> its WebSocket.
    open: dict[str, SocketTransport] = {}

    def __init__(self, handler: Any, server: Any) -> None:
        super().__init__(handler, server, max_message_size=MAX_MESSAGE_BYTES)
        #: Engine.IO's socket of this connection.
        self._engine_socket = handler.__self__
        self._allowance = TokenBucket(MESSAGE_BURST, MESSAGES_PER_SECOND)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        """Serve until the connection ends, then tell the server that it is gone."""
        self.ws = FrameServer(environ, **self.server_args)
        self.open[self._engine_socket.sid] = self
        try:
            self.app(self)
        finally:
            self.open.pop(self._engine_socket.sid, None)
        if self.ws.mode == "werkzeug":
            raise ConnectionError
        raise StopIteration

    def close(self) -> None:
        """Close the connection; one that is closed already is no error."""
        with suppress(OSError, simple_websocket.ConnectionClosed):
            super().close()

    def wait(self) -> str | None:
        """The next expected message; None when the connection is dead or its client exceeds the rate."""
        while True:
            try:
                message = self.ws.receive(timeout=RECEIVE_TIMEOUT_SECONDS)
            except simple_websocket.ConnectionClosed:
                return None
            if message is None and not self._is_alive():
                return None
            if message is None:
                continue
            if not self._allowance.take() or len(self.ws.input_buffer) >= MESSAGE_BURST:
                close_tcp(self.ws.sock)
                return None
            if is_expected_message(message):
                return str(message)

    def _is_alive(self) -> bool:
        """False after a message that was too long, a broken frame or an unanswered close: these raise nothing here."""
        alive = self.ws.connected and self.ws.thread.is_alive() and not self._engine_socket.closed
        if not alive:
            close_tcp(self.ws.sock)
        return bool(alive)


def is_expected_message(message: Any) -> bool:
    """Whether it is a pong, a close, a connect, an upgrade from polling, or one of CLIENT_EVENTS with one value."""
    if not isinstance(message, str) or len(message) > MAX_MESSAGE_BYTES:
        return False
    if message in ("1", "3", "40", "41", "2probe", "5"):
        return True
    event = _EVENT.match(message)
    if event is None and not message.startswith("40{"):
        return False
    try:
        packet = orjson.loads(message[event.end() if event else 2 :])
    except ValueError:
        return False
    return isinstance(packet, dict) or (len(packet) == 2 and packet[0] in CLIENT_EVENTS)


def close_tcp(tcp_socket: Any) -> None:
    """Shut the TCP socket down; a WebSocket close would hold the thread until the client answers."""
    if tcp_socket is not None:
        with suppress(OSError):
            tcp_socket.shutdown(SHUT_RDWR)
