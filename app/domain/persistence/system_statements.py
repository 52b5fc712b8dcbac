"""Statements of the system that are compiled once; only single values, and lists of any length, are filled in.

Building and compiling a statement costs more than sending it, and SQLAlchemy renders lists anew each time. These
statements trigger no session hooks and have no access rules, so a session that acts for a person raises
PermissionError.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import Dialect
from sqlalchemy.orm import Session

from app.domain.persistence.session_context import session_context
from app.ops.statements import fast_statements

_LIST = re.compile(r"\(__\[POSTCOMPILE_(\w+)\]\)")
Convert = Callable[[Any], Any]


@dataclass(frozen=True)
class _CompiledText:
    """The text of a statement for MariaDB's driver."""

    text: str
    #: Values that are part of the statement itself.
    fixed: dict[str, Any]
    #: Name of an open value -> converter for the driver; None = none needed.
    processors: dict[str, Convert | None]
    #: The names of the lists.
    lists: tuple[str, ...]
    #: (column, converter to its Python value); columns that need none are left out.
    converters: tuple[tuple[int, Convert], ...]

    def filled(self, values: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """The text with a parameter for each value of the lists, and the parameters."""
        text, parameters = self.text, dict(self.fixed)
        for name, value in values.items():
            process = self.processors[name]
            if name not in self.lists:
                parameters[name] = value if process is None else process(value)
                continue
            named = {f"{name}_{place}": each for place, each in enumerate(value)}
            parameters |= named if process is None else {key: process(each) for key, each in named.items()}
            text = text.replace(f"%({name})s", f"({', '.join([f'%({key})s' for key in named])})")
        return text, parameters


#: MariaDB looks into an index for each value of a list, to estimate its rows.
_WITHOUT_ESTIMATES = "SET STATEMENT eq_range_index_dive_limit = 1 FOR "


def rows(
    session: Session, statement: Any, values: Mapping[str, Any], *, names_indexes: bool = False
) -> list[tuple[Any, ...]]:
    """The rows of a SELECT that its module builds once; no list may be empty.

    `names_indexes`: it names the indexes to use, so that nothing needs to be estimated.
    """
    _refuse_person(session)
    dialect = session.get_bind().dialect
    if dialect.name == "sqlite":
        return [tuple(row) for row in session.execute(statement, dict(values))]
    session.flush()
    compiled = _compiled(statement, dialect)
    text, parameters = compiled.filled(values)
    sent = fast_statements.send(session, _WITHOUT_ESTIMATES + text if names_indexes else text, parameters)
    return fast_statements.convert([*sent.rows], compiled.converters)


def run(session: Session, statement: Any, values: Mapping[str, Any]) -> None:
    """Execute an UPDATE that its module builds once. No object of the session may represent its rows."""
    _refuse_person(session)
    dialect = session.get_bind().dialect
    if dialect.name == "sqlite":
        session.execute(statement, dict(values), execution_options={"synchronize_session": False})
        return
    session.flush()
    fast_statements.send(session, *_compiled(statement, dialect).filled(values))


def _refuse_person(session: Session) -> None:
    if getattr(session_context(session).acting, "id", None) is not None:
        raise PermissionError("a person's statements carry their access rules")


@lru_cache(maxsize=100)
def _compiled(statement: Any, dialect: Dialect) -> _CompiledText:
    compiled: Any = statement.compile(dialect=dialect)
    open_names = {name for parameter, name in compiled.bind_names.items() if parameter.required}
    processors = {
        name: parameter.type.dialect_impl(dialect).bind_processor(dialect)
        for parameter, name in compiled.bind_names.items()
    }
    fixed = {name: value for name, value in compiled.params.items() if name not in open_names}
    types = [each.type for each in getattr(statement, "selected_columns", ())]
    converters = [(n, each.dialect_impl(dialect).result_processor(dialect, None)) for n, each in enumerate(types)]
    return _CompiledText(
        text=_LIST.sub(r"%(\1)s", compiled.string),
        fixed={name: processors[name](value) if processors[name] else value for name, value in fixed.items()},
        processors={name: processors[name] for name in open_names},
        lists=tuple(_LIST.findall(compiled.string)),
        converters=tuple((place, convert) for place, convert in converters if convert is not None),
    )
