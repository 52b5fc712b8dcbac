"""Addresses of static files, with a hash of their content, so that browsers keep them for a year."""

from __future__ import annotations

import hashlib
from pathlib import Path

from flask import url_for

from app.web.core.flask_internals import app_context, request_context

#: (static folder, root of the URLs, file) -> its URL.
_urls: dict[tuple[str, str, str], str] = {}


def static_url(name: str) -> str:
    """The URL of a static file. It is made once per process; in debug mode a changed file is noticed at once."""
    context, requested = app_context(), request_context()  # not through proxies: a page has a hundred of these URLs
    if context is None:
        raise RuntimeError("A static URL needs an application context.")
    app = context.app
    key = (app.root_path, requested.request.script_root if requested is not None else "", name)
    if key not in _urls or app.debug:
        _urls[key] = url_for("static", filename=name, v=_digest(Path(app.static_folder or "") / name))
    return _urls[key]


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12] if path.exists() else "0"
