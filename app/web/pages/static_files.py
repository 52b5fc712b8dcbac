"""URLs of static files, with a content hash, so that browsers cache them for a year.

Pages use the icon sprite sixty times, so it has an additional short URL.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from flask import Flask, Response, current_app, url_for

from app.web.core.flask_internals import app_context, request_context

#: The icon sprite, and its short URL; its normal one works as well.
SPRITE, _SHORT = "vendor/icons.svg", "i.svg"
#: (static folder, root of the URLs, file) -> its URL.
_urls: dict[tuple[str, str, str], str] = {}


def static_url(name: str) -> str:
    """The URL of a static file, cached per process; in debug mode a changed file is noticed at once."""
    context, requested = app_context(), request_context()  # without proxies: a page has a hundred of these URLs
    if context is None:
        raise RuntimeError("A static URL needs an application context.")
    app = context.app
    key = (app.root_path, requested.request.script_root if requested is not None else "", name)
    if key not in _urls or app.debug:
        version = _digest(Path(app.static_folder or "") / name)
        _urls[key] = url_for("static", filename=_SHORT if name == SPRITE else name, v=version)
    return _urls[key]


def install(app: Flask) -> None:
    """Register the short URL of the sprite."""
    app.add_url_rule(f"/static/{_SHORT}", "static_sprite", _sprite)


def _sprite() -> Response:
    folder = Path(current_app.static_folder or "")
    return Response((folder / SPRITE).read_bytes(), mimetype="image/svg+xml")


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:8] if path.exists() else "0"
