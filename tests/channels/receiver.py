"""A webhook receiver: a local HTTP server with configurable responses."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class ReceivedRequest:
    """One request."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """What arrived, and what is answered next; after that, 200."""

    #: (status, headers, body); "hang" = no answer, "trickle" = a byte now and then.
    answers: list[Any] = field(default_factory=list)
    requests: list[ReceivedRequest] = field(default_factory=list)
    #: Host names requested through TLS (SNI).
    names: list[str | None] = field(default_factory=list)
    #: Set to end the requests that hang.
    released: threading.Event = field(default_factory=threading.Event)
    port: int = 0

    @property
    def url(self) -> str:
        """Without TLS, by IP address."""
        return f"http://127.0.0.1:{self.port}/in"


@contextmanager
def receiving(tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """A running server; with `tls` it speaks https."""
    running = Receiver()

    class Handler(_Handler):
        receiver = running

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if tls is not None:
        tls.sni_callback = lambda _socket, name, _context: running.names.append(name)
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    running.port = server.server_address[1]
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield running
    finally:
        running.released.set()
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    receiver: Receiver

    def do_POST(self) -> None:
        """Record the request, then answer."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.receiver.requests.append(ReceivedRequest(self.path, dict(self.headers.items()), body))
        answer = self.receiver.answers.pop(0) if self.receiver.answers else (200, {}, b"thanks")
        if answer == "hang":
            self.receiver.released.wait(30)
        elif answer == "trickle":
            while not self.receiver.released.wait(0.05):
                self.wfile.write(b"X")
        else:
            self._respond(*answer)

    def _respond(self, code: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing."""

    def handle(self) -> None:
        """Ignore connections that the client cuts."""
        try:
            super().handle()
        except (OSError, ValueError):
            self.close_connection = True
