"""A response as gunicorn sends it, with its head and body together, in one call of the kernel instead of two.

Each of these calls lets other threads of the process go first, and the client wakes up for each.
"""

from __future__ import annotations

import re
import time
from typing import Any

from gunicorn import util  # type: ignore[import-untyped]
from gunicorn.http import wsgi  # type: ignore[import-untyped]

#: Headers, in lower case, with the same few values in all responses; gunicorn checks each of them once.
_FEW_VALUES = frozenset(
    (
        *("cache-control", "content-language", "content-security-policy", "content-type", "referrer-policy"),
        *("strict-transport-security", "vary", "x-content-type-options", "x-frame-options"),
    )
)
#: Headers of most responses that gunicorn sends as they are, and what their values mostly look like.
_PLAIN, _PLAIN_VALUE = frozenset(("ETag", "X-Request-ID")), re.compile(r'[A-Za-z0-9":-]+')
#: How many of them are remembered.
_MAX_CHECKED = 200
_checked: set[tuple[str, str]] = set()
#: The second, and the value of the header Date in it.
_date: tuple[int, str] = (0, "")


class Response(wsgi.Response):  # type: ignore[misc]
    """The response to one request."""

    headers: list[tuple[str, str]]
    sock: Any
    headers_sent: bool

    def process_headers(self, headers: list[tuple[str, str]]) -> None:
        """Take these headers. Raises gunicorn's errors for names and values that can't be sent."""
        for header in headers:
            name, value = header
            if header in _checked or (name in _PLAIN and _PLAIN_VALUE.fullmatch(value)):
                self.headers.append(header)
                continue
            taken = len(self.headers)
            super().process_headers([header])
            is_kept = self.headers[taken:] == [header] and name.lower() in _FEW_VALUES
            if is_kept and len(_checked) < _MAX_CHECKED:
                _checked.add(header)

    def default_headers(self) -> list[str]:
        """The first line, and the headers that the server adds."""
        connection = "upgrade" if self.upgrade else "close" if self.should_close() else "keep-alive"
        major, minor = self.req.version
        lines = [
            f"HTTP/{major}.{minor} {self.status}\r\n",
            f"Server: {self.version}\r\n",
            f"Date: {_http_date()}\r\n",
            f"Connection: {connection}\r\n",
        ]
        return [*lines, "Transfer-Encoding: chunked\r\n"] if self.chunked else lines

    def send_headers(self) -> None:
        """Send the head alone, unless that was done."""
        if not self.headers_sent:
            util.write(self.sock, self._head())
            self.headers_sent = True

    def write(self, arg: bytes) -> None:
        """Send a piece of the body; before the first one, the head."""
        if self.headers_sent or self._omits_body or self.response_length is None or not isinstance(arg, bytes):
            super().write(arg)
            return
        piece = arg[: self.response_length]
        head = self._head()
        self.headers_sent = True
        self.sent += len(piece)
        self.sock.sendall(head + piece)

    def _head(self) -> bytes:
        lines = [f"{name}: {value}\r\n" for name, value in self.headers]
        return "".join([*self.default_headers(), *lines, "\r\n"]).encode("latin-1")


def _http_date() -> str:
    """The time, as HTTP writes it; it changes once a second."""
    global _date
    now = int(time.time())
    second, written = _date
    if second != now:
        written = str(util.http_date(now))
        _date = (now, written)
    return written
