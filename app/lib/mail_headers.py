"""Texts in the headers of outgoing emails.

Python's email package decodes what looks like an encoded word (=?utf-8?q?…?=) in a header that it is given, line ends
included, and writes the result as it is: a text that somebody typed, or sent us, could add headers.
"""

from __future__ import annotations

from email.header import Header
from email.policy import EmailPolicy

#: How an encoded word begins.
ENCODED_WORD = "=?"


def text_of_header(name: str, text: str) -> str:
    """The value to set as this header, so that its readers see exactly the text, on one line."""
    line = " ".join(text.split())
    return _Literal(name, line) if ENCODED_WORD in line else line


def file_name(name: str) -> str:
    """The name for an attached file, on one line, without what looks like an encoded word."""
    return " ".join(name.split()).replace(ENCODED_WORD, "=_")


class _Literal(str):
    """A header's value that the email package takes and writes as it is, because it has `name` and `fold`."""

    name: str

    def __new__(cls, name: str, text: str) -> _Literal:
        made = super().__new__(cls, text)
        made.name = name
        return made

    def fold(self, *, policy: EmailPolicy) -> str:
        """The header's lines: the whole text as encoded words, whose content nobody decodes again."""
        encoded = Header(str(self), "utf-8", header_name=self.name).encode(linesep=policy.linesep)
        return f"{self.name}: {encoded}{policy.linesep}"
