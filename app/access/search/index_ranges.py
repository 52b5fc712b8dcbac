"""Conditions of a search that keep their values apart, so that one compiled statement serves all values.

Building such a condition as an expression, and finding out its key, costs more than sending the statement.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, and_, bindparam, or_

Make = Callable[..., ColumnElement[bool]]


@dataclass(frozen=True, slots=True, eq=False)
class _Form:
    """A condition without its values."""

    make: Make
    columns: tuple[Any, ...]
    #: The table of all the columns.
    table: str


@lru_cache(maxsize=500)
def _form_of(make: Make, *columns: Any) -> _Form:
    """The form: the same object for the same function and columns."""
    (table,) = {
        str(column.class_.__tablename__ if hasattr(column, "class_") else column.table.name) for column in columns
    }
    return _Form(make, columns, table)


@dataclass(frozen=True, slots=True, eq=False)
class IndexRange:
    """A range of an index, as a condition on columns of one table."""

    form: _Form
    values: tuple[Any, ...]
    #: What its values are among the forms of the searched text (see `search_plans`), if that is known.
    names: tuple[str, ...] = ()

    @property
    def table(self) -> str:
        """The table of its columns."""
        return self.form.table

    @property
    def condition(self) -> ColumnElement[bool]:
        """The condition as an expression."""
        return self.form.make(*self.form.columns, *self.values)

    def open_values(self, name: str) -> dict[str, Any]:
        """The values of the parameters of `opened`, by name."""
        return {f"{name}_{place}": value for place, value in enumerate(self.values)}

    def opened(self, name: str) -> ColumnElement[bool]:
        """The condition with parameters in place of its values."""
        return self._with(self.open_values(name))

    def opened_by_names(self) -> ColumnElement[bool]:
        """The same with parameters that are called as the values' `names`."""
        return self._with(self.names)

    def _with(self, parameters: Iterable[str]) -> ColumnElement[bool]:
        return self.form.make(*self.form.columns, *[bindparam(each) for each in parameters])

    def of(self, forms: Mapping[str, Any]) -> IndexRange:
        """The same condition for another text, by the names of its values."""
        return IndexRange(self.form, tuple([forms[name] for name in self.names]), self.names)


def equals(column: Any, value: str, name: str = "") -> IndexRange:
    """The column has this value. `name`: what it is among the forms of the text."""
    return IndexRange(_form_of(_equals, column), (value,), (name,) if name else ())


def one_of(column: Any, values: tuple[str, ...]) -> IndexRange:
    """The column has one of these values."""
    return IndexRange(_form_of(_one_of, column), values)


def between(column: Any, first: str, after: str, *names: str) -> IndexRange:
    """The column is at least the first text, and before the other. `names`: what they are among the forms."""
    return IndexRange(_form_of(_between, column), (first, after), names)


def begins(column: Any, text: str) -> IndexRange:
    """The column begins with the text."""
    return like(column, pattern(text))


def like(column: Any, begun: str, name: str = "") -> IndexRange:
    """The column begins as the pattern of `pattern` says. `name`: what that is among the forms of the text."""
    return IndexRange(_form_of(_like, column), (begun,), (name,) if name else ())


def both_begin(one: Any, head: str, other: Any, tail: str) -> list[IndexRange]:
    """Both columns begin so, as two ranges: those where the first column is no longer than its text, and the others."""
    patterns = pattern(head), pattern(tail)
    exact = IndexRange(_form_of(_equals_and_like, one, other), (head, patterns[1]))
    return [exact, IndexRange(_form_of(_after_and_like, one, other), (head, *patterns))]


def both_begin_in_some_order(one: Any, other: Any, texts: tuple[str, str]) -> list[IndexRange]:
    """One column begins with one of the texts, the other column with the other; two ranges as in `both_begin`."""
    patterns = pattern(texts[0]), pattern(texts[1])
    exact = IndexRange(_form_of(_equals_and_like_in_some_order, one, other), (*texts, *patterns))
    return [exact, IndexRange(_form_of(_after_and_like_in_some_order, one, other), (*texts, *patterns))]


def pattern(text: str) -> str:
    """The LIKE pattern of what begins with the text."""
    escaped = text.replace("/", "//").replace("%", "/%").replace("_", "/_")
    return f"{escaped}%"


def _equals(column: Any, value: Any) -> Any:
    return column == value


def _one_of(column: Any, *values: Any) -> Any:
    return column.in_(
        [bindparam(each.key, type_=column.type) if not isinstance(each, str) else each for each in values]
    )


def _between(column: Any, first: Any, after: Any) -> Any:
    return and_(column >= first, column < after)


def _like(column: Any, pattern: Any) -> Any:
    return column.like(pattern, escape="/")


def _equals_and_like(one: Any, other: Any, value: Any, pattern: Any) -> Any:
    return and_(one == value, _like(other, pattern))


def _after_and_like(one: Any, other: Any, *texts: Any) -> Any:
    value, pattern, other_pattern = texts
    return and_(one > value, _like(one, pattern), _like(other, other_pattern))


def _equals_and_like_in_some_order(one: Any, other: Any, *texts: Any) -> Any:
    head, tail, begun, ended = texts
    return or_(_equals_and_like(one, other, head, ended), _equals_and_like(one, other, tail, begun))


def _after_and_like_in_some_order(one: Any, other: Any, *texts: Any) -> Any:
    head, tail, begun, ended = texts
    return or_(_after_and_like(one, other, head, begun, ended), _after_and_like(one, other, tail, ended, begun))
