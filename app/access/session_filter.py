"""Access rules in the session: every statement reads and changes only the rows that the acting person reaches."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Table, false, select
from sqlalchemy.orm import ORMExecuteState, Session, with_loader_criteria
from sqlalchemy.sql.elements import BindParameter, ColumnClause

from app.access.person import Person
from app.access.row_rules import MODULE_OF, guarded_tables, reaches_all_visible, visible
from app.access.system_session import SYSTEM, acting, as_system
from app.access.visible_parents import visible_under_parent
from app.domain.persistence.session_context import session_context
from app.ops.statements.sqlalchemy_internals import options_of


def filter_statement(state: ORMExecuteState) -> None:
    """Session hook: add the access rules of the acting person to a SELECT, UPDATE or DELETE."""
    if session_context(state.session).acting is SYSTEM or state.is_column_load:
        return
    if not (state.is_select or state.is_update or state.is_delete):
        return
    records = _records_in(state)
    if records:
        person = acting(state.session)
        state.statement = state.statement.options(*[_criteria(person, record) for record in records])


def under_rules(person: Person, statement: Any, tables: Iterable[str], parent: str | None = None) -> Any:
    """The statement with the person's access rules for these tables; `parent`: see `visible_parents`."""
    guarded = guarded_tables()
    return statement.options(*[_criteria(person, guarded[name], parent) for name in tables if name in guarded])


def _criteria(person: Person | None, record: Any, parent: str | None = None) -> Any:
    if person is None:
        return with_loader_criteria(record, false(), include_aliases=False)
    key = record.__tablename__ if parent is None else f"{record.__tablename__} of {parent}"
    if key not in person.row_criteria:
        # Not for aliases: the rules' own EXISTS use aliases and would be filtered again.
        rule = visible_under_parent(person, record, parent)
        person.row_criteria[key] = with_loader_criteria(record, rule, include_aliases=False)
    return person.row_criteria[key]


def _records_in(state: ORMExecuteState) -> list[Any]:
    """The records that the statement touches; all of them when loader options could bring in more."""
    statement = state.statement
    if options_of(statement) or state.is_relationship_load:
        return list(guarded_tables().values())
    # RecordTable declares the tables of its statements; every other statement is searched.
    names = state.execution_options.get("guarded_tables") or _tables_in(statement)
    guarded = guarded_tables()
    return [guarded[name] for name in names if name in guarded]


def _tables_in(statement: Any) -> set[str]:
    # Not cached on the statement: one derived from it by a further join would inherit too few tables.
    seen: dict[int, Any] = {}
    waiting = [statement]
    while waiting:
        node = waiting.pop()
        # Sub-selects are found on several ways; columns and values, which most nodes are, hold no table.
        if id(node) not in seen and not isinstance(node, ColumnClause | BindParameter):
            seen[id(node)] = node
            waiting += node.get_children()
    return {node.name for node in seen.values() if isinstance(node, Table)}


def sees_row(session: Session, person: Person, row: Any) -> bool:
    """Whether the person sees this row, loaded by the system: one indexed SELECT."""
    record = type(row)
    with as_system(session):
        return (
            session.execute(select(record.id).where(record.id == row.id, visible(person, record))).first() is not None
        )


def reaches_row(session: Session, person: Person, row: Any, verb: str) -> bool:
    """Whether the verb reaches this row: one indexed SELECT, unless the level alone decides."""
    return reaches_id(session, person, type(row), row.id, verb)


def reaches_id(session: Session, person: Person, record: Any, key: int, verb: str) -> bool:
    """Whether the verb reaches the row with this id, which the person sees."""
    module = MODULE_OF.get(record, "")
    if person.level(module, verb) in ("none", "all"):
        return person.may(module, verb)
    if reaches_all_visible(person, record, verb):
        return True  # the row was loaded under the same rule
    query = select(record.id).where(record.id == key, visible(person, record, verb))
    with as_system(session):
        return session.execute(query).first() is not None
