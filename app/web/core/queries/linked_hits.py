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
    """The other record, how rows are found by its hits, and how where it has too many of them to list.

    The ids are shown to nobody: the statement that fetches the rows carries the access rules.
    """

    other: Any
    #: For a text: the rows of the other record's hits, and those that the text itself finds in other tables.
    rows: Callable[[TypedText], access.LinkedRows]
    #: (session, the other record's condition, most) -> ids of the newest rows.
    newest: Callable[[Session, Any, int], set[int]]


def with_others(record_table: Any, viewer: Viewer) -> tuple[Any, ...]:
    """The table, and that of the record by which its rows are also found, if the person may read it."""
    linked = record_table.linked_hits
    screen = None if linked is None else registered("screens").get(linked.other)
    if screen is None or not viewer.person.may(screen.module, "read"):
        return (record_table,)
    return record_table, screen.record_table


def rows_of(record_tables: Sequence[Any], text: TypedText) -> list[access.LinkedRows]:
    """What is looked up with the records of these tables."""
    return [each.linked_hits.rows(text) for each in record_tables if each.linked_hits is not None and text.text]


def add_common(
    session: Session, record_tables: Sequence[Any], lookups: Sequence[access.IndexLookup], most: int
) -> None:
    """Add rows to the look-ups of the tables where the other record has too many hits to list."""
    by_record = {each.record: each for each in lookups}
    for table, lookup in zip(record_tables, lookups, strict=False):
        other = by_record.get(table.linked_hits.other) if table.linked_hits is not None else None
        if other is not None and other.ids is None and lookup.ids is not None:
            lookup.ids = lookup.ids | table.linked_hits.newest(session, other.rule(), most)
