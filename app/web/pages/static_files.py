"""Addresses of static files, with a hash of their content, so that browsers keep them for a year."""

from __future__ import annotations

import hashlib
from pathlib import Path

from flask import current_app, has_request_context, request, url_for

#: (static folder, root of the URLs, file) -> its URL.
_urls: dict[tuple[str, str, str], str] = {}


def static_url(name: str) -> str:
    """The URL of a static file. It is made once per process; in debug mode a changed file is noticed at once."""
    root = request.script_root if has_request_context() else ""
    key = (str(current_app.root_path), root, name)
    if key not in _urls or current_app.debug:
        _urls[key] = url_for("static", filename=name, v=_digest(Path(current_app.static_folder or "") / name))
    return _urls[key]


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12] if path.exists() else "0"
