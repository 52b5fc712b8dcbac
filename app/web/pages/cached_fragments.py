"""Parts of pages that are rendered once for everybody who sees the same, such as the sidebar and the composer.

The cache key of a part contains everything that it shows, so that nobody gets a part that differs from their own.
Values that differ from page to page, such as an id or the CSRF token, are inserted at placeholders. See
docs/decisions/0093.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Hashable, Mapping
from typing import Any

from flask import current_app
from markupsafe import Markup

from app.access import Person
from app.csrf import token_of_request
from app.lib.html_escape import escape
from app.lib.lru_cache import LruCache
from app.web.core.localization.languages import language_key

#: Cached parts of an application, of 1 to 7 kB each.
MAX_PARTS = 400
#: Documents and pages kept per person, and split texts that a process keeps for people whose pages are equal.
MAX_PAGES, MAX_TEXTS = 16, 300
_KEY = "crm_cached_fragments"
#: Marks a placeholder. It is secret and random, so no text of a person can contain it.
_MARK = secrets.token_hex(12)
_PLACES = re.compile(f"{_MARK}_([a-z]+)_")
_CSRF = "token"
#: Line ends and indents between tags of templates; one space does.
_GAPS = re.compile(r">(?=[^\S\n]*\n)\s*+<")


def placeholder(name: str) -> str:
    """The placeholder passed to a template for the value of this name, in lower-case letters; it needs no escaping."""
    return f"{_MARK}_{name}_"


def html_placeholder(name: str) -> Markup:
    """The placeholder for a value that is HTML."""
    return Markup(placeholder(name))


def render_cached(template: str, key: Hashable, values: Callable[[], Mapping[str, Any]], /, **places: Any) -> Markup:
    """The template rendered with these values, cached by `key`, which must identify them.

    `places`: the values for `placeholder(name)`; they are escaped. The CSRF token of the request has a placeholder of
    its own.
    """
    app: Any = current_app._get_current_object()  # type: ignore[attr-defined]  # a proxy would be resolved each time
    kept: LruCache[Hashable, tuple[str, ...]] | None = app.extensions.get(_KEY)
    if kept is None:
        kept = app.extensions.setdefault(_KEY, LruCache(MAX_PARTS))
    whole = (template, key, language_key())
    parts = kept.get(whole)
    if parts is None or app.debug:
        made = app.jinja_env.get_template(template).render(csrf=_csrf, **values())
        parts = split(_GAPS.sub(">\n<", made))
        kept.keep(whole, parts)
    if len(parts) == 1:
        return Markup(parts[0])
    return Markup(filled(parts, {name: escape(value) for name, value in places.items()}))


def split(text: str) -> tuple[str, ...]:
    """A rendered text at its placeholders: text, name, text, name, … text."""
    return tuple(_PLACES.split(text))


_texts: LruCache[tuple[str, ...], tuple[str, ...]] = LruCache(MAX_TEXTS)


def split_once(text: str) -> tuple[str, ...]:
    """`split`, with one object for all equal texts: pages of people with the same rights are stored once."""
    parts = split(text)
    known = _texts.get(parts)
    if known is None:
        _texts.keep(parts, parts)
    return known or parts


def pages_of(person: Person, name: str) -> LruCache[Hashable, Any]:
    """What a module of this name keeps for a person, for as long as their rights stay the same."""
    kept: LruCache[Hashable, Any] | None = person.derived.get(name)
    if kept is None:
        kept = LruCache(MAX_PAGES)
        person.derived.keep(name, kept)
    return kept


def filled(parts: tuple[str, ...], places: Mapping[str, str]) -> str:
    """The text of `split` with this HTML at its placeholders, and the CSRF token of the request at its own."""
    made = list(parts)
    made[1::2] = [token_of_request() if name == _CSRF else places[name] for name in parts[1::2]]
    return "".join(made)


def csrf_placeholders() -> dict[str, Any]:
    """The functions `csrf` and `csrf_token` of templates, which write the placeholder of the token."""
    return {"csrf": _csrf, "csrf_token": lambda: placeholder(_CSRF)}


def _csrf() -> Markup:
    return Markup(f'<input type="hidden" name="csrf_token" value="{placeholder(_CSRF)}">')
