"""Labels and values beside a record as HTML, without a template, because a record's page has dozens of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from flask_babel import gettext as _
from markupsafe import Markup

from app.lib.html_escape import escape
from app.web.pages.widgets import cell_html, icon


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
            f'<dd><span class="inline-value">{cell_html(shown)}</span>{tools}</dd></div>'
        )
    return Markup("".join(made))


#: Global in all templates.
GLOBALS: dict[str, Callable[..., Markup]] = {"value_pairs": value_pairs}
