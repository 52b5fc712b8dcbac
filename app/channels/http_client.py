"""The HTTP client of providers: one request at a time, to the provider's own hosts.

It distinguishes requests that surely did not arrive from those that may have: whoever sends a message must know.
"""

from __future__ import annotations

import base64
import re
import ssl
import time
from urllib.parse import urljoin, urlsplit

from app.channels import http_exchange
from app.channels.base import ChannelError, DeliveryUnknown
from app.channels.http_exchange import HttpRequest, HttpResponse, NoResponse, NotConnected, RequestTerms, read_json
from app.lib import outbound_url
from app.lib.outbound_url import BadAddress

__all__ = ["HttpClient", "HttpRequest", "HttpResponse", "read_json"]
#: Seconds from the look-up of the host to the last byte of the response; and the factor for files.
TIMEOUT_SECONDS, FILE_FACTOR = 15.0, 3
#: Characters of an address; those of files are signed, and therefore long.
MAX_URL = 4000
MAX_REDIRECTS = 3
_REDIRECTS = (301, 302, 303, 307, 308)
_MIME_TYPE = re.compile(r"[a-zA-Z0-9.+-]{1,60}/[a-zA-Z0-9.+-]{1,100}")

NO_CONNECTION = "The provider can't be reached. Nothing was sent."
NO_TLS = "The provider's certificate isn't valid. Nothing was sent."
NO_ANSWER = "Unknown whether it was sent: the provider did not answer."
BAD_HOST = "The file isn't at an address of the provider."
TOO_LARGE = "The file is too large."
NO_FILE = "The provider doesn't hand out the file."


class HttpClient:
    """Talks to one provider."""

    def __init__(self, base_url: str, seconds: float = TIMEOUT_SECONDS, tls: ssl.SSLContext | None = None) -> None:
        """`base_url` is the provider's host; only a test double may have one without TLS. Raises ValueError."""
        self.base_url, self.seconds = base_url.rstrip("/"), seconds
        self._tls = tls
        try:
            self.base = outbound_url.parse_url(self.base_url, private=True)
        except BadAddress as bad:
            raise ValueError(str(bad)) from bad

    def request(self, request: HttpRequest) -> HttpResponse:
        """Send a request to the provider and return the response, whatever its status. Redirects are not followed.

        Raises ChannelError if it surely did not arrive, DeliveryUnknown if it may have.
        """
        if not is_of_host(request.url, self.base_url):
            raise ChannelError(NO_CONNECTION, permanent=True)
        return self._exchange(request, self.seconds, private=True)

    def fetch(self, request: HttpRequest, hosts: tuple[str, ...]) -> HttpResponse:
        """Get a file of the provider, from its own host or from `hosts` ("*.x.com": all below x.com).

        Redirects are followed only to these hosts; Authorization is sent only to the host of the request itself. Raises
        ChannelError, also for a file that is too large and for any status but 200.
        """
        end = time.monotonic() + self.seconds * FILE_FACTOR
        url, headers = request.url, dict(request.headers)
        for _ in range(MAX_REDIRECTS + 1):
            is_own = self._check_host(url, hosts)
            hop = HttpRequest("GET", url, headers, max_bytes=request.max_bytes)
            response = self._get(hop, end - time.monotonic(), is_own)
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
        """Whether it is the provider's own host. Raises ChannelError for a host that isn't allowed."""
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
        try:
            return http_exchange.exchange(target, request, RequestTerms(seconds, private, self._tls))
        except NotConnected as failed:
            is_tls = isinstance(failed.reason, ssl.SSLCertVerificationError)
            raise ChannelError(NO_TLS if is_tls else NO_CONNECTION) from failed
        except NoResponse as failed:
            raise DeliveryUnknown(NO_ANSWER) from failed


def _whole(response: HttpResponse) -> HttpResponse:
    """The response if it contains the whole file. Raises ChannelError otherwise."""
    if response.cut == "large":
        raise ChannelError(TOO_LARGE, permanent=True)
    if response.cut or response.status != 200:
        raise ChannelError(NO_FILE, permanent=response.status == 410)
    return response


# --- helpers of adapters


def is_of_host(url: str, base_url: str) -> bool:
    """Whether a URL has the same scheme, host and port as another."""
    return url == base_url or url.startswith(f"{base_url.rstrip('/')}/")


def is_allowed(url: str, hosts: tuple[str, ...]) -> bool:
    """Whether an https URL has one of these hosts ("*.x.com": all below x.com)."""
    try:
        target = outbound_url.parse_url(url, maximum=MAX_URL)
    except BadAddress:
        return False
    return target.port == 443 and any(
        target.host.endswith(host[1:]) if host.startswith("*.") else target.host == host for host in hosts
    )


def basic_auth(user: str, password: str) -> str:
    """The value of an Authorization header."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def mime_type(response: HttpResponse) -> str:
    """The type of a response without its parameters: "image/jpeg"."""
    return safe_mime_type(response.headers.get("content-type", "").partition(";")[0].strip().lower())


def safe_mime_type(value: str) -> str:
    """The type if it is valid in a header, else the generic one for bytes."""
    return value if _MIME_TYPE.fullmatch(value) else "application/octet-stream"
