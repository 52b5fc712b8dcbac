"""The HTTP client of webhooks: one signed POST to a checked address, with a deadline and without redirects."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from app.channels.base import ChannelError
from app.channels.tls import trusted_by_this_machine
from app.lib import outbound_url
from app.lib.outbound_url import BadAddress, Resolver, Target

#: From the look-up of the host to the last byte of the response.
TIMEOUT_SECONDS = 5.0
#: Bytes of a response that are read.
MAX_RESPONSE_BYTES = 4096
#: IP addresses of one host that are tried.
MAX_ADDRESSES = 3


@dataclass(frozen=True)
class HttpResponse:
    """The receiver's response."""

    #: The HTTP status.
    code: int
    #: The beginning of the body; bytes that are not UTF-8 as �.
    text: str


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """The value of X-CRM-Signature: sha256= and the hex HMAC of the timestamp, a full stop, and the body."""
    return "sha256=" + hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


class WebhookClient:
    """Posts to URLs that users have entered. Each call uses a connection of its own."""

    def __init__(
        self,
        private: bool = False,
        timeout: float = TIMEOUT_SECONDS,
        tls: ssl.SSLContext | None = None,
        resolver: Resolver = socket.getaddrinfo,
    ) -> None:
        """`private` allows http and private addresses (development). `tls` says which certificates are trusted."""
        self.private, self.timeout, self.resolver = private, timeout, resolver
        self.tls = tls or trusted_by_this_machine()

    def post(self, url: str, headers: Mapping[str, str], body: bytes) -> HttpResponse:
        """Send a body and return the response, whatever its status. Raises ChannelError when there is none."""
        try:
            target = outbound_url.parse_url(url, self.private)
            deadline = time.monotonic() + self.timeout
            addresses = outbound_url.resolve(target, self.private, self.resolver, self.timeout)
        except BadAddress as bad:
            raise ChannelError(str(bad)) from bad
        error: Exception | None = None
        for ip in addresses[:MAX_ADDRESSES]:
            connection = _Connection(target, ip, deadline, self.tls if target.scheme == "https" else None)
            try:
                with connection.limit_time():
                    connection.connect()
                    return connection.send_request(target.path, headers, body)
            except (OSError, http.client.HTTPException, ValueError) as broken:
                error = TimeoutError() if connection.is_late else broken
                if connection.is_open or connection.is_late:
                    break  # it may have received the request: try no other address
            finally:
                connection.close()
        raise ChannelError(_error_text(error, self.timeout)) from error


class _Connection(http.client.HTTPConnection):
    """A connection to exactly this IP address. The host name is used for the Host header and the certificate only."""

    auto_open = 0

    def __init__(self, target: Target, ip: str, deadline: float, tls: ssl.SSLContext | None) -> None:
        super().__init__(target.host, target.port)
        self.default_port = 443 if target.scheme == "https" else 80
        self.ip, self.deadline, self.tls = ip, deadline, tls
        #: Whether the connection was established; whether it was cut at its deadline.
        self.is_open = self.is_late = False

    @property
    def remaining(self) -> float:
        """Seconds until the deadline."""
        return max(0.05, self.deadline - time.monotonic())

    def connect(self) -> None:
        """Connect to the IP address, with TLS for https. Raises OSError."""
        self.sock = socket.create_connection((self.ip, self.port), self.remaining)
        if self.tls is not None:
            self.sock = self.tls.wrap_socket(self.sock, server_hostname=self.host, do_handshake_on_connect=False)
            self.sock.do_handshake()
        self.is_open = True

    def send_request(self, path: str, headers: Mapping[str, str], body: bytes) -> HttpResponse:
        """Send and read the response. Raises OSError, HTTPException, and ValueError for a header of two lines."""
        self.request("POST", path, body, dict(headers) | {"Connection": "close"})
        response, text = self.getresponse(), b""
        with suppress(OSError, http.client.HTTPException, ValueError):  # the status is enough
            text = response.read(MAX_RESPONSE_BYTES)
        return HttpResponse(response.status, text[:MAX_RESPONSE_BYTES].decode("utf-8", "replace"))

    @contextmanager
    def limit_time(self) -> Iterator[None]:
        """Cut the connection at the deadline.

        A timeout for each read would let a slow sender go on forever.
        """
        timer = threading.Timer(self.remaining, self._cut)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _cut(self) -> None:
        self.is_late = True
        with suppress(OSError, AttributeError):  # it was closed, or never opened, at this very moment
            # Not the TLS socket's own shutdown, which would send a closing message first.
            socket.socket.shutdown(self.sock, socket.SHUT_RDWR)


def _error_text(error: Exception | None, timeout: float) -> str:
    """A sentence without any text of the receiver."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return "The certificate isn't valid for this name or isn't signed by a trusted authority."
    if isinstance(error, TimeoutError):
        return f"No response within {timeout:g} seconds."
    if isinstance(error, ssl.SSLError):
        return "The receiver doesn't support a compatible TLS version."
    if isinstance(error, ConnectionRefusedError):
        return "Connection refused: nothing is listening at the address."
    return f"The connection failed ({type(error).__name__})."
