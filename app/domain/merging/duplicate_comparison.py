"""Finds the pairs that look like duplicates of some records, by indexes of single values.

What is read grows with the records and with those that share a value with them: a value that very many records share
is no evidence, and is left after a few rows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from typing import Any

from sqlalchemy import ColumnElement, Connection, select
from sqlalchemy.orm import Session

from app.domain.customers import Customer
from app.domain.leads import Lead
from app.lib.batches import batched

#: Records that are scanned, by table.
SCANNED: dict[str, Any] = {"leads": Lead, "customer": Customer}
#: A phone number, email, PAN or Aadhaar that more records share is that of a branch, or fills a mandatory field.
MOST_SHARED = 20
#: Of the records that share a value, each is paired with this many older ones.
MOST_PARTNERS = 7
#: The most records of one birth date whose names are compared: 1 January is often entered without care.
_MOST_BORN = 200
#: The similarity, 0 to 1, from which names count as similar.
_SIMILAR = 0.84
#: Values per statement. From 200 on, MariaDB estimates their rows by averages, and may read the whole index.
_VALUES_AT_ONCE = 100
#: The most rows that one statement reads.
_ROWS_AT_ONCE = 500

_COLUMNS = (
    ("mobile", ("mobile_e164", "alternative_e164")),
    ("email", ("email",)),
    ("pan", ("pan_blind",)),
    ("aadhaar", ("aadhaar_blind",)),
)
_BIRTH = "date_of_birth"
_NAMES = ("first_name", "last_name")

#: (older id, newer id) -> reasons.
Pairs = dict[tuple[int, int], set[str]]


@dataclass
class FoundPairs:
    """The pairs of some records with any others."""

    pairs: Pairs = field(default_factory=lambda: defaultdict(set))
    #: Some of the records with a value that too many share: they may have been paired while fewer had it.
    crowded: set[int] = field(default_factory=set)


def has_birth(kind: str) -> bool:
    """Whether the records of this table have a date of birth."""
    return _BIRTH in SCANNED[kind].__table__.c


def find(session: Session, kind: str, ids: Sequence[int]) -> FoundPairs:
    """The pairs of these records with any others, and their reasons."""
    table, connection = SCANNED[kind].__table__, session.connection()
    births = (_BIRTH,) if has_birth(kind) else ()
    names = [*(name for _, columns in _COLUMNS for name in columns), *births]
    own = connection.execute(select(*(table.c[name] for name in names)).where(table.c.id.in_(ids))).mappings().all()
    compared = _Compared(connection, set(ids), FoundPairs())
    for reason, columns in _COLUMNS:
        values = {row[name] for row in own for name in columns} - {None, ""}
        compared.add_same_values(reason, [table.c[name] for name in columns], values)
    if births:
        compared.add_same_births(table, {row[_BIRTH] for row in own} - {None})
    return compared.found


@dataclass(frozen=True)
class _Compared:
    """The records that are compared with all others, and the pairs found so far."""

    connection: Connection
    ids: set[int]
    found: FoundPairs

    def add_same_values(self, reason: str, columns: Sequence[Any], values: set[Any]) -> None:
        """Add the pairs with one of these values in any of the columns."""
        together: Mapping[Any, set[int]] = defaultdict(set)
        crowded = set()
        for column in columns:
            holders = _holders(self.connection, column, values, MOST_SHARED)
            for value, rows in [*holders.rows.items(), *holders.crowded.items()]:
                together[value].update(row[0] for row in rows)
            crowded |= set(holders.crowded)
        for value, keys in together.items():
            if value in crowded or len(keys) > MOST_SHARED:
                self.found.crowded.update(sorted(keys)[: MOST_SHARED + 1])
            else:
                _add_pairs(sorted(keys), self.ids, reason, self.found.pairs)

    def add_same_births(self, table: Any, days: set[Any]) -> None:
        """Add the pairs with one of these dates of birth and similar names."""
        names = [table.c[name] for name in _NAMES]
        for rows in _holders(self.connection, table.c[_BIRTH], days, _MOST_BORN, *names).rows.values():
            people = [(key, _Name.of(" ".join(part for part in parts if part))) for key, _day, *parts in rows]
            _add_similar(people, self.ids, self.found.pairs)


# --- records that share a value


@dataclass
class _Holders:
    """The records that have certain values of a column."""

    #: A value that more records share is crowded.
    most: int
    #: Value -> the rows that have it, oldest first.
    rows: dict[Any, list[Any]] = field(default_factory=dict)
    #: Crowded value -> some of its rows.
    crowded: dict[Any, list[Any]] = field(default_factory=dict)

    def add(self, rows: Iterable[Any]) -> None:
        """Add all rows of a value, or as many as show that it is crowded."""
        by_value: dict[Any, list[Any]] = defaultdict(list)
        for row in rows:
            by_value[row[1]].append(row)
        for value, those in by_value.items():
            (self.crowded if len(those) > self.most else self.rows)[value] = those


def _holders(connection: Connection, column: ColumnElement[Any], values: set[Any], most: int, *more: Any) -> _Holders:
    """The records with these values of a column: (id, value, more columns …)."""
    table: Any = column.table
    query = select(table.c.id, column, *more).order_by(column, table.c.id)
    found = _Holders(most)
    for part in batched(sorted(values), _VALUES_AT_ONCE):
        left = set(part)
        while left:
            limit = min(_ROWS_AT_ONCE, len(left) * (most + 1))
            rows = connection.execute(query.where(column.in_(sorted(left))).limit(limit)).all()
            is_cut = len(rows) == limit
            cut_value = rows[-1][1] if is_cut else None
            if is_cut and sum(row[1] == cut_value for row in rows) <= most:
                rows = [row for row in rows if row[1] != cut_value]  # it is read again, as the first one
            found.add(rows)
            known = left & {row[1] for row in rows}
            left = left - known if is_cut and known else set()
    return found


def _add_pairs(keys: Sequence[int], wanted: set[int], reason: str, pairs: Pairs) -> None:
    for place, key in enumerate(keys):
        for older in keys[max(0, place - MOST_PARTNERS) : place]:
            if key in wanted or older in wanted:
                pairs[older, key].add(reason)


# --- similar names of one date of birth


@dataclass(frozen=True)
class _Name:
    """A name for comparison: its words in alphabetical order, and a set of its letters as bits."""

    text: str
    letters: int

    @classmethod
    def of(cls, text: str) -> _Name:
        ordered, letters = " ".join(sorted(text.casefold().split())), 0
        for letter in ordered:
            letters |= 1 << (ord(letter) % 64)
        return cls(ordered, letters)

    def may_be(self, other: _Name) -> bool:
        """Whether lengths and letters allow that they are similar: a quick answer for most pairs."""
        together = len(self.text) + len(other.text)
        most_unmatched = (1 - _SIMILAR) * together
        if abs(len(self.text) - len(other.text)) > most_unmatched:
            return False
        return (self.letters ^ other.letters).bit_count() <= most_unmatched

    def is_similar(self, other: _Name) -> bool:
        """Whether they may be the same name."""
        if self.text == other.text:
            return True
        if not self.may_be(other):
            return False
        matcher = SequenceMatcher(None, self.text, other.text, autojunk=False)
        return matcher.quick_ratio() >= _SIMILAR and matcher.ratio() >= _SIMILAR


def is_similar(one: str, other: str) -> bool:
    """Whether two names may be the same: the same words in any order, or with one or two letters mistyped."""
    return _Name.of(one).is_similar(_Name.of(other))


def _add_similar(people: Sequence[tuple[int, _Name]], wanted: set[int], pairs: Pairs) -> None:
    for place, (key, name) in enumerate(people):
        for older, other in people[:place] if name.text else ():
            if (key in wanted or older in wanted) and name.is_similar(other):
                pairs[older, key].add("birth")
