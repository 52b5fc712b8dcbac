"""Statements that are built and compiled once under a person's access rules, and then reused.

Building and compiling a SELECT costs more than half of the CPU of a list. A compiled statement contains the access
rules and is stored only with the Person for whose rights it was made. A person is loaded anew as soon as anything about
access changes (ADR 0002), and starts without statements: a statement for former rights, or for somebody else, can never
be used (ADR 0044).

Each person's statements are made from their own rights. Only if the text is equal to somebody else's do both share one
copy of it; the values are each person's own (ADR 0096).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from weakref import WeakValueDictionary

from sqlalchemy import Column, Dialect, Integer, Select, SelectBase, bindparam
from sqlalchemy.orm import Session
from sqlalchemy.sql.elements import BinaryExpression, BindParameter, UnaryExpression
from sqlalchemy.sql.visitors import iterate, replacement_traverse

from app.access.person import Person
from app.access.session_filter import under_rules
from app.access.system_session import acting
from app.lib.lru_cache import LruCache
from app.ops.statements import fast_statements
from app.ops.statements.sqlalchemy_internals import cache_key_of, compile_with_values, type_key_of

#: Statements without access rules, which are compiled once for everybody.
MAX_UNRULED = 100
#: Values that tell statements apart by how they are written.
_COMPARABLE = (str, bytes, bool, int, float, date, datetime, type(None))

Make = Callable[[], Any]
Convert = Callable[[Any], Any]


@dataclass(frozen=True, slots=True, weakref_slot=True, eq=False)
class StatementName:
    """The key of a statement, shared by all people who send it: it is larger than their values."""

    key: Hashable


@dataclass(frozen=True, slots=True, weakref_slot=True, eq=False)
class StatementText:
    """A compiled statement without its values, shared by all people whose rights make the same text."""

    sql: str
    #: The names of the values that come from the person's rights and the statement.
    names: tuple[str, ...]
    #: The order of the names if the driver wants positions, else None.
    order: tuple[str, ...] | None
    #: Name of a parameter that gets its value on execution -> converter to the driver's value.
    open_parameters: dict[str, Convert | None]
    #: (column, converter to its Python value); columns that need none are left out.
    converters: tuple[tuple[int, Convert], ...]


#: Content -> the shared name or text with it, as long as it is in use.
_names: WeakValueDictionary[Hashable, StatementName] = WeakValueDictionary()
_texts: WeakValueDictionary[Hashable, StatementText] = WeakValueDictionary()


def name_of(key: Hashable) -> StatementName:
    """The name of a key: the same object for equal keys, as long as it is in use."""
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

    def send(self, session: Session, open_values: dict[str, Any]) -> tuple[list[tuple[Any, ...]], int]:
        """Execute it: (rows as plain tuples, number of database warnings). `open_values`: of the open parameters."""
        if session.autoflush:
            session.flush()
        text = self.text
        values: Any = dict(zip(text.names, self.values, strict=True))
        converters = text.open_parameters
        for name, value in open_values.items():
            convert = converters[name]
            values[name] = value if convert is None else convert(value)
        if text.order is not None:
            values = tuple([values[name] for name in text.order])  # a generator is called once for each value
        sent = fast_statements.send(session, text.sql, values)
        return fast_statements.convert([*sent.rows], text.converters), sent.warnings


def _applied(convert: Convert | None, value: Any) -> Any:
    return value if convert is None else convert(value)


def compile_statement(
    statement: Any, dialect: Dialect, open_values: dict[str, Any], name: StatementName | None = None
) -> CompiledStatement:
    """Compile the statement for good; the parameters named in `open_values` stay open.

    A statement with a `name` shares its text with the same one of other people.
    """
    compiled, expanded = compile_with_values(statement, dialect, open_values)
    processors = {
        key: parameter.type.dialect_impl(dialect).bind_processor(dialect)
        for parameter, key in compiled.bind_names.items()
    } | expanded.processors
    values = {
        key: _applied(processors.get(key), value)
        for key, value in expanded.parameters.items()
        if key not in open_values
    }
    types = tuple(each.type for each in getattr(statement, "selected_columns", ()))
    # Equal texts may still differ in the types of their columns.
    kinds = tuple((type(each), type_key_of(each)) for each in types)
    same = (name, expanded.statement, tuple(values), tuple(expanded.positiontup or ()), kinds)
    text = None if name is None else _texts.get(same)
    if text is None:
        text = StatementText(
            sql=expanded.statement,
            names=tuple(values),
            order=tuple(expanded.positiontup) if expanded.positiontup is not None else None,
            open_parameters={key: processors.get(key) for key in open_values},
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

    #: Distinguishes it from the person's other statements; None = it can't be distinguished, and isn't cached.
    key: Hashable
    #: Builds the statement; called only if it isn't cached.
    make: Make
    #: The tables in it that have access rules, or a function that finds them, called only if it isn't cached. None:
    #: `make` has added the person's rules itself.
    tables: frozenset[str] | Callable[[], frozenset[str]] | None = None
    #: "lead" or "ticket" if all rows of these tables belong to one that the person sees (see `visible_parents`). Part
    #: of the key.
    parent: str | None = None

    @property
    def guarded(self) -> frozenset[str] | None:
        """Its tables with access rules."""
        return self.tables() if callable(self.tables) else self.tables


def answer(session: Session, cached: CachedStatement, open_values: dict[str, Any]) -> list[tuple[Any, ...]]:
    """The rows of the statement, under the rules of the person for whom the session acts."""
    person = acting(session)
    found = None if person is None else _compiled(session, person, cached, open_values)
    if found is not None:
        return found.send(session, open_values)[0]
    tables = cached.guarded
    options = {} if tables is None else {"guarded_tables": tables}
    return [tuple(row) for row in session.execute(cached.make(), open_values, execution_options=options)]


def answer_for(
    session: Session, person: Person, cached: CachedStatement, open_values: dict[str, Any]
) -> tuple[list[tuple[Any, ...]], int]:
    """(rows, number of database warnings) of a statement that already contains this person's rules."""
    found = _compiled(session, person, cached, open_values)
    if found is not None:
        return found.send(session, open_values)
    if session.autoflush:
        session.flush()
    # Below the ORM session, to get the number of warnings.
    result = session.connection().execute(cached.make(), open_values)
    rows = [tuple(row) for row in result]
    return rows, int(getattr(result.context.cursor, "warning_count", 0))


def _compiled(
    session: Session, person: Person, cached: CachedStatement, open_values: dict[str, Any]
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
    if (tables := cached.guarded) is not None:
        statement = under_rules(person, statement, tables, cached.parent)
    found = compile_statement(statement, dialect, open_values, name)
    person.compiled_statements.keep(name, found)
    return found


def change(session: Session, cached: CachedStatement, open_values: dict[str, Any]) -> None:
    """Execute an UPDATE of a bare table, to which `cached.make` has added the person's rules."""
    person = acting(session)
    found = None if person is None else _compiled(session, person, cached, open_values)
    if found is not None:
        found.send(session, open_values)
    else:
        session.execute(cached.make(), open_values)


#: (dialect, statement) -> compiled, for a few statements that are the same for everybody.
_common: dict[tuple[str, Select[Any]], CompiledStatement] = {}


def answer_as_system(session: Session, statement: Select[Any], values: dict[str, Any]) -> list[tuple[Any, ...]]:
    """The rows of a statement without access rules, such as the one that reads who signs in.

    `statement` is a constant of its module.
    """
    dialect = session.get_bind().dialect
    key = (dialect.name, statement)
    if key not in _common:
        _common[key] = compile_statement(statement, dialect, values)
    return _common[key].send(session, values)[0]


#: (dialect, key) -> compiled, for statements without access rules whose rows are shown to nobody.
_unruled: LruCache[Hashable, CompiledStatement] = LruCache(MAX_UNRULED)


def answer_without_rules(
    session: Session, cached: CachedStatement, open_values: dict[str, Any]
) -> list[tuple[Any, ...]]:
    """The rows of a statement without access rules, such as a look-up of ids; compiled once for everybody."""
    if cached.key is None:
        return [tuple(row) for row in session.execute(cached.make(), open_values)]
    dialect = session.get_bind().dialect
    key = (dialect.name, cached.key)
    found = _unruled.get(key)
    if found is None:
        found = compile_statement(cached.make(), dialect, open_values)
        _unruled.keep(key, found)
    return found.send(session, open_values)[0]


def padded(values: Sequence[int]) -> list[int]:
    """The values, the last one repeated up to a power of two, so that lists of similar length share one statement."""
    return [*values, *[values[-1]] * ((1 << (len(values) - 1).bit_length()) - len(values))]


def listed(values: Sequence[int], name: str | None = None) -> list[Any]:
    """The padded values as parameters of an IN; with a `name` they are name_0, name_1 …"""
    return [
        bindparam(None if name is None else f"{name}_{place}", key, type_=Integer, unique=name is None)
        for place, key in enumerate(padded(values))
    ]


# --- keys of statements


@dataclass(frozen=True)
class StatementShape:
    """The key of conditions without their values, and those values as parameters."""

    #: None = they have no key.
    key: Hashable
    #: Name -> value of each parameter.
    open_values: dict[str, Any]
    #: id of a value's parameter in the conditions -> its name.
    _names: dict[int, str]

    def opened(self, conditions: list[Any]) -> list[Any]:
        """The conditions, with named parameters in place of their values."""
        if not self._names:
            return conditions
        return [replacement_traverse(each, {}, self._replace) for each in conditions]

    def _replace(self, element: Any, **_options: Any) -> Any:
        name = self._names.get(id(element))
        return None if name is None else bindparam(name, element.value, type_=element.type)


_NO_CONDITIONS = StatementShape((), {}, {})


def shape_of(conditions: Sequence[Any]) -> StatementShape:
    """The shape of these conditions. Values that are part of the SQL text, such as lists, are part of the shape."""
    if not conditions:
        return _NO_CONDITIONS
    keys = [cache_key_of(each) for each in conditions]
    if any(key is None for key in keys):
        return StatementShape(None, {}, {})
    has_query = any(_has_query(each) for each in conditions)
    open_values: dict[str, Any] = {}
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
            open_values[name] = value
    return StatementShape((tuple(key.key for key in keys), tuple(names.values()), repr(fixed)), open_values, names)


def key_of(*expressions: Any) -> Hashable:
    """A key for these expressions, values included; None if they have none."""
    shape = shape_of(expressions)
    return None if shape.key is None else (shape.key, repr(shape.open_values))


def _has_query(condition: Any) -> bool:
    """Whether a condition contains a SELECT; most are just a column and a value."""
    if isinstance(condition, UnaryExpression):  # such as of an order
        condition = condition.element
    if isinstance(condition, BinaryExpression) and isinstance(condition.right, BindParameter):
        condition = condition.left
    if isinstance(condition, Column):
        return False
    return any(isinstance(node, SelectBase) for node in iterate(condition))


def identity_of(condition: Any) -> Hashable:
    """A key for a condition, values included; None if it has none."""
    key = cache_key_of(condition)
    if key is None:
        return None
    values = [parameter.effective_value for parameter in key.bindparams]
    return (key.key, repr(values)) if _is_comparable(values) else None


def _is_comparable(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(_is_comparable(each) for each in value)
    return type(value) in _COMPARABLE
