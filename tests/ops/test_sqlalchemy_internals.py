"""SQLAlchemy's private parts that the CRM uses exist, behave as in a flush, and are named in one module only."""

from __future__ import annotations

import ast
import inspect as python_inspect
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from sqlalchemy import (
    Connection,
    Engine,
    Integer,
    String,
    bindparam,
    create_engine,
    delete,
    event,
    insert,
    inspect,
    select,
    update,
)
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine.interfaces import Dialect
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, selectinload
from sqlalchemy.orm.decl_api import registry
from sqlalchemy.orm.instrumentation import ClassManager
from sqlalchemy.orm.session import SessionTransactionState
from sqlalchemy.orm.state import InstanceState
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ClauseElement
from sqlalchemy.types import TypeEngine

from app.extensions import Model
from app.ops.statements import fast_statements
from app.ops.statements import sqlalchemy_internals as internals

APP = Path(internals.__file__).parents[1]
MODULE = Path(internals.__file__).relative_to(APP)


class Base(DeclarativeBase):
    """Tables of this test."""


class Pair(Base):
    """A row with two columns."""

    __tablename__ = "pair"
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    name: Mapped[str] = mapped_column(String(20), unique=True)
    more: Mapped[str | None] = mapped_column(String(20))


@pytest.fixture
def engine() -> Iterator[Engine]:
    """A database with the table."""
    made = create_engine("sqlite://")
    Base.metadata.create_all(made)
    yield made
    made.dispose()


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    """A session on the database."""
    with Session(engine) as made:
        yield made


def _statement() -> Any:
    return select(Pair).where(Pair.id == 1)


_session = Session()
_transaction = _session.begin()
#: What the module uses: (owner, name, names of its parameters, or None for what is no function).
RELIED_UPON: tuple[tuple[Any, str, tuple[str, ...] | None], ...] = (
    (Session, "_update_impl", ("self", "state")),
    (_session, "_transaction", None),
    (_transaction, "_state", None),
    (_transaction, "_connections", None),
    (_transaction, "_new", None),
    (SessionTransactionState, "ACTIVE", None),
    (InstanceState, "_commit_all", ("self", "dict_", "instance_dict")),
    (inspect(Pair()), "committed_state", None),
    (inspect(Pair()), "expired_attributes", None),
    (inspect(Pair()), "key", None),
    (ClassManager, "new_instance", ("self",)),
    (Connection, "_handle_dbapi_exception", ("self", "e", "statement", "parameters", "cursor", "context")),
    (_session, "dispatch", None),
    (inspect(Pair), "dispatch", None),
    (inspect(Pair).class_manager, "dispatch", None),
    (ClauseElement, "_generate_cache_key", ("self",)),
    (ClauseElement, "_annotate", ("self", "values")),
    (Pair.id == 1, "_annotations", None),
    (TypeEngine, "_static_cache_key", None),
    (
        ClauseElement,
        "_compile_w_cache",
        ("self", "dialect", "compiled_cache", "column_keys", "for_executemany", "schema_translate_map", "kw"),
    ),
    (
        SQLCompiler,
        "construct_params",
        (
            *("self", "params", "extracted_parameters", "escape_names", "_group_number", "_check", "_no_postcompile"),
            "_collected_params",
        ),
    ),
    (SQLCompiler, "_process_parameters_for_postcompile", ("self", "parameters", "_populate_self")),
    (update(Pair), "_where_criteria", None),
    (update(Pair), "_values", None),
    (_statement(), "_with_options", None),
    (_statement(), "_for_update_arg", None),
    (registry(), "_class_registry", None),
)


def _what(owner: Any, name: str) -> str:
    kind = owner if isinstance(owner, type) else type(owner)
    return f"{kind.__name__}.{name}"


@pytest.mark.parametrize(
    ("owner", "name", "parameters"), RELIED_UPON, ids=[_what(owner, name) for owner, name, _ in RELIED_UPON]
)
def test_sqlalchemy_has_what_is_relied_upon(owner: Any, name: str, parameters: tuple[str, ...] | None) -> None:
    what = _what(owner, name)
    found = getattr(owner, name, None) if isinstance(owner, type) else hasattr(owner, name)
    assert found, (
        f"SQLAlchemy {sqlalchemy.__version__} has no {what}, which app/{MODULE} uses. Find out what does its work "
        "there now, change that module, and name it in RELIED_UPON."
    )
    if parameters is not None:
        given = tuple(python_inspect.signature(found).parameters)[: len(parameters)]  # type: ignore[arg-type]
        assert len(given) == len(parameters), (
            f"{what} of SQLAlchemy {sqlalchemy.__version__} takes {given}, where app/{MODULE} gives {parameters}."
        )


def test_no_other_module_names_private_parts() -> None:
    names = {name for _owner, name, _parameters in RELIED_UPON} - {
        "key",
        "ACTIVE",
        "expired_attributes",
    }  # documented, or a word of many
    sources = {path.relative_to(APP): path.read_text() for path in APP.rglob("*.py")}
    found = {
        f"{path}: {node.attr}"
        for path, source in sources.items()
        if path != MODULE and any(f".{name}" in source for name in names)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Attribute) and node.attr in names
        # An attribute of our own object may have the same name.
        if not (isinstance(node.value, ast.Name) and node.value.id in ("self", "cls"))
    }
    assert not found, f"only app/{MODULE} may use private parts of SQLAlchemy"


# --- objects


def test_an_inserted_object_is_as_after_a_flush(session: Session) -> None:
    made, flushed = Pair(name="made"), Pair(name="flushed")
    session.add(flushed)
    session.flush()
    inspect(made).dict["id"] = session.execute(insert(Pair.__table__).values(name="made")).inserted_primary_key[0]
    internals.add_inserted(session, made)
    assert inspect(made).persistent and inspect(flushed).persistent
    assert not session.dirty and session.get(Pair, made.id) is made
    made.name = "again"
    assert internals.set_attributes(made) == {"name": "made"}
    session.flush()
    session.expire_all()
    assert made.name == "again"


@pytest.mark.parametrize("is_nested", [False, True])
def test_an_inserted_object_leaves_the_session_with_a_rollback(session: Session, is_nested: bool) -> None:
    session.connection()
    undone = session.begin_nested() if is_nested else session
    made = Pair(name="made")
    inspect(made).dict["id"] = session.execute(insert(Pair.__table__).values(name="made")).inserted_primary_key[0]
    internals.add_inserted(session, made)
    undone.rollback()
    assert inspect(made).transient and made not in session
    again = Pair(name="again")
    inspect(again).dict["id"] = session.execute(insert(Pair.__table__).values(name="again")).inserted_primary_key[0]
    internals.add_inserted(session, again)
    assert again.id == 1 and session.get(Pair, 1) is again


def test_an_inserted_object_outlives_its_savepoint_but_not_the_transaction(session: Session) -> None:
    made = Pair(name="made")
    with session.begin_nested():
        inspect(made).dict["id"] = session.execute(insert(Pair.__table__).values(name="made")).inserted_primary_key[0]
        internals.add_inserted(session, made)
    assert inspect(made).persistent
    session.rollback()
    assert inspect(made).transient


def test_a_loaded_object_reads_what_is_missing(session: Session) -> None:
    session.execute(insert(Pair.__table__).values(id=1, name="one", more="rest"))
    found = internals.add_loaded(session, inspect(Pair), {"id": 1, "name": "one"}, ["more"])
    assert session.get(Pair, 1) is found and not session.dirty
    assert (found.name, found.more) == ("one", "rest")


def test_an_object_that_was_written_is_unchanged(session: Session) -> None:
    pair = Pair(name="one")
    session.add(pair)
    session.flush()
    pair.name = "two"
    assert session.dirty and dict(internals.set_attributes(pair)) == {"name": "one"}
    internals.set_unchanged(session, pair)
    assert not session.dirty and not internals.set_attributes(pair) and pair.name == "two"


# --- listeners


def test_listeners_of_a_class_and_of_one_object_are_found(session: Session) -> None:
    def hear(*_given: object) -> None: ...

    for target, owner, name in (
        (Session, session, "before_flush"),
        (session, session, "after_flush"),
        (Pair, inspect(Pair), "before_insert"),
        (Pair, inspect(Pair).class_manager, "load"),
        (session.get_bind(), session.connection(), "before_cursor_execute"),
    ):
        before = list(internals.listeners(owner, name))
        event.listen(target, name, hear)
        try:
            assert len(list(internals.listeners(owner, name))) == len(before) + 1, name
        finally:
            event.remove(target, name, hear)
        assert list(internals.listeners(owner, name)) == before


# --- connections


def test_the_connection_is_that_of_the_transaction(session: Session) -> None:
    first = internals.connection_of(session)
    assert internals.connection_of(session) is first is session.connection()
    session.rollback()
    assert internals.connection_of(session) is session.connection()


def test_an_error_of_the_driver_is_raised_as_sqlalchemys(session: Session) -> None:
    connection = session.connection()
    driver = connection.dialect.dbapi
    assert isinstance(connection.dialect, Dialect) and driver is not None
    with pytest.raises(sqlalchemy.exc.IntegrityError) as raised:
        internals.raise_driver_error(connection, driver.IntegrityError("taken"), "INSERT", {})
    assert raised.value.statement == "INSERT"
    assert fast_statements.connection_of(session) is connection


# --- expressions


def test_notes_on_expressions_change_no_text() -> None:
    rule = Pair.id == 1
    noted = internals.annotate(rule, {"note": "x"})
    assert internals.annotations_of(noted)["note"] == "x" and str(noted) == str(rule)
    assert "note" not in internals.annotations_of(rule) and internals.annotations_of(None) == {}


def test_keys_tell_expressions_and_types_apart() -> None:
    one, other = (internals.cache_key_of(Pair.id == value) for value in (1, 2))
    assert one.key == other.key != internals.cache_key_of(Pair.name == "x").key
    assert [each.effective_value for each in one.bindparams] == [1]
    assert internals.type_key_of(String(3)) != internals.type_key_of(String(4))


def test_a_statement_with_other_values_is_not_compiled_again() -> None:
    """Its values are its own: those in its text, those of `params`, and those that are given late."""

    def statement(name: str, ids: list[int]) -> Any:
        return select(Pair.id).where(Pair.name == name, Pair.id.in_(ids), Pair.more == bindparam("more"))

    dialect = sqlite.dialect()
    one, first = internals.compile_with_values(statement("a", [1]).params(more="x"), dialect, {})
    other, second = internals.compile_with_values(statement("b", [2, 3]).params(more="y"), dialect, {})
    _same, third = internals.compile_with_values(statement("b", [4]), dialect, {"more": "z"})
    assert one is other
    assert [sorted(map(str, each.parameters.values())) for each in (first, second, third)] == [
        ["1", "a", "x"],
        ["2", "3", "b", "y"],
        ["4", "b", "z"],
    ]
    plain = statement("b", [2, 3]).compile(dialect=dialect).construct_expanded_state({"more": "y"})
    assert (second.statement, second.parameters) == (plain.statement, plain.parameters)


def test_parts_of_statements_are_found() -> None:
    changed = update(Pair).where(Pair.id == 1).values(name="x")
    assert [str(each) for each in internals.conditions_of(changed)] == ["pair.id = :id_1"]
    assert [column.key for column in internals.values_of(changed)] == ["name"]
    assert not internals.values_of(delete(Pair)) and not internals.conditions_of(delete(Pair))
    assert not internals.options_of(_statement()) and not internals.locks_rows(_statement())
    assert internals.options_of(_statement().options(selectinload("*")))
    assert internals.locks_rows(_statement().with_for_update())
    assert internals.mapped_classes(Base.registry) >= 1


class _Interrupted(list[Any]):
    """Columns of an alias; somebody else looks for one of them before the last one is reached."""

    def __init__(self, columns: list[Any], look: Any) -> None:
        super().__init__(columns)
        self.look = look

    def __iter__(self) -> Iterator[Any]:
        for place, each in enumerate(super().__iter__()):
            if place == len(self) - 1 and self.look is not None:
                look, self.look = self.look, None
                look()
            yield each


def test_who_looks_for_a_column_while_another_does_finds_it() -> None:
    internals.find_columns_at_once()
    table, found = Pair.__table__, list[Any]()
    alias = table.alias()
    columns: Any = alias.c._parent
    look = _Interrupted(columns._collection, lambda: found.append(alias.corresponding_column(table.c.more)))
    object.__setattr__(columns, "_collection", look)
    assert alias.corresponding_column(table.c.id) is alias.c.id
    assert found and all(each is alias.c.more for each in found)
    assert dict(columns._proxy_index).keys() == {table.c.id, table.c.name, table.c.more, *alias.c}


def test_who_asks_for_the_columns_of_an_alias_while_another_does_gets_the_same() -> None:
    internals.find_columns_at_once()
    alias: Any = Pair.__table__.alias()
    make, found = alias._populate_column_collection, list[Any]()
    other = threading.Thread(target=lambda: found.append(alias.c.id))

    def interrupted(**collections: Any) -> None:
        if other.ident is None:
            other.start()
            other.join(0.5)  # without a lock it makes columns of its own meanwhile
        make(**collections)

    alias._populate_column_collection = interrupted
    mine = alias.c.id
    other.join()
    assert mine is alias.c.id and found[0] is mine


def test_columns_take_no_more_memory_than_their_attributes_need() -> None:
    columns = [column for table in Model.metadata.tables.values() for column in table.columns]
    small = [column for column in columns if sys.getsizeof(vars(column)) < 1000]
    assert len(columns) > 1000 and len(small) / len(columns) > 0.9
