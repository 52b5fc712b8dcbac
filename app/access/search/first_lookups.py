"""The first statement of a search by index: each part of it once, and the rows that have it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from sqlalchemy import Select, literal, select, union_all
from sqlalchemy.orm import Session

from app.access.compiled_statements import CachedStatement, StatementShape, answer_without_rules, identity_of, shape_of
from app.access.paging.index_branches import alias_of
from app.access.search.index_ranges import IndexRange
from app.access.search.search_conditions import IndexLookup
from app.access.search.word_search import TitlePart, is_probed_common, newest_matches, wanted_words, with_words
from app.access.system_session import as_system

_NONE: set[int] = set()  # never changed


class FirstLookup:
    """Each part once, with its table, and the rows that have it."""

    def __init__(self, maximum: int, enough: int | None) -> None:
        self.most, self.enough = maximum, enough
        self.parts: list[tuple[Any, Any]] = []
        self.ids: dict[int, set[int]] = {}
        #: (record, what tells the part apart) -> its number, and id of each part -> the same.
        self._known: dict[Any, int] = {}
        self._places: dict[int, int] = {}
        #: Whether all parts are taken to be common, without asking.
        self.are_common = False

    def number(self, lookups: Sequence[IndexLookup]) -> None:
        """Number the parts of these look-ups."""
        for each in lookups:
            for record, parts in each.by_owner:
                for part in parts:
                    self._place(record, part)

    def take(self, parts: Sequence[Any], places: Sequence[int]) -> None:
        """Number parts as those of an equal search are numbered."""
        self._places |= {id(part): place for part, place in zip(parts, places, strict=True)}

    def ask(self, session: Session, lookups: Sequence[IndexLookup]) -> None:
        """Look up all parts at once."""
        self.number(lookups)
        if not self.parts:
            return
        shape = shape_of(self._others)
        key = None if shape.key is None else ("first look", self.most, tuple(map(_kind_of, self.parts)), shape.key)
        question = CachedStatement(key, partial(self._statement, session, shape))
        self.ids = ids_by_number(session, question, shape.open_values | self._open_values(session))

    def _open_values(self, session: Session) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for n, (_record, part) in enumerate(self.parts):
            if isinstance(part, TitlePart):
                found |= part.open_values(f"title_{n}")
                found |= {f"words_{n}": wanted_words(part.text, is_sqlite(session))} if part.is_rare else {}
            elif isinstance(part, IndexRange):
                found |= part.open_values(f"part_{n}")
        return found

    @property
    def _others(self) -> list[Any]:
        """The parts that are expressions."""
        return [part for _, part in self.parts if not isinstance(part, TitlePart | IndexRange)]

    def _statement(self, session: Session, shape: StatementShape) -> Any:
        others = iter(shape.opened(self._others))
        branches = []
        for n, (record, part) in enumerate(self.parts):
            if isinstance(part, TitlePart):
                branches.append(title_branch(n, record, part, self.most, (f"words_{n}", f"title_{n}"), session))
            else:
                is_range = isinstance(part, IndexRange)
                branches.append(branch(n, record, part.opened(f"part_{n}") if is_range else next(others), self.most))
        return together(session, branches)

    def found_all(self, parts: list[Any]) -> dict[int, set[int] | None]:
        """id of each part -> the rows that match it, of the record or its customer; None if there are too many."""
        if self.are_common:
            return {id(part): None for part in parts}
        found: dict[int, set[int] | None] = {}
        for part in parts:
            ids = self.ids.get(self._places[id(part)], _NONE)
            found[id(part)] = self._few(part, ids) if ids else ids
        return found

    def _few(self, part: Any, ids: set[int]) -> set[int] | None:
        if isinstance(part, TitlePart) and not part.is_rare:
            return None if is_probed_common(part, ids) else _NONE
        return None if len(ids) > self.most else ids

    def place(self, part: Any) -> int:
        """The number of a part that was asked for."""
        return self._places[id(part)]

    def _place(self, record: Any, part: Any) -> None:
        """Number a part; the same part may be asked for several records."""
        if id(part) in self._places:
            return
        same: Any = (part.form, part.values, part.names) if type(part) is IndexRange else None
        if same is None and not isinstance(part, TitlePart):
            same = identity_of(part)
        same = id(part) if same is None else same
        place = self._known.get((record, same))
        if place is None:
            place = self._known[record, same] = len(self.parts)
            self.parts.append((record, part))
        self._places[id(part)] = place


def _kind_of(numbered: tuple[Any, Any]) -> tuple[Any, ...]:
    record, part = numbered
    if type(part) is IndexRange:
        return record, part.form, len(part.values)
    return (record, part.form, part.is_rare) if isinstance(part, TitlePart) else (record,)


# --- statements


def ids_by_number(session: Session, question: CachedStatement, values: Mapping[str, Any]) -> dict[int, set[int]]:
    """Number of a part -> the ids of the rows that have it, of a statement of (number, id)."""
    ids: dict[int, set[int]] = {}
    with as_system(session):  # ids only: they are shown to nobody
        for n, found in answer_without_rules(session, question, dict(values)):
            if n in ids:
                ids[n].add(found)
            else:
                ids[n] = {found}
    return ids


def branch(n: int, record: Any, rule: Any, most: int) -> Select[Any]:
    """(n, id) of the rows that fit the rule, one more than `most` at most."""
    row, adapter = alias_of(record)
    return select(literal(n).label("n"), row.id.label("id")).where(adapter.traverse(rule)).limit(most + 1)


def title_branch(
    n: int, record: Any, part: TitlePart, most: int, names: tuple[str, str], session: Session
) -> Select[Any]:
    """(n, id) of the newest rows with the text, which tell whether it is common; if it is rare, of all rows with it.

    `names`: of the parameters, as in `with_words`.
    """
    row, adapter = alias_of(record)
    if not part.is_rare:
        return newest_matches(row, part, n, names[1])
    found = with_words(row, adapter, part, names, is_sqlite(session))
    return found.with_only_columns(literal(n).label("n"), *found.selected_columns).limit(most + 1)


def together(session: Session, branches: list[Select[Any]]) -> Any:
    """UNION ALL of the branches.

    SQLite needs each limited branch in a SELECT of its own; MariaDB would materialize that.
    """
    if not is_sqlite(session):
        return branches[0] if len(branches) == 1 else union_all(*branches)
    return union_all(*[select(*each.subquery().c) for each in branches])


def is_sqlite(session: Session) -> bool:
    """Whether the database is SQLite."""
    return session.get_bind().dialect.name == "sqlite"
