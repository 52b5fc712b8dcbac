"""What every page shares: its frame, brand, static URLs, response headers."""

from __future__ import annotations

import time
from functools import lru_cache
from typing import Any

from flask import Flask, Response, current_app, g, request
from flask_babel import get_locale

from app.csrf import mask_response, token_of_request
from app.extensions import csrf
from app.lib.digit_grouping import grouped
from app.ops.database.connections import STATEMENTS, WRITES
from app.web.core.fab_access import request_time
from app.web.core.localization.languages import is_machine, translate_in_template
from app.web.core.localization.local_dates import format_local_date
from app.web.core.urls.local_links import is_local
from app.web.pages import (
    brand,
    field_values_html,
    probes,
    record_html,
    shell_parts,
    static_files,
    timeline_html,
    widgets,
)
from app.web.pages.frame import MENU, Menu, frame_of, languages
from app.web.pages.static_files import static_url

#: {socket}: the origin of sockets, which is the site itself.
CSP = (
    "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; font-src 'self'; "
    "connect-src 'self' {socket}; frame-ancestors 'none'; base-uri 'self'; form-action 'self'; object-src 'none'"
)
YEAR_SECONDS = 31_536_000
_SAFE = ("GET", "HEAD", "OPTIONS")
#: Responses with a static file's content or part of it; no errors.
_STATIC = (200, 206, 304)
#: Headers of responses that have none of their own.
_DEFAULTS = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin", "X-Frame-Options": "DENY"}
#: Headers, in lower case, with addresses of ours.
_LINKS = frozenset(("location", "hx-redirect"))
#: Paths with authentication or CSRF checks of their own.
_CSRF_EXEMPT = (
    *("/login/", "/api/v1/security/", "/hooks/", "/socket.io"),
    *("/api/method/", "/api/resource/", "/api/v1/method/", "/api/v1/resource/", "/api/v2/"),
)


def install(app: Flask, menu: Menu) -> None:
    """Register globals, context and headers. `menu`: returns the entries of the sidebar and of the "New" menu."""
    pages: Any = app.jinja_env
    pages.globals.update(widgets.GLOBALS | timeline_html.GLOBALS | field_values_html.GLOBALS | record_html.GLOBALS)
    pages.globals.update(
        static_url=static_url, parts_url=shell_parts.parts_url, csrf_token=token_of_request, get_locale=get_locale
    )
    pages.globals.update(grouped=grouped, written=format_local_date)
    pages.constants |= {"_": translate_in_template, "static_url": static_url, "icon": widgets.icon}
    app.extensions[MENU] = menu
    app.context_processor(_context)
    app.before_request(_before)
    app.after_request(_after)
    app.teardown_request(_teardown)
    probes.install(app)
    brand.install(app)
    shell_parts.install(app)
    static_files.install(app)


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


@lru_cache(maxsize=32)
def _policy(host: str, is_https: bool) -> str:
    return CSP.format(socket=f"{'wss' if is_https else 'ws'}://{host}")


def _after(response: Response) -> Response:
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


def _context() -> dict[str, Any]:
    """Variables of every template."""
    person = g.get("person")
    base: dict[str, Any] = {"brand": brand.for_pages(), "languages": languages(), "person": None}
    if person is None:
        return base
    frame = frame_of(person)
    return base | {
        "rendered_at": request_time().isoformat(timespec="seconds"),
        "frame": frame,
        "person": frame.person,
    }
