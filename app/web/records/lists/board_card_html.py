"""The cards of a board as HTML, without a template, because a board has hundreds of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from flask_babel import gettext as _
from markupsafe import Markup

from app.lib.html_escape import escape
from app.web.pages.html_parts import avatar_html, avatar_stack, cell_html

Card = Mapping[str, Any]


def cards_html(cards: Iterable[Card], base: str, may_move: bool) -> Markup:
    """The <li> elements of the cards from board_page.card; `base`: the board's URL, such as "/leads/"."""
    words = escape(_("Move")) if may_move else None
    return Markup("\n".join(_card(each, base, words) for each in cards))


def _card(card: Card, base: str, move: str | None) -> str:
    """One card; `move`: the label for moving it, if the person may.

    Without JavaScript it links to a page of statuses.
    """
    title, url, key = escape(str(card["title"])), escape(card["url"]), escape(card["id"])
    link = f'<a class="card-title" href="{url}">{title}</a>'
    if move is not None:
        look = f'class="btn-bare card-move" href="{escape(base)}board/move/{key}" data-card-move'
        link += f'<a {look} title="{move}" aria-label="{move}: {title}"></a>'
    lines = "".join(map(_line, card["lines"]))
    number = f'<span class="card-number">{escape(card["number"])}</span>' if card["number"] else ""
    foot = f"{number}{''.join(map(_people, card['people']))}"
    return (
        f'<li class="card" data-card="{key}"><div class="card-top">{link}</div>{lines}'
        f'<div class="card-foot">{foot}</div></li>'
    )


def _line(line: Mapping[str, Any]) -> str:
    label = f'<span class="card-label">{escape(line["caption"])}</span>' if line["titled"] else ""
    return f'<div class="card-line">{label}{cell_html(line)}</div>'


def _people(shown: Mapping[str, Any]) -> str:
    if shown["kind"] != "person":
        return avatar_stack(shown["people"])
    head = avatar_html(shown["initials"], "small", shown.get("picture"))
    return f'{head}<span class="visually-hidden">{escape(shown["full_name"])}</span>'
