"""One row that the person sees, as an object, by a statement that is compiled once per person and class.

The session's own way to one object costs more than reading it: it builds, keys and looks up the SELECT with its rules,
and sets each column by a loader of its own.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from sqlalchemy import Integer, bindparam, inspect, select
from sqlalchemy.orm import ColumnProperty, Mapper, Session, scoped_session

from app.access.compiled_statements import CachedStatement, answer
from app.access.system_session import acting
from app.domain.persistence.session_context import session_context
from app.ops.statements import loaded_objects, sqlalchemy_internals


def get_visible(session: Session | scoped_session[Session], record: Any, key: Any, *options: Any) -> Any:
    """The row of this id if the person sees it, else None; never answered from the identity map."""
    if isinstance(session, scoped_session):  # FAB's interfaces pass one
        session = session()
    if isinstance(key, bool) or not isinstance(key, int) or not 0 < key < 2**31:
        return None
    names = None if options or acting(session) is None else _plain_columns(inspect(record))
    if names is None:
        return session.scalars(select(record).where(record.id == key).options(*options)).first()

    def statement() -> Any:
        columns = [getattr(record, name).label(f"c{place}") for place, name in enumerate(names)]
        return select(*columns).where(record.id == bindparam("row", 0, type_=Integer))

    question = CachedStatement(("object", record), statement, frozenset([record.__tablename__]))
    rows = answer(session, question, {"row": key})
    return _object(session, record, key, dict(zip(names, rows[0], strict=True))) if rows else None


def sees_id(session: Session, record: Any, key: int) -> bool:
    """Whether the person sees the row of this id. Its number is then known to `seen_number`."""
    has_number = hasattr(record, "number")

    def statement() -> Any:
        columns = [record.id, record.number] if has_number else [record.id]
        return select(*columns).where(record.id == bindparam("row", 0, type_=Integer))

    question = CachedStatement(("id", record), statement, frozenset([record.__tablename__]))
    rows = answer(session, question, {"row": key})
    if rows and has_number and acting(session) is not None:
        session_context(session).seen_numbers[acting(session), record, key] = rows[0][1]
    return bool(rows)


def seen_number(session: Session, record: Any, key: int) -> str | None:
    """The number of a row that the person was found to see in this request; None if that was not looked up."""
    return session_context(session).seen_numbers.get((acting(session), record, key))


def _object(session: Session, record: Any, key: int, values: dict[str, Any]) -> Any:
    """The session's object of the row, as a loader would make it; one that is already there stays as it is."""
    present = loaded_objects.present(session, record, key)
    if present is not None:
        if inspect(present).expired_attributes:
            session.refresh(present)
        return present
    return loaded_objects.hold(session, record, values)


@lru_cache(maxsize=200)
def _plain_columns(mapper: Mapper[Any]) -> tuple[str, ...] | None:
    """The names of a class's columns if a plain row can fill all of them; None if it needs the session's loaders."""
    names = tuple(name for name, _column in mapper.columns.items())
    columns = [mapper.get_property(name) for name in names]
    is_plain = (
        not mapper.inherits
        and mapper.polymorphic_on is None
        and list(mapper.primary_key) == [mapper.local_table.c.get("id")]
        and not sqlalchemy_internals.listeners(mapper.class_manager, "load")
        and all(isinstance(each, ColumnProperty) and not each.deferred and len(each.columns) == 1 for each in columns)
    )
    return names if is_plain else None
