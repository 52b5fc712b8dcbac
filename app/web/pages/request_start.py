"""The start of every request: its time, whether it writes, and the check of its CSRF token."""

from __future__ import annotations

from flask import Flask, current_app, request

from app.extensions import csrf
from app.ops.database.connections import STATEMENTS, WRITES
from app.web.core.localization.languages import is_machine

_SAFE = ("GET", "HEAD", "OPTIONS")
#: Paths with authentication or CSRF checks of their own.
_CSRF_EXEMPT = (
    *("/login/", "/api/v1/security/", "/hooks/", "/socket.io"),
    *("/api/method/", "/api/resource/", "/api/v1/method/", "/api/v1/resource/", "/api/v2/"),
)


def install(app: Flask) -> None:
    """Check every request of the application when it starts."""
    app.before_request(_before)
    app.teardown_request(_teardown)


def _before() -> None:
    is_write = request.method not in _SAFE
    WRITES.set(is_write)
    if current_app.config.get("COUNT_SQL"):
        STATEMENTS.set([])
    if is_write and _is_guarded():
        csrf.protect()


def _is_guarded() -> bool:
    """Whether a request that writes must have a CSRF token."""
    if "Authorization" in request.headers or request.path == "/" or request.path.startswith(_CSRF_EXEMPT):
        return False
    # An API client without a session cookie is authenticated by the endpoint.
    return not is_machine() or current_app.config["SESSION_COOKIE_NAME"] in request.cookies


def _teardown(_error: BaseException | None) -> None:
    WRITES.set(False)
