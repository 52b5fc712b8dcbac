"""Bulk statements, which save a round trip per row and the building of a statement for each.

The SQL is written here: SQLAlchemy would build, key and compile a CASE with hundreds of branches, and the driver would
escape each value of each row. Values that rows share are sent and escaped once. These statements trigger no session
hooks: the caller's rows are new, or locked by this transaction under the access rules.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from types import SimpleNamespace
from typing import Any

from sqlalchemy import Dialect
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.orm import Session

from app.domain.persistence import parent_holders
from app.domain.persistence.session_context import session_context
from app.lib.batches import batched
from app.ops.statements import fast_statements

#: Column values of one row by name; `id` identifies the row.
Row = Mapping[str, Any]


class LockedRow(SimpleNamespace):
    """A locked row with its columns as attributes; not an object of the session."""

    __tablename__: str

    @classmethod
    def of(cls, record: Any, row: Any) -> LockedRow:
        """Build it from a row of a SELECT of columns of this record."""
        return cls(__tablename__=record.__tablename__, **row._mapping)


#: Rows of one INSERT; SQLite takes 32,766 parameters.
MAX_ROWS = 500


def update_rows(
    session: Session, record: Any, rows: Sequence[Row], *, where: Sequence[str] = (), bump_version: bool = True
) -> None:
    """Update these rows, each with its own values, by one UPDATE; all rows have the same columns.

    `where`: columns that are compared rather than set; a row with another value stays unchanged. `bump_version`:
    whether this counts as a save, so that forms opened before are refused as stale. Bypasses the session's objects and
    access rules: a caller that has one of the rows as an object must reload it, and a session that acts for a person
    raises PermissionError.
    """
    if not rows:
        return
    if getattr(session_context(session).acting, "id", None) is not None:
        raise PermissionError("a person changes rows through statements that carry their access rules")
    parent_holders.note_row(session, record.__tablename__, [row["id"] for row in rows], rows[0].keys())
    values = _Values(record.__table__, session.get_bind().dialect)
    new = {name: _new_value(values, name, rows) for name in rows[0] if name != "id" and name not in where}
    if bump_version:
        new["version"] = "version + 1"
    settings = ", ".join(f"{values.columns[name]} = {text}" for name, text in new.items())
    rules = [f"id IN ({', '.join(str(int(row['id'])) for row in rows)})"]
    rules += [f"{values.columns[name]} = {_new_value(values, name, rows)}" for name in where]
    text = f"UPDATE {values.table_name} SET {settings} WHERE {' AND '.join(rules)}"  # noqa: S608  # names are ours
    fast_statements.send(session, text, values.parameters)


def _new_value(values: _Values, name: str, rows: Sequence[Row]) -> str:
    """The value that all rows share, or a CASE by id."""
    ids: dict[str, list[str]] = {}
    for row in rows:
        ids.setdefault(values.text(name, row[name]), []).append(str(int(row["id"])))
    if len(ids) == 1:
        return next(iter(ids))
    if 2 * len(ids) > len(rows):
        branches = (f"WHEN {key} THEN {text}" for text, keys in ids.items() for key in keys)
        return f"CASE id {' '.join(branches)} END"
    groups = (f"WHEN id IN ({', '.join(keys)}) THEN {text}" for text, keys in ids.items())
    return f"CASE {' '.join(groups)} END"


@dataclass(frozen=True)
class InsertPlan:
    """What INSERTs do with existing rows, and what they return."""

    #: Columns of a unique key. A row whose key exists already is skipped, or updates the `update` columns.
    unique: Sequence[str] = ()
    update: Sequence[str] = ()
    #: Columns of numbers that are added to those of the existing row.
    add: Sequence[str] = ()
    #: Columns of the rows as stored then.
    returning: Sequence[str] = ()
    #: Rows of one statement.
    at_once: int = MAX_ROWS


PLAIN = InsertPlan()


def insert_rows(session: Session, record: Any, rows: Sequence[Row], plan: InsertPlan = PLAIN) -> int:
    """Insert these rows; all have the same columns. Returns the number of rows that the database reports.

    MariaDB counts an updated row twice.
    """
    texts = (_insert_text(session, record, some, plan) for some in batched(rows, plan.at_once))
    return sum(fast_statements.send(session, text, parameters).total for text, parameters in texts)


@dataclass(frozen=True)
class Insertion:
    """Rows that are ready to be inserted by `send_insertion`."""

    #: The INSERTs, each with its parameters.
    statements: tuple[tuple[str, dict[str, Any]], ...]
    #: The converter of each returned column to Python; None = none needed.
    converters: tuple[Callable[[Any], Any] | None, ...]


def insertion(session: Session, record: Any, rows: Sequence[Row], plan: InsertPlan) -> Insertion:
    """`insert_rows` as INSERTs that return columns; not sent yet."""
    statements = tuple(_insert_text(session, record, some, plan) for some in batched(rows, plan.at_once))
    return Insertion(statements, _converters_of(record.__table__, tuple(plan.returning), session.get_bind().dialect))


def send_insertion(session: Session, made: Insertion) -> list[tuple[Any, ...]]:
    """Insert the rows. Returns the requested columns of the rows as stored now, in no order.

    A row that was skipped, because no column was to be updated, is not among them.
    """
    return [
        tuple(
            [value if convert is None else convert(value) for value, convert in zip(row, made.converters, strict=True)]
        )
        for text, parameters in made.statements
        for row in fast_statements.send(session, text, parameters).rows
    ]


def read_rows(session: Session, text: str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """The rows of a compiled statement with its parameters as %(name)s. No access rules: not for display."""
    session.flush()
    is_sqlite = session.get_bind().dialect.name == "sqlite"
    return [*fast_statements.send(session, _for_sqlite(text) if is_sqlite else text, dict(values)).rows]


@lru_cache(maxsize=100)
def _for_sqlite(text: str) -> str:
    return re.sub(r"%\((\w+)\)s", r":\1", text)


def insert_row(session: Session, record: Any, row: Row, computed: Mapping[str, str]) -> int:
    """Insert one row, and return its id. `computed`: more columns, each with SQL for its value."""
    text, parameters = _insert_text(session, record, [row])
    if computed:
        named, given = text.split(") VALUES (", 1)
        more = ", ".join(computed.values())
        text = f"{named}, {', '.join(computed)}) VALUES ({given.removesuffix(')')}, {more})"
    return fast_statements.send(session, text, parameters).last_id


def update_row(session: Session, record: Any, values: Row, identity: Row, condition: str = "") -> int:
    """Set these columns of the row with this `identity`. Returns the number of rows: 0 or 1.

    No access rules: the caller has read the row under them. `condition`: SQL that is added to those of the identity.
    """
    dialect = session.get_bind().dialect
    processors = _names_of(record.__table__, dialect)[2]
    parameters = {
        f"{part}_{name}": _processed(processors[name], value)
        for part, row in (("new", values), ("old", identity))
        for name, value in row.items()
    }
    text = _update_text(record.__table__, tuple(values), tuple(identity), dialect)
    return fast_statements.send(session, text + condition, parameters).total


def update_read_rows(session: Session, record: Any, changes: Sequence[tuple[Row, Row]]) -> int:
    """`update_row` for many rows: (values, identity) of each, all with the same columns.

    Returns how many of them there were.
    """
    return sum(_update_read(session, record, some) for some in batched(changes, MAX_ROWS))


def _update_read(session: Session, record: Any, changes: Sequence[tuple[Row, Row]]) -> int:
    values, read = _Values(record.__table__, session.get_bind().dialect), [identity for _, identity in changes]
    new = [{**given, "id": identity["id"]} for given, identity in changes]
    settings = ", ".join(f"{values.columns[name]} = {_new_value(values, name, new)}" for name in changes[0][0])
    rules = [f"id IN ({', '.join(str(int(row['id'])) for row in read)})"]
    rules += [f"{values.columns[name]} = {_new_value(values, name, read)}" for name in read[0] if name != "id"]
    text = f"UPDATE {values.table_name} SET {settings} WHERE {' AND '.join(rules)}"  # noqa: S608  # names are ours
    return fast_statements.send(session, text, values.parameters).total


def _processed(process: Callable[[Any], Any] | None, value: Any) -> Any:
    return value if process is None else process(value)


@lru_cache(maxsize=200)
def _update_text(table: Any, names: tuple[str, ...], identity: tuple[str, ...], dialect: Dialect) -> str:
    table_name, columns, _processors = _names_of(table, dialect)
    holder = ":{}_{}" if dialect.name == "sqlite" else "%({}_{})s"
    settings = ", ".join(f"{columns[name]} = {holder.format('new', name)}" for name in names)
    rules = " AND ".join(f"{columns[name]} = {holder.format('old', name)}" for name in identity)
    return f"UPDATE {table_name} SET {settings} WHERE {rules}"  # noqa: S608  # names are ours


def _insert_text(
    session: Session, record: Any, rows: Sequence[Row], plan: InsertPlan = PLAIN
) -> tuple[str, dict[str, Any]]:
    """The SQL of the INSERT of these rows, and its parameters."""
    dialect = session.get_bind().dialect
    values, names = _Values(record.__table__, dialect), tuple(rows[0])
    _refuse_missing_defaults(record.__table__, names)
    verb, end = _on_existing(dialect.name, values, plan)
    columns = ", ".join(values.columns[name] for name in names)
    cells = [values.texts(name, [row[name] for row in rows]) for name in names]
    made = ", ".join(f"({', '.join(each)})" for each in zip(*cells, strict=True))
    returned = f" RETURNING {', '.join(values.columns[name] for name in plan.returning)}" if plan.returning else ""
    return f"{verb} INTO {values.table_name} ({columns}) VALUES {made}{end}{returned}", values.parameters


def _on_existing(dialect: str, values: _Values, plan: InsertPlan) -> tuple[str, str]:
    """The verb and the end of an INSERT, by how it treats existing rows."""
    if not plan.unique:
        return "INSERT", ""
    own, new = (f"{values.table_name}.{{0}}", "excluded.{0}") if dialect == "sqlite" else ("{0}", "VALUES({0})")
    steps = [("{0} = " + new).format(values.columns[name]) for name in plan.update]
    steps += [("{0} = " + own + " + " + new).format(values.columns[name]) for name in plan.add]
    if dialect == "sqlite":
        key = ", ".join(values.columns[name] for name in plan.unique)
        return "INSERT", f" ON CONFLICT ({key}) DO " + (f"UPDATE SET {', '.join(steps)}" if steps else "NOTHING")
    if not steps:
        # IGNORE, because with found-rows counting ON DUPLICATE KEY UPDATE also returns 1 for an existing row.
        return "INSERT IGNORE", ""
    return "INSERT", f" ON DUPLICATE KEY UPDATE {', '.join(steps)}"


@lru_cache(maxsize=100)
def _refuse_missing_defaults(table: Any, names: tuple[str, ...]) -> None:
    """Raise ValueError for a column whose default only SQLAlchemy would fill in."""
    missing = [column.name for column in table.columns if column.default is not None and column.name not in names]
    if missing:
        raise ValueError(f"rows of {table.name} need {', '.join(missing)}")


def upsert(session: Session, record: Any, keys: Sequence[str], changes: Callable[[Any], dict[str, Any]]) -> Any:
    """An INSERT with parameters that updates the row if its `keys` exist.

    `changes`: a function from the columns of the row to be inserted to the values to set. These may only be columns:
    MariaDB's driver accepts no parameters after ON DUPLICATE KEY.
    """
    table = record.__table__
    if session.get_bind().dialect.name == "sqlite":
        statement = sqlite.insert(table)
        return statement.on_conflict_do_update(index_elements=list(keys), set_=changes(statement.excluded))
    own = mysql.insert(table)
    return own.on_duplicate_key_update(changes(own.inserted))


def insert_if_missing(session: Session, record: Any, key: str, values: Row) -> None:
    """Insert the row unless one with the same `key` exists; waits for a concurrent insert of it, and locks the row."""
    table = record.__table__
    if session.get_bind().dialect.name == "sqlite":
        session.execute(sqlite.insert(table).values(values).on_conflict_do_nothing(index_elements=[key]))
    else:
        session.execute(mysql.insert(table).values(values).on_duplicate_key_update({key: table.c[key]}))


# --- values


#: Types whose values are hashable; to ask for others takes longer.
_HASHABLE = frozenset((str, datetime, bool, float))
#: How a parameter stands in the text: MariaDB's driver, SQLite.
_HOLDERS = ("%%(%s)s", ":%s")


@dataclass
class _Values:
    """The values of one statement: numbers and NULL as literals, all others as parameters, each value once."""

    table: Any
    dialect: Dialect
    #: Name -> value for the driver.
    parameters: dict[str, Any] = field(default_factory=dict)
    #: Column -> value -> its SQL.
    _known: dict[str, dict[Hashable, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.table_name, self.columns, self._processors = _names_of(self.table, self.dialect)
        self._is_sqlite = self.dialect.name == "sqlite"

    def texts(self, name: str, given: list[Any]) -> list[str]:
        """The SQL of a column's values, one per row."""
        if given.count(given[0]) == len(given):
            return [self.text(name, given[0])] * len(given)
        process, known, made = self._processors[name], self._known.setdefault(name, {}), []
        parameters, holder = self.parameters, _HOLDERS[self._is_sqlite]
        for value in given:
            kind = type(value)
            if value is None:
                made.append("NULL")
            elif kind is int:
                made.append(str(value))
            elif kind not in _HASHABLE and (kind is dict or not isinstance(value, Hashable)):
                made.append(self._parameter(value, process))
            else:
                text = known.get(value)
                if text is None:  # as `_parameter`, whose calls would cost as much again
                    place = f"p{len(parameters)}"
                    parameters[place] = value if process is None else process(value)
                    text = known[value] = holder % place
                made.append(text)
        return made

    def text(self, name: str, value: Any) -> str:
        """The SQL of one value of this column: a literal, or a parameter."""
        if value is None:
            return "NULL"
        if type(value) is int:
            return str(value)
        process, key = self._processors[name], value
        if not isinstance(value, Hashable):  # JSON, the same in many rows
            value, process = _processed(process, value), None
            key = ("as sent", value)
        known = self._known.setdefault(name, {})
        if key not in known:
            known[key] = self._parameter(value, process)
        return known[key]

    def _parameter(self, value: Any, process: Callable[[Any], Any] | None) -> str:
        holder = f"p{len(self.parameters)}"
        self.parameters[holder] = value if process is None else process(value)
        return _HOLDERS[self._is_sqlite] % holder


@lru_cache(maxsize=100)
def _names_of(table: Any, dialect: Dialect) -> tuple[str, dict[str, str], dict[str, Callable[[Any], Any] | None]]:
    """The table's name, and for each column its name and the converter to the driver; quoted where needed."""
    quote = dialect.identifier_preparer
    columns = {column.name: quote.format_column(column) for column in table.columns}
    processors = {each.name: each.type.dialect_impl(dialect).bind_processor(dialect) for each in table.columns}
    return quote.format_table(table), columns, processors


@lru_cache(maxsize=100)
def _converters_of(table: Any, names: tuple[str, ...], dialect: Dialect) -> tuple[Callable[[Any], Any] | None, ...]:
    """Converters of these columns to Python; None = none needed."""
    return tuple(table.c[name].type.dialect_impl(dialect).result_processor(dialect, None) for name in names)


def execute_counted(session: Session, statement: Any) -> int:
    """Execute an UPDATE or DELETE, and return how many rows it changed; objects in the session stay as they are."""
    done: Any = session.execute(statement, execution_options={"synchronize_session": False})
    return int(done.rowcount)
