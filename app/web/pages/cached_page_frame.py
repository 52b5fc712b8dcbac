"""The document around the content of a page, rendered once with placeholders and kept with the person's rights.

It depends on the person, the brand, the language and its own key. Each has a new object or another key when it changes,
so a right that is taken away is gone with the next request. See docs/decisions/0115.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

from flask import current_app, render_template, session
from markupsafe import Markup

from app.access import Person
from app.lib.html_escape import escape
from app.lib.lru_cache import LruCache
from app.shown_brand import ShownBrand
from app.web.core.fab_access import current_person, request_time
from app.web.core.flask_internals import request_context
from app.web.core.localization.languages import language_key
from app.web.pages import brand
from app.web.pages.cached_fragments import (
    csrf_placeholders,
    filled,
    html_placeholder,
    pages_of,
    placeholder,
    split_once,
)
from app.web.pages.page_frame import Frame, frame_of


class PlacedFrame:
    """The frame of a page with placeholders for the parts that are rendered for each request."""

    sidebar, topbar_end = html_placeholder("sidebar"), html_placeholder("topbar")

    def __init__(self, frame: Frame) -> None:
        self._frame = frame

    def __getattr__(self, name: str) -> Any:
        return getattr(self._frame, name)


@dataclass(frozen=True)
class Document:
    """The document of a page: a template that extends appbuilder/base.html, with a title and breadcrumb of its own.

    It shows the variable `content` in its block of that name. `document` has the values below.
    """

    template: str
    #: Values that many pages share, by name. Each of them makes a document of its own.
    shared: Mapping[str, Hashable] = field(default_factory=dict)
    #: Texts that differ from page to page, by name (in lower-case letters).
    texts: Mapping[str, str] = field(default_factory=dict)

    @property
    def key(self) -> Hashable:
        """What it shows besides the person, the language, the brand and the texts themselves."""
        return self.template, tuple(self.shared.items()), tuple(self.texts)


@dataclass(frozen=True, slots=True)
class _Kept:
    """A rendered document with placeholders, and the brand in it."""

    brand: ShownBrand
    parts: tuple[str, ...]


def render_document(document: Document, template: str, context: Mapping[str, Any]) -> str:
    """The document with the content that this template makes of the context."""
    content, person = Markup(current_app.jinja_env.get_template(template).render(context)), current_person()
    # The banner of a view as another user tells its own end, and messages are shown once.
    if current_app.debug or person.read_only or "_flashes" in session:
        return render_template(document.template, content=content, document={**document.shared, **document.texts})
    frame = frame_of(person)
    parts = _parts(document, frame, person)
    places = {name: escape(text) for name, text in document.texts.items()}
    places |= {
        "content": content,
        "moment": request_time().isoformat(timespec="seconds"),
        "user": str(person.id),
        "sidebar": frame.sidebar,
        "topbar": frame.topbar_end,
    }
    return filled(parts, places)


def _parts(document: Document, frame: Frame, person: Person) -> tuple[str, ...]:
    """The document with placeholders, from what is kept; it is rendered if nothing is, or with another brand."""
    context: Any = request_context()
    shown_brand = brand.current_brand()
    kept: LruCache[Hashable, _Kept] = pages_of(person, __name__)
    key = (document.key, language_key(), context.request.script_root, frame.has_calls)
    found = kept.get(key)
    if found is None or found.brand is not shown_brand:
        found = _Kept(shown_brand, _rendered(document, frame))
        kept.keep(key, found)
    return found.parts


def _rendered(document: Document, frame: Frame) -> tuple[str, ...]:
    html = render_template(
        document.template,
        content=html_placeholder("content"),
        rendered_at=placeholder("moment"),
        frame=PlacedFrame(frame),
        person=frame.person | {"id": placeholder("user")},
        document={**document.shared, **{name: placeholder(name) for name in document.texts}},
        **csrf_placeholders(),
    )
    return split_once(html)
