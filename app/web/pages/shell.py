"""What every page shares: menu, brand, unread count, static URLs, response headers."""

from __future__ import annotations

import time
from functools import lru_cache
from typing import Any

from flask import Flask, Response, current_app, g, request
from flask_babel import get_locale
from flask_wtf.csrf import generate_csrf
from sqlalchemy import bindparam, select

from app.csrf import mask_response
from app.domain import call_cards, notices
from app.extensions import csrf, db
from app.lib.grouping import grouped
from app.models import CallCard, Notification
from app.ops.database import STATEMENTS, WRITES
from app.web.core.fab_access import request_time
from app.web.core.languages import is_machine, translate_in_template
from app.web.core.local_dates import written
from app.web.core.local_links import is_local
from app.web.core.personal_fields import initials
from app.web.core.prepared_queries import PreparedQuery
from app.web.core.reference_fields import picture_of
from app.web.pages import brand, offline_posts, pairs_html, probes, timeline_html, widgets
from app.web.pages.static_files import static_url

#: {socket}: where pages may open their socket, which is the site itself.
CSP = (
    "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; font-src 'self'; "
    "connect-src 'self' {socket}; frame-ancestors 'none'; base-uri 'self'; form-action 'self'; object-src 'none'"
)
#: The records that `unread_columns` counts.
UNREAD = (Notification, CallCard)
YEAR_SECONDS = 31_536_000
_SAFE = ("GET", "HEAD", "OPTIONS")
#: Paths with authentication or CSRF checks of their own.
_CSRF_EXEMPT = (
    *("/login/", "/api/v1/security/", "/hooks/", "/socket.io"),
    *("/api/method/", "/api/resource/", "/api/v1/method/", "/api/v1/resource/", "/api/v2/"),
)


def install(app: Flask, menu: Any) -> None:
    """Bind globals, context and headers. `menu(person)`: the entries of the sidebar and of the "new" menu."""
    pages: Any = app.jinja_env
    pages.globals.update(widgets.GLOBALS | timeline_html.GLOBALS | pairs_html.GLOBALS)
    pages.globals.update(static_url=static_url, csrf_token=generate_csrf, get_locale=get_locale)
    pages.globals.update(grouped=grouped, written=written)
    pages.constants |= {"_": translate_in_template, "static_url": static_url, "icon": widgets.icon}
    app.context_processor(lambda: _context(menu))
    app.before_request(_before)
    app.after_request(_after)
    app.teardown_request(_teardown)
    probes.install(app)
    brand.install(app)


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


def _after(response: Response) -> Response:
    """Set headers on every response; static files with a hash in the URL are cached for a year."""
    settings = current_app.config["CRM"]
    # The host of the request is one of ours: see pages.allowed_hosts.
    socket = f"{'wss' if settings.is_https else 'ws'}://{request.host}"
    response.headers.setdefault("Content-Security-Policy", CSP.format(socket=socket))
    if settings.is_https:
        response.headers["Strict-Transport-Security"] = f"max-age={YEAR_SECONDS}"
    for name in ("Location", "HX-Redirect"):
        if name in response.headers and not is_local(response.headers[name]):
            response.headers[name] = "/"
    mask_response(response)
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers.setdefault("Referrer-Policy", "same-origin")
    response.headers.setdefault("X-Frame-Options", "DENY")
    if request.path.startswith("/static/"):
        if "v" in request.args:
            response.headers["Cache-Control"] = f"public, max-age={YEAR_SECONDS}, immutable"
    elif "Cache-Control" not in response.headers:
        response.headers["Cache-Control"] = "no-store" if request.path.startswith("/api/") else "private, no-cache"
    statements = STATEMENTS.get()
    if current_app.config.get("COUNT_SQL") and statements is not None:
        response.headers["X-SQL-Count"] = str(len(statements))
    return response


def _context(menu: Any) -> dict[str, Any]:
    """Variables of every template."""
    person = g.get("person")
    languages = [(code, row["name"]) for code, row in current_app.config["LANGUAGES"].items()]
    base: dict[str, Any] = {
        "brand": brand.for_pages(),
        "languages": languages,
        "person": None,
        "menu": [],
        "menu_names": frozenset(),
        "categories": [],
        "new_items": [],
        "unread": 0,
        "has_calls": False,
    }
    if person is None:
        return base
    entries, new = menu(person, request.path)
    return base | {
        "rendered_at": request_time().isoformat(timespec="seconds"),
        "person": {
            "id": person.id,
            "username": person.username,
            "full_name": person.full_name,
            "initials": initials(person.full_name or person.username),
            "picture": picture_of(person.id),
            "time_zone": person.time_zone,
            "locale": person.locale,
            "is_admin": person.is_admin,
            "url": "/users/userinfo/",
        },
        "menu": entries,
        "menu_names": {entry["name"] for entry in entries},
        "categories": _categories(entries),
        "new_items": new,
        "unread": _unread(person.id),
        "has_calls": g.has_calls,
        "kept_forms": offline_posts.PATHS,
    }


def _categories(entries: list[dict[str, Any]]) -> list[tuple[str, list[dict[str, Any]]]]:
    """The entries of add-ons by their category: (its name, its entries)."""
    found: dict[str, list[dict[str, Any]]] = {}
    for entry in entries:
        if entry["group"] == "category":
            found.setdefault(entry["category"], []).append(entry)
    return sorted(found.items())


def _unread(user_id: int) -> int:
    """The number of unread notices, counted once per request; 0 for a part of a page, which has no badge."""
    if "unread" not in g:
        if request.headers.get("HX-Request"):
            g.unread, g.has_calls = 0, False
        else:
            count_unread(user_id)
    return int(g.unread)


def count_unread(user_id: int) -> int:
    """The number of unread notices, for the badge of the page too; the same statement says whether a call is on."""
    g.unread, g.has_calls = _unread_query().ask(db.session(), {}, unread_values(user_id))[0]
    return int(g.unread)


def unread_columns() -> tuple[Any, Any]:
    """The number of unread notices, and whether a call is on, as columns; their parameters are `unread_values`."""
    unread = notices.unread_query(bindparam("user"), bindparam("now")).scalar_subquery()
    is_shown = call_cards.open_query(bindparam("user"), bindparam("since")).exists()
    return unread.label("unread"), is_shown.label("has_calls")


def unread_values(user_id: int) -> dict[str, Any]:
    """The parameters of `unread_columns`."""
    return {"user": user_id, "now": request_time(), "since": request_time() - call_cards.LASTS}


@lru_cache
def _unread_query() -> PreparedQuery:
    return PreparedQuery.of(select(*unread_columns()), *UNREAD)
