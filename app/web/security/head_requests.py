"""Runs HEAD requests as GET and drops their body: no view has to handle them or can mistake them for a write."""

from __future__ import annotations

from collections.abc import Iterable
from io import BytesIO
from typing import Any


class HeadRequests:
    """WSGI middleware: calls the application with GET and no body, and returns the headers only."""

    def __init__(self, app: Any) -> None:
        self.app = app

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Flask routes HEAD to GET views, and those test for "GET" only and would go on to their POST branch.

        The method is matched in any case, as Werkzeug does.
        """
        if environ["REQUEST_METHOD"].upper() != "HEAD":
            response: Iterable[bytes] = self.app(environ, start_response)
            return response
        get_environ = environ | {"REQUEST_METHOD": "GET", "wsgi.input": BytesIO(), "CONTENT_LENGTH": "0"}
        response = self.app(get_environ, start_response)
        if hasattr(response, "close"):
            response.close()
        return []
