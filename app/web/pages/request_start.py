"""The start of every request: its time, whether it writes, and the check of its CSRF token."""

from __future__ import annotations

import time

from flask import Flask, current_app, g, request

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
    g.started = time.perf_counter()
    WRITES.set(request.method not in _SAFE)
    if current_app.config.get("COUNT_SQL"):
        STATEMENTS.set([])
    guarded = request.method not in _SAFE and "Authorization" not in request.headers
    if is_machine() and current_app.config["SESSION_COOKIE_NAME"] not in request.cookies:
        guarded = False  # an API client without a session cookie: the endpoint authenticates it
    if guarded and request.path != "/" and not request.path.startswith(_CSRF_EXEMPT):
        csrf.protect()


def _teardown(_error: BaseException | None) -> None:
    WRITES.set(False)
