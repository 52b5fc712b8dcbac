"""A process only serves its own role: one for sockets serves no pages, one for pages no sockets.

Otherwise a misconfigured proxy would go unnoticed until the threads of a process are used up.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from app.web.pages.allowed_hosts import HEALTH

SOCKETS = "/socket.io"


class ProcessRoutesOnly:
    """WSGI middleware: 404 for requests that another process serves."""

    def __init__(self, app: Any, roles: Sequence[str]) -> None:
        self.app = app
        self.has_pages, self.has_sockets = "web" in roles, "sockets" in roles

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Pass the request on, or refuse it."""
        path = str(environ.get("PATH_INFO", ""))
        is_ours = self.has_sockets if path.startswith(SOCKETS) else self.has_pages
        if is_ours or path in HEALTH:
            response: Iterable[bytes] = self.app(environ, start_response)
            return response
        other = "web" if self.has_sockets else "sockets"
        text = f"Another process answers this: the one with the role {other}. Please check the proxy."
        body = orjson.dumps({"message": text, "errors": {}})
        headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
        start_response(
            "404 NOT FOUND", [*headers, ("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff")]
        )
        return [body]
