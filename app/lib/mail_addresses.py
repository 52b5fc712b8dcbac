"""Email addresses: their form, and those in headers, parsed in linear time."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from app.lib.mime_parts import decoded_words

#: Addresses read from one header.
MAX_ADDRESSES = 200
_IDS = re.compile(r"<([^<>\s]{3,250})>")
#: Indian scripts need them; other invisible characters are removed.
_JOINERS = "\u200c\u200d"
_COMMENT = re.compile(r"\(([^()]*)\)")


@dataclass(frozen=True)
class Address:
    """A person at an address."""

    #: In lower case.
    address: str
    #: As they write it; "" if there is none.
    name: str = ""


def is_email(text: str) -> bool:
    """Whether it has the form of an email address, name@example.com, as mail servers accept it."""
    name, _at, domain = text.rpartition("@")
    labels = domain.split(".")
    is_name = 0 < len(name) <= 64 and ".." not in f".{name}." and not any(map(_is_foreign, name))
    is_domain = len(labels) > 1 and all(map(_is_label, labels)) and not labels[-1].isdecimal()
    return len(text) <= 254 and is_name and is_domain


def _is_foreign(char: str) -> bool:
    """Whether the character can't occur in an address, or would end it."""
    return char.isspace() or not char.isprintable() or char in '@,;:<>()[]"\\'


def _is_label(text: str) -> bool:
    """Whether it is a valid label of a domain name, in any script."""
    letters = (char.isalnum() or char == "-" or unicodedata.category(char).startswith("M") for char in text)
    return 0 < len(text) <= 63 and all(letters) and text[0] != "-" != text[-1]


def read_addresses(value: str) -> tuple[Address, ...]:
    """The valid addresses of a header such as To, whose encoded words are not yet decoded."""
    return tuple(each for each in map(_address, _entries(value)) if each is not None)


def message_ids(value: str, limit: int = 100) -> tuple[str, ...]:
    """The message ids in a header, without angle brackets; of more than `limit`, the first and the last ones."""
    found = list(dict.fromkeys(_IDS.findall(value)))
    return tuple(found if len(found) <= limit else found[: limit // 2] + found[-limit // 2 :])


def _entries(value: str) -> list[str]:
    """The value split at commas and semicolons outside quotes and angle brackets."""
    entries, begin, is_quoted, is_bracketed = [], 0, False, False
    for at, char in enumerate(value):
        if char == '"' and value[at - 1 : at] != "\\":
            is_quoted = not is_quoted
        elif not is_quoted and char in "<>":
            is_bracketed = char == "<"
        elif char in ",;" and not is_quoted and not is_bracketed:
            entries.append(value[begin:at])
            begin = at + 1
            if len(entries) >= MAX_ADDRESSES:
                return entries
    return [*entries, value[begin:]]


def _address(entry: str) -> Address | None:
    bare = _COMMENT.sub("", _unquoted(entry))
    _before, bracket, rest = bare.rpartition("<")
    before = entry.rpartition("<")[0]
    written = rest.partition(">")[0] if bracket else bare
    address = written.strip().lower()
    if not bracket and ":" in address:  # a group: "team: asha@example.in"
        address = address.rpartition(":")[2].strip()
    comments = _COMMENT.findall(entry)
    name = before if bracket else (comments[0] if comments else "")
    name = decoded_words(name.strip().strip('"').replace('\\"', '"'))
    return Address(address, plain(name)[:200]) if is_email(address) else None


def _unquoted(entry: str) -> str:
    """The entry without what stands in quotation marks: an address there is part of a name, as for mail servers."""
    kept, is_quoted, is_escaped = [], False, False
    for char in entry:
        if is_quoted and not is_escaped and char == "\\":
            is_escaped = True
            continue
        if char == '"' and not is_escaped:
            is_quoted = not is_quoted
        elif not is_quoted:
            kept.append(char)
        is_escaped = False
    return entry if is_quoted else "".join(kept)


def plain(text: str) -> str:
    """Text on one line, without characters that can't be stored or that change the writing direction."""
    kept = "".join(char for char in text if char.isprintable() or char in _JOINERS)
    return " ".join(kept.split())
