"""Labels and values beside a record as HTML, without a template, because a record's page has dozens of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from flask_babel import gettext as _
from markupsafe import Markup

from app.lib.html_escape import escape
from app.web.core.localization.languages import language_key
from app.web.pages.html_parts import Cell, behind_show_all, cell_html, empty_value, icon

#: Characters and lines of a text that are shown before it is opened.
_MOST, _MOST_LINES = 500, 8
#: A text is divided only if it has this many characters, or three lines, more.
_LEAST_REST = 150
#: Kept beginnings of fields, in all languages.
MAX_LABELS = 2000


def value_pairs(fields: Iterable[Mapping[str, Any]], edit_url: str | None) -> Markup:
    """The label and value of each field {name, label, cell, help, is_editable}, with links to edit and reveal it.

    `edit_url`: the record's form; None for people who may not change it. The pencil is drawn by record_panel.css.
    """
    language, edit, missing = language_key(), escape(edit_url) if edit_url else "", empty_value()
    made = []
    for each in fields:
        shown, is_editable = each["cell"], bool(each["is_editable"] and edit_url)
        hint = (str(each["help"]), icon("info-circle")) if each["help"] else None
        around = _around(language, (each["name"], each["label"]), hint, is_editable)
        if shown and shown.get("kind") != "missing":
            value, tools = _value(shown), _reveal(shown, each["label"]) if shown.get("reveal_url") else ""
        else:
            value, tools = missing, ""
        link = f"{around.link[0]}{edit}{around.link[1]}" if is_editable else ""
        made.append(f"{around.begin}{value}</span>{link}{tools}</dd></div>")
    return Markup("".join(made))


class _Around(NamedTuple):
    """What stands around the value of a field, as HTML."""

    begin: str
    #: Before and after the URL of the record's form, in the link to edit the field there.
    link: tuple[str, str]


@lru_cache(MAX_LABELS)
def _around(_language: Any, named: tuple[str, str], hint: tuple[str, str] | None, is_editable: bool) -> _Around:
    """What stands around the value of a field with this (name, label) and (help, icon), in the language of the page."""
    name, label = map(escape, named)
    tip = f'<span title="{escape(hint[0])}">{hint[1]}</span>' if hint else ""
    begin = (
        f'<div data-pair="{name}"{" data-inline" if is_editable else ""}><dt>{label}{tip}</dt>'
        f'<dd><span class="inline-value">'
    )
    link = '<a class="btn-bare inline-edit" href="', f'#f-{name}" aria-label="{escape(_("Edit"))}: {label}"></a>'
    return _Around(begin, link)


def _reveal(shown: Mapping[str, Any], label: str) -> str:
    """The button that reveals a masked value."""
    href, reveal = escape(shown["reveal_url"]), escape(_("Reveal"))
    return (
        f'<a class="btn-bare btn-tiny" href="{href}" data-reveal title="{reveal}" '
        f'aria-label="{reveal}: {escape(label)}">{icon("eye")}</a>'
    )


def _value(shown: Cell) -> str:
    """The value; of a long text its beginning, with the rest behind *Show all*."""
    text = str(shown.get("text") or "") if shown.get("kind") in ("text", "textarea") else ""
    if len(text) < _MOST and "\n" not in text:
        return cell_html(shown)
    end = _end_of_beginning(text)
    if end == len(text):
        return cell_html(shown)
    rest = f'<span class="clip">{escape(text[end:].lstrip())}</span>'
    return cell_html({**shown, "text": text[:end].rstrip()}) + behind_show_all(rest)


def _end_of_beginning(text: str) -> int:
    """Where the beginning of a text ends, between words or lines; the length of the text if it is shown whole."""
    lines = text.split("\n")
    if len(text) < _MOST + _LEAST_REST and len(lines) <= _MOST_LINES + 2:
        return len(text)
    most = min(_MOST, len("\n".join(lines[:_MOST_LINES])) + 1)
    return max(text.rfind(" ", 0, most), text.rfind("\n", 0, most)) + 1 or most


#: Global in all templates.
GLOBALS: dict[str, Callable[..., Markup]] = {"value_pairs": value_pairs}
