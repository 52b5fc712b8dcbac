"""The HTTP client of providers: one request over a connection of its own, with a deadline and a limit of size.

It tells apart what surely did not arrive from what may have: whoever sends a message must know.
"""

from __future__ import annotations

import base64
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
from urllib.parse import urljoin, urlsplit

from app.channels.base import ChannelError, DeliveryUnknown
from app.channels.tls import trusted_by_this_machine
from app.lib import deadline, outbound_url
from app.lib.deadline import Cutter
from app.lib.outbound_url import BadAddress, Target

#: Seconds from the look-up of the host to the last byte of the response; for a file, so many times as many.
TIMEOUT_SECONDS, FILE_FACTOR = 15.0, 3
#: Bytes of a response that are read, unless the caller wants a file.
MAX_BYTES = 1_000_000
#: Characters of an address; those of files are signed, and so long.
MAX_URL = 4000
MAX_REDIRECTS = 3
#: The longest wait that a provider may ask for, in seconds.
MAX_RETRY_AFTER = 3600.0
_REDIRECTS = (301, 302, 303, 307, 308)
_CHUNK = 65_536
_MIME_TYPE = re.compile(r"[a-zA-Z0-9.+-]{1,60}/[a-zA-Z0-9.+-]{1,100}")

NO_CONNECTION = "The provider can't be reached. Nothing was sent."
NO_TLS = "The provider's certificate isn't valid. Nothing was sent."
NO_ANSWER = "Unknown whether it was sent: the provider did not answer."
BAD_HOST = "The file isn't at an address of the provider."
TOO_LARGE = "The file is too large."
NO_FILE = "The provider doesn't hand out the file."


@dataclass(frozen=True)
class HttpRequest:
    """One request."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    max_bytes: int = MAX_BYTES


@dataclass(frozen=True)
class HttpResponse:
    """The provider's response."""

    status: int
    #: Names in lower case.
    headers: Mapping[str, str]
    body: bytes
    #: "" = the body is whole; late, large or broken = it was cut.
    cut: str = ""

    def json(self) -> Any:
        """The body, read as JSON; None when it isn't JSON."""
        return read_json(self.body) if not self.cut else None

    @property
    def retry_after(self) -> float:
        """Seconds that the provider asks to wait; 0 = it does not say."""
        return _retry_after(self.headers.get("retry-after", ""))


class HttpClient:
    """Talks to one provider."""

    def __init__(self, base_url: str, seconds: float = TIMEOUT_SECONDS, tls: ssl.SSLContext | None = None) -> None:
        """`base_url` is the provider's host; only a double may have one without TLS. Raises ValueError."""
        self.base_url, self.seconds = base_url.rstrip("/"), seconds
        self._tls = tls
        try:
            self.base = outbound_url.parse_url(self.base_url, private=True)
        except BadAddress as bad:
            raise ValueError(str(bad)) from bad

    def request(self, request: HttpRequest) -> HttpResponse:
        """Send a request to the provider and return the response, whatever its status; redirects are not followed.

        Raises ChannelError when it surely did not arrive, DeliveryUnknown when it may have.
        """
        if not is_of_host(request.url, self.base_url):
            raise ChannelError(NO_CONNECTION, permanent=True)
        return self._exchange(request, self.seconds, private=True)

    def fetch(self, request: HttpRequest, hosts: tuple[str, ...]) -> HttpResponse:
        """Get a file of the provider, from its own host or from `hosts` ("*.x.com": all below x.com).

        Redirects are followed to these hosts; Authorization only goes to where the request itself goes.
        Raises ChannelError, also for a file that is too large and for any status but 200.
        """
        end = time.monotonic() + self.seconds * FILE_FACTOR
        url, headers = request.url, dict(request.headers)
        for _ in range(MAX_REDIRECTS + 1):
            is_own = self._check_host(url, hosts)
            asked = HttpRequest("GET", url, headers, max_bytes=request.max_bytes)
            response = self._get(asked, end - time.monotonic(), is_own)
            if response.status not in _REDIRECTS:
                return _whole(response)
            target = urljoin(url, response.headers.get("location", ""))
            if urlsplit(target).netloc != urlsplit(url).netloc:
                headers.pop("Authorization", None)
            url = target
        raise ChannelError(NO_FILE)

    def _get(self, request: HttpRequest, seconds: float, is_own: bool) -> HttpResponse:
        try:
            return self._exchange(request, seconds, private=is_own)
        except DeliveryUnknown as unknown:
            raise ChannelError(NO_FILE) from unknown

    def _check_host(self, url: str, hosts: tuple[str, ...]) -> bool:
        """Whether it is the provider's own host. Raises ChannelError for one that isn't allowed."""
        if is_of_host(url, self.base_url):
            return True
        if not is_allowed(url, hosts):
            raise ChannelError(BAD_HOST, permanent=True)
        return False

    def _exchange(self, request: HttpRequest, seconds: float, private: bool) -> HttpResponse:
        try:
            target = outbound_url.parse_url(request.url, private, MAX_URL)
        except BadAddress as bad:
            raise ChannelError(BAD_HOST, permanent=True) from bad
        with Cutter(max(0.01, seconds)) as cutter:
            connection = _Connection(
                target, cutter, (self._tls or trusted_by_this_machine()) if target.scheme == "https" else None
            )
            try:
                _connect(connection, private)
                return _ask(connection, target.path, request)
            finally:
                connection.close()


class _Connection(http.client.HTTPConnection):
    """A connection to one host that ends at a deadline."""

    auto_open = 0

    def __init__(self, target: Target, cutter: Cutter, tls: ssl.SSLContext | None) -> None:
        super().__init__(target.host, target.port)
        self.default_port = 443 if target.scheme == "https" else 80
        self.target, self.cutter, self.tls = target, cutter, tls

    def open(self, private: bool) -> None:
        """Connect, with TLS for https. Raises OSError, and BadAddress where only public addresses are allowed."""
        addresses = outbound_url.resolve(self.target, private, seconds=self.cutter.remaining)
        made = _first_that_answers(addresses, self.target.port, self.cutter)
        self.cutter.guard(made)
        if self.tls is not None:
            made.settimeout(self.cutter.remaining)
            made = self.tls.wrap_socket(made, server_hostname=self.host)
        made.settimeout(None)  # the cutter ends what takes too long
        self.sock = made


def _first_that_answers(addresses: list[str], port: int, cutter: Cutter) -> socket.socket:
    failed: OSError | None = None
    for address in addresses[: deadline.MAX_ADDRESSES]:
        try:
            return socket.create_connection((address, port), cutter.remaining)
        except OSError as error:
            failed = error
    raise failed or OSError("the host has no address")


def _connect(connection: _Connection, private: bool) -> None:
    try:
        connection.open(private)
    except ssl.SSLCertVerificationError as error:
        raise ChannelError(NO_TLS) from error
    except (OSError, BadAddress, ValueError) as error:
        raise ChannelError(NO_CONNECTION) from error


def _ask(connection: _Connection, path: str, request: HttpRequest) -> HttpResponse:
    """Write the request and read the response. From the first byte written on, it may have arrived."""
    try:
        connection.request(request.method, path, request.body or None, dict(request.headers) | {"Connection": "close"})
        response = connection.getresponse()
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise DeliveryUnknown(NO_ANSWER) from error
    headers = {name.lower(): value for name, value in response.getheaders()}
    body, cut = _read(response, connection.cutter, request.max_bytes)
    return HttpResponse(response.status, headers, body, cut)


def _read(response: http.client.HTTPResponse, cutter: Cutter, max_bytes: int) -> tuple[bytes, str]:
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


def _whole(response: HttpResponse) -> HttpResponse:
    """The response, if it holds the whole file."""
    if response.cut == "large":
        raise ChannelError(TOO_LARGE, permanent=True)
    if response.cut or response.status != 200:
        raise ChannelError(NO_FILE, permanent=response.status == 410)
    return response


# --- helpers of adapters


def is_of_host(url: str, base_url: str) -> bool:
    """Whether a URL has the scheme, host and port of another one."""
    return url == base_url or url.startswith(f"{base_url.rstrip('/')}/")


def is_allowed(url: str, hosts: tuple[str, ...]) -> bool:
    """Whether an https URL has one of these hosts ("*.x.com": all below x.com)."""
    try:
        target = outbound_url.parse_url(url, most=MAX_URL)
    except BadAddress:
        return False
    return target.port == 443 and any(
        target.host.endswith(host[1:]) if host.startswith("*.") else target.host == host for host in hosts
    )


def basic_auth(user: str, password: str) -> str:
    """The value of an Authorization header."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def read_json(body: bytes) -> Any:
    """JSON as Python objects; None for anything else, also for JSON that is nested too deeply."""
    try:
        return json.loads(body.decode())
    except (ValueError, RecursionError):
        return None


def mime_type(response: HttpResponse) -> str:
    """The type of a response without its parameters: "image/jpeg"."""
    return safe_mime_type(response.headers.get("content-type", "").partition(";")[0].strip().lower())


def safe_mime_type(value: str) -> str:
    """The type, if it can stand in a header; else that of any bytes."""
    return value if _MIME_TYPE.fullmatch(value) else "application/octet-stream"


def _retry_after(value: str) -> float:
    if re.fullmatch(r"[0-9]{1,9}", value.strip()):
        return min(float(value), MAX_RETRY_AFTER)
    try:
        seconds = parsedate_to_datetime(value).timestamp() - time.time()
    except (ValueError, TypeError, OverflowError, IndexError):
        return 0.0
    return min(max(0.0, seconds), MAX_RETRY_AFTER)
