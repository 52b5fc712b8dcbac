"""Extracts text from the HTML of the predecessor's editor, in time proportional to the length, which is limited."""

from __future__ import annotations

import re
from html import unescape

from flask_babel import gettext as _

from app.web.compat.responses import CompatError

#: Characters, including markup. Longer ones are refused before parsing.
MAX_HTML = 100_000
#: Possessive: otherwise "<aaaa…" would take quadratic time.
_TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9]*+)[^<>]*+>")
_BLOCK_TAGS = ("p", "div", "li", "tr", "h1", "h2", "h3", "blockquote")
_BLANK_LINES = re.compile(r"\n{3,}+")
#: A reference to a character beyond Unicode; Python refuses to convert a number of thousands of digits.
_HUGE_REFERENCE = re.compile(r"&#(?:[0-9]{8,}+|[xX][0-9a-fA-F]{8,}+);?")


def html_to_text(text: str) -> str:
    """The text of HTML; text without tags stays unchanged. Raises CompatError (413) if it is too long."""
    if len(text) > MAX_HTML:
        raise CompatError(413, _("This text is too long: at most %(most)s characters.", most=MAX_HTML))
    if not _TAG.search(text):
        return text.strip()
    lines = _TAG.sub(lambda tag: "\n" if tag[2] == "br" or (tag[1] and tag[2] in _BLOCK_TAGS) else "", text)
    return _BLANK_LINES.sub("\n\n", unescape(_HUGE_REFERENCE.sub("\ufffd", lines))).strip()
