"""Parts of pages that are drawn once for all who see the same, such as the sidebar and the box to write in.

A part is kept under all that it shows, so that nobody is shown what was made for somebody else unless it is the same.
What differs from page to page, an id or the CSRF token, is put into places of the part. See docs/decisions/0093.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Hashable, Mapping
from typing import Any

from flask import current_app
from flask_wtf.csrf import generate_csrf
from markupsafe import Markup

from app.lib.html_escape import escape
from app.lib.lru_cache import LruCache
from app.web.core.languages import language_key

#: Parts that an application keeps, of 1 to 7 kB each.
MAX_PARTS = 400
_KEY = "crm_cached_fragments"
#: Stands in a part where a value goes. Nobody knows it, so no text of a person can hold it.
_MARK = secrets.token_hex(12)
_PLACES = re.compile(f"{_MARK}_([a-z]+)_")
_CSRF = "token"


def placeholder(name: str) -> str:
    """What a template is given where the value of this name, of small letters, goes; no character of it is escaped."""
    return f"{_MARK}_{name}_"


def render_cached(template: str, key: Hashable, values: Callable[[], Mapping[str, Any]], /, **places: Any) -> Markup:
    """The template with these values, as it was drawn before if it was drawn for this `key`, which tells them apart.

    `places`: the values of `place(name)`; they are escaped. The CSRF token of the request has a place of its own.
    """
    kept: LruCache[Hashable, tuple[str, ...]] = current_app.extensions.setdefault(_KEY, LruCache(MAX_PARTS))
    whole = (template, key, language_key())
    parts = kept.get(whole)
    if parts is None or current_app.debug:
        made = current_app.jinja_env.get_template(template).render(csrf=_csrf, **values())
        parts = tuple(_PLACES.split(made))
        kept.keep(whole, parts)
    if len(parts) == 1:
        return Markup(parts[0])
    filled = list(parts)
    filled[1::2] = [generate_csrf() if name == _CSRF else escape(places[name]) for name in parts[1::2]]
    return Markup("".join(filled))


def _csrf() -> Markup:
    return Markup(f'<input type="hidden" name="csrf_token" value="{placeholder(_CSRF)}">')
