"""The headers of every response: Content-Security-Policy and other protections, and caching."""

from __future__ import annotations

from functools import lru_cache

from flask import Flask, Response, current_app, request

from app.csrf import mask_response
from app.ops.database.connections import STATEMENTS
from app.web.core.urls.local_links import is_local

#: {socket}: the origin of sockets, which is the site itself.
CSP = (
    "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; font-src 'self'; "
    "connect-src 'self' {socket}; frame-ancestors 'none'; base-uri 'self'; form-action 'self'; object-src 'none'"
)
YEAR_SECONDS = 31_536_000
#: Responses with a static file's content or part of it; no errors.
_STATIC = (200, 206, 304)
#: Headers of responses that have none of their own.
_DEFAULTS = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin", "X-Frame-Options": "DENY"}
#: Headers, in lower case, with addresses of ours.
_LINKS = frozenset(("location", "hx-redirect"))


def install(app: Flask) -> None:
    """Set the headers of all responses of the application."""
    app.after_request(set_headers)


@lru_cache(maxsize=32)
def _policy(host: str, is_https: bool) -> str:
    return CSP.format(socket=f"{'wss' if is_https else 'ws'}://{host}")


def set_headers(response: Response) -> Response:
    """Set headers on every response; static files with a hash in the URL are cached for a year."""
    settings, headers = current_app.config["CRM"], response.headers
    # Each look-up in headers compares all names in lower case.
    present = {name.lower() for name, _value in headers}
    for name in _LINKS & present:
        if not is_local(headers[name]):
            headers[name] = "/"
    mask_response(response)
    # The host of the request is one of ours: see pages.allowed_hosts.
    missing = {"Content-Security-Policy": _policy(request.host, settings.is_https)} | _DEFAULTS
    if settings.is_https:
        headers["Strict-Transport-Security"] = f"max-age={YEAR_SECONDS}"
    for name, value in missing.items():
        if name.lower() not in present:
            headers.add(name, value)
    _set_caching(response, "cache-control" in present)
    statements = STATEMENTS.get()
    if current_app.config.get("COUNT_SQL") and statements is not None:
        headers["X-SQL-Count"] = str(len(statements))
    return response


def _set_caching(response: Response, is_set: bool) -> None:
    """Set Cache-Control. `is_set`: the response has its own."""
    path, headers = request.path, response.headers
    if path.startswith("/static/") and response.status_code in _STATIC:
        if "v" in request.args:
            headers["Cache-Control"] = f"public, max-age={YEAR_SECONDS}, immutable"
    elif not is_set:
        headers.add("Cache-Control", "no-store" if path.startswith("/api/") else "private, no-cache")
