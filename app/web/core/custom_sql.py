"""SQL: the value of a custom field from the JSON of the record's row, on both databases."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Date, Numeric, String, literal_column
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

_TYPES: dict[str, Any] = {"number": Numeric(20, 4, asdecimal=False), "date": Date()}


class json_text(FunctionElement[Any]):
    """The value at a path, as text."""

    inherit_cache = True
    type = String()


class json_number(FunctionElement[Any]):
    """The value at a path, as a number."""

    inherit_cache = True
    type = _TYPES["number"]


class json_date(FunctionElement[Any]):
    """The value at a path, as a day."""

    inherit_cache = True
    type = _TYPES["date"]


def custom_value(column: Any, name: str, kind: str) -> Any:
    """The value of the field of this name, which has only small letters, digits and _."""
    path = literal_column(f"'$.{name}'")
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
