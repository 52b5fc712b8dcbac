"""Separates what a person has written in an email from what their program has quoted."""

from __future__ import annotations

import re

#: Lines examined at the beginning of an email.
MAX_LINES = 20_000
#: A longer line can't introduce a quotation.
_MAX_MARK = 400

#: "On Mon, 3 Nov 2025 at 10:00, Asha <asha@example.in> wrote:" as mail programs write it in our users' languages.
_WROTE = re.compile(
    r"^(?:.{5,300}\bwrote|.{5,300}(?:ने लिखा|यांनी लिहिले|एला लिहिलं|એ લખ્યું))\s?:$",
    re.IGNORECASE,
)
_SEPARATOR = re.compile(
    r"^(?:-{2,}\s?(?:original message|forwarded message|original appointment|reply message)\s?-{2,}"
    r"|_{20,}|begin forwarded message:)$",
    re.IGNORECASE,
)
_FROM = re.compile(r"^\*?from:\*?\s.{1,300}$", re.IGNORECASE)
_MORE_HEADERS = re.compile(r"^\*?(?:sent|date|to|subject):\*?\s", re.IGNORECASE)


def separate(text: str) -> tuple[str, str]:
    """(new text, quoted text) of a plain text; all of it is new if nothing else would be left."""
    lines = text.split("\n", MAX_LINES)
    at = _first_mark(lines)
    new, quoted = lines[:at], lines[at:]
    if not _has_words(new):  # the reply is below the quotation, or between its lines
        new, quoted = _unquoted(quoted)
    if not _has_words(new):
        return text.strip(), ""
    return "\n".join(new).strip(), "\n".join(quoted).strip()


def _first_mark(lines: list[str]) -> int:
    """Index of the line where the quotation begins; the number of lines if there is none."""
    for at, line in enumerate(lines):
        if _begins_quotation(lines, at, line.strip()):
            return at
    return len(lines)


def _begins_quotation(lines: list[str], at: int, line: str) -> bool:
    if not line or len(line) > _MAX_MARK:
        return False
    if line[0] == ">":
        return all(each.lstrip()[:1] in (">", "") for each in lines[at : at + 3])
    if _SEPARATOR.match(line) or (line[-1] == ":" and _WROTE.match(line)):
        return True
    following = lines[at + 1].strip()[:_MAX_MARK] if at + 1 < len(lines) else ""
    if following[-1:] == ":" and line[:3].lower() == "on " and _WROTE.match(f"{line} {following}"[:_MAX_MARK]):
        return True  # folded after 80 characters
    return _FROM.match(line) is not None and _MORE_HEADERS.match(following) is not None


def _unquoted(lines: list[str]) -> tuple[list[str], list[str]]:
    """(lines without >, the others) of a text that begins with a quotation."""
    if not any(line.lstrip()[:1] == ">" for line in lines):
        return [], lines
    kept = [line for line in lines if line.lstrip()[:1] != ">" and not _WROTE.match(line.strip()[:_MAX_MARK])]
    return kept, [line for line in lines if line.lstrip()[:1] == ">"]


def _has_words(lines: list[str]) -> bool:
    return any(char.isalnum() for line in lines for char in line)
