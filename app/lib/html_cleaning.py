"""Sanitises HTML from strangers: no scripts, no styles, no forms, no remote pictures.

nh3 does the work (Mozilla's ammonia over a browser-grade parser). It needs time quadratic in the depth and in the open
formatting tags of a document, so one that is deeper or longer than any real email is reduced to its text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import escape, unescape

import nh3

#: Longer, deeper or busier documents are reduced to their text. A newsletter has up to 200,000 characters, 4,000 tags
#: and a depth of 100; each reply to a reply adds a few levels.
MAX_CHARS, MAX_TAGS, MAX_DEPTH, MAX_AMPERSANDS = 400_000, 10_000, 500, 20_000
#: Closing tags that don't close the innermost element, as in <b><i></b>: expensive for parsers to repair.
MAX_CROSSINGS = 200

_TAGS = frozenset(
    {
        *("a", "abbr", "b", "blockquote", "br", "center", "code", "dd", "del", "div", "dl", "dt", "em", "h1", "h2"),
        *("h3", "h4", "h5", "h6", "hr", "i", "img", "ins", "li", "ol", "p", "pre", "q", "s", "small", "span"),
        *("strike", "strong", "sub", "sup", "table", "tbody", "td", "tfoot", "th", "thead", "tr", "u", "ul"),
    }
)
_ATTRIBUTES = {
    "a": {"href"},
    "img": {"src", "alt", "width", "height"},
    "td": {"colspan", "rowspan", "align", "valign"},
    "th": {"colspan", "rowspan", "align", "valign"},
    "ol": {"start"},
    "*": {"dir", "lang", "title"},
}
#: Elements whose content isn't text for readers.
_WITHOUT_CONTENT = frozenset({"script", "style", "title", "template", "noscript", "iframe", "object", "svg", "math"})
_CLEANER = nh3.Cleaner(
    tags=set(_TAGS),
    clean_content_tags=set(_WITHOUT_CONTENT),
    attributes=_ATTRIBUTES,
    url_schemes={"http", "https", "mailto", "tel", "cid"},
    # A relative address would lead to one of our own pages.
    url_relative="deny",
    link_rel="noopener noreferrer nofollow",
    set_tag_attribute_values={"a": {"target": "_blank"}},
    strip_comments=True,
)
_VOID = frozenset({"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "wbr"})
#: Elements that browsers close when the next one begins.
_SELF_CLOSING = frozenset({"p", "li", "td", "th", "tr", "dt", "dd", "option", "tbody", "thead", "tfoot"})
_TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9:]{0,20})")
#: In cleaned HTML, where quotes in values are escaped: a picture, and the one attribute that names its source.
_PICTURE = re.compile(r'<img((?: [a-z]+="[^"]*")*?) src="((?:https?|cid):[^"]*)"')
_BLOCKED = re.compile(r'<img((?: [a-z]+="[^"]*")*?) data-remote="(https?:[^"]*)"')
_ANY_TAG = re.compile(r"<[^<>]*>")
_SILENT = re.compile(r"<(script|style|title|head)\b[^<]*(?:<(?!/\1\b)[^<]*)*(?:</\1[^<>]*>|$)", re.IGNORECASE)
_BREAK = re.compile(r"<(?:br|hr|/p|/div|/tr|/li|/h[1-6]|/blockquote|/table|/ul|/ol)\b[^<>]*>", re.IGNORECASE)
_BLANK_LINES = re.compile(r"\n{3,}")


@dataclass(frozen=True)
class CleanHtml:
    """HTML that is safe to insert into a page."""

    html: str
    #: Whether it has pictures on other servers, which tell their owner who reads, when and where.
    has_remote_pictures: bool = False
    #: Whether it was too long or too deep, and was reduced to its text.
    is_reduced: bool = False


def clean(html: str) -> CleanHtml:
    """Sanitise an HTML document.

    Pictures on other servers become `data-remote`, those in the same email (`cid:`) `data-cid`; browsers load neither.
    """
    if is_excessive(html):
        text = stripped(html[: 4 * MAX_CHARS])[:MAX_CHARS]
        return CleanHtml(escape(text).replace("\n", "<br>\n"), is_reduced=True)
    blocked = _PICTURE.sub(_block, _CLEANER.clean(html))
    return CleanHtml(blocked, has_remote_pictures=_BLOCKED.search(blocked) is not None)


def with_remote_pictures(cleaned: str) -> str:
    """Cleaned HTML with its remote pictures, for a reader who has asked for them."""
    return _BLOCKED.sub(r'<img\1 src="\2" referrerpolicy="no-referrer" loading="lazy"', cleaned)


def plain_text(cleaned: str) -> str:
    """The text of cleaned HTML, one line per paragraph."""
    return stripped(cleaned)


def stripped(html: str) -> str:
    """The text of any HTML, in linear time. Not exact; never use it as HTML again."""
    text = _BREAK.sub("\n", _SILENT.sub("", html).replace("\r", "").replace("\n", " "))
    text = unescape(_ANY_TAG.sub("", text)).replace("\xa0", " ")
    kept = "\n".join(" ".join(line.split()) for line in text.split("\n"))
    return _BLANK_LINES.sub("\n\n", kept).strip()


def is_excessive(html: str) -> bool:
    """Whether cleaning would take too long, judged in linear time by length, tags, depth and crossed tags."""
    if len(html) > MAX_CHARS or html.count("&") > MAX_AMPERSANDS or html.count("<") > 4 * MAX_TAGS:
        return True
    opened: list[str] = []
    crossings = 0
    tags = _TAG.findall(html)
    for closing, written in tags[: MAX_TAGS + 1]:
        name = written.lower()
        if name in _VOID or name in _SELF_CLOSING:
            continue
        if not closing:
            opened.append(name)
        elif opened and opened[-1] == name:
            opened.pop()
        else:
            crossings += 1
        if crossings > MAX_CROSSINGS or len(opened) > MAX_DEPTH:
            return True
    return len(tags) > MAX_TAGS


def _block(found: re.Match[str]) -> str:
    kept, address = found.groups()
    if address.startswith("cid:"):
        return f'<img{kept} data-cid="{address.removeprefix("cid:")}"'
    return f'<img{kept} data-remote="{address}"'
