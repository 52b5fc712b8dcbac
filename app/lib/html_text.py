"""Converts formatted text to plain text for emails: list items with a dash, links with their address."""

from __future__ import annotations

import re
from html.parser import HTMLParser

_BLOCKS = frozenset({"p", "div", "ul", "ol", "blockquote", "table", "tr", "pre", "h1", "h2", "h3", "h4", "h5", "h6"})
_BLANK_LINES = re.compile(r"\n{3,}")


def text_of(cleaned: str) -> str:
    """The text of HTML that `html_cleaning` has cleaned."""
    reader = _Reader()
    reader.feed(cleaned)
    reader.close()
    lines = [" ".join(line.split()) for line in "".join(reader.parts).split("\n")]
    return _BLANK_LINES.sub("\n\n", "\n".join(_quoted(lines))).strip()


#: Delimiters of quoted text; no text contains them, because they aren't printable.
_OPENED, _CLOSED = "\x01", "\x02"


def _quoted(lines: list[str]) -> list[str]:
    """The lines, with one > for each quotation around them."""
    found, depth = [], 0
    for line in lines:
        depth += line.count(_OPENED) - line.count(_CLOSED)
        bare = line.replace(_OPENED, "").replace(_CLOSED, "").strip()
        if bare or not line:
            found.append(("> " * depth + bare).rstrip() if depth else bare)
    return found


class _Reader(HTMLParser):
    """Collects text, line breaks and markers."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        #: For each open list, the number of the next item; 0 = bulleted.
        self._lists: list[int] = []
        #: For each open link, its address and where its text begins.
        self._links: list[tuple[str, int]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Add line breaks before blocks and markers before items."""
        if tag in ("br", "hr"):
            self.parts.append("\n")
        elif tag in _BLOCKS or tag == "li":
            self._end_line()
        if tag in ("ul", "ol"):
            self._lists.append(1 if tag == "ol" else 0)
        elif tag == "li":
            self.parts.append(self._sign())
        elif tag == "blockquote":
            self.parts.append(f"{_OPENED}\n")  # a line of its own, left out later
        elif tag == "a":
            self._links.append((dict(attrs).get("href") or "", len(self.parts)))

    def _sign(self) -> str:
        number = self._lists[-1] if self._lists else 0
        if number:
            self._lists[-1] += 1
        return f"{number}. " if number else "- "

    def handle_endtag(self, tag: str) -> None:
        """Add a blank line after paragraphs and the address after a link."""
        if tag == "a" and self._links:
            address, start = self._links.pop()
            label = "".join(self.parts[start:]).strip()
            if address and address.removeprefix("mailto:").removeprefix("tel:") != label:
                self.parts.append(f" ({address})")
        elif tag == "blockquote":
            self._end_line()
            self.parts.append(f"{_CLOSED}\n")
        elif tag in _BLOCKS or tag == "li":
            self._end_line()
            if tag in ("ul", "ol"):
                self._lists[-1:] = []
            if tag in ("ul", "ol", "p"):
                self.parts.append("\n")

    def _end_line(self) -> None:
        """End the line, unless it is empty."""
        if self.parts and not self.parts[-1].endswith("\n"):
            self.parts.append("\n")

    def handle_data(self, data: str) -> None:
        """Add text; its own line breaks become spaces."""
        text = data.replace("\n", " ").replace(_OPENED, "").replace(_CLOSED, "")
        if text.strip() or (self.parts and not self.parts[-1].endswith("\n")):
            self.parts.append(text)
