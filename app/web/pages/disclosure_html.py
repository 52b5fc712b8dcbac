"""A disclosure of complaints as HTML for a web site: tables with their own style, without scripts or other files."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from typing import Any

from flask import current_app
from flask_babel import get_locale

from app.web.pages.disclosure_tables import FigureTable, value_text

_STYLE = (
    ".complaints-disclosure{font-family:inherit;color:inherit;line-height:1.5}"
    ".complaints-disclosure-table{overflow-x:auto;margin:1.5rem 0 .5rem}"
    ".complaints-disclosure table{border-collapse:collapse;width:100%;font-size:.9375rem}"
    ".complaints-disclosure caption{text-align:left;font-weight:700;padding:0 0 .5rem}"
    ".complaints-disclosure :is(th,td){border:1px solid #8a8f98;padding:.375rem .5rem;text-align:right;"
    "vertical-align:top}"
    ".complaints-disclosure th[scope=row],.complaints-disclosure th:first-child{text-align:left}"
    ".complaints-disclosure-total :is(th,td){font-weight:700}"
    ".complaints-disclosure p{margin:.25rem 0;font-size:.875rem}"
    ".complaints-disclosure-page{font-family:system-ui,sans-serif;max-width:68rem;margin:0 auto;padding:1rem;"
    "color:#1b1e24;background:#fff}"
    ".complaints-disclosure-page nav ul{display:flex;flex-wrap:wrap;gap:.25rem 1rem;padding:0;list-style:none}"
)
#: The only style that the Content-Security-Policy of the public page allows.
STYLE_HASH = "sha256-" + base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()


def fragment(tables: Sequence[FigureTable]) -> str:
    """The tables as one element, to be put into any page."""
    return render("pages/disclosure_fragment.html", tables)


def render(template: str, tables: Sequence[FigureTable], **values: Any) -> str:
    """A template without the variables of our pages, which ask who is signed in; everything in it is escaped."""
    shared = {"tables": tables, "style": _STYLE, "text": value_text, "language": get_locale().language}
    return current_app.jinja_env.get_template(template).render(shared | values)
