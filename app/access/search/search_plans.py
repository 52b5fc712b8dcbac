"""Searches that are taken apart once for all texts of a kind (ADR 0124).

Which columns are searched, and how, follows from the kind of a text (a word, a number of ten digits) and from the masks
of the person. Only the values differ: the text itself, its capitals, its pattern for LIKE. Each such form has a name,
which is also that of its parameter in the statement.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from app.access.compiled_statements import CachedStatement, StatementName, name_of
from app.access.search.first_lookups import FirstLookup, branch, ids_by_number, title_branch, together
from app.access.search.index_ranges import IndexRange
from app.access.search.search_conditions import IndexLookup
from app.access.search.word_search import TitlePart

#: The names of the forms that titles need: the text, its pattern and its words for the full-text index.
TEXT, INSIDE, WORDS = "text", "inside", "words"


@dataclass(frozen=True)
class PlannedLookup:
    """One record with the parts of its search, whose values are those of another text."""

    record: Any
    parts: tuple[Any, ...]
    #: The number of each part in the first statement.
    places: tuple[int, ...]
    #: The same without order, and those of them on the record's own table.
    numbers: frozenset[int]
    own: frozenset[int]
    #: Whether titles are searched by their words in the second statement.
    has_titles: bool

    def begun(self, look: FirstLookup, values: Mapping[str, Any]) -> IndexLookup:
        """The look-up for this text; without parts, and with its ids, if the first statement has found all of them."""
        found = self.numbers.intersection(look.ids)
        is_all = not self.has_titles and found <= self.own
        if is_all and all(len(look.ids[number]) <= look.most for number in found):
            return IndexLookup(self.record, [], set().union(*[look.ids[number] for number in found]))
        parts = [each.of(values if type(each) is IndexRange else values[TEXT]) for each in self.parts]
        look.take(parts, self.places)
        return IndexLookup(self.record, parts)


@dataclass(frozen=True)
class SearchPlan:
    """A search of several records, for all texts of a kind."""

    most: int
    lookups: tuple[PlannedLookup, ...]
    #: The names of the forms that it needs.
    names: tuple[str, ...]
    #: Each part once, with its record.
    parts: tuple[tuple[Any, Any], ...]
    name: StatementName

    def ask(self, session: Session, values: Mapping[str, Any]) -> dict[int, set[int]]:
        """Number of a part -> the ids of the rows that have it. `values`: by the names of the forms."""
        if not self.parts:
            return {}
        question = CachedStatement(self.name, lambda: self._statement(session))
        return ids_by_number(session, question, {name: values[name] for name in self.names if name != TEXT})

    def _statement(self, session: Session) -> Any:
        return together(
            session,
            [
                title_branch(n, record, part, self.most, (WORDS, INSIDE), session)
                if isinstance(part, TitlePart)
                else branch(n, record, part.opened_by_names(), self.most)
                for n, (record, part) in enumerate(self.parts)
            ],
        )


def plan_of(lookups: Sequence[IndexLookup], most: int) -> SearchPlan | None:
    """The plan of these look-ups for other texts of the same kind; None if the values of some parts have no names."""
    if not all(_is_named(part) for each in lookups for part in each.parts):
        return None
    if not all(each.can_be_looked_up for each in lookups):
        return None
    look = FirstLookup(most, None)
    look.number(lookups)
    planned = tuple(_planned(each, look) for each in lookups)
    key = ("planned look", most, tuple(_key_of(*each) for each in look.parts))
    names = {name for _record, part in look.parts for name in _names_of(part)}
    return SearchPlan(most, planned, tuple(sorted(names | {TEXT})), tuple(look.parts), name_of(key))


def _planned(lookup: IndexLookup, look: FirstLookup) -> PlannedLookup:
    places = tuple(look.place(part) for part in lookup.parts)
    has_titles = any(isinstance(part, TitlePart) and not part.is_rare for part in lookup.parts)
    own = frozenset(look.place(part) for part in lookup.own)
    return PlannedLookup(lookup.record, tuple(lookup.parts), places, frozenset(places), own, has_titles)


def _is_named(part: Any) -> bool:
    return isinstance(part, TitlePart) or (isinstance(part, IndexRange) and len(part.names) == len(part.values))


def _names_of(part: Any) -> tuple[str, ...]:
    if isinstance(part, TitlePart):
        return (INSIDE, WORDS) if part.is_rare else (INSIDE,)
    found: tuple[str, ...] = part.names
    return found


def _key_of(record: Any, part: Any) -> tuple[Any, ...]:
    return record, part.form, _names_of(part)
