"""Labels and values beside a record as HTML, without a template, because a record's page has dozens of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from flask_babel import gettext as _
from markupsafe import Markup

from app.lib.html_escape import escape
from app.web.pages.widgets import Cell, behind_show_all, cell_html, icon

#: Characters and lines of a text that are shown before it is opened.
_MOST, _MOST_LINES = 500, 8
#: A text is divided only if it has this many characters, or three lines, more.
_LEAST_REST = 150


def value_pairs(fields: Iterable[Mapping[str, Any]], edit_url: str | None) -> Markup:
    """The label and value of each field {name, label, cell, help, is_editable}, with links to edit and reveal it.

    `edit_url`: the record's form; None for people who may not change it. The pencil is drawn by record_panel.css.
    """
    edit, reveal = escape(_("Edit")), escape(_("Reveal"))
    made = []
    for each in fields:
        name, label, shown = escape(each["name"]), escape(each["label"]), each["cell"]
        is_editable = bool(each["is_editable"] and edit_url)
        tools = ""
        if is_editable:
            href = f"{escape(edit_url)}#f-{name}"
            tools = f'<a class="btn-bare inline-edit" href="{href}" aria-label="{edit}: {label}"></a>'
        if shown and shown.get("reveal_url"):
            href = escape(shown["reveal_url"])
            tools += (
                f'<a class="btn-bare btn-tiny" href="{href}" data-reveal title="{reveal}" '
                f'aria-label="{reveal}: {label}">{icon("eye")}</a>'
            )
        hint = f'<span title="{escape(each["help"])}">{icon("info-circle")}</span>' if each["help"] else ""
        made.append(
            f'<div data-pair="{name}"{" data-inline" if is_editable else ""}><dt>{label}{hint}</dt>'
            f'<dd><span class="inline-value">{_value(shown)}</span>{tools}</dd></div>'
        )
    return Markup("".join(made))


def _value(shown: Cell) -> str:
    """The value; of a long text its beginning, with the rest behind *Show all*."""
    text = str(shown.get("text") or "") if shown and shown.get("kind") in ("text", "textarea") else ""
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
