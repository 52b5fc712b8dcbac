"""Statements that are built and compiled once under a person's access rules, and then sent again as finished text.

Building and compiling a SELECT costs more than half of the CPU of a list. A finished statement is kept with the Person
from whose rights it was made, with the access rules in its text, and is never looked for anywhere else. A person is
loaded anew as soon as anything about access changes (ADR 0002), and begins without statements: there is no way from
a statement of former rights, or of somebody else, to an answer (ADR 0044).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import Column, Dialect, Integer, Select, SelectBase, bindparam
from sqlalchemy.orm import Session
from sqlalchemy.sql.elements import BinaryExpression, BindParameter
from sqlalchemy.sql.visitors import iterate, replacement_traverse

from app.access.person import Person
from app.access.session_filter import under_rules
from app.access.system_session import acting
from app.ops import quick_statements

#: Statements of one person; the texts are shared by everybody who has the same.
MAX_STATEMENTS = 100
#: Values that tell statements apart by how they are written.
_COMPARABLE = (str, bytes, bool, int, float, date, datetime, type(None))

Make = Callable[[], Any]
Convert = Callable[[Any], Any]


@dataclass(frozen=True)
class Finished:
    """The text of a statement with its values; `late`: parameters that get theirs when it is sent."""

    text: str
    #: Name -> value, as the driver takes it.
    values: dict[str, Any]
    #: The order of the names where the driver wants positions, else None.
    order: tuple[str, ...] | None
    #: Names of `late` parameters -> what makes the driver's value of theirs.
    late: dict[str, Convert | None]
    #: (column, what makes its Python value); none for columns that are taken as they come.
    converters: tuple[tuple[int, Convert], ...]

    def send(self, session: Session, late: dict[str, Any]) -> tuple[list[tuple[Any, ...]], int]:
        """(rows as plain tuples, how many warnings the database gave)."""
        if session.autoflush:
            session.flush()
        values: Any = self.values
        if late:
            values = values | {name: _applied(self.late[name], value) for name, value in late.items()}
        if self.order is not None:
            values = tuple(values[name] for name in self.order)
        sent = quick_statements.send(session, self.text, values)
        return self._converted([*sent.rows]), sent.warnings

    def _converted(self, rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        if not self.converters:
            return rows
        made = []
        for row in rows:
            values = list(row)
            for place, convert in self.converters:
                values[place] = convert(values[place])
            made.append(tuple(values))
        return made


def _applied(convert: Convert | None, value: Any) -> Any:
    return value if convert is None else convert(value)


def finish(statement: Any, dialect: Dialect, late: dict[str, Any]) -> Finished:
    """Compile the statement for good; the parameters named in `late` stay open."""
    compiled: Any = statement.compile(dialect=dialect)
    expanded = compiled.construct_expanded_state(late)
    processors = {
        name: parameter.type.dialect_impl(dialect).bind_processor(dialect)
        for parameter, name in compiled.bind_names.items()
    } | expanded.processors
    return Finished(
        text=sys.intern(expanded.statement),
        values={name: _applied(processors.get(name), value) for name, value in expanded.parameters.items()},
        order=tuple(expanded.positiontup) if expanded.positiontup is not None else None,
        late={name: processors.get(name) for name in late},
        converters=_converters(tuple(each.type for each in getattr(statement, "selected_columns", ())), dialect),
    )


def _converters(types: tuple[Any, ...], dialect: Dialect) -> tuple[tuple[int, Convert], ...]:
    found = [(place, each.dialect_impl(dialect).result_processor(dialect, None)) for place, each in enumerate(types)]
    return tuple((place, convert) for place, convert in found if convert is not None)


@dataclass(frozen=True)
class Question:
    """A statement that may have been finished before."""

    #: What tells it apart from all others of the person; None = it can't be told apart, and is made each time.
    key: Hashable
    #: Makes the statement; called only if need be.
    make: Make
    #: The tables with access rules in it. None: `make` has put the person's rules in itself.
    tables: frozenset[str] | None = None


def answer(session: Session, question: Question, late: dict[str, Any]) -> list[tuple[Any, ...]]:
    """The rows of the question under the rules of the person for whom the session acts."""
    person = acting(session)
    found = None if person is None else _finished(session, person, question, late)
    if found is not None:
        return found.send(session, late)[0]
    options = {} if question.tables is None else {"guarded_tables": question.tables}
    return [tuple(row) for row in session.execute(question.make(), late, execution_options=options)]


def answer_for(
    session: Session, person: Person, question: Question, late: dict[str, Any]
) -> tuple[list[tuple[Any, ...]], int]:
    """(rows, warnings of the database) of a question that holds the rules of this person itself."""
    found = _finished(session, person, question, late)
    if found is not None:
        return found.send(session, late)
    if session.autoflush:
        session.flush()
    # Below the session, for the number of warnings.
    result = session.connection().execute(question.make(), late)
    rows = [tuple(row) for row in result]
    return rows, int(getattr(result.context.cursor, "warning_count", 0))


def _finished(session: Session, person: Person, question: Question, late: dict[str, Any]) -> Finished | None:
    """The finished statement; made when the question comes for the second time, for many come only once."""
    if question.key is None:
        return None
    dialect = session.get_bind().dialect
    key = (dialect.name, question.key)
    if key not in person.finished:
        if len(person.finished) >= MAX_STATEMENTS:
            person.finished.clear()
        person.finished[key] = None
        return None
    found: Finished | None = person.finished[key]
    if found is None:
        statement = question.make()
        if question.tables is not None:
            statement = under_rules(person, statement, question.tables)
        found = person.finished[key] = finish(statement, dialect, late)
    return found


def change(session: Session, question: Question, late: dict[str, Any]) -> None:
    """Send an UPDATE of a bare table, into which `question.make` has put the person's rules."""
    person = acting(session)
    found = None if person is None else _finished(session, person, question, late)
    if found is not None:
        found.send(session, late)
    else:
        session.execute(question.make(), late)


#: (dialect, statement) -> finished; of a few statements that are the same for everybody.
_common: dict[tuple[str, Select[Any]], Finished] = {}


def answer_as_system(session: Session, statement: Select[Any], values: dict[str, Any]) -> list[tuple[Any, ...]]:
    """The rows of a statement without access rules, such as who signs in; `statement` is a constant of its module."""
    dialect = session.get_bind().dialect
    key = (dialect.name, statement)
    if key not in _common:
        _common[key] = finish(statement, dialect, values)
    return _common[key].send(session, values)[0]


#: (dialect, question) -> finished; of questions without access rules whose answers are shown to nobody.
_unruled: dict[Hashable, Finished] = {}


def answer_unruled(session: Session, question: Question, late: dict[str, Any]) -> list[tuple[Any, ...]]:
    """The rows of a question that names no rules, such as a look-up of ids; finished for everybody."""
    if question.key is None:
        return [tuple(row) for row in session.execute(question.make(), late)]
    dialect = session.get_bind().dialect
    key = (dialect.name, question.key)
    if key not in _unruled:
        if len(_unruled) >= MAX_STATEMENTS:
            _unruled.clear()
        _unruled[key] = finish(question.make(), dialect, late)
    return _unruled[key].send(session, late)[0]


def listed(values: Sequence[int], name: str | None = None) -> list[Any]:
    """The values as parameters of an IN, filled up with the last one: lists of similar length are one question.

    With a `name` the parameters are name_0, name_1 …
    """
    size = 1 << (len(values) - 1).bit_length()
    full = [*values, *[values[-1]] * (size - len(values))]
    return [
        bindparam(None if name is None else f"{name}_{place}", key, type_=Integer, unique=name is None)
        for place, key in enumerate(full)
    ]


# --- what tells questions apart


@dataclass(frozen=True)
class Shape:
    """What tells conditions apart but for their values, which are parameters."""

    #: None = they can't be told apart.
    key: Hashable
    #: Name -> value of each parameter.
    late: dict[str, Any]
    #: id of a value's parameter in the conditions -> its name.
    _names: dict[int, str]

    def opened(self, conditions: list[Any]) -> list[Any]:
        """The conditions with named parameters in place of their values."""
        if not self._names:
            return conditions
        return [replacement_traverse(each, {}, self._replace) for each in conditions]

    def _replace(self, element: Any, **_options: Any) -> Any:
        name = self._names.get(id(element))
        return None if name is None else bindparam(name, element.value, type_=element.type)


_NO_CONDITIONS = Shape((), {}, {})


def shape_of(conditions: Sequence[Any]) -> Shape:
    """The shape of these conditions. Values that are part of the text, such as lists, count as part of the shape."""
    if not conditions:
        return _NO_CONDITIONS
    keys = [each._generate_cache_key() for each in conditions]
    if any(key is None for key in keys):
        return Shape(None, {}, {})
    has_query = any(_has_query(each) for each in conditions)
    late: dict[str, Any] = {}
    names: dict[int, str] = {}
    fixed: list[Any] = []
    for parameter in (each for key in keys for each in key.bindparams):
        value = parameter.effective_value
        if not _is_comparable(value):
            return Shape(None, {}, {})
        if has_query or parameter.expanding or parameter.callable or value is None:
            fixed.append(value)
        elif id(parameter) not in names:
            names[id(parameter)] = name = f"value_{len(names)}"
            late[name] = value
    return Shape((tuple(key.key for key in keys), tuple(names.values()), repr(fixed)), late, names)


def key_of(*expressions: Any) -> Hashable:
    """What tells these expressions apart, values included; None if they can't be."""
    shape = shape_of(expressions)
    return None if shape.key is None else (shape.key, repr(shape.late))


def _has_query(condition: Any) -> bool:
    """Whether there is a SELECT in a condition; most are a column and a value."""
    if isinstance(condition, BinaryExpression) and isinstance(condition.right, BindParameter):
        return not isinstance(condition.left, Column) and _has_query(condition.left)
    return any(isinstance(node, SelectBase) for node in iterate(condition))


def identity_of(condition: Any) -> Hashable:
    """What tells a condition apart, its values included; None if it can't be."""
    key = condition._generate_cache_key()
    if key is None:
        return None
    values = [parameter.effective_value for parameter in key.bindparams]
    return (key.key, repr(values)) if _is_comparable(values) else None


def _is_comparable(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(_is_comparable(each) for each in value)
    return type(value) in _COMPARABLE
