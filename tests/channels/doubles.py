"""Doubles of providers: Prism, which validates requests against a description, and a server with faults."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

from tests.servers import ROOT, free_port

PRISM = ROOT / "node_modules" / "@stoplight" / "prism-cli" / "dist" / "index.js"
DATA = ROOT / "tests" / "data"
DESCRIPTIONS = ("twilio_openapi_subset.json", "meta_whatsapp_openapi_subset.json", "exotel_openapi.yaml")


def merged_description() -> dict[str, Any]:
    """The descriptions of all providers as one, since their paths differ and a Prism takes a second to start.

    Prism takes repeated form fields as a list only where the description names the style that is the default.
    """
    merged: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": "Providers", "version": "1"},
        "paths": {},
        "components": {},
    }
    for name in DESCRIPTIONS:
        description = yaml.safe_load((DATA / name).read_text())
        for path, operations in description["paths"].items():
            for method, operation in operations.items():
                if method in ("get", "post", "delete"):
                    operation.setdefault("security", description.get("security", []))
                    _name_list_style(operation)
            assert path not in merged["paths"]
            merged["paths"][path] = operations
        for part, added in description["components"].items():
            named = merged["components"].setdefault(part, {})
            assert not named.keys() & added.keys()
            named.update(added)
    return merged


def _name_list_style(operation: dict[str, Any]) -> None:
    form = operation.get("requestBody", {}).get("content", {}).get("application/x-www-form-urlencoded")
    fields = form["schema"]["properties"] if form else {}
    lists = [name for name, schema in fields.items() if schema.get("type") == "array"]
    if form and lists:
        form["encoding"] = {name: {"style": "form", "explode": True} for name in lists}


@contextmanager
def prism(folder: Path) -> Iterator[str]:
    """A running Prism with the merged description. Yields its base URL."""
    file, port = folder / "providers.json", free_port()
    file.write_text(json.dumps(merged_description()))
    command = ["node", str(PRISM), "mock", "-h", "127.0.0.1", "-p", str(port), str(file)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_for(port, server)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.kill()
        server.wait()


def _wait_for(port: int, server: subprocess.Popen[bytes]) -> None:
    while server.poll() is None:
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        time.sleep(0.02)
    raise AssertionError("Prism does not start: is @stoplight/prism-cli installed (make setup)?")


# --- a server with faults


@dataclass
class FaultServer:
    """What arrived, and how it answers next; after that, 200 with {}."""

    #: (status, headers, body), or the name of a fault: hang, drip, cut (no answer), cut-body, endless.
    answers: list[Any] = field(default_factory=list)
    #: (method, path, headers, body).
    requests: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)
    port: int = 0

    @property
    def url(self) -> str:
        """Its base URL."""
        return f"http://127.0.0.1:{self.port}"


class _Handler(BaseHTTPRequestHandler):
    double: FaultServer

    def do_POST(self) -> None:
        """Record the request, then answer."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.double.requests.append((self.command, self.path, dict(self.headers.items()), body))
        answer = self.double.answers.pop(0) if self.double.answers else (200, {}, b"{}")
        if isinstance(answer, str):
            with suppress(OSError):
                self._fail(answer)
            self.close_connection = True
        else:
            self._respond(*answer)

    do_GET = do_POST

    def _respond(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _fail(self, fault: str) -> None:
        if fault == "hang":
            self.double.released.wait(60)
        if fault == "cut-body":
            self.wfile.write(b"HTTP/1.0 200 OK\r\nContent-Length: 1000\r\n\r\n{")
        if fault in ("drip", "endless"):
            self.wfile.write(b"HTTP/1.0 200 OK\r\n\r\n")
            chunk, pause = (b" ", 0.02) if fault == "drip" else (b" " * 65_536, 0.0)
            while not self.double.released.wait(pause):
                self.wfile.write(chunk)

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing."""


@contextmanager
def faults() -> Iterator[FaultServer]:
    """A running server with faults."""
    running = FaultServer()

    class Handler(_Handler):
        double = running

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    running.port = server.server_address[1]
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield running
    finally:
        running.released.set()
        server.shutdown()
        server.server_close()
