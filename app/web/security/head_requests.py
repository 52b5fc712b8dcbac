"""HEAD is a GET whose answer has no body: no view has to know of it, and none can take it for a write."""

from __future__ import annotations

from collections.abc import Iterable
from io import BytesIO
from typing import Any


class HeadRequests:
    """WSGI: asks the application as if by GET, without a body, and keeps the headers of its answer."""

    def __init__(self, app: Any) -> None:
        self.app = app

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Answer; Flask routes HEAD to every GET, whose views ask for "GET" alone and would go on to their POST.

        Werkzeug takes "head" for HEAD, so it is one here too.
        """
        if environ["REQUEST_METHOD"].upper() != "HEAD":
            answer: Iterable[bytes] = self.app(environ, start_response)
            return answer
        asked = environ | {"REQUEST_METHOD": "GET", "wsgi.input": BytesIO(), "CONTENT_LENGTH": "0"}
        answer = self.app(asked, start_response)
        if hasattr(answer, "close"):
            answer.close()
        return []
