"""The brand on pages: name, color, logo and icons, also for people who have not signed in."""

from __future__ import annotations

from typing import Any

from flask import Flask, Response, current_app, g

from app import shown_brand
from app.domain.base import NotFound, RuleBroken
from app.extensions import db
from app.ops.storage.file_store import is_digest
from app.shown_brand import ShownBrand
from app.web.pages.static_files import static_url

#: Endpoints that load no person.
ENDPOINTS = ("brand_file",)
#: Column of the brand -> the product's own picture.
_OWN_ICONS = {
    "icon_192": "img/icon-192.png",
    "icon_512": "img/icon-512.png",
    "icon_maskable": "img/icon-maskable-512.png",
}
YEAR_SECONDS = 31_536_000
#: An unknown picture may belong to a brand that another process has just stored: then the brand is read again, at most
#: once in this many seconds, however often unknown pictures are requested.
AGAIN_AFTER_SECONDS = 1.0
#: Digest -> content of the brand's pictures.
_KEPT = "crm_brand_pictures"


class PictureUnavailable(RuleBroken):
    """The file storage is currently unavailable (503)."""

    http_status = 503


def install(app: Flask) -> None:
    """Register the route of the pictures."""
    app.add_url_rule("/brand/<digest>.png", "brand_file", picture)


def current_brand() -> ShownBrand:
    """The brand for this page, without a query: from the lookups if somebody is signed in, else the last one read."""
    viewer = g.get("viewer")
    found: ShownBrand | None = viewer.lookups.brand if viewer is not None else None
    return found or shown_brand.last_loaded(current_app)


def refreshed() -> ShownBrand:
    """Like `for_pages`, at most half a minute old, for pages without a sign-in."""
    return shown_brand.current(current_app, db.session())


def for_pages() -> dict[str, Any]:
    """The variable `brand` of the templates."""
    found = current_brand()
    return {
        "name": found.name,
        "accent": found.accent,
        "logo_url": file_url(found.logo.digest) if found.logo else None,
        "logo": found.logo,
        "mark_url": icon_url(found, "icon_192") if found.logo else None,
        "icon_url": icon_url(found, "icon_192"),
        "has_icons": bool(found.icons),
    }


def file_url(digest: str) -> str:
    """The URL of a picture of the brand, which changes with its content."""
    return f"/brand/{digest}.png"


def icon_url(found: ShownBrand, name: str) -> str:
    """The URL of an icon: the brand's, else the product's."""
    return file_url(found.icons[name]) if name in found.icons else static_url(_OWN_ICONS[name])


def picture(digest: str) -> Response:
    """A picture of the current brand, and no other file, because anybody may request it.

    Whatever is requested, the database is read at most once a second, and the store once per picture.
    """
    if not is_digest(digest) or not _is_shown(digest):
        raise NotFound("This picture no longer exists.")
    response = Response(_content(digest), mimetype="image/png")
    response.headers["Cache-Control"] = f"public, max-age={YEAR_SECONDS}, immutable"
    response.headers["Content-Security-Policy"] = "sandbox; default-src 'none'"
    return response


def _is_shown(digest: str) -> bool:
    if digest in shown_brand.last_loaded(current_app).files:
        return True
    return digest in shown_brand.current(current_app, db.session(), AGAIN_AFTER_SECONDS).files


def _content(digest: str) -> bytes:
    """The picture, cached while it is the brand's. Raises NotFound, PictureUnavailable."""
    kept: dict[str, bytes] = current_app.extensions.get(_KEPT, {})
    if digest not in kept:
        try:
            with current_app.extensions["crm_files"].open(digest) as file:
                content = file.read()
        except FileNotFoundError:
            raise NotFound("This picture no longer exists.") from None
        except OSError:
            raise PictureUnavailable("The storage of files can't be reached. Please try again soon.") from None
        files = shown_brand.last_loaded(current_app).files
        kept = {name: each for name, each in kept.items() if name in files} | {digest: content}
        current_app.extensions[_KEPT] = kept
    return kept[digest]
