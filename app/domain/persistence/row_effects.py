"""Effects of saved rows: checks before a row is written, and consequences afterwards.

`app/session_hooks.py` has the table of effects and registers it here. A flush of the session applies them, and so do
`fast_insert` and `row_updates`, which write a row without a flush.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from sqlalchemy import inspect
from sqlalchemy.orm import Session

from app.ops.statements import sqlalchemy_internals as internals

Moment = Literal["before_flush", "after_flush"]


@dataclass(slots=True)
class Rows:
    """Objects that are written together. After a flush, their attributes still have their history."""

    new: Sequence[Any] = ()
    #: Objects with an attribute that was set, possibly to its former value.
    changed: Sequence[Any] = ()
    deleted: Sequence[Any] = ()
    #: Whether the statement locks the lead or ticket of each task, and an INSERT sets the columns that repeat it.
    locks_parents: bool = False
    #: Id of an object -> its `changed_columns`, if known.
    _columns: dict[int, Collection[str]] = field(default_factory=dict)

    def only(self, concerns: Callable[[type], bool]) -> Rows | None:
        """The rows of these classes; None if there are none."""
        groups = (self.new, self.changed, self.deleted)
        records = {type(row) for rows in groups for row in rows}
        concerned = {record for record in records if concerns(record)}
        if len(concerned) == len(records):
            return self if records else None
        if not concerned:
            return None
        new, changed, deleted = ([row for row in rows if type(row) in concerned] for rows in groups)
        return Rows(new, changed, deleted, self.locks_parents, self._columns)

    def changed_columns(self, row: Any) -> Collection[str]:
        """The columns of one of the rows whose values differ from those read. Only after a flush."""
        found = self._columns.get(id(row))
        if found is None:
            found = self._columns[id(row)] = changed_columns(row)
        return found


class Effect(NamedTuple):
    """One effect of saved rows; those of the same moment are applied in the order of registration.

    Before a flush, `apply` may refuse rows by an exception, and may set other values. It can be called more than once
    for the same change. After a flush it changes no objects, because they would not be written.
    """

    moment: Moment
    #: Called with the rows that it concerns, if there are any. Its queries don't flush the session.
    apply: Callable[[Session, Rows], None]
    #: Whether it concerns rows of a class.
    concerns: Callable[[type], bool]
    why: str
    #: Whether it needs everything that the session is about to write. Rows that it concerns are always flushed.
    needs_flush: bool = False


_effects: dict[Moment, tuple[Effect, ...]] = {"before_flush": (), "after_flush": ()}


def register(effects: Iterable[Effect]) -> None:
    """Replace the effects of all sessions of this process."""
    every = tuple(effects)
    for moment in _effects:
        _effects[moment] = tuple(effect for effect in every if effect.moment == moment)


def every_class(_record: type) -> bool:
    """For `concerns`: rows of every class."""
    return True


def classes(*records: type) -> Callable[[type], bool]:
    """For `concerns`: rows of these classes and their subclasses."""
    return lambda record: issubclass(record, records)


# --- with a flush


def before_flush(session: Session, _context: Any, _instances: Any) -> None:
    """Session hook, before a flush: apply the effects of that moment."""
    _apply("before_flush", session)


def after_flush(session: Session, _context: Any) -> None:
    """Session hook, after a flush: apply the effects of that moment."""
    _apply("after_flush", session)


def _rows_of(session: Session) -> Rows:
    return Rows([*session.new], [*session.dirty], [*session.deleted])


def _apply(moment: Moment, session: Session) -> None:
    rows = _rows_of(session)
    for effect in _effects[moment]:
        concerned = rows.only(effect.concerns)
        if concerned is not None:
            effect.apply(session, concerned)
            if moment == "before_flush":  # the effect may have changed more objects
                rows = _rows_of(session)


# --- without a flush

#: Event of a flush -> listeners that are expected if a row is written without one.
_LISTENERS: dict[str, list[Callable[..., Any]]] = {
    "before_flush": [before_flush],
    "after_flush": [after_flush],
    "after_flush_postexec": [],
    "transient_to_pending": [],
    "pending_to_persistent": [],
}


def can_write_without_flush(session: Session, record: type, operation: Literal["insert", "update"]) -> bool:
    """Whether `apply` does everything that a flush would for a row of this class.

    False if anybody else listens to the session's flushes or to the rows, or if one of the effects needs a flush.
    """
    mapper: Any = inspect(record)
    if any(internals.listeners(mapper, f"{when}_{operation}") for when in ("before", "after")):
        return False
    if any(each.needs_flush and each.concerns(record) for effects in _effects.values() for each in effects):
        return False
    return all(_listeners_of(session, name) == known for name, known in _LISTENERS.items())


def _listeners_of(session: Session, name: str) -> list[Callable[..., Any]]:
    """The listeners for this event of the session, without idle ones."""
    return [each for each in internals.listeners(session, name) if not _is_idle(each)]


def _is_idle(listener: Callable[..., Any]) -> bool:
    """Whether it belongs to SQLAlchemy-Utils, which FAB imports: it does nothing unless a class has aggregates."""
    manager: Any = getattr(listener, "__self__", None)
    return type(manager).__module__ == "sqlalchemy_utils.aggregates" and not manager.generator_registry


def apply(moment: Moment, session: Session, rows: Rows, record: type) -> None:
    """Apply the effects of a moment to rows of one class that are written without a flush."""
    with session.no_autoflush:
        for effect in _effects[moment]:
            if effect.concerns(record):
                effect.apply(session, rows)


def changed_columns(row: Any) -> Collection[str]:
    """The columns of an object whose values differ from those read."""
    state: Any = inspect(row)
    columns, given = state.mapper.columns, internals.set_attributes(row)
    return [name for name in given if name in columns and internals.has_changes(state, name)]
