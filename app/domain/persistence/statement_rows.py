"""Which rows and columns an INSERT, UPDATE or DELETE without objects changes."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BindParameter, select
from sqlalchemy.orm import ORMExecuteState
from sqlalchemy.sql import operators

from app.ops.statements import sqlalchemy_internals as internals


def columns_set(state: ORMExecuteState) -> set[str]:
    """The names of the columns that an INSERT or UPDATE sets."""
    statement: Any = state.statement
    given = {str(getattr(each, "key", each)) for each in internals.values_of(statement)}
    sent: Any = state.parameters if isinstance(state.parameters, list | tuple) else [state.parameters or {}]
    for parameters in sent:
        given |= set(parameters)
    return given


def ids_of(state: ORMExecuteState, table: Any) -> list[int] | None:
    """The ids of the rows that an UPDATE or DELETE may change, read and locked if it doesn't name them.

    None if it can't be known.
    """
    named = _named_ids(state)
    if named:
        return named
    if isinstance(state.parameters, list | tuple):  # one UPDATE for each row, mostly by its primary key
        has_ids = all("id" in each for each in state.parameters)
        return [int(each["id"]) for each in state.parameters] if has_ids else None
    rules = internals.conditions_of(state.statement)
    query = select(table.c.id).where(*rules).with_for_update()
    return list(state.session.connection().execute(query, state.parameters or {}).scalars())


def _named_ids(state: ORMExecuteState) -> list[int]:
    """The ids that the statement names; some of them may not be changed."""
    for rule in internals.conditions_of(state.statement):
        left, right = getattr(rule, "left", None), getattr(rule, "right", None)
        if getattr(left, "name", "") == "id" and isinstance(right, BindParameter) and right.value is not None:
            if rule.operator is operators.eq:
                return [int(right.value)]
            if rule.operator is operators.in_op:
                return [int(each) for each in right.value]
    return []
