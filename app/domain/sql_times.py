"""Arithmetic with times in SQL, the same on MariaDB and SQLite."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Integer
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement


class epoch_seconds(FunctionElement[int]):
    """Whole seconds of a UTC time column since 1970."""

    type = Integer()
    inherit_cache = True


class seconds_between(FunctionElement[int]):
    """Whole seconds from the first moment to the second."""

    type = Integer()
    inherit_cache = True


# MariaDB's unix_timestamp() would read the column in the time zone of the connection.
@compiles(epoch_seconds)
def _epoch(element: Any, compiler: Any, **kw: Any) -> str:
    return f"TIMESTAMPDIFF(SECOND, '1970-01-01', {compiler.process(element.clauses, **kw)})"


@compiles(epoch_seconds, "sqlite")
def _epoch_sqlite(element: Any, compiler: Any, **kw: Any) -> str:
    seconds = f"(julianday({compiler.process(element.clauses, **kw)}) - 2440587.5) * 86400"
    return f"CAST(round({seconds}, 3) AS INTEGER)"


@compiles(seconds_between)
def _between(element: Any, compiler: Any, **kw: Any) -> str:
    first, second = (compiler.process(each, **kw) for each in element.clauses)
    return f"TIMESTAMPDIFF(SECOND, {first}, {second})"


@compiles(seconds_between, "sqlite")
def _between_sqlite(element: Any, compiler: Any, **kw: Any) -> str:
    first, second = (compiler.process(each, **kw) for each in element.clauses)
    seconds = f"(julianday({second}) - julianday({first})) * 86400"
    return f"CAST(round({seconds}, 3) AS INTEGER)"
