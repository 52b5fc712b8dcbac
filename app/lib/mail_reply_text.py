"""What an email that was written here says by itself: without the signature and what it quotes."""

from __future__ import annotations

import re

from app.lib import html_cleaning, mail_quoting

_SIGNATURE = re.compile(r"<div\b(?=[^<>]*\bdata-signature\b)[^<>]*>", re.IGNORECASE)
_QUOTATION = re.compile(r"<blockquote\b[^<>]*>", re.IGNORECASE)
_TAGS = {name: re.compile(rf"<(/?){name}\b[^<>]*>", re.IGNORECASE) for name in ("div", "blockquote")}


def of_html(html: str) -> str:
    """The text of an answer in HTML, as the editor sends it; "" if it is only a signature."""
    kept = _without(_SIGNATURE, "div", html)
    return html_cleaning.stripped(_without(_QUOTATION, "blockquote", kept)) or html_cleaning.stripped(kept)


def of_text(text: str) -> str:
    """The same of a plain text, where a line of two dashes begins the signature; "" if it is only a signature."""
    lines = text.split("\n")
    ends = [at for at, line in enumerate(lines) if line.rstrip() == "--"]
    return mail_quoting.separate("\n".join(lines[: ends[-1]] if ends else lines))[0]


def _without(opening: re.Pattern[str], name: str, html: str) -> str:
    """The HTML without the elements that begin with `opening`, nested ones of the same name included."""
    parts, at = [], 0
    while (begin := opening.search(html, at)) is not None:
        parts.append(html[at : begin.start()])
        at = _end(name, html, begin.start())
    return "".join([*parts, html[at:]])


def _end(name: str, html: str, start: int) -> int:
    """Where the element that begins at `start` ends; the end of the text if it is never closed."""
    depth = 0
    for tag in _TAGS[name].finditer(html, start):
        depth += -1 if tag[1] else 1
        if depth == 0:
            return tag.end()
    return len(html)
