"""Effects of a saved row: what is checked before it is written, and what follows from it afterwards.

`app/session_hooks.py` has the table of effects and registers it here. A flush of the session applies them, and so do
`fast_insert` and `row_updates`, which write a row without a flush.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from sqlalchemy import inspect
from sqlalchemy.orm import Session

from app.ops import sqlalchemy_internals as internals

Moment = Literal["before_flush", "after_flush"]


@dataclass(slots=True)
class Rows:
    """Objects that are written together. After a flush, their attributes still know the values before."""

    new: Sequence[Any] = ()
    #: Objects of which an attribute was set, perhaps to the value that it had.
    changed: Sequence[Any] = ()
    deleted: Sequence[Any] = ()
    #: Id of an object -> its `changed_columns`, as far as they are known.
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
        return Rows(new, changed, deleted, self._columns)

    def changed_columns(self, row: Any) -> Collection[str]:
        """The columns of one of the rows whose values differ from those that were read. Only after a flush."""
        found = self._columns.get(id(row))
        if found is None:
            found = self._columns[id(row)] = changed_columns(row)
        return found


class Effect(NamedTuple):
    """One effect of saved rows; those of a moment are applied in the order in which they are registered.

    Before a flush, `apply` may refuse rows by an exception, and may set other values. It can be called more than once
    for the same change. After a flush it changes no objects: neither way would write them.
    """

    moment: Moment
    #: Called with the rows that it concerns, if there are any. Its queries don't flush the session.
    apply: Callable[[Session, Rows], None]
    #: Whether it concerns the rows of a class.
    concerns: Callable[[type], bool]
    why: str
    #: Whether it needs all that the session is about to write. Rows that it concerns are always flushed.
    needs_flush: bool = False


_effects: dict[Moment, tuple[Effect, ...]] = {"before_flush": (), "after_flush": ()}


def register(effects: Iterable[Effect]) -> None:
    """Replace the effects of all sessions of this process."""
    every = tuple(effects)
    for moment in _effects:
        _effects[moment] = tuple(effect for effect in every if effect.moment == moment)


def every_class(_record: type) -> bool:
    """Use as an effect's `concerns`: rows of every class."""
    return True


def classes(*records: type) -> Callable[[type], bool]:
    """An effect's `concerns`: rows of these classes and their subclasses."""
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

#: Event of a flush -> who may listen to it where a row is written without one.
_LISTENERS: dict[str, list[Callable[..., Any]]] = {
    "before_flush": [before_flush],
    "after_flush": [after_flush],
    "after_flush_postexec": [],
    "transient_to_pending": [],
    "pending_to_persistent": [],
}


def can_write_without_flush(session: Session, record: type, operation: Literal["insert", "update"]) -> bool:
    """Whether `apply` does all that a flush would set off for a row of this class.

    False if anybody else listens to the session's flushes or to the rows, or if one of the effects needs a flush.
    """
    mapper: Any = inspect(record)
    if any(internals.listeners(mapper, f"{when}_{operation}") for when in ("before", "after")):
        return False
    if any(each.needs_flush and each.concerns(record) for effects in _effects.values() for each in effects):
        return False
    return all(_listeners_of(session, name) == known for name, known in _LISTENERS.items())


def _listeners_of(session: Session, name: str) -> list[Callable[..., Any]]:
    """Who listens to this event of the session, without those who have nothing to do."""
    return [each for each in internals.listeners(session, name) if not _is_idle(each)]


def _is_idle(listener: Callable[..., Any]) -> bool:
    """Whether it is that of SQLAlchemy-Utils, which FAB imports: it has nothing to do unless a class has aggregates."""
    manager: Any = getattr(listener, "__self__", None)
    return type(manager).__module__ == "sqlalchemy_utils.aggregates" and not manager.generator_registry


def apply(moment: Moment, session: Session, rows: Rows, record: type) -> None:
    """Apply the effects of a moment to rows of one class that are written without a flush."""
    with session.no_autoflush:
        for effect in _effects[moment]:
            if effect.concerns(record):
                effect.apply(session, rows)


def changed_columns(row: Any) -> Collection[str]:
    """The columns of an object whose values differ from those that were read."""
    state: Any = inspect(row)
    columns, attributes = state.mapper.columns, state.attrs
    given = internals.set_attributes(row)
    return [name for name in given if name in columns and attributes[name].history.has_changes()]
