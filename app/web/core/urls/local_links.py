"""Links to pages of this site: of records, and from URLs that a client sent."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from flask import current_app, make_response, redirect, request

#: Longer URLs are not followed.
MAX_LENGTH = 2000
#: A number that can be part of the URL of its record; other routes of a screen are in lower case.
_CLEAN_NUMBER = re.compile(r"[A-Z0-9][A-Z0-9_-]{0,39}")


def local_path(url: str | None) -> str | None:
    """Path and query of a URL of this site; None for any other, and for URLs that browsers could interpret differently.

    A browser reads "//host", "/\\host" and "http:host" as another site, and skips tabs and line breaks within a URL.
    """
    if not url or len(url) > MAX_LENGTH or not url.isprintable() or "\\" in url or url != url.strip():
        return None
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    path = parts.path or ("/" if parts.netloc else "")  # a site's bare address
    if (
        url.startswith("///")
        or not _is_this_site(parts.scheme, parts.netloc)
        or not path.startswith("/")
        or path.startswith("//")
    ):
        return None
    return path + (f"?{parts.query}" if parts.query else "")


def _is_this_site(scheme: str, host: str) -> bool:
    if not scheme and not host:
        return True
    own = urlsplit(current_app.config["CRM"].public_url)
    return scheme in ("", "http", "https") and host in (request.host, own.netloc)


def is_local(location: str) -> bool:
    """Whether a redirect leads to this site."""
    path, _hash, _fragment = location.partition("#")
    return local_path(path) is not None or (not path and bool(location))


def row_url(base: str, key: int, number: Any) -> str:
    """The URL of a row's page: by its number, or by its id if the number can't be part of a URL."""
    is_clean = number is not None and _CLEAN_NUMBER.fullmatch(str(number))
    return f"{base}/{number}" if is_clean else f"{base}/show/{key}"


def redirect_to(address: str) -> Any:
    """Redirect the browser, also from a dialog."""
    if request.headers.get("HX-Request"):
        made = make_response("", 204)
        made.headers["HX-Redirect"] = address
        return made
    return redirect(address)
