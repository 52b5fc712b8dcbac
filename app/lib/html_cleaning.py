"""HTML that strangers have written, made safe to show: no scripts, no styles, no forms, no remote pictures.

The work is done by nh3 (Mozilla's ammonia over a browser-grade parser). It needs time quadratic in the depth and in
the open formatting tags of a document, so one that is deeper or longer than any real mail is reduced to its text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import escape, unescape

import nh3

#: Longer, deeper or busier documents are reduced to their text. A newsletter has up to 200,000 characters, 4,000 tags
#: and a depth of 100; each answer to an answer adds a few levels.
MAX_CHARS, MAX_TAGS, MAX_DEPTH, MAX_AMPERSANDS = 400_000, 10_000, 500, 20_000
#: Closing tags that close another element than the innermost one, as in <b><i></b>: what parsers repair dearly.
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
#: Their content is no text for readers.
_WITHOUT_CONTENT = frozenset({"script", "style", "title", "template", "noscript", "iframe", "object", "svg", "math"})
_CLEANER = nh3.Cleaner(
    tags=set(_TAGS),
    clean_content_tags=set(_WITHOUT_CONTENT),
    attributes=_ATTRIBUTES,
    url_schemes={"http", "https", "mailto", "tel", "cid"},
    # A relative address would lead to a page of ours.
    url_relative="deny",
    link_rel="noopener noreferrer nofollow",
    set_tag_attribute_values={"a": {"target": "_blank"}},
    strip_comments=True,
)
_VOID = frozenset({"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "wbr"})
#: Browsers close them when the next one begins.
_SELF_CLOSING = frozenset({"p", "li", "td", "th", "tr", "dt", "dd", "option", "tbody", "thead", "tfoot"})
_TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9:]{0,20})")
#: In cleaned HTML, where quotes in values are escaped, a picture and the one attribute that names its source.
_PICTURE = re.compile(r'<img((?: [a-z]+="[^"]*")*?) src="((?:https?|cid):[^"]*)"')
_BLOCKED = re.compile(r'<img((?: [a-z]+="[^"]*")*?) data-remote="(https?:[^"]*)"')
_ANY_TAG = re.compile(r"<[^<>]*>")
_SILENT = re.compile(r"<(script|style|title|head)\b[^<]*(?:<(?!/\1\b)[^<]*)*(?:</\1[^<>]*>|$)", re.IGNORECASE)
_BREAK = re.compile(r"<(?:br|hr|/p|/div|/tr|/li|/h[1-6]|/blockquote|/table|/ul|/ol)\b[^<>]*>", re.IGNORECASE)
_BLANK_LINES = re.compile(r"\n{3,}")


@dataclass(frozen=True)
class CleanHtml:
    """HTML that may stand inside a page."""

    html: str
    #: Whether it names pictures on other servers, which tell their owner who reads, when and where.
    has_remote_pictures: bool = False
    #: Whether it was too long or too deep, and only its text is left.
    is_reduced: bool = False


def clean(html: str) -> CleanHtml:
    """What may be shown of an HTML document. Pictures of other servers stand as `data-remote`, those in the same mail
    (`cid:`) as `data-cid`; neither is loaded by a browser."""
    if is_excessive(html):
        text = stripped(html[: 4 * MAX_CHARS])[:MAX_CHARS]
        return CleanHtml(escape(text).replace("\n", "<br>\n"), is_reduced=True)
    blocked = _PICTURE.sub(_block, _CLEANER.clean(html))
    return CleanHtml(blocked, has_remote_pictures=_BLOCKED.search(blocked) is not None)


def with_remote_pictures(cleaned: str) -> str:
    """Cleaned HTML with its remote pictures, for a reader who has asked for them."""
    return _BLOCKED.sub(r'<img\1 src="\2" referrerpolicy="no-referrer" loading="lazy"', cleaned)


def plain_text(cleaned: str) -> str:
    """The text of cleaned HTML, with a line for each paragraph."""
    return stripped(cleaned)


def stripped(html: str) -> str:
    """The text of any HTML, in linear time; not exact, and never to be used as HTML again."""
    text = _BREAK.sub("\n", _SILENT.sub("", html).replace("\r", "").replace("\n", " "))
    text = unescape(_ANY_TAG.sub("", text)).replace("\xa0", " ")
    kept = "\n".join(" ".join(line.split()) for line in text.split("\n"))
    return _BLANK_LINES.sub("\n\n", kept).strip()


def is_excessive(html: str) -> bool:
    """Whether cleaning would take too long: judged in linear time by length, tags, depth and disorder."""
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
