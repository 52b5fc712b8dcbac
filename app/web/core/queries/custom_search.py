"""Searches in the values of custom fields: texts and URLs by their beginning, numbers as a whole.

The values of all records are looked up in one statement, in the index of each field. A value shared by more records
than are looked up is common: it is then compared row by row, by the primary key of the values.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, literal, select, union_all

from app import access
from app.access.search.search_conditions import ALONE
from app.domain import custom_sql
from app.domain.custom_fields import FieldDefinition, mask_name
from app.domain.custom_values import CustomValue
from app.extensions import db
from app.lib import number_parsing
from app.ops.statements.sqlalchemy_internals import annotate
from app.web.core.fields.filter_operators import begins
from app.web.core.viewer import Viewer

_VALUES: Any = CustomValue.__table__


def rules(record: Any, text: str, viewer: Viewer, maximum: int) -> list[Any]:
    """Alternative conditions that find a row of this record by a custom field that the viewer sees in full."""
    fields = list(_searched(viewer, record.__tablename__))
    if not fields:
        return []
    found = _looked_up(text, viewer, maximum)
    ids = {key for each in fields for key in found.get(each.id, ()) or ()}
    common = [_by_itself(record, each, text) for each in fields if found.get(each.id, ()) is None]
    return ([record.id.in_(sorted(ids))] if ids else []) + common


def _searched(viewer: Viewer, *tables: str) -> Iterator[FieldDefinition]:
    for each in viewer.lookups.custom.fields:
        is_seen = not each.is_restricted or viewer.person.mask(mask_name(each.id)) == "full"
        if is_seen and not each.is_removed and each.kind in _CONDITIONS and (not tables or each.table in tables):
            yield each


def _looked_up(text: str, viewer: Viewer, maximum: int) -> dict[int, list[int] | None]:
    """Id of a field -> ids of the records with a matching value; None if there are too many. Cached for the request."""
    key = (text, maximum)
    if key not in viewer.searched:
        branches = [_branch(each, text, maximum) for each in _searched(viewer)]
        found: dict[int, list[int] | None] = {}
        if statements := [each for each in branches if each is not None]:
            with access.as_system(db.session()) as session:  # ids only: the list's own rule decides which are visible
                for field_id, record_id in session.execute(_together(statements)):
                    found.setdefault(field_id, []).append(record_id)  # type: ignore[union-attr]
        viewer.searched[key] = {field_id: ids if len(ids or ()) <= maximum else None for field_id, ids in found.items()}
    return viewer.searched[key]


def _together(statements: Sequence[Select[Any]]) -> Any:
    """The statements as one. SQLite needs each limited branch in a SELECT of its own."""
    return union_all(*[select(*each.subquery().c) for each in statements])


def _branch(each: FieldDefinition, text: str, maximum: int) -> Select[Any] | None:
    condition = _CONDITIONS[each.kind](each, text)
    if condition is None:
        return None
    found = select(_VALUES.c.field_id, _VALUES.c.record_id).where(_VALUES.c.field_id == each.id, condition)
    return found.limit(maximum + 1)


def _by_itself(record: Any, each: FieldDefinition, text: str) -> ColumnElement[bool]:
    """Whether a row has the value, found by its primary key."""
    one = select(literal(1)).where(*custom_sql.join_rules(record, each.id), _CONDITIONS[each.kind](each, text))
    found = one.correlate(record.__table__).scalar_subquery() == 1
    return annotate(found, {ALONE: record.__tablename__})


# --- matching


def _text(each: FieldDefinition, text: str) -> Any:
    return begins(custom_sql.value_column(each.kind), text)


def _link(each: FieldDefinition, text: str) -> Any:
    column, bare = custom_sql.value_column(each.kind), text.lower()
    if "://" in bare:
        return begins(column, text)
    if "." not in bare:
        return None
    return begins(column, f"https://{text}")


def _number(each: FieldDefinition, text: str) -> Any:
    try:
        value = number_parsing.read(text)
    except ValueError:
        return None
    return custom_sql.value_column(each.kind) == value


_CONDITIONS: dict[str, Any] = {"text": _text, "link": _link, "number": _number}
