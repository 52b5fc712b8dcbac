"""One request and its response over a connection of its own, with a total deadline and a size limit.

Providers and webhooks use it; each words its own errors.
"""

from __future__ import annotations

import http.client
import json
import re
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any

from app.channels.tls import trusted_by_this_machine
from app.lib import deadline, outbound_url
from app.lib.deadline import DeadlineWatchdog
from app.lib.outbound_url import BadAddress, OutboundUrl, Resolver

#: Bytes of a response that are read, unless the caller sets another limit.
MAX_BYTES = 1_000_000
#: The longest wait that the other server may ask for, in seconds.
MAX_RETRY_AFTER = 3600.0
_CHUNK = 65_536


class _Failed(Exception):
    """`reason` is what went wrong; TimeoutError if the deadline has passed."""

    def __init__(self, reason: Exception) -> None:
        super().__init__(str(reason))
        self.reason = reason


class NotConnected(_Failed):
    """No connection was made, so the request surely did not arrive."""


class NoResponse(_Failed):
    """The request may have arrived, but there is no response."""


@dataclass(frozen=True)
class HttpRequest:
    """A request to another server."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    max_bytes: int = MAX_BYTES


@dataclass(frozen=True)
class HttpResponse:
    """The response of another server."""

    status: int
    #: Names in lower case.
    headers: Mapping[str, str]
    body: bytes
    #: Why the body was cut: late, large or broken; "" = it is complete.
    cut: str = ""

    def json(self) -> Any:
        """The body, read as JSON; None when it isn't JSON."""
        return read_json(self.body) if not self.cut else None

    @property
    def retry_after(self) -> float:
        """Seconds that the server asks us to wait; 0 if it doesn't say."""
        return _retry_after(self.headers.get("retry-after", ""))


@dataclass(frozen=True)
class RequestTerms:
    """The terms of a request: its deadline, whether private addresses may be called, trusted certificates."""

    #: From the look-up of the host to the last byte of the response.
    seconds: float
    #: Whether private addresses may be called.
    private: bool = False
    #: Which certificates are trusted; None = those of this machine.
    tls: ssl.SSLContext | None = None
    resolver: Resolver = socket.getaddrinfo


def exchange(target: OutboundUrl, request: HttpRequest, terms: RequestTerms) -> HttpResponse:
    """Send the request and return the response, whatever its status. Raises NotConnected, NoResponse."""
    with DeadlineWatchdog(max(0.01, terms.seconds)) as cutter:
        connection = _Connection(target, cutter, terms)
        try:
            _connect(connection)
            return _ask(connection, target.path, request)
        finally:
            connection.close()


class _Connection(http.client.HTTPConnection):
    """A connection to one host that is cut at a deadline."""

    auto_open = 0

    def __init__(self, target: OutboundUrl, cutter: DeadlineWatchdog, terms: RequestTerms) -> None:
        super().__init__(target.host, target.port)
        self.default_port = 443 if target.scheme == "https" else 80
        self.target, self.cutter, self.terms = target, cutter, terms

    def open(self) -> None:
        """Connect, with TLS for https. Raises OSError, and BadAddress where only public addresses are allowed."""
        terms = self.terms
        addresses = outbound_url.resolve(self.target, terms.private, terms.resolver, self.cutter.remaining)
        made = _first_that_answers(addresses, self.target.port, self.cutter)
        self.cutter.guard(made)
        if self.target.scheme == "https":
            made.settimeout(self.cutter.remaining)
            made = (terms.tls or trusted_by_this_machine()).wrap_socket(made, server_hostname=self.host)
        made.settimeout(None)  # the watchdog ends what takes too long
        self.sock = made


def _first_that_answers(addresses: list[str], port: int, cutter: DeadlineWatchdog) -> socket.socket:
    failed: OSError | None = None
    for address in addresses[: deadline.MAX_ADDRESSES]:
        try:
            return socket.create_connection((address, port), cutter.remaining)
        except OSError as error:
            failed = error
    raise failed or OSError("the host has no address")


def _connect(connection: _Connection) -> None:
    try:
        connection.open()
    except (OSError, BadAddress, ValueError) as error:
        raise NotConnected(TimeoutError() if connection.cutter.is_late else error) from error


def _ask(connection: _Connection, path: str, request: HttpRequest) -> HttpResponse:
    """Write the request and read the response. From the first byte written on, it may have arrived."""
    try:
        connection.request(request.method, path, request.body or None, dict(request.headers) | {"Connection": "close"})
        response = connection.getresponse()
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise NoResponse(TimeoutError() if connection.cutter.is_late else error) from error
    headers = {name.lower(): value for name, value in response.getheaders()}
    body, cut = _read(response, connection.cutter, request.max_bytes)
    return HttpResponse(response.status, headers, body, cut)


def _read(response: http.client.HTTPResponse, cutter: DeadlineWatchdog, max_bytes: int) -> tuple[bytes, str]:
    """The body, and why it was cut."""
    chunks, size = [], 0
    try:
        while chunk := response.read(_CHUNK):
            chunks.append(chunk)
            size += len(chunk)
            if size > max_bytes:
                return b"".join(chunks)[:max_bytes], "large"
    except (OSError, http.client.HTTPException, ValueError):
        return b"".join(chunks), "late" if cutter.is_late else "broken"
    is_short = response.length not in (None, 0) or cutter.is_late
    return b"".join(chunks), ("late" if cutter.is_late else "broken") if is_short else ""


def read_json(body: bytes) -> Any:
    """JSON as Python objects; None for anything else, and for JSON that is nested too deeply."""
    try:
        return json.loads(body.decode())
    except (ValueError, RecursionError):
        return None


def _retry_after(value: str) -> float:
    if re.fullmatch(r"[0-9]{1,9}", value.strip()):
        return min(float(value), MAX_RETRY_AFTER)
    try:
        seconds = parsedate_to_datetime(value).timestamp() - time.time()
    except (ValueError, TypeError, OverflowError, IndexError):
        return 0.0
    return min(max(0.0, seconds), MAX_RETRY_AFTER)
