"""CORS: pages of other origins may call the API only if the operator lists the origin in CRM_CORS_ORIGINS.

Only calls with an Authorization header are allowed, never cookies, so that a foreign page can't use its visitor's
sign-in.
"""

from __future__ import annotations

from flask import Flask, Response, current_app, request
from flask_babel import gettext as _

from app.web.core.fab_access import json_answer
from app.web.core.localization.languages import is_machine

ALLOWED_METHODS = "GET, POST, PUT, DELETE"
#: Headers that a page may send.
ALLOWED_HEADERS = "Authorization, Content-Type, Accept-Language, Idempotency-Key, If-Match, If-None-Match"
#: Headers that it may read.
EXPOSED_HEADERS = ", ".join(
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
#: How long a browser may cache a preflight.
MAX_AGE_SECONDS = "3600"


def install(app: Flask) -> None:
    """Answer preflights, and allow responses to named origins."""
    app.before_request(_answer_preflight)
    app.after_request(_allow_origin)


def _answer_preflight() -> Response | None:
    """The response to a preflight; None for any other request."""
    if request.method != "OPTIONS" or "Access-Control-Request-Method" not in request.headers or not is_machine():
        return None
    if not _is_allowed_origin():
        text = _("Requests from other origins are not allowed. An operator can allow them with CRM_CORS_ORIGINS.")
        return json_answer(403, {"message": text, "errors": {}})
    response = Response(status=204)
    response.headers["Access-Control-Allow-Methods"] = ALLOWED_METHODS
    response.headers["Access-Control-Allow-Headers"] = ALLOWED_HEADERS
    response.headers["Access-Control-Max-Age"] = MAX_AGE_SECONDS
    return response


def _allow_origin(response: Response) -> Response:
    if not current_app.config["CRM"].cors_origins or not is_machine():
        return response
    response.vary.add("Origin")
    if _is_allowed_origin() and ("Authorization" in request.headers or request.method == "OPTIONS"):
        response.headers["Access-Control-Allow-Origin"] = request.headers["Origin"]
        response.headers["Access-Control-Expose-Headers"] = EXPOSED_HEADERS
    return response


def _is_allowed_origin() -> bool:
    return request.headers.get("Origin") in current_app.config["CRM"].cors_origins
