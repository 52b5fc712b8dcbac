"""Which pages of other addresses a browser lets ask the API: none, but those that the operator names.

Only calls with an Authorization header are opened, never cookies: a page of somebody else's cannot use the sign-in of
the person in front of it.
"""

from __future__ import annotations

from flask import Flask, Response, current_app, request
from flask_babel import gettext as _

from app.web.core.gate import json_answer
from app.web.core.languages import is_machine

METHODS = "GET, POST, PUT, DELETE"
#: What a page may send.
SENT = "Authorization, Content-Type, Accept-Language, Idempotency-Key, If-Match, If-None-Match"
#: What it may read of an answer's head.
TOLD = ", ".join(
    (
        "ETag",
        "Content-Language",
        "Idempotent-Replayed",
        "Retry-After",
        "X-RateLimit-Limit",
        "X-RateLimit-Remaining",
        "X-RateLimit-Reset",
    )
)
#: For so long a browser need not ask again whether it may.
AN_HOUR = "3600"


def install(app: Flask) -> None:
    """Answer a browser's question before the call, and open answers to named origins."""
    app.before_request(_asked_before)
    app.after_request(_opened)


def _asked_before() -> Response | None:
    """Answer a preflight; everything else goes on."""
    if request.method != "OPTIONS" or "Access-Control-Request-Method" not in request.headers or not is_machine():
        return None
    if not _is_named():
        text = _("Requests from other origins are not allowed. An operator can allow them with CRM_CORS_ORIGINS.")
        return json_answer(403, {"message": text, "errors": {}})
    answer = Response(status=204)
    answer.headers["Access-Control-Allow-Methods"] = METHODS
    answer.headers["Access-Control-Allow-Headers"] = SENT
    answer.headers["Access-Control-Max-Age"] = AN_HOUR
    return answer


def _opened(response: Response) -> Response:
    if not current_app.config["CRM"].cors_origins or not is_machine():
        return response
    response.vary.add("Origin")
    if _is_named() and ("Authorization" in request.headers or request.method == "OPTIONS"):
        response.headers["Access-Control-Allow-Origin"] = request.headers["Origin"]
        response.headers["Access-Control-Expose-Headers"] = TOLD
    return response


def _is_named() -> bool:
    return request.headers.get("Origin") in current_app.config["CRM"].cors_origins
