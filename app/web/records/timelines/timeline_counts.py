"""The numbers of entries in the tabs of a timeline, by one statement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from sqlalchemy import func, select

from app import access
from app.extensions import db
from app.web.core.queries.prepared_queries import ids_of_any
from app.web.records.timelines.timeline_filters import Records
from app.web.records.timelines.timeline_tab import Tab

#: The highest count.
MAX_COUNTED = 100


def counts_of(tabs: Mapping[str, Tab], records: Records, seen: str | None = None) -> dict[str, str]:
    """The number of entries in each tab, as text: “7”, “99+”; none for an empty one. One statement.

    `seen`: see TimelineLocation.
    """
    counted = {name: tab for name, tab in tabs.items() if tab.counted is not None}
    if not counted:
        return {}
    counts = _counted_before(counted, records[0][0], seen) if len(records) == 1 else None
    if counts is None:
        counts = _Counts.of(counted, records)
    open_values = counts.open_values | dict.fromkeys(counts.ids, records[0][1])
    (row,) = access.answer(db.session(), counts.question, open_values)
    return {name: _shown_count(n) for name, n in zip(counted, row, strict=True) if n}


@dataclass(frozen=True)
class _Counts:
    """The statement of the counts of these tabs."""

    question: access.CachedStatement
    open_values: dict[str, Any]
    #: Names of the parameters for the id of the only record.
    ids: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, tabs: Mapping[str, Tab], records: Records, seen: str | None = None, id_is: int | None = None
    ) -> _Counts:
        """The statement; `id_is`: the value that identifies the parameters for the id of the record."""
        rules = [_alternatives(tab, records) for tab in tabs.values()]
        shape = access.shape_of([each for alternatives in rules for each in alternatives])
        tables = frozenset(model.__tablename__ for tab in tabs.values() for model in tab.tables)

        def make() -> Any:
            opened = iter(shape.opened([each for alternatives in rules for each in alternatives]))
            some = [
                _some(tab.rows, list(islice(opened, len(each)))) for tab, each in zip(tabs.values(), rules, strict=True)
            ]
            return select(*[select(func.count()).select_from(each).scalar_subquery() for each in some])

        lengths = tuple(map(len, rules))
        key = None if shape.key is None else ("timeline counts", tuple(tabs), seen, lengths, shape.key)
        ids = tuple(name for name, value in shape.open_values.items() if value == id_is)
        return cls(access.CachedStatement(key, make, tables, seen), shape.open_values, ids)


def _alternatives(tab: Tab, records: Records) -> list[Any]:
    """The conditions for what a tab counts, of which rows match at least one."""
    counted: Any = tab.counted
    return counted.alternatives(records) if hasattr(counted, "alternatives") else [counted(records)]


def _some(rows: Any, alternatives: Sequence[Any]) -> Any:
    """A subquery of the first rows that match one of these conditions, each looked up by its own index."""
    if len(alternatives) == 1:
        return rows.where(alternatives[0]).limit(MAX_COUNTED).subquery()
    ids = ids_of_any(rows, alternatives, (), MAX_COUNTED)
    return select(ids.c.id).limit(MAX_COUNTED).subquery()


#: An id that no record has and no condition contains.
_ANY_ID = 2**31 - 1
_known_counts: dict[Any, _Counts] = {}


def _counted_before(tabs: Mapping[str, Tab], kind: str, seen: str | None) -> _Counts | None:
    """The statement for one record of this kind, built once; None if a tab finds its rows differently."""
    conditions = tuple(tab.counted for tab in tabs.values())
    if not all(hasattr(each, "is_by_id") for each in conditions):
        return None
    key = ("timeline counts", kind, seen, conditions)
    if key not in _known_counts:
        made = _Counts.of(tabs, ((kind, _ANY_ID),), seen, _ANY_ID)
        if made.question.key is None:
            return None
        _known_counts[key] = replace(made, question=replace(made.question, key=key))
    return _known_counts[key]


def _shown_count(n: int) -> str:
    return f"{MAX_COUNTED - 1}+" if n >= MAX_COUNTED else str(n)
