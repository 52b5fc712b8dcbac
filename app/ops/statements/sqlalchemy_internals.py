"""The private parts of SQLAlchemy that the CRM uses. No other module uses any.

Either no documented function does the same, or it does far more work in nearly every request. SQLAlchemy's version is
pinned; `tests/ops/test_sqlalchemy_internals.py` reports parts that a new version lacks or has changed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NoReturn

from sqlalchemy import Connection, Dialect, inspect, util
from sqlalchemy.orm import Session, make_transient_to_detached
from sqlalchemy.orm.base import PASSIVE_NO_INITIALIZE, instance_state
from sqlalchemy.orm.session import SessionTransactionState
from sqlalchemy.sql.base import WriteableColumnCollection
from sqlalchemy.sql.compiler import WARN_LINTING
from sqlalchemy.util import LRUCache, OrderedSet

# --- objects of a session


def set_attributes(row: Any) -> Mapping[str, Any]:
    """The attributes of an object that were set since it was loaded or written, with their former values.

    `InstanceState.unmodified` would go through all attributes of the class.
    """
    found: Mapping[str, Any] = inspect(row).committed_state
    return found


def has_changes(state: Any, name: str) -> bool:
    """Whether an attribute of an object differs from what was loaded or written.

    `InstanceState.attrs` would make an object for each attribute of the class.
    """
    return bool(state.get_history(name, PASSIVE_NO_INITIALIZE).has_changes())


def add_inserted(session: Session, row: Any) -> None:
    """Make a new object, whose row was inserted and which has its id, an unchanged object of the session.

    If the transaction or savepoint is rolled back, it becomes a new object without a session, as after a flush.
    `Session.add` would look at all related objects.
    """
    make_transient_to_detached(row)
    state = inspect(row)
    session._update_impl(state)
    if session._transaction is not None:
        session._transaction._new[state] = True


def add_loaded(session: Session, mapper: Any, values: Mapping[str, Any], missing: Collection[str]) -> Any:
    """A new object of the session from a row that was read; `missing`: attributes to load on access.

    SQLAlchemy's loaders can't be given a row. The session must not have the object yet.
    """
    made = mapper.class_manager.new_instance()
    state = instance_state(made)
    state.dict.update(values)
    state.key = mapper.identity_key_from_primary_key((values["id"],))
    state.expired_attributes.update(missing)
    session._update_impl(state)
    return made


def set_unchanged(session: Session, row: Any) -> None:
    """Mark an object as unchanged, with its current values. Otherwise only a flush does so."""
    state = inspect(row)
    state._commit_all(state.dict, session.identity_map)


# --- listeners


def listeners(target: Any, name: str) -> Collection[Callable[..., Any]]:
    """The listeners for this event of a session, mapper, class manager or connection.

    `event.contains` only checks for a known listener.
    """
    dispatch = target.dispatch
    if isinstance(target, Connection) and not getattr(dispatch.local, name):  # nearly always: only its engine has some
        dispatch = dispatch.parent
    found: Collection[Callable[..., Any]] = getattr(dispatch, name)
    return found


# --- connections


def connection_of(session: Session) -> Connection:
    """`session.connection()`, with a quarter of the work if the transaction has it already."""
    transaction = session._transaction
    if transaction is not None and transaction._state is SessionTransactionState.ACTIVE:
        found = transaction._connections.get(session.get_bind())
        if found is not None:
            return found[0]
    return session.connection()


def raise_driver_error(connection: Connection, error: BaseException, text: str, values: Any, *more: Any) -> NoReturn:
    """Raise an error of the driver as SQLAlchemy's, with its listeners. `more`: cursor and context."""
    cursor, context = more or (None, None)
    connection._handle_dbapi_exception(error, text, values, cursor, context)


# --- expressions


def cache_key_of(expression: Any) -> Any:
    """The key of SQLAlchemy's own cache: `key` and `bindparams`; None for an expression without one."""
    return expression._generate_cache_key()


def type_key_of(column_type: Any) -> Any:
    """A key that distinguishes column types of the same class."""
    return column_type._static_cache_key


def is_same_type(one: Any, other: Any) -> bool:
    """Whether two column types are certainly equal, their lengths and collations included."""
    key = type_key_of(one)
    return type(one) is type(other) and isinstance(key, tuple) and key == type_key_of(other)


def annotate(expression: Any, values: Mapping[str, Any]) -> Any:
    """The expression with annotations of our own, which don't change its SQL."""
    return expression._annotate(dict(values))


def annotations_of(expression: Any) -> Mapping[str, Any]:
    """The annotations of `annotate`, and SQLAlchemy's; empty for anything that isn't an expression."""
    found: Mapping[str, Any] = getattr(expression, "_annotations", {})
    return found


def conditions_of(statement: Any) -> Sequence[Any]:
    """The conditions of an UPDATE or DELETE; `whereclause` would combine them."""
    found: Sequence[Any] = statement._where_criteria
    return found


def values_of(statement: Any) -> Mapping[Any, Any]:
    """Column -> value of an INSERT or UPDATE made with `values`; empty for any other statement."""
    return getattr(statement, "_values", None) or {}


def options_of(statement: Any) -> Sequence[Any]:
    """The options of a statement, such as those that load related objects with it."""
    found: Sequence[Any] = getattr(statement, "_with_options", ())
    return found


def locks_rows(statement: Any) -> bool:
    """Whether it is a SELECT … FOR UPDATE, or in share mode."""
    return getattr(statement, "_for_update_arg", None) is not None


# --- compiling

#: Statements of different structure whose compiled form is kept in a process, some tens of kB each.
MAX_COMPILED = 300
_compiled: LRUCache[Any, Any] = LRUCache(MAX_COMPILED)


def compile_with_values(statement: Any, dialect: Dialect, open_values: dict[str, Any]) -> tuple[Any, Any]:
    """(compiled, its text and parameters once lists of values are written out).

    Like `statement.compile` and `construct_expanded_state`, but a statement that differs from an earlier one only in
    its values is not compiled again, as when a session sends it. `open_values`: values by name, in place of its own.
    """
    compiled, extracted, own, _hit = statement._compile_w_cache(
        dialect, compiled_cache=_compiled, column_keys=[], linting=dialect.compiler_linting | WARN_LINTING
    )
    parameters = compiled.construct_params(
        open_values, extracted_parameters=extracted, _collected_params=own, _no_postcompile=True
    )
    return compiled, compiled._process_parameters_for_postcompile(parameters)


# --- mapped classes


def mapped_classes(registry: Any) -> int:
    """The number of class names in a registry; `mappers` would collect all of them."""
    return len(registry._class_registry)


# --- columns of aliases


def find_columns_at_once() -> None:
    """Let threads share aliases from the first statement on.

    An alias finds its columns by an index that SQLAlchemy fills at the first search, entry by entry. Another thread
    that searches meanwhile misses columns; it then takes those of the table, and the alias keeps them: until the
    process ends, statements join the table beside its alias, or are refused by the database.

    Two threads that are the first to ask for an alias's columns each make them, and one keeps those that are not the
    alias's: until the process ends, joins on these are refused. SQLAlchemy's lock against that does nothing in a Python
    with a GIL, which lets other threads in, too.
    """
    util.mini_gil = threading.RLock()  # `_setup_collections` of aliases holds it
    WriteableColumnCollection._init_proxy_index = _fill_proxy_index  # type: ignore[method-assign]


def _fill_proxy_index(self: WriteableColumnCollection[Any, Any]) -> None:
    """Fill the index of a collection of columns in one step: `dict.update` from a dict lets no other thread in."""
    if self._proxy_index:
        return
    found: dict[Any, OrderedSet[Any]] = {}
    for _key, column, metrics in self._collection:
        for each in column._expanded_proxy_set:
            found.setdefault(each, OrderedSet()).add(metrics)
    self._proxy_index.update(found)
