"""The other side of a webhook: an HTTP server on this machine that answers as a test wants."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Heard:
    """One request."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """What arrived, and what is answered next; once all answers are given, 200."""

    #: (status, headers, body); "hang" = nothing for a long time, "trickle" = a byte now and then.
    answers: list[Any] = field(default_factory=list)
    heard: list[Heard] = field(default_factory=list)
    #: Names that TLS was asked for.
    names: list[str | None] = field(default_factory=list)
    #: Set to let go of those that hang.
    released: threading.Event = field(default_factory=threading.Event)
    port: int = 0

    @property
    def url(self) -> str:
        """In the clear, by IP address."""
        return f"http://127.0.0.1:{self.port}/in"


@contextmanager
def receiving(tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """A running server; with `tls` it speaks https."""
    receiver = Receiver()

    class Handler(_Handler):
        to = receiver

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if tls is not None:
        tls.sni_callback = lambda _socket, name, _context: receiver.names.append(name)
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    receiver.port = server.server_address[1]
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield receiver
    finally:
        receiver.released.set()
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    to: Receiver

    def do_POST(self) -> None:
        """Write it down, then answer."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.to.heard.append(Heard(self.path, dict(self.headers.items()), body))
        answer = self.to.answers.pop(0) if self.to.answers else (200, {}, b"thanks")
        if answer == "hang":
            self.to.released.wait(30)
        elif answer == "trickle":
            while not self.to.released.wait(0.05):
                self.wfile.write(b"X")
        else:
            self._say(*answer)

    def _say(self, code: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def handle(self) -> None:
        """Whoever cuts the line is no news here."""
        try:
            super().handle()
        except (OSError, ValueError):
            self.close_connection = True
