"""The headers of every response: Content-Security-Policy and other protections, and caching."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from flask import Flask, Response, current_app, request

from app.csrf import mask_response
from app.ops.database.connections import STATEMENTS
from app.web.core.application import add_headers
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
#: The names of the headers that every response has, in lower case.
_PROTECTIONS = frozenset(("content-security-policy", *map(str.lower, _DEFAULTS)))
#: Headers, in lower case, with addresses of ours.
_LINKS = frozenset(("location", "hx-redirect"))


def install(app: Flask) -> None:
    """Set the headers of all responses of the application."""
    app.after_request(set_headers)


@lru_cache(maxsize=200)
def _missing(host: str, is_https: bool, present: frozenset[str]) -> list[tuple[str, str]]:
    """The headers that a response with these names lacks, in lower case."""
    policy = CSP.format(socket=f"{'wss' if is_https else 'ws'}://{host}")
    wanted = {"Content-Security-Policy": policy} | _DEFAULTS
    return [(name, value) for name, value in wanted.items() if name.lower() not in present]


def set_headers(response: Response) -> Response:
    """Set headers on every response; static files with a hash in the URL are cached for a year."""
    # Proxies would be resolved each time.
    config, headers, asked = current_app.config, response.headers, request._get_current_object()  # type: ignore[attr-defined]
    is_https = config["CRM"].is_https
    # Each look-up in headers compares all names in lower case.
    present = {name.lower() for name, _value in headers}
    for name in _LINKS & present:
        if not is_local(headers[name]):
            headers[name] = "/"
    mask_response(response)
    if is_https:
        headers["Strict-Transport-Security"] = f"max-age={YEAR_SECONDS}"
    # The host of the request is one of ours: see pages.allowed_hosts.
    add_headers(response, _missing(asked.host, is_https, _PROTECTIONS & present))
    _set_caching(response, asked, "cache-control" in present)
    statements = STATEMENTS.get() if config.get("COUNT_SQL") else None
    if statements is not None:
        headers["X-SQL-Count"] = str(len(statements))
    return response


def _set_caching(response: Response, asked: Any, is_set: bool) -> None:
    """Set Cache-Control. `asked`: the request; `is_set`: the response has its own."""
    path = asked.path
    if path.startswith("/static/") and response.status_code in _STATIC:
        if "v" in asked.args:
            response.headers["Cache-Control"] = f"public, max-age={YEAR_SECONDS}, immutable"
    elif not is_set:
        caching = "no-store" if path.startswith("/api/") else "private, no-cache"
        add_headers(response, (("Cache-Control", caching),))
