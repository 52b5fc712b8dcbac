"""Names that are one typing mistake away from what was typed: a letter wrong, missing, too many, or two in turn.

Only asked when nothing was found. The names come from all leads and customers, and are not shown: they are searched for
in place of what was typed, by the same rules of access.

Names are read by ranges of an index: those with the first or second letter that was typed, and those that go on as
typed behind a letter that is taken for the first one.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from typing import Any

from sqlalchemy import bindparam, or_, select, union_all
from sqlalchemy.orm import Session

from app import access
from app.domain.search_columns import rest_column
from app.models import Customer, Lead

#: Shorter words have too many neighbours.
LEAST_LETTERS = 4
MOST_WORDS = 3
#: Up to so many beginnings are listed as they are, as one word has; more are filled up to a multiple of it, so that few
#: statements have to be compiled. Each one that is filled up costs the database as much as a real one.
LENGTH_STEP = 8
#: Distinct names that are read of each column.
MAX_NAMES = 6000
#: Letters that are taken for each other: they sound alike, or lie side by side on a keyboard.
ALIKE = (
    *("bvpwf", "ckqg", "sczx", "jzg", "iey", "oua", "td", "mn", "rl"),
    *("qw", "we", "er", "rt", "ty", "yu", "ui", "io", "op", "as", "sd", "df", "fg", "gh", "hj", "jk", "kl"),
    *("zx", "xc", "cv", "vb", "bn", "nm"),
    *("अआ", "इई", "उऊ", "एऐ", "ओऔ", "कखगघ", "चछजझसशष", "टठडढण", "तथदधन", "टत", "डद", "णन", "पफबभमव", "यरलळव"),
    *("અઆ", "ઇઈ", "ઉઊ", "એઐ", "ઓઔ", "કખગઘ", "ચછજઝસશષ", "ટઠડઢણ", "તથદધન", "ટત", "ડદ", "ણન", "પફબભમવ", "યરલળવ"),
)


def corrected(session: Session, text: str) -> str:
    """The text with names in place of words that nobody is called by; "" if there are none, or it isn't a name."""
    words = text.casefold().split()
    if not words or len(words) > MOST_WORDS or not all(_is_word(each) for each in words):
        return ""
    long = [each for each in words if len(each) >= LEAST_LETTERS]
    known = _names(session, long) if long else set()
    nearest = {each: _nearest(each, known) for each in long}
    found = [nearest.get(each) or each for each in words]
    return " ".join(found) if found != words and all(nearest.values()) else ""


def is_near(typed: str, name: str) -> bool:
    """Whether the name, or its beginning, becomes what was typed by at most one mistake."""
    same = next((at for at, (one, other) in enumerate(zip(typed, name, strict=False)) if one != other), None)
    at = min(len(typed), len(name)) if same is None else same
    rest, own = typed[at:], name[at:]
    return (
        own.startswith(rest)
        or own[1:].startswith(rest[1:])
        or own[1:].startswith(rest)
        or own.startswith(rest[1:])
        or (rest[:2] == own[1::-1] and len(rest) > 1 and own[2:].startswith(rest[2:]))
    )


def _is_word(text: str) -> bool:
    """Letters and the marks that go with them, of any script."""
    return all(unicodedata.category(char)[0] in "LM" for char in text)


def _names(session: Session, words: Iterable[str]) -> set[str]:
    """First and second words of names that may be one of these words with a mistake."""
    words = list(words)
    letters = sorted({letter for word in words for letter in word[:2]})
    others = sorted({begun for word in words for begun in _with_other_first_letter(word)})
    others += others[-1:] * (-len(others) % LENGTH_STEP if len(others) > LENGTH_STEP else 0)
    groups = {"letter": letters, "other": others}
    patterns = {f"{name}_{n}": f"{text}%" for name, texts in groups.items() for n, text in enumerate(texts)}
    lengths = {name: len(texts) for name, texts in groups.items() if texts}
    question = access.CachedStatement(("near names", *lengths.items()), lambda: _statement(session, lengths))
    with access.as_system(session):
        rows = access.answer_without_rules(session, question, patterns)
    return {name.casefold().split()[0] for (name,) in rows if name and name.strip()}


def _statement(session: Session, lengths: dict[str, int]) -> Any:
    """SELECT of the names that begin with one of the parameters, of each column its share."""
    named = [column for record in (Lead, Customer) for column in (record.first_name, record.last_name)]
    columns = [each for column in named for each in (column, rest_column(column))]
    parameters: list[Any] = [bindparam(f"{name}_{n}") for name, length in lengths.items() for n in range(length)]
    searches = [
        select(column.label("name")).where(or_(*map(column.like, parameters))).distinct().limit(MAX_NAMES)
        for column in columns
    ]
    if session.get_bind().dialect.name == "sqlite":  # it takes no limited SELECT as part of a UNION
        searches = [select(each.subquery().c.name) for each in searches]
    return union_all(*searches)


def _with_other_first_letter(word: str) -> list[str]:
    """The word with each letter that is taken for its first one in place of it."""
    letters = {letter for group in ALIKE if word[0] in group for letter in group} - {word[0]}
    return [letter + word[1:] for letter in sorted(letters)]


def _nearest(word: str, names: set[str]) -> str:
    """The name that is called so, else the one that is most like it; "" if there is none."""
    if any(name.startswith(word) for name in names):
        return word
    near = [name for name in names if is_near(word, name)]
    # Few people mistype the first letter.
    return min(near, key=lambda name: (name[0] != word[0], abs(len(name) - len(word)), name)) if near else ""
