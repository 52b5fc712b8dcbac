"""A proxy to the S3 double with faults: unavailable, silent, refusing, broken, or interrupted within a body."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

_REFUSED = b"<Error><Code>SignatureDoesNotMatch</Code><Message>secret-host</Message></Error>"
_BROKEN = b"<Error><Code>InternalError</Code></Error>"
_ANSWERS = {
    "refusing": b"HTTP/1.1 403 Forbidden\r\nContent-Length: %d\r\n\r\n%s" % (len(_REFUSED), _REFUSED),
    "broken": b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: %d\r\n\r\n%s" % (len(_BROKEN), _BROKEN),
}
#: away: connections end at once. silent: nothing is ever answered. cut: the connection ends amid the first body.
FAULTS = ("away", "silent", "refusing", "broken", "cut")


class Way:
    """A relay; `fault`: one of FAULTS, "" = it passes everything on."""

    def __init__(self, target: str) -> None:
        self.fault = ""
        self._target = (urlsplit(target).hostname or "", urlsplit(target).port or 0)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _address = self._listener.accept()
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, client: socket.socket) -> None:
        with closing(client), suppress(OSError):
            fault = self.fault
            if fault == "away":
                return
            first = client.recv(65536)
            if fault == "silent":
                self._ends.wait(20)
            elif fault in _ANSWERS:
                client.sendall(_ANSWERS[fault])
            else:
                self._relay(client, first, fault)

    def _relay(self, client: socket.socket, first: bytes, fault: str) -> None:
        with closing(socket.create_connection(self._target)) as server:
            server.sendall(first)
            if fault == "cut":
                answer = server.recv(300)  # of a download, its head and the first bytes
                client.sendall(answer[:-1])
                return
            back = threading.Thread(target=_pump, args=(server, client), daemon=True)
            back.start()
            _pump(client, server)
            back.join(20)

    def close(self) -> None:
        """End it."""
        self._ends.set()
        self._listener.close()


def _pump(source: Any, target: Any) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


@contextmanager
def way_to(target: str) -> Iterator[Way]:
    """A relay to this address."""
    way = Way(target)
    try:
        yield way
    finally:
        way.close()
