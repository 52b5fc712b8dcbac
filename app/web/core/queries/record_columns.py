"""The columns of a record and how they are selected, with the tables that they come from."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, ColumnElement, Select, Table, select
from sqlalchemy.sql.visitors import iterate

from app import access
from app.web.core.fields.base import Field
from app.web.core.queries.list_query import ListQuery


def tables_in(parts: Any, walk: Any = iterate) -> set[str]:
    """The tables in these expressions; with `access.outer_nodes`, without those of sub-queries."""
    nodes: list[Any] = [node for part in parts for node in walk(part)]
    plain = {node.name for node in nodes if isinstance(node, Table)}
    return plain | {node.table.name for node in nodes if is_table_column(node)}


def is_table_column(node: Any) -> bool:
    """Whether an expression is the column of a table."""
    return isinstance(node, Column) and isinstance(node.table, Table)


class RecordColumns:
    """The columns of one record: `RecordTable` without what reads rows."""

    def __init__(self, record: Any, fields: list[Field], joins: tuple[tuple[Any, Any], ...] = ()):
        """`joins`: (record, on) outer joins of the fields."""
        #: Fields without columns are input only, never shown.
        self.fields, self.input_fields = [f for f in fields if f.columns], fields
        self.record, self.joins = record, joins
        self.by_name = {f.name: f for f in fields}
        #: FAB's `base_filters` of the view.
        self.base_filters: Any = None
        self.name: str = record.__tablename__
        self.columns: list[Any] = [record.id, *(column for f in self.fields for column in f.columns)]
        self._read: dict[tuple[str, ...] | None, tuple[Select[Any], list[tuple[Field, slice]]]] = {}

    def selection(self, names: tuple[str, ...] | None = None) -> tuple[Select[Any], list[tuple[Field, slice]]]:
        """The SELECT and its slices for these fields (None = all); cached, so that the statement is compiled once."""
        if names not in self._read:
            if len(self._read) > 500:
                self._read.clear()
            self._read[names] = self._make(names)
        return self._read[names]

    def _make(self, names: tuple[str, ...] | None) -> tuple[Select[Any], list[tuple[Field, slice]]]:
        chosen = self.fields if names is None else [self.by_name[name] for name in names]
        columns, slices = self.placed(chosen)
        # The same column may be used by two fields (name and first name): labels distinguish them.
        labeled = [column.label(f"c{n}") for n, column in enumerate(columns)]
        query = select(*labeled).select_from(self.record)
        for table, on in self.joins_for(columns):
            query = query.outerjoin(table, on)
        return query, slices

    def placed(self, chosen: list[Field]) -> tuple[list[Any], list[tuple[Field, slice]]]:
        """The columns to select for these fields, the id first, and the slice of each field."""
        columns: list[Any] = [self.record.id]
        slices, shared = [], dict[Any, int]()
        for each in chosen:
            start = len(columns)
            if each.shares_column:  # selected once, however many fields read it
                start = shared.setdefault(each.columns[0].key, start)
            slices.append((each, slice(start, start + len(each.columns))))
            columns.extend(each.columns if start == len(columns) else ())
        return columns, slices

    def joins_for(self, columns: list[Any]) -> list[tuple[Any, Any]]:
        """The joins whose tables the columns come from."""
        used = {column.class_ for column in columns if hasattr(column, "class_")}
        return [(table, on) for table, on in self.joins if table in used]

    def first_rows(self, rule: Any, order: list[Any], size: int, names: tuple[str, ...] | None) -> Select[Any]:
        """SELECT of the first rows that match the rule, in this order."""
        query = self.joined(self.selection(names)[0], ListQuery([rule], order, size), names)
        return query.where(rule).order_by(*order).limit(size)

    def joined(self, query: Select[Any], list_query: ListQuery, names: tuple[str, ...] | None) -> Select[Any]:
        """Join the tables that only the filters or the order need."""
        columns = self.columns if names is None else [c for name in names for c in self.by_name[name].columns]
        return self._join_missing(query, list_query, {table for table, _on in self.joins_for(columns)})

    def _join_missing(self, query: Select[Any], list_query: ListQuery, present: set[Any]) -> Select[Any]:
        wanted = tables_in((*list_query.conditions, *list_query.order), access.outer_nodes)
        for table, on in self.joins:
            if table not in present and table.__tablename__ in wanted:
                query = query.outerjoin(table, on)
        return query

    def joined_for(self, query: Select[Any], conditions: list[Any]) -> Select[Any]:
        """Join the tables that only these conditions need."""
        return self._join_missing(query, ListQuery(conditions, [], 0), set())

    def ids(self, list_query: ListQuery) -> Select[Any]:
        """SELECT of the ids of all matching rows."""
        return self._join_missing(select(self.record.id), list_query, set()).where(*list_query.conditions)

    def base_conditions(self) -> list[ColumnElement[bool]]:
        """The view's `base_filters` as SQL; computed for each request, because their values may be functions."""
        if not self.base_filters:
            return []
        interface, filters = self.base_filters
        applied = interface.get_filters().add_filter_list(filters).apply_all(select(self.record.id))
        alone = {each.name for each in applied.get_final_froms() if isinstance(each, Table)} == {
            self.record.__tablename__
        }
        if alone and applied.whereclause is None:
            return []
        return [applied.whereclause] if alone else [self.record.id.in_(applied)]
