"""Twilio's library, which builds the requests, on top of our HTTP client.

In a module of its own because importing the library takes a second: only processes that talk to Twilio pay for it.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit

from twilio.http import HttpClient as LibraryHttpClient
from twilio.http.response import Response
from twilio.rest import Client

from app.channels.base import DeliveryUnknown
from app.channels.http_client import NO_ANSWER, HttpClient, HttpRequest, basic_auth
from app.channels.twilio_errors import error_of

API_HOST, CONTENT_HOST = "api.twilio.com", "content.twilio.com"


def make_client(account_sid: str, auth_token: str, client: HttpClient) -> Any:
    """The library's client of one account. Environment variables have no effect on it."""
    return Client(account_sid, auth_token, http_client=TwilioHttp(client), environment={"TWILIO_ACCOUNT_SID": ""})


class TwilioHttp(LibraryHttpClient):  # type: ignore[misc]
    """The library's HTTP client: ours, which keeps a deadline and knows whether a failed request may have arrived."""

    def __init__(self, client: HttpClient) -> None:
        """`client` has the host of Twilio, or of a test double."""
        self.client = client

    def request(self, method: str, url: str, **given: Any) -> Response:
        """Send a request of the library. Raises ChannelError for a response of 300 or more."""
        body = urlencode(given.get("data") or {}, doseq=True, errors="replace")
        headers = dict(given.get("headers") or {})
        if given.get("auth"):
            headers["Authorization"] = basic_auth(*given["auth"])
        client = self.client_of(url)
        address = _address(client.base_url, url, given.get("params"))
        response = client.request(HttpRequest(method, address, headers, body.encode()))
        if response.status >= 300:
            raise error_of(response)
        if not isinstance(response.json(), dict):
            raise DeliveryUnknown(NO_ANSWER)
        return Response(response.status, response.body.decode(), response.headers)

    def client_of(self, url: str) -> HttpClient:
        """The client for the host of this URL: Twilio has templates on another host than messages.

        A test double has everything on one host.
        """
        is_double = self.client.base_url != f"https://{API_HOST}"
        if is_double or urlsplit(url).netloc == API_HOST:
            return self.client
        return HttpClient(f"https://{CONTENT_HOST}", self.client.seconds)


def _address(base_url: str, url: str, params: Any) -> str:
    """The address at the configured host. The library can't be configured to use another host than Twilio's."""
    requested, base = urlsplit(url), urlsplit(base_url)
    query = requested.query or urlencode(params or {}, doseq=True)
    return urlunsplit((base.scheme, base.netloc, base.path + requested.path, query, ""))
