"""SQL of custom fields: conditions on the table of values, and the value from the JSON in the record's row.

The table of values is used as a bare table without an access rule of its own: each of these expressions is part of a
statement on the record, whose rule decides (see app/access/row_rules.py).
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Date, Numeric, String, literal_column, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from app.domain.custom_values import COLUMNS, CustomValue

_VALUES: Any = CustomValue.__table__
_TYPES: dict[str, Any] = {"number": Numeric(20, 4, asdecimal=False), "date": Date()}


def value_column(kind: str) -> Any:
    """The column of the table that has the values of this kind."""
    return _VALUES.c[COLUMNS[kind]]


def has_value(record: Any, field_id: int, *rules: Any) -> ColumnElement[bool]:
    """SQL: whether the record has a value of this field that matches the conditions."""
    found = select(_VALUES.c.record_id).where(_VALUES.c.field_id == field_id, *rules)
    is_one: ColumnElement[bool] = record.id.in_(found)
    return is_one


def join_rules(record: Any, field_id: int) -> tuple[Any, Any]:
    """The conditions to join the record with its value of this field."""
    return _VALUES.c.field_id == field_id, _VALUES.c.record_id == record.id


def value_lookup(record: Any, field_id: int, kind: str) -> Any:
    """The value in the table, found by its primary key; NULL if there is none."""
    found = select(value_column(kind)).where(*join_rules(record, field_id))
    return found.correlate(record.__table__).scalar_subquery()


class json_text(FunctionElement[Any]):
    """The value at a path, as text."""

    inherit_cache = True
    type = String()


class json_number(FunctionElement[Any]):
    """The value at a path, as a number."""

    inherit_cache = True
    type = _TYPES["number"]


class json_date(FunctionElement[Any]):
    """The value at a path, as a date."""

    inherit_cache = True
    type = _TYPES["date"]


def custom_value(column: Any, name: str, kind: str) -> Any:
    """The value of the field with this name, which consists of lower-case letters, digits and _."""
    path: Any = literal_column(f"'$.{name}'")
    return {"number": json_number, "date": json_date}.get(kind, json_text)(column, path)


@compiles(json_text)
def _text(element: Any, compiler: Any, **kw: Any) -> str:
    return f"JSON_VALUE({compiler.process(element.clauses, **kw)})"


@compiles(json_number)
def _number(element: Any, compiler: Any, **kw: Any) -> str:
    return f"CAST({_text(element, compiler, **kw)} AS DECIMAL(20, 4))"


@compiles(json_date)
def _date(element: Any, compiler: Any, **kw: Any) -> str:
    return f"CAST({_text(element, compiler, **kw)} AS DATE)"


@compiles(json_text, "sqlite")
@compiles(json_number, "sqlite")
@compiles(json_date, "sqlite")
def _of_sqlite(element: Any, compiler: Any, **kw: Any) -> str:
    return f"json_extract({compiler.process(element.clauses, **kw)})"
