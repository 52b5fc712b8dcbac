"""The HTTP client of webhooks: one signed POST to a checked address, with a deadline and without redirects."""

from __future__ import annotations

import hashlib
import hmac
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass

from app.channels import http_exchange
from app.channels.base import ChannelError
from app.channels.http_exchange import HttpRequest, NoResponse, NotConnected, RequestTerms
from app.lib import outbound_url
from app.lib.outbound_url import BadAddress, Resolver

#: From the look-up of the host to the last byte of the response.
TIMEOUT_SECONDS = 5.0
#: Bytes of a response that are read.
MAX_RESPONSE_BYTES = 4096


@dataclass(frozen=True)
class WebhookResponse:
    """The response of the receiver of a webhook."""

    #: The HTTP status code.
    code: int
    #: The beginning of the body; bytes that aren't UTF-8 appear as �.
    text: str
    #: Seconds that the receiver asks to wait (Retry-After), at most an hour; 0 = it doesn't say.
    retry_after: float = 0.0


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
        self.tls = tls

    def post(self, url: str, headers: Mapping[str, str], body: bytes) -> WebhookResponse:
        """Send a body and return the response, whatever its status. Raises ChannelError if there is none."""
        terms = RequestTerms(self.timeout, self.private, self.tls, self.resolver)
        try:
            target = outbound_url.parse_url(url, self.private)
            request = HttpRequest("POST", url, headers, body, MAX_RESPONSE_BYTES)
            response = http_exchange.exchange(target, request, terms)
        except BadAddress as bad:
            raise ChannelError(str(bad)) from bad
        except (NotConnected, NoResponse) as failed:
            raise ChannelError(_error_text(failed.reason, self.timeout)) from failed
        return WebhookResponse(response.status, response.body.decode("utf-8", "replace"), response.retry_after)


def _error_text(error: Exception, timeout: float) -> str:
    """A sentence that quotes nothing of the receiver."""
    if isinstance(error, BadAddress):
        return str(error)
    if isinstance(error, ssl.SSLCertVerificationError):
        return "The certificate isn't valid for this name or isn't signed by a trusted authority."
    if isinstance(error, TimeoutError):
        return f"No response within {timeout:g} seconds."
    if isinstance(error, ssl.SSLError):
        return "The receiver doesn't support a compatible TLS version."
    if isinstance(error, ConnectionRefusedError):
        return "Connection refused: nothing is listening at the address."
    return f"The connection failed ({type(error).__name__})."
