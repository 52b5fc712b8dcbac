"""The progressive web app: manifest, service worker, which pages a browser may store, and the offline page.

Lists and records that the person has opened are stored; never settings, exports, keys or revealed values. See
docs/decisions/0082.
"""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from pathlib import Path

import orjson
from flask import Flask, Response, current_app, g, render_template, request
from flask_wtf.csrf import generate_csrf

from app import access
from app.domain.custom_fields import mask_name
from app.shown_brand import ShownBrand
from app.web.core import request_custom_fields
from app.web.core.fab_access import json_answer
from app.web.core.flask_internals import request_values
from app.web.pages import brand, offline_posts
from app.web.pages.static_files import SPRITE, static_url

#: Endpoints that load no person.
ENDPOINTS = ("manifest", "worker")
#: Response header: the id of the user for whom the page is.
PERSON = "X-Crm-Person"
#: Response header: a digest of what this person may see; another one means that their rights have changed.
RIGHTS = "X-Crm-Rights"
#: Response header of pages that the browser may store: "list" or "record".
KEEP = "X-Crm-Keep"
_RECORDS = re.compile(r"/(?:leads|tickets|customers|tasks|calls)/(?:show/\d+|[A-Z]+(?:-[A-Z0-9]+)+)")
_LISTS = re.compile(r"/|/dashboard/[a-z]*|/(?:leads|tickets|customers|tasks|calls|messages|requests)/")
#: Files that every page needs, even if it was not stored.
_SHELL = (
    *("vendor/base.css", "css/crm.css", SPRITE, "vendor/inter.woff2", "img/mark.svg"),
    *("js/theme.js", "js/offline_store.js", "js/offline_page.js"),
)
#: The parts of the service worker, which is one script: browsers fetch it, and each script that it imports, anew with
#: every page, to see whether there is a new one.
WORKER_FILES = ("offline_store.js", "worker_pages.js", "worker_forms.js", "service_worker.js")
#: (size in pixels, column of the brand, purpose), of the manifest; the product's own are made by scripts/icons.py.
_ICONS = (("192x192", "icon_192", "any"), ("512x512", "icon_512", "any"), ("512x512", "icon_maskable", "maskable"))
_BACKGROUND = "#ffffff"


def install(app: Flask) -> None:
    """Register the routes, and the headers for the service worker."""
    app.add_url_rule("/manifest.webmanifest", "manifest", manifest)
    app.add_url_rule("/worker.js", "worker", worker)
    app.add_url_rule("/offline/", "offline", page)
    app.add_url_rule("/offline/state", "offline_state", state)
    app.after_request(_mark)
    offline_posts.install(app)


def manifest() -> Response:
    """The manifest with the app's name and icons, from the brand."""
    found = brand.refreshed()
    icons = [
        {"src": brand.icon_url(found, name), "sizes": size, "type": "image/png", "purpose": purpose}
        for size, name, purpose in _ICONS
    ]
    body = {
        "id": "/",
        "name": found.name,
        "short_name": found.name if len(found.name) <= 12 else found.name.split()[0][:12],
        "start_url": "/",
        "scope": "/",
        "display": "standalone",
        "theme_color": found.color,
        "background_color": _BACKGROUND,
        "icons": icons,
    }
    response = Response(orjson.dumps(body), mimetype="application/manifest+json")
    response.headers["Cache-Control"] = "no-cache"
    return response


def worker() -> Response:
    """The service worker, which changes whenever a static file does."""
    config = current_app.config["CRM"]
    given = {
        # The offline page shows the brand, too.
        "version": f"{_version(current_app.static_folder or '')}-{_mark_of(brand.refreshed())}",
        "shell": [*map(static_url, _SHELL)],
        "page": "/offline/",
        "forms": offline_posts.PATHS,
        "idle": config.session_idle_hours * 3_600_000,
    }
    folder = Path(current_app.static_folder or "") / "js"
    source = "\n".join((folder / name).read_text(encoding="utf-8") for name in WORKER_FILES)
    response = Response(f"const GIVEN = {orjson.dumps(given).decode()};\n{source}", mimetype="text/javascript")
    response.headers["Cache-Control"] = "no-cache"
    return response


def page() -> str:
    """The offline page, which lists the stored pages. The worker stores it, so it names no person."""
    brand.refreshed()
    return render_template("shell/offline_page.html")


def state() -> Response:
    """JSON with the signed-in user, and the CSRF token for forms that their page sends now."""
    person = g.get("person")
    body = {"user": None, "token": None} if person is None else {"user": person.id, "token": generate_csrf()}
    return json_answer(200, body, **{"Cache-Control": "no-store"})


def _mark(response: Response) -> Response:
    """Add the headers with the page's user, and whether it may be stored."""
    person = request_values().get("person")
    if request.method != "GET" or person is None or response.mimetype != "text/html":
        return response
    response.headers[PERSON], response.headers[RIGHTS] = str(person.id), _rights_mark(person)
    if response.status_code == 200 and not request.headers.get("HX-Request") and not person.read_only:
        kind = "record" if _RECORDS.fullmatch(request.path) else "list" if _LISTS.fullmatch(request.path) else None
        if kind is not None:
            response.headers[KEEP] = kind
    return response


def _rights_mark(person: access.Person) -> str:
    """The same as long as the person sees the same kinds of rows and fields; made once of a person's rights."""
    found: str | None = person.derived.get(RIGHTS)
    if found is None:
        restricted = [mask_name(each.id) for each in request_custom_fields.current().restricted]
        rights = orjson.dumps(access.rights_snapshot(person, restricted), option=orjson.OPT_SORT_KEYS)
        found = hashlib.sha256(rights).hexdigest()[:12]
        person.derived.keep(RIGHTS, found)
    return found


def _mark_of(found: ShownBrand) -> str:
    return hashlib.sha256(repr(found).encode()).hexdigest()[:8]


@lru_cache(maxsize=2)
def _version(folder: str) -> str:
    """A hash of all static files."""
    made = hashlib.sha256()
    for path in sorted(Path(folder).rglob("*")):
        if path.is_file():
            made.update(str(path.relative_to(folder)).encode() + path.read_bytes())
    return made.hexdigest()[:12]
