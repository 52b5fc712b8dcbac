"""Records that are also found by what is found of another record, as complaints are by their tickets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from app import access
from app.web.core.queries.search_input import TypedText
from app.web.core.view_registry import registered
from app.web.core.viewer import Viewer


@dataclass(frozen=True)
class LinkedHits:
    """The other record, and what finds the ids of rows by its look-up and the text, so many at most.

    The ids are shown to nobody: the statement that fetches the rows carries the access rules.
    """

    other: Any
    ids: Callable[[Session, access.IndexLookup, TypedText, int], set[int]]


def with_others(record_table: Any, viewer: Viewer) -> tuple[Any, ...]:
    """The table, and that of the record by which its rows are also found, if the person may read it."""
    linked = record_table.linked_hits
    screen = None if linked is None else registered("screens").get(linked.other)
    if screen is None or not viewer.person.may(screen.module, "read"):
        return (record_table,)
    return record_table, screen.record_table


def add(
    session: Session, record_tables: Sequence[Any], lookups: Sequence[access.IndexLookup], text: TypedText, most: int
) -> None:
    """Add these rows to the look-ups of the tables, unless there are too many rows already."""
    by_record = {each.record: each for each in lookups}
    for table, lookup in zip(record_tables, lookups, strict=False):
        other = by_record.get(table.linked_hits.other) if table.linked_hits is not None else None
        if other is not None and lookup.ids is not None:
            lookup.ids = lookup.ids | table.linked_hits.ids(session, other, text, most)
