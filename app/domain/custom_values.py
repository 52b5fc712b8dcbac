"""Values of custom fields: stored in the record's own row, and again in a table for filters and sorting.

The row's JSON is authoritative: whoever reads, merges, exports or restores the row has the values with it. The table is
updated from it when the row is saved, and by `reindex` after statements that bypass the session's objects (ADR 0083).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from flask_appbuilder import Model
from sqlalchemy import Date, ForeignKey, Index, Integer, Numeric, String, Text, delete, inspect, select
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import Mapped, Session, mapped_column
from sqlalchemy.types import TypeDecorator

from app.domain.base import RuleBroken, gettext_noop, translatable
from app.domain.custom_fields import RECORDS, CustomField
from app.domain.persistence import bulk_statements
from app.domain.persistence.row_effects import Rows
from app.domain.persistence.transaction_state import part_of
from app.lib.batches import batched
from app.ops.statements import sqlalchemy_internals as internals

#: Kind of a field -> the column for its values in the table.
COLUMNS = {
    "text": "text_value",
    "link": "text_value",
    "choice": "text_value",
    "number": "number_value",
    "date": "date_value",
}
Doc = Mapping[str, Any]
#: Rows per statement.
_STEP = 500
#: The job that compares all records with the table of values; its items are the records that differ.
COMPARING_JOB = gettext_noop("compare custom fields")


class JsonText(TypeDecorator[Any]):
    """JSON in a plain text column.

    MariaDB's own type has a check, which can't be added without copying the table, and it compares case-sensitively,
    while people expect a and A to be sorted together.
    """

    impl = Text().with_variant(mysql.MEDIUMTEXT(), "mysql", "mariadb")
    cache_ok = True
    hashable = False

    def process_bind_param(self, value: Any, dialect: Any) -> str | None:
        """The JSON text; null for None and for an empty value."""
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")) if value else None

    def process_result_value(self, value: Any, dialect: Any) -> Any:
        """The stored value, None for null."""
        return None if value is None else json.loads(value)


class HasCustomFields:
    """A record that can have custom fields."""

    #: {name of the field: text, number or ISO date}; null = no values. Never changed in place.
    custom: Mapped[dict[str, Any] | None] = mapped_column(JsonText, nullable=True)


class CustomValue(Model):  # type: ignore[misc]
    """The value of one field of one record, in the column of its kind. Each index serves a filter by itself."""

    __tablename__ = "custom_value"
    __table_args__ = (
        Index("ix_custom_value_text", "field_id", "text_value", "record_id"),
        Index("ix_custom_value_number", "field_id", "number_value", "record_id"),
        Index("ix_custom_value_date", "field_id", "date_value", "record_id"),
    )
    field_id: Mapped[int] = mapped_column(
        ForeignKey("custom_field.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    #: The id in the record's table.
    record_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    text_value: Mapped[str | None] = mapped_column(String(500))
    number_value: Mapped[float | None] = mapped_column(Numeric(20, 4, asdecimal=False))
    date_value: Mapped[date | None] = mapped_column(Date)


class RetiredChoice(str):
    """A choice that is no longer offered. Records that have it keep it; it can't be chosen for others."""


class SelectedChoice(str):
    """A choice that a person has just made. Storing it checks that no admin has deleted it meanwhile."""


#: Attribute of a record: {name: choice} chosen in this transaction.
_CHOSEN = "_chosen_choices"


@dataclass
class FieldCache:
    """Custom fields read by a transaction, so that many records need no more statements than one."""

    #: The session's outermost transaction; the next one reads everything again. None = to be read again.
    transaction: object = None
    #: Table -> name -> (id, kind) of its fields.
    fields: dict[str, dict[str, tuple[int, str]]] = field(default_factory=dict)
    #: (table, name) -> the choices of the field, which is locked for reading until the transaction ends.
    choices: dict[tuple[str, str], set[str]] = field(default_factory=dict)


def _cache(session: Session) -> FieldCache:
    """What this transaction has read so far."""
    session.connection()  # begins the transaction if necessary
    found, transaction = part_of(session, FieldCache), session.get_transaction()
    if found.transaction is not transaction:
        found.transaction, found.fields, found.choices = transaction, {}, {}
    return found


# --- a record's values


def set_values(record: Any, values: Mapping[str, Any]) -> None:
    """Set the values of `values["custom"]`: {name: value, None to clear it}. Other fields keep theirs.

    Raises RuleBroken for a choice that isn't offered any more.
    """
    given: Doc = values.get("custom") or {}
    if not given:
        return
    old = record.custom or {}
    for name, value in given.items():
        if isinstance(value, RetiredChoice) and old.get(name) != value:
            text = "“%(value)s” isn't offered any more. Please choose another one."
            raise RuleBroken(translatable(text, value=str(value)), name)
    new = _without_empty({**old, **given})
    if new != old:
        record.custom = new or None
        chosen = {name: str(value) for name, value in given.items() if isinstance(value, SelectedChoice)}
        if chosen:
            setattr(record, _CHOSEN, {**getattr(record, _CHOSEN, {}), **chosen})


def _without_empty(doc: Doc) -> dict[str, Any]:
    return {
        name: str(value) if isinstance(value, RetiredChoice | SelectedChoice) else value
        for name, value in doc.items()
        if value is not None
    }


def changes(record: Any, before: Doc | None) -> list[list[Any]]:
    """The differences from `before` for a timeline entry: [["leads.x_risk", old, new]]."""
    old, new = before or {}, record.custom or {}
    names = [name for name in dict.fromkeys((*old, *new)) if old.get(name) != new.get(name)]
    return [[f"{record.__tablename__}.{name}", old.get(name), new.get(name)] for name in names]


def merged(rows: Sequence[Any]) -> dict[str, Any] | None:
    """The values of a record merged from others: the newest of each field. `rows`: newest first."""
    found: dict[str, Any] = {}
    for row in rows:
        for name, value in (row.custom or {}).items():
            found.setdefault(name, value)
    return found or None


# --- the table


def forget_read_fields(session: Session, _fields: Rows) -> None:
    """Effect after a flush of fields: this transaction reads the custom fields again."""
    part_of(session, FieldCache).transaction = None


def index_changed(session: Session, records: Rows) -> None:
    """Effect after a flush: update the table to match the records."""
    written = [row for row in (*records.new, *records.changed) if _has_changed(row)]
    if written:
        index(session, written)
    for table in {row.__tablename__ for row in records.deleted}:
        _forget(session, table, [row.id for row in records.deleted if row.__tablename__ == table])


def _refuse_deleted_choices(session: Session, rows: Iterable[Any]) -> None:
    """Raise RuleBroken for a choice that an admin has deleted meanwhile; from here on none can be deleted.

    The fields are locked for reading: whoever deletes a choice waits, and then finds it in use.
    """
    chosen: dict[str, dict[str, set[str]]] = {}
    for row in rows:
        for name, value in row.__dict__.pop(_CHOSEN, {}).items():
            chosen.setdefault(row.__tablename__, {}).setdefault(name, set()).add(value)
    for table, values in chosen.items():
        offered = _offered(session, table, values)
        for name in sorted(values):
            lost = sorted(values[name] - offered.get(name, values[name]))
            if lost:
                text = "“%(value)s” was deleted a moment ago. Please choose another one."
                raise RuleBroken(translatable(text, value=lost[0]), name)


def _offered(session: Session, table: str, names: Iterable[str]) -> dict[str, set[str]]:
    """Name -> the choices of these fields, which are locked for reading; deleted fields are missing."""
    cache, own = _cache(session), _fields_table()
    wanted = [name for name in sorted(names) if (table, name) not in cache.choices]
    if wanted:
        query = select(own.c.name, own.c.choices).where(own.c.record_table == table, own.c.name.in_(wanted))
        for name, choices in session.connection().execute(query.with_for_update(read=True)):
            cache.choices[table, name] = {each["value"] for each in choices or ()}
    return {name: cache.choices[table, name] for name in names if (table, name) in cache.choices}


def _fields_table() -> Any:
    return CustomField.__table__


def _has_changed(row: Any) -> bool:
    if "custom" not in internals.set_attributes(row):
        return False
    state: Any = inspect(row)
    return "custom" in state.dict and state.attrs.custom.history.has_changes() and not _is_empty_again(state)


def _is_empty_again(state: Any) -> bool:
    """Whether a new row was given an empty value."""
    history = state.attrs.custom.history
    return not any(history.added) and not any(history.deleted)


def index(session: Session, rows: Sequence[Any]) -> None:
    """Write the values of these stored records into the table. Raises RuleBroken for a deleted choice."""
    _refuse_deleted_choices(session, rows)
    by_table: dict[str, dict[int, Doc]] = {}
    for row in rows:
        by_table.setdefault(row.__tablename__, {})[row.id] = row.custom or {}
    for table, docs in by_table.items():
        _write(session, table, docs)


def reindex(session: Session, table: str, ids: Sequence[int]) -> None:
    """`index` for rows written by statements without objects; their values are read again."""
    own = _table(table)
    for part in batched(ids):
        found = session.connection().execute(select(own.c.id, own.c.custom).where(own.c.id.in_(part)))
        docs = {key: doc or {} for key, doc in found}
        _write(session, table, {key: docs.get(key, {}) for key in part})


def _table(table: str) -> Any:
    """The table of a record that supports custom fields. Raises KeyError for any other."""
    if table not in RECORDS:
        raise KeyError(table)
    return Model.metadata.tables[table]


def _write(session: Session, table: str, docs: Mapping[int, Doc]) -> None:
    fields = _fields_with(session, table, {name for doc in docs.values() for name in doc})
    if not fields:
        return
    _delete(session, [key for key, _kind in fields.values()], list(docs))
    bulk_statements.insert_rows(session, CustomValue, _rows(fields, docs))


def _rows(fields: Mapping[str, tuple[int, str]], docs: Mapping[int, Doc]) -> list[dict[str, Any]]:
    """The rows of the table for these records."""
    return [
        _row(*fields[name], record_id, value)
        for record_id, doc in docs.items()
        for name, value in doc.items()
        if name in fields and value is not None
    ]


def _forget(session: Session, table: str, ids: Sequence[int]) -> None:
    _delete(session, [key for key, _kind in _fields_of(session, table).values()], ids)


def _fields_with(session: Session, table: str, names: Iterable[str]) -> dict[str, tuple[int, str]]:
    """Like `_fields_of`, but cached for this transaction; read again if a name is missing."""
    fields = _cache(session).fields
    if table not in fields or not fields[table].keys() >= set(names):
        fields[table] = _fields_of(session, table)
    return fields[table]


def _fields_of(session: Session, table: str) -> dict[str, tuple[int, str]]:
    """Name -> (id, kind) of the table's fields, removed ones as well."""
    own = _fields_table()
    query = select(own.c.name, own.c.id, own.c.kind).where(own.c.record_table == table)
    return {name: (int(key), kind) for name, key, kind in session.connection().execute(query)}


def _delete(session: Session, fields: Sequence[int], records: Sequence[int]) -> None:
    own: Any = CustomValue.__table__
    for part in batched(records):
        if fields:
            session.connection().execute(delete(own).where(own.c.field_id.in_(fields), own.c.record_id.in_(part)))


def _row(field_id: int, kind: str, record_id: int, value: Any) -> dict[str, Any]:
    made: dict[str, Any] = {"field_id": field_id, "record_id": record_id}
    made |= {"text_value": None, "number_value": None, "date_value": None}
    return made | {COLUMNS[kind]: to_typed(kind, value)}


def to_typed(kind: str, value: Any) -> Any:
    """A JSON value, converted for the column of its kind."""
    if kind == "number":
        return value
    return date.fromisoformat(value) if kind == "date" else str(value)


def compare(session: Session, table: str, after: int, mends: bool) -> tuple[int | None, int]:
    """Compare the records after this id with the table of values; `mends`: also correct the values that differ.

    Returns the last id, None at the end, and the number of records that differ.
    """
    own, fields = _table(table), _fields_of(session, table)
    query = select(own.c.id, own.c.custom).where(own.c.id > after).order_by(own.c.id).limit(_STEP)
    found = session.connection().execute(query.with_for_update() if mends else query).all()
    last = int(found[-1].id) if found else None
    docs: dict[int, Doc] = {key: doc or {} for key, doc in found}
    wanted = _cells(_rows(fields, docs))
    stored = _cells(_stored(session, [key for key, _kind in fields.values()], after, last))
    differing = {key for key in wanted.keys() | stored.keys() if wanted.get(key) != stored.get(key)}
    if mends and differing:
        _write(session, table, {key: docs.get(key, {}) for key in sorted(differing)})
    return last, len(differing)


def differing(session: Session, table: str) -> int:
    """The number of records of a table that differ from the table of values. Ends the transaction regularly."""
    last: int | None = 0 if _fields_of(session, table) else None
    count = 0
    while last is not None:
        last, found = compare(session, table, last, mends=False)
        count += found
        session.rollback()  # one snapshot of the whole table would keep the database from purging old row versions
    return count


def _stored(session: Session, fields: Sequence[int], after: int, last: int | None) -> list[dict[str, Any]]:
    """The rows of these fields between two ids, including those of deleted records."""
    own: Any = CustomValue.__table__
    query = select(own).where(own.c.field_id.in_(fields), own.c.record_id > after)
    query = query if last is None else query.where(own.c.record_id <= last)
    return [dict(row._mapping) for row in session.connection().execute(query)] if fields else []


def _cells(rows: Iterable[Mapping[str, Any]]) -> dict[int, dict[int, tuple[Any, ...]]]:
    """Record id -> field id -> the values of the columns."""
    found: dict[int, dict[int, tuple[Any, ...]]] = {}
    for row in rows:
        number = row["number_value"]
        values = row["text_value"], None if number is None else round(float(number), 4), row["date_value"]
        found.setdefault(row["record_id"], {})[row["field_id"]] = values
    return found


def count_used(session: Session, field: CustomField) -> int:
    """How many records have a value of this field."""
    own: Any = CustomValue.__table__
    query = select(own.c.record_id).where(own.c.field_id == field.id)
    return len(session.connection().execute(query.limit(_MOST_COUNTED)).all())


#: Counting stops here.
_MOST_COUNTED = 10_001


def used_choices(session: Session, field: CustomField) -> set[str]:
    """The choices of this field that records have."""
    own: Any = CustomValue.__table__
    query = select(own.c.text_value).where(own.c.field_id == field.id).distinct()
    return {value for (value,) in session.connection().execute(query) if value is not None}
