"""Renders a guide of docs/ as HTML: headings with ids, links and pictures with the product's own addresses."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from markdown_it import MarkdownIt
from markdown_it.token import Token

#: The address of a link or picture -> the one on the page; None if it has no target there.
Places = Callable[[str], "str | None"]


class Guide(NamedTuple):
    """A guide as a page shows it."""

    title: str
    html: str
    #: (id, title) of each chapter.
    chapters: list[tuple[str, str]]


def guide(text: str, places: Places) -> Guide:
    """Render the guide as HTML. Its title is the first heading, which is left out. HTML in the text is escaped."""
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = parser.parse(text)
    title, chapters, shown = "", [], list[Token]()
    for place, token in enumerate(tokens):
        if token.type == "heading_open":
            words = _plain(tokens[place + 1])
            token.attrSet("id", slug(words))
            chapters += [(slug(words), words)] if token.tag == "h2" else []
            title = title or words
        if token.type == "th_open":
            token.attrSet("scope", "col")
        if token.children:
            token.children = _placed(token.children, places)
        shown.append(token)
    if shown and shown[0].tag == "h1":
        del shown[:3]
    return Guide(title, parser.renderer.render(shown, parser.options, {}), chapters)


def slug(words: str) -> str:
    """The id of a heading, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")


def _plain(inline: Token) -> str:
    return "".join(each.content for each in inline.children or ())


def _placed(tokens: list[Token], places: Places) -> list[Token]:
    """Replace the addresses of links and pictures; a link without a target becomes plain text."""
    shown: list[Token] = []
    is_link: list[bool] = []
    for token in tokens:
        keeps = True
        if token.type == "link_open":
            keeps = _moves(token, "href", places)
            is_link.append(keeps)
        elif token.type == "link_close":
            keeps = is_link.pop()
        elif token.type == "image":
            keeps = _moves(token, "src", places)
            token.attrSet("loading", "lazy")
        if keeps:
            shown.append(token)
    return shown


def _moves(token: Token, name: str, places: Places) -> bool:
    """Give the token its address on the page; False if it has none there."""
    place = places(str(token.attrGet(name) or ""))
    token.attrSet(name, place or "")
    return place is not None
