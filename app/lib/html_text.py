"""The text of formatted text, as the plain half of an email: items with a dash, links with their address."""

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


#: Around what is quoted; characters that no text has, for they are not printable.
_OPENED, _CLOSED = "\x01", "\x02"


def _quoted(lines: list[str]) -> list[str]:
    """The lines, with a > before those between the marks for each quotation around them."""
    found, depth = [], 0
    for line in lines:
        depth += line.count(_OPENED) - line.count(_CLOSED)
        bare = line.replace(_OPENED, "").replace(_CLOSED, "").strip()
        if bare or not line:
            found.append(("> " * depth + bare).rstrip() if depth else bare)
    return found


class _Reader(HTMLParser):
    """Collects text, line ends and marks."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        #: Of open lists, the number of the next item; 0 = with dashes.
        self._lists: list[int] = []
        #: Of open links, their address and where their text begins.
        self._links: list[tuple[str, int]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Line ends before blocks, signs before items."""
        if tag in ("br", "hr"):
            self.parts.append("\n")
        elif tag in _BLOCKS or tag == "li":
            self._end_line()
        if tag in ("ul", "ol"):
            self._lists.append(1 if tag == "ol" else 0)
        elif tag == "li":
            self.parts.append(self._sign())
        elif tag == "blockquote":
            self.parts.append(f"{_OPENED}\n")  # a line of its own, which is left out
        elif tag == "a":
            self._links.append((dict(attrs).get("href") or "", len(self.parts)))

    def _sign(self) -> str:
        number = self._lists[-1] if self._lists else 0
        if number:
            self._lists[-1] += 1
        return f"{number}. " if number else "- "

    def handle_endtag(self, tag: str) -> None:
        """A blank line below paragraphs, the address behind a link."""
        if tag == "a" and self._links:
            address, start = self._links.pop()
            said = "".join(self.parts[start:]).strip()
            if address and address.removeprefix("mailto:").removeprefix("tel:") != said:
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
        """End the line, if it has begun."""
        if self.parts and not self.parts[-1].endswith("\n"):
            self.parts.append("\n")

    def handle_data(self, data: str) -> None:
        """Text; its own line ends are spaces."""
        said = data.replace("\n", " ").replace(_OPENED, "").replace(_CLOSED, "")
        if said.strip() or (self.parts and not self.parts[-1].endswith("\n")):
            self.parts.append(said)
