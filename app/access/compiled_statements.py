"""Statements that are built and compiled once under a person's access rules, and then sent again as they are.

Building and compiling a SELECT costs more than half of the CPU of a list. A compiled statement is kept with the Person
from whose rights it was made, with the access rules in its text, and is never looked for anywhere else. A person is
loaded anew as soon as anything about access changes (ADR 0002), and begins without statements: there is no way from
a statement of former rights, or of somebody else, to an answer (ADR 0044).

Each person's statements are made from their own rights. Only if the text comes out the same as somebody else's do both
keep one copy of it; the values are each person's own (ADR 0096).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from weakref import WeakValueDictionary

from sqlalchemy import Column, Dialect, Integer, Select, SelectBase, bindparam
from sqlalchemy.orm import Session
from sqlalchemy.sql.elements import BinaryExpression, BindParameter
from sqlalchemy.sql.visitors import iterate, replacement_traverse

from app.access.person import Person
from app.access.session_filter import under_rules
from app.access.system_session import acting
from app.lib.lru_cache import LruCache
from app.ops import fast_statements
from app.ops.sqlalchemy_internals import cache_key_of, compile_with_values, type_key_of

#: Statements without access rules, which are compiled once for everybody.
MAX_UNRULED = 100
#: Values that tell statements apart by how they are written.
_COMPARABLE = (str, bytes, bool, int, float, date, datetime, type(None))

Make = Callable[[], Any]
Convert = Callable[[Any], Any]


@dataclass(frozen=True, slots=True, weakref_slot=True, eq=False)
class StatementName:
    """The key of a statement, stored once for all people who send it: it is larger than their values."""

    key: Hashable


@dataclass(frozen=True, slots=True, weakref_slot=True, eq=False)
class StatementText:
    """A compiled statement without its values, stored once for all people whose rights make the same text."""

    sql: str
    #: The names of the values that a person's rights and the statement give.
    names: tuple[str, ...]
    #: The order of the names where the driver wants positions, else None.
    order: tuple[str, ...] | None
    #: Names of parameters that get their values when it is sent -> what makes the driver's value of theirs.
    late: dict[str, Convert | None]
    #: (column, what makes its Python value); none for columns that are taken as they come.
    converters: tuple[tuple[int, Convert], ...]


#: What tells names and texts apart -> the one that all share, as long as somebody keeps it.
_names: WeakValueDictionary[Hashable, StatementName] = WeakValueDictionary()
_texts: WeakValueDictionary[Hashable, StatementText] = WeakValueDictionary()


def name_of(key: Hashable) -> StatementName:
    """The name of a key: the same for equal keys, as long as somebody keeps it."""
    found = _names.get(key)
    if found is None:
        found = _names[key] = StatementName(key)
    return found


@dataclass(frozen=True, slots=True)
class CompiledStatement:
    """A statement with the values of one person."""

    text: StatementText
    #: As the driver takes them, in the order of `text.names`.
    values: tuple[Any, ...]

    def send(self, session: Session, late: dict[str, Any]) -> tuple[list[tuple[Any, ...]], int]:
        """(rows as plain tuples, how many warnings the database gave); `late`: values of the parameters left open."""
        if session.autoflush:
            session.flush()
        text = self.text
        values: Any = dict(zip(text.names, self.values, strict=True))
        for name, value in late.items():
            values[name] = _applied(text.late[name], value)
        if text.order is not None:
            values = tuple(values[name] for name in text.order)
        sent = fast_statements.send(session, text.sql, values)
        return fast_statements.convert([*sent.rows], text.converters), sent.warnings


def _applied(convert: Convert | None, value: Any) -> Any:
    return value if convert is None else convert(value)


def compile_statement(
    statement: Any, dialect: Dialect, late: dict[str, Any], name: StatementName | None = None
) -> CompiledStatement:
    """Compile the statement for good; the parameters named in `late` stay open.

    A statement with a `name` shares its text with the same one of other people.
    """
    compiled, expanded = compile_with_values(statement, dialect, late)
    processors = {
        key: parameter.type.dialect_impl(dialect).bind_processor(dialect)
        for parameter, key in compiled.bind_names.items()
    } | expanded.processors
    values = {
        key: _applied(processors.get(key), value) for key, value in expanded.parameters.items() if key not in late
    }
    types = tuple(each.type for each in getattr(statement, "selected_columns", ()))
    # Equal texts may still differ in what is made of their columns.
    kinds = tuple((type(each), type_key_of(each)) for each in types)
    same = (name, expanded.statement, tuple(values), tuple(expanded.positiontup or ()), kinds)
    text = None if name is None else _texts.get(same)
    if text is None:
        text = StatementText(
            sql=expanded.statement,
            names=tuple(values),
            order=tuple(expanded.positiontup) if expanded.positiontup is not None else None,
            late={key: processors.get(key) for key in late},
            converters=_converters(types, dialect),
        )
        if name is not None:
            _texts[same] = text
    return CompiledStatement(text, tuple(values.values()))


def _converters(types: tuple[Any, ...], dialect: Dialect) -> tuple[tuple[int, Convert], ...]:
    found = [(place, each.dialect_impl(dialect).result_processor(dialect, None)) for place, each in enumerate(types)]
    return tuple((place, convert) for place, convert in found if convert is not None)


@dataclass(frozen=True)
class CachedStatement:
    """A statement that may have been compiled before."""

    #: What tells it apart from all others of the person; None = it can't be told apart, and is made each time.
    key: Hashable
    #: Makes the statement; called only if need be.
    make: Make
    #: The tables with access rules in it. None: `make` has put the person's rules in itself.
    tables: frozenset[str] | None = None
    #: "lead" or "ticket", if all rows of these tables belong to one that the person sees (see `visible_parents`); it is
    #: part of the key then.
    parent: str | None = None


def answer(session: Session, cached: CachedStatement, late: dict[str, Any]) -> list[tuple[Any, ...]]:
    """The rows of the statement under the rules of the person for whom the session acts."""
    person = acting(session)
    found = None if person is None else _compiled(session, person, cached, late)
    if found is not None:
        return found.send(session, late)[0]
    options = {} if cached.tables is None else {"guarded_tables": cached.tables}
    return [tuple(row) for row in session.execute(cached.make(), late, execution_options=options)]


def answer_for(
    session: Session, person: Person, cached: CachedStatement, late: dict[str, Any]
) -> tuple[list[tuple[Any, ...]], int]:
    """(rows, warnings of the database) of a statement that holds the rules of this person itself."""
    found = _compiled(session, person, cached, late)
    if found is not None:
        return found.send(session, late)
    if session.autoflush:
        session.flush()
    # Below the session, for the number of warnings.
    result = session.connection().execute(cached.make(), late)
    rows = [tuple(row) for row in result]
    return rows, int(getattr(result.context.cursor, "warning_count", 0))


def _compiled(
    session: Session, person: Person, cached: CachedStatement, late: dict[str, Any]
) -> CompiledStatement | None:
    """The compiled statement, or None for one that can't be told apart."""
    if cached.key is None:
        return None
    dialect = session.get_bind().dialect
    key = (dialect.name, cached.key)
    name = _names.get(key)
    found: CompiledStatement | None = None if name is None else person.compiled_statements.get(name)
    if found is not None:
        return found
    statement, name = cached.make(), name or name_of(key)
    if cached.tables is not None:
        statement = under_rules(person, statement, cached.tables, cached.parent)
    found = compile_statement(statement, dialect, late, name)
    person.compiled_statements.keep(name, found)
    return found


def change(session: Session, cached: CachedStatement, late: dict[str, Any]) -> None:
    """Send an UPDATE of a bare table, into which `cached.make` has put the person's rules."""
    person = acting(session)
    found = None if person is None else _compiled(session, person, cached, late)
    if found is not None:
        found.send(session, late)
    else:
        session.execute(cached.make(), late)


#: (dialect, statement) -> compiled; of a few statements that are the same for everybody.
_common: dict[tuple[str, Select[Any]], CompiledStatement] = {}


def answer_as_system(session: Session, statement: Select[Any], values: dict[str, Any]) -> list[tuple[Any, ...]]:
    """The rows of a statement without access rules, such as who signs in; `statement` is a constant of its module."""
    dialect = session.get_bind().dialect
    key = (dialect.name, statement)
    if key not in _common:
        _common[key] = compile_statement(statement, dialect, values)
    return _common[key].send(session, values)[0]


#: (dialect, key) -> compiled; of statements without access rules whose rows are shown to nobody.
_unruled: LruCache[Hashable, CompiledStatement] = LruCache(MAX_UNRULED)


def answer_unruled(session: Session, cached: CachedStatement, late: dict[str, Any]) -> list[tuple[Any, ...]]:
    """The rows of a statement that names no rules, such as a look-up of ids; compiled once for everybody."""
    if cached.key is None:
        return [tuple(row) for row in session.execute(cached.make(), late)]
    dialect = session.get_bind().dialect
    key = (dialect.name, cached.key)
    found = _unruled.get(key)
    if found is None:
        found = compile_statement(cached.make(), dialect, late)
        _unruled.keep(key, found)
    return found.send(session, late)[0]


def listed(values: Sequence[int], name: str | None = None) -> list[Any]:
    """The values as parameters of an IN, filled up with the last one: lists of similar length share one statement.

    With a `name` the parameters are name_0, name_1 …
    """
    size = 1 << (len(values) - 1).bit_length()
    full = [*values, *[values[-1]] * (size - len(values))]
    return [
        bindparam(None if name is None else f"{name}_{place}", key, type_=Integer, unique=name is None)
        for place, key in enumerate(full)
    ]


# --- what tells statements apart


@dataclass(frozen=True)
class StatementShape:
    """The key of conditions that differ in their values only, and those values as parameters."""

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


_NO_CONDITIONS = StatementShape((), {}, {})


def shape_of(conditions: Sequence[Any]) -> StatementShape:
    """The shape of these conditions. Values that are part of the text, such as lists, count as part of the shape."""
    if not conditions:
        return _NO_CONDITIONS
    keys = [cache_key_of(each) for each in conditions]
    if any(key is None for key in keys):
        return StatementShape(None, {}, {})
    has_query = any(_has_query(each) for each in conditions)
    late: dict[str, Any] = {}
    names: dict[int, str] = {}
    fixed: list[Any] = []
    for parameter in (each for key in keys for each in key.bindparams):
        value = parameter.effective_value
        if not _is_comparable(value):
            return StatementShape(None, {}, {})
        if has_query or parameter.expanding or parameter.callable or value is None:
            fixed.append(value)
        elif id(parameter) not in names:
            names[id(parameter)] = name = f"value_{len(names)}"
            late[name] = value
    return StatementShape((tuple(key.key for key in keys), tuple(names.values()), repr(fixed)), late, names)


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
    key = cache_key_of(condition)
    if key is None:
        return None
    values = [parameter.effective_value for parameter in key.bindparams]
    return (key.key, repr(values)) if _is_comparable(values) else None


def _is_comparable(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(_is_comparable(each) for each in value)
    return type(value) in _COMPARABLE
