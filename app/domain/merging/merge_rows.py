"""The rows that refer to a merged record: afterwards they refer to the remaining one.

They are found through the foreign keys of all tables, so a new column needs no entry here. The statements bypass the
session: they change nobody's rights, and the consent ledger is moved, not written to.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from flask_appbuilder import Model
from sqlalchemy import Column, Table, UniqueConstraint, and_, delete, func, insert, literal, select, union_all, update
from sqlalchemy.orm import Session

from app.domain.merging.merged_records import MergeChange, as_json
from app.lib.batches import batched

#: Tables of merges themselves: they describe records, and don't belong to them.
BOOKKEEPING = ("record_merge", "merged_record", "merge_change", "duplicate_pair")
#: (column with a table's name, column with an id): rows that refer to a record without a foreign key.
PAIRS = (
    ("activity", "record_kind", "record_id"),
    ("former_name", "kind", "record_id"),
    ("former_person", "kind", "record_id"),
)
#: Tables whose rows aren't worth counting for a person.
UNCOUNTED = (
    "former_name",
    "former_person",
    "status_change",
    "assignment",
    "customer_key",
    "customer_link",
    "ticket_subjects",
    "notification",
    "legal_hold",
)
#: Ids per statement.
_AT_ONCE = 1000


@dataclass(frozen=True)
class DerivedColumn:
    """A unique column whose text contains the id of the record, so that it has to be recomputed."""

    table: str
    column: str
    #: (table of the record, its id, the row) -> the text.
    text: Callable[[str, int, Any], str]
    #: Changes for a row whose text the remaining record has already; (row, now) -> columns.
    given_up: Callable[[Any, datetime], dict[str, Any]]


def _assignment(kind: str, key: int, row: Any) -> str:
    return f"{kind}:{key}:{row['user_id']}"


def _request(kind: str, key: int, row: Any) -> str:
    return f"{kind}:{key}:{row['requested_user_id']}"


DERIVED = (
    DerivedColumn(
        "assignment",
        "open_key",
        _assignment,
        lambda _row, now: {"open_key": None, "ended_on": now},
    ),
    DerivedColumn(
        "assignment_request",
        "pending_key",
        _request,
        lambda _row, now: {"pending_key": None, "status": "Withdrawn", "decided_on": now},
    ),
    DerivedColumn(
        "customer_link",
        "open_key",
        lambda kind, key, _row: f"{kind}:{key}",
        lambda _row, now: {"open_key": None, "status": "Dropped", "decided_on": now},
    ),
    # A campaign writes to a person once; its `person` is “lead 7” or “customer 12”.
    DerivedColumn(
        "campaign_recipient",
        "person",
        lambda kind, key, _row: f"{kind.removesuffix('s')} {key}",
        lambda _row, _now: {"person": None},
    ),
)


@dataclass
class MergeLedger:
    """The changes of a merge, for the undo."""

    changes: list[MergeChange] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def changed(self, column: Any, before: Any, after: Any, rows: Sequence[int]) -> None:
        """Record the rows in which a column changed from one value to another."""
        self.changes.append(
            MergeChange(
                table_name=str(column.table.name),
                column_name=column.name,
                before=as_json(before),
                after=as_json(after),
                rows=list(rows),
            )
        )

    def deleted(self, table: Table, row: Any) -> None:
        """Record a deleted row."""
        kept = {name: as_json(value) for name, value in row.items()}
        self.changes.append(MergeChange(table_name=str(table.name), before=kept, rows=[]))

    def added(self, table: Table, row: dict[str, Any]) -> None:
        """Record a new row."""
        self.changes.append(MergeChange(table_name=str(table.name), after=row, rows=[]))


def references(kind: str) -> list[Column[Any]]:
    """The columns of all tables, including those of add-ons, that refer to a record of this table."""
    return [
        column
        for table in sorted(Model.metadata.tables.values(), key=lambda each: each.name)
        if table.name not in BOOKKEEPING
        for column in table.columns
        if any(key.target_fullname == f"{kind}.id" for key in column.foreign_keys)
    ]


def shared_keys(column: Column[Any]) -> list[tuple[str, ...]]:
    """Unique keys that contain this column: two rows that refer to one record could collide."""
    table: Any = column.table
    keys = [tuple(each.columns.keys()) for each in table.constraints if isinstance(each, UniqueConstraint)]
    keys += [tuple(each.columns.keys()) for each in table.indexes if each.unique]
    if len(table.primary_key.columns) > 1:
        keys.append(tuple(table.primary_key.columns.keys()))
    return [key for key in keys if column.name in key]


@dataclass(frozen=True)
class RowMove:
    """A merged record, whose rows are to refer to the remaining one."""

    #: The table of both records.
    kind: str
    #: Ids of the merged and of the remaining record.
    gone: int
    kept: int
    ledger: MergeLedger
    #: The time of the merge.
    now: datetime


def move_all(session: Session, move: RowMove) -> None:
    """Make all rows that refer to the merged record refer to the remaining one. The caller has locked both rows."""
    for each in DERIVED:
        _move_derived(session, move, each)
    for column in references(move.kind):
        if "id" in column.table.c:
            _move(session, move, column, column == move.gone)
        else:
            _move_links(session, move, column)
    for name, which, key in PAIRS:
        table = Model.metadata.tables[name]
        _move(session, move, table.c[key], and_(table.c[which] == move.kind, table.c[key] == move.gone))


def _move(session: Session, move: RowMove, column: Any, rule: Any) -> None:
    table, connection = column.table, session.connection()
    query = select(table.c.id).where(rule).order_by(table.c.id).with_for_update()
    ids = [int(key) for key in connection.scalars(query)]
    for some in batched(ids, _AT_ONCE):
        connection.execute(update(table).where(table.c.id.in_(some)).values({column.name: move.kept}))
        move.ledger.changed(column, move.gone, move.kept, some)
    if ids:
        move.ledger.counts[str(table.name)] += len(ids)


def _move_links(session: Session, move: RowMove, column: Any) -> None:
    """Move the rows of a table that only links two records: the remaining one gets the links it lacks."""
    table, connection = column.table, session.connection()
    for row in connection.execute(select(table).where(column == move.gone)).mappings().all():
        moved = {**row, column.name: move.kept}
        here = and_(*[table.c[name] == value for name, value in row.items()])
        there = and_(*[table.c[name] == value for name, value in moved.items()])
        connection.execute(delete(table).where(here))
        move.ledger.deleted(table, row)
        if connection.execute(select(table).where(there)).first() is None:
            connection.execute(insert(table).values(**moved))
            move.ledger.added(table, moved)


def _move_derived(session: Session, move: RowMove, each: DerivedColumn) -> None:
    """Recompute the texts that contain the id of the merged record."""
    table = Model.metadata.tables[each.table]
    for column in table.columns:
        if not any(key.target_fullname == f"{move.kind}.id" for key in column.foreign_keys):
            continue
        rule = (column == move.gone, table.c[each.column].is_not(None))
        for row in session.connection().execute(select(table).where(*rule).with_for_update()).mappings().all():
            # Otherwise it is derived from another record that the row refers to.
            if row[each.column] == each.text(move.kind, move.gone, row):
                _recompute(session, move, each, row)


def _recompute(session: Session, move: RowMove, each: DerivedColumn, row: Any) -> None:
    table, connection = Model.metadata.tables[each.table], session.connection()
    new: dict[str, Any] = {each.column: each.text(move.kind, move.kept, row)}
    others = [table.c[name] == row[name] for name in _beside(table, each.column)]
    taken = select(table.c.id).where(table.c[each.column] == new[each.column], *others)
    if connection.execute(taken).first() is not None:
        new = each.given_up(row, move.now)
    connection.execute(update(table).where(table.c.id == row["id"]).values(**new))
    for name, value in new.items():
        move.ledger.changed(table.c[name], row[name], value, [row["id"]])


def _beside(table: Table, column: str) -> list[str]:
    """The other columns of the unique key that a column is a part of."""
    keys = shared_keys(table.c[column])
    return [name for name in keys[0] if name != column] if keys else []


def counts(session: Session, kind: str, keys: Sequence[int]) -> Counter[str]:
    """How many rows of each table refer to these records, in one statement."""
    parts = [
        select(literal(str(column.table.name)).label("name"), func.count().label("rows")).where(column.in_(list(keys)))
        for column in references(kind)
    ]
    found: Counter[str] = Counter()
    for name, rows in session.connection().execute(union_all(*parts)):
        found[name] += rows
    return Counter({name: count for name, count in found.items() if count and name not in UNCOUNTED})
