"""The line of webhooks: one POST to an address that was looked at, signed, in time, and never redirected."""

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
from app.lib import outbound_url
from app.lib.outbound_url import BadAddress, Lookup, Target

#: Seconds for everything from the first packet to the last byte of the answer.
SECONDS = 5.0
#: Bytes of an answer that are read.
MOST_READ = 4096
#: Addresses of one name that are tried.
MOST_TRIED = 3


@dataclass(frozen=True)
class HttpAnswer:
    """What the other side said."""

    #: The HTTP status.
    code: int
    #: The beginning of the body; whatever is no text shows as �.
    text: str


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """What X-CRM-Signature says: sha256= and the hex HMAC of timestamp, a full stop, and the body."""
    return "sha256=" + hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


class WebhookClient:
    """Posts to addresses that others chose; each call is one connection."""

    def __init__(
        self,
        private: bool = False,
        seconds: float = SECONDS,
        trust: ssl.SSLContext | None = None,
        lookup: Lookup = socket.getaddrinfo,
    ) -> None:
        """`private`: http and inner addresses are allowed (development). `trust`: whose certificates are believed."""
        self.private, self.seconds, self.lookup = private, seconds, lookup
        self.trust = trust or ssl.create_default_context()

    def post(self, url: str, headers: Mapping[str, str], body: bytes) -> HttpAnswer:
        """Send a body and hear the answer, whatever its status. Raises ChannelError when there is none."""
        try:
            target = outbound_url.read(url, self.private)
            each = outbound_url.addresses(target, self.private, self.lookup)
        except BadAddress as bad:
            raise ChannelError(str(bad)) from bad
        error: Exception | None = None
        until = time.monotonic() + self.seconds
        for one in each[:MOST_TRIED]:
            call = _Call(target, one, until, self.trust if target.scheme == "https" else None)
            try:
                with call.in_time():
                    call.connect()
                    return call.asked(target.path, headers, body)
            except (OSError, http.client.HTTPException, ValueError) as broken:
                error = TimeoutError() if call.is_late else broken
                if call.is_open or call.is_late:
                    break  # it may have heard us: no other address is asked
            finally:
                call.close()
        raise ChannelError(_why(error, self.seconds)) from error


class _Call(http.client.HTTPConnection):
    """A connection to exactly this IP address; the name stands in the Host header and in the certificate only."""

    auto_open = 0

    def __init__(self, target: Target, ip: str, until: float, trust: ssl.SSLContext | None) -> None:
        super().__init__(target.host, target.port)
        self.default_port = 443 if target.scheme == "https" else 80
        self.ip, self.until, self.trust = ip, until, trust
        #: Whether the line stood; whether its time was over.
        self.is_open = self.is_late = False

    @property
    def left(self) -> float:
        """Seconds."""
        return max(0.05, self.until - time.monotonic())

    def connect(self) -> None:
        """By IP address, and with TLS where the URL says https. Raises OSError."""
        self.sock = socket.create_connection((self.ip, self.port), self.left)
        if self.trust is not None:
            self.sock = self.trust.wrap_socket(self.sock, server_hostname=self.host, do_handshake_on_connect=False)
            self.sock.do_handshake()
        self.is_open = True

    def asked(self, path: str, headers: Mapping[str, str], body: bytes) -> HttpAnswer:
        """Send, and hear what comes first. Raises OSError, HTTPException, ValueError for a header of two lines."""
        self.request("POST", path, body, dict(headers) | {"Connection": "close"})
        answer, text = self.getresponse(), b""
        with suppress(OSError, http.client.HTTPException, ValueError):  # the status says it all
            text = answer.read(MOST_READ)
        return HttpAnswer(answer.status, text[:MOST_READ].decode("utf-8", "replace"))

    @contextmanager
    def in_time(self) -> Iterator[None]:
        """Inside, the line is cut when its time is over.

        A time-out of each single read would let a slow sender go on for ever.
        """
        timer = threading.Timer(self.left, self._cut)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _cut(self) -> None:
        self.is_late = True
        with suppress(OSError, AttributeError):  # it was closed, or never opened, at this very moment
            # The plain socket's way: TLS would want to say good-bye first.
            socket.socket.shutdown(self.sock, socket.SHUT_RDWR)


def _why(error: Exception | None, seconds: float) -> str:
    """A sentence without the other side's own words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return "The certificate isn't valid for this name or isn't signed by a trusted authority."
    if isinstance(error, TimeoutError):
        return f"No response within {seconds:g} seconds."
    if isinstance(error, ssl.SSLError):
        return "The receiver doesn't support a compatible TLS version."
    if isinstance(error, ConnectionRefusedError):
        return "Connection refused: nothing is listening at the address."
    return f"The connection failed ({type(error).__name__})."
