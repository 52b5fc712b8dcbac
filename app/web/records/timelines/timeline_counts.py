"""The numbers of entries in the tabs of a timeline, by one statement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from sqlalchemy import func, select, union

from app import access
from app.extensions import db
from app.models import Activity
from app.web.core.queries.prepared_queries import ids_of_any
from app.web.records.timelines.timeline_filters import Records
from app.web.records.timelines.timeline_tab import Tab

#: The highest count.
MAX_COUNTED = 100
#: Of each record, so many entries of the timeline are looked through for those of a tab: of kinds that it has few of,
#: all would be read. If there are more, a count has a plus.
MAX_LOOKED_THROUGH = 500


def counts_of(tabs: Mapping[str, Tab], records: Records, seen: str | None = None) -> dict[str, str]:
    """The number of entries in each tab, as text: “7”, “99+”, “12+”; none for an empty one. One statement.

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
    numbers, is_cut = row[: len(counted)], any(row[len(counted) :])
    return {
        name: _shown_count(n, is_cut and bool(tab.among))
        for (name, tab), n in zip(counted.items(), numbers, strict=True)
        if n
    }


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
            parts = [(tab, list(islice(opened, len(each)))) for tab, each in zip(tabs.values(), rules, strict=True)]
            counts = [select(func.count()).select_from(_some(*part)).scalar_subquery() for part in parts]
            entries = next((alternatives for tab, alternatives in parts if tab.among), [])
            return select(*counts, *map(_has_more, entries))

        lengths = tuple(map(len, rules))
        key = None if shape.key is None else ("timeline counts", tuple(tabs), seen, lengths, shape.key)
        ids = tuple(name for name, value in shape.open_values.items() if value == id_is)
        return cls(access.CachedStatement(key, make, tables, seen), shape.open_values, ids)


def _alternatives(tab: Tab, records: Records) -> list[Any]:
    """The conditions for what a tab counts, of which rows match at least one."""
    counted: Any = tab.counted
    return counted.alternatives(records) if hasattr(counted, "alternatives") else [counted(records)]


def _some(tab: Tab, alternatives: Sequence[Any]) -> Any:
    """A subquery of the first rows that match one of these conditions, each looked up by its own index."""
    if tab.among:
        return _some_entries(tab, alternatives)
    if len(alternatives) == 1:
        return tab.rows.where(alternatives[0]).limit(MAX_COUNTED).subquery()
    ids = ids_of_any(tab.rows, alternatives, (), MAX_COUNTED)
    return select(ids.c.id).limit(MAX_COUNTED).subquery()


def _some_entries(tab: Tab, alternatives: Sequence[Any]) -> Any:
    """The same of entries of some kinds, among the first ones of the record by each of its columns."""
    looked_through = [tab.rows.where(each).limit(MAX_LOOKED_THROUGH).subquery() for each in alternatives]
    parts = [select(each.c.id).where(each.c.kind.in_(tab.among)) for each in looked_through]
    ids = (union(*parts) if len(parts) > 1 else parts[0]).subquery()
    return select(ids.c.id).limit(MAX_COUNTED).subquery()


def _has_more(alternative: Any) -> Any:
    """Whether there are more entries than are looked through; null = no."""
    return select(Activity.id).where(alternative).limit(1).offset(MAX_LOOKED_THROUGH).scalar_subquery()


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


def _shown_count(n: int, is_cut: bool) -> str:
    return f"{MAX_COUNTED - 1}+" if n >= MAX_COUNTED else f"{n}+" if is_cut else str(n)
