"""Word search in titles, messages and notes: full text on MariaDB; on SQLite titles have no such index."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, Select, String, and_, bindparam, column, literal, select, table
from sqlalchemy.dialects import mysql

from app.ops.database import sqlite_full_text

#: The number of newest titles that are read first. If PROBED of them match, the text is common: full text would collect
#: every such row, and reading on finds the newest ones faster.
NEWEST, PROBED = 24, 3
NEWEST_NOTES, PROBED_NOTES = 8, 2
#: From so many digits on, a text isn't common: titles are searched by their words at once.
LEAST_DIGITS = 7
#: Words of a text that notes have to contain; those beyond are only looked up in the index.
MOST_WORDS = 8
#: Characters of the shortest word in the index (innodb_ft_min_token_size), and of the longest.
SHORTEST, LONGEST = 3, 84
#: innodb_ft_default_stopword: words that are not in the index.
STOPWORDS = frozenset(
    [
        "a",
        "about",
        "an",
        "are",
        "as",
        "at",
        "be",
        "by",
        "com",
        "de",
        "en",
        "for",
        "from",
        "how",
        "i",
        "in",
        "is",
        "it",
        "la",
        "of",
        "on",
        "or",
        "that",
        "the",
        "this",
        "to",
        "was",
        "what",
        "when",
        "where",
        "who",
        "will",
        "with",
        "und",
        "www",
    ]
)


@dataclass(frozen=True, eq=False)
class TitlePart:
    """A title that has this text."""

    #: The column of the record's table to search.
    column: Any
    text: str

    @property
    def probe(self) -> tuple[int, int]:
        """How many of the newest rows are read first, and how many of them have a common text."""
        return NEWEST, PROBED

    @property
    def contains(self) -> ColumnElement[bool]:
        """The condition without an index: the text anywhere in the title."""
        found: ColumnElement[bool] = and_(*[self.column.like(each, escape="/") for each in self.patterns])
        return found

    @property
    def form(self) -> Any:
        """The condition without its text."""
        return TitlePart, self.column

    @property
    def values(self) -> tuple[str, ...]:
        """The values of the parameters of `opened`."""
        return self.patterns

    def open_values(self, name: str) -> dict[str, Any]:
        """The same by the names of the parameters, of which the first is `name`."""
        return dict(zip(self._names(name), self.patterns, strict=True))

    def opened(self, name: str, column: Any = None) -> ColumnElement[bool]:
        """`contains`, with parameters for its text; for another column, if one is given."""
        searched = self.column if column is None else column
        return and_(*[searched.like(bindparam(each, type_=String), escape="/") for each in self._names(name)])

    def _names(self, name: str) -> list[str]:
        return [name, *[f"{name}_{n}" for n in range(1, len(self.patterns))]]

    @property
    def patterns(self) -> tuple[str, ...]:
        """The LIKE patterns of `contains`, all of which have to fit."""
        return (inside(self.text),)

    @property
    def is_rare(self) -> bool:
        """Whether few titles have such a text: a number of many digits."""
        return is_rare(self.text)

    def of(self, text: str) -> TitlePart:
        """The same for another text."""
        return type(self)(self.column, text)


class WordsPart(TitlePart):
    """A text that has these words, in any order."""

    @property
    def probe(self) -> tuple[int, int]:
        """Fewer than of titles: notes are searched for every name, and few of them have it."""
        return NEWEST_NOTES, PROBED_NOTES

    @property
    def form(self) -> Any:
        """The condition without its text."""
        return WordsPart, self.column, len(self.patterns)

    @property
    def patterns(self) -> tuple[str, ...]:
        """The LIKE patterns of the first words."""
        return tuple([inside(word) for word in self.text.split()[:MOST_WORDS]])


def inside(text: str) -> str:
    """The LIKE pattern of what contains the text, with a slash before characters that are meant literally."""
    return "%" + text.replace("/", "//").replace("%", "/%").replace("_", "/_") + "%"


def is_rare(text: str) -> bool:
    """Whether few titles have the text: a number of many digits."""
    return LEAST_DIGITS <= len(text) <= LONGEST and text.isascii() and text.isdigit()


def newest_matches(row: Any, part: TitlePart, n: int, name: str) -> Select[Any]:
    """(n, id) of the newest rows that match, as many as the `probe` of the part counts.

    `row`: an alias of the record; `name`: as in `opened`.

    The titles stay out of the temporary table of the newest rows, which long texts would make a file.
    """
    has_text = part.opened(name, getattr(row, part.column.key)).label("has_text")
    newest = select(row.id.label("id"), has_text).order_by(row.id.desc()).limit(part.probe[0]).subquery()
    return select(literal(n).label("n"), newest.c.id).where(newest.c.has_text).limit(part.probe[1])


def is_probed_common(part: TitlePart, ids: set[int]) -> bool:
    """Whether so many of the newest titles match that the text counts as common."""
    return len(ids) >= part.probe[1]


def has_words(part: TitlePart, is_sqlite: bool) -> bool:
    """Whether the column has a full-text index: all on MariaDB, those of messages and notes on SQLite."""
    return not is_sqlite or part.column.table.name in sqlite_full_text.TABLES


def wanted_words(text: str, is_sqlite: bool) -> str:
    """The query for the full-text index: the words of the text, each with any ending; "" if the text has none."""
    return " ".join([f'"{word}"*' if is_sqlite else f"+{word}*" for word in searchable_words(text)])


def with_words(row: Any, adapter: Any, part: TitlePart, names: tuple[str, str], is_sqlite: bool) -> Select[Any]:
    """The ids of the rows that have the text, by the words in their titles. `row`, `adapter`: of the record's alias.

    `names`: of the parameters for `wanted_words` and for the text's patterns.
    """
    rule = (_by_words_of_sqlite if is_sqlite else _by_words)(part, bindparam(names[0], type_=String), names[1])
    return select(row.id.label("id")).where(adapter.traverse(rule))


def _by_words(part: TitlePart, wanted: Any, name: str) -> ColumnElement[bool]:
    """The text in the title, by full text: its first word may follow any character but a letter."""
    return and_(mysql.match(part.column, against=wanted).in_boolean_mode(), part.opened(name))


def _by_words_of_sqlite(part: TitlePart, wanted: Any, name: str) -> ColumnElement[bool]:
    """Like `_by_words`, on SQLite: by a table of words, titles by reading all of them."""
    contains = part.opened(name)
    if not has_words(part, is_sqlite=True):
        return contains
    words = sqlite_full_text.TABLES[part.column.table.name]
    found = table(words, column("rowid"), column(words))
    ids = select(found.c.rowid).where(found.c[words].op("MATCH")(wanted))
    return and_(part.column.table.c.id.in_(ids), contains)


@lru_cache(maxsize=32)
def searchable_words(text: str) -> tuple[str, ...]:
    """The words of a text that are in the index; an apostrophe joins words there.

    If there are none, those of at least two letters, which may be the beginnings of longer words.
    """
    spaced = "".join(char if _is_word(char) or char == "'" else " " for char in text)
    words = [word.strip("'").partition("'")[0] for word in spaced.split()]
    known = [word for word in words if SHORTEST <= len(word) <= LONGEST and word.lower() not in STOPWORDS]
    return tuple(known or [word for word in words if 1 < len(word) <= LONGEST])


def _is_word(char: str) -> bool:
    """Letters, digits and combining marks (as in Hindi and Gujarati), as MariaDB reads them."""
    return char == "_" or unicodedata.category(char)[0] in "LNM"
