"""Replacing CRM_FIELD_KEY: every sealed value is resealed, one transaction per chunk of rows.

Meanwhile the servers have both keys (CRM_FIELD_KEYS_OLD): they open and find values under either, and seal with the new
one. An interrupted run can be repeated: rows under the new key are skipped.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from flask_appbuilder import Model
from sqlalchemy import Table, Text, bindparam, delete, insert, select, update
from sqlalchemy.orm import Session

from app.domain import retired_keys
from app.domain.audit_log import audit, audit_chain, audit_keys
from app.domain.base import Stamp
from app.domain.customer_keys import CustomerKey
from app.domain.customers import SECRET_FIELDS, Customer
from app.domain.retired_keys import KeyToRetire
from app.lib.field_encryption import Vault, VaultError, blind_key

_SEALED, _BLIND = "_sealed", "_blind"
#: Rows per transaction; fewer for tables whose values may have megabytes.
CHUNK, CHUNK_OF_LONG = 500, 20


@dataclass
class RotationProgress:
    """The results of a run."""

    #: Rows read, and rows resealed.
    rows: int = 0
    changed: int = 0
    #: Rows with a value that none of the keys opens, as "table id".
    unreadable: tuple[str, ...] = ()


def sealed_columns() -> dict[Table, list[str]]:
    """All tables with sealed values: the columns that end in _sealed, including those of add-ons."""
    tables = {
        table: [column.name for column in table.columns if column.name.endswith(_SEALED)]
        for table in Model.metadata.sorted_tables
        if table is not retired_keys.RetiredKey.__table__
    }
    return {table: names for table, names in tables.items() if names}


def keep_former(session: Session, former: bytes, vault: Vault, stamp: Stamp) -> None:
    """Keep the parts of the former key that are still needed, seal the audit log with the new one from now on, and
    audit it.

    Raises RuleBroken.
    """
    blind = blind_key(former)
    retired_keys.store(session, KeyToRetire(retired_keys.MESSAGE_ID, audit_keys.key_id(blind), blind), vault)
    if audit_chain.replace_key(session, vault):
        audit.write(session, "key change", stamp.by, stamp.now, about="CRM_FIELD_KEY")


def reseal_retired_keys(session: Session, vault: Vault) -> None:
    """Reseal the kept keys themselves with the new key."""
    table = retired_keys.RetiredKey.__table__
    for key, sealed in session.execute(select(table.c.id, table.c.key_sealed).with_for_update()).all():
        if not vault.is_current(sealed):
            anew = vault.seal(vault.open(sealed))
            session.execute(update(table).where(table.c.id == key).values(key_sealed=anew))


def seal_chunk(session: Session, table: Table, after: int, vault: Vault) -> tuple[int | None, RotationProgress]:
    """Reseal the next rows of a table. Returns the last id of the chunk, None at the end."""
    columns = sealed_columns()[table]
    key = table.c.id
    size = CHUNK_OF_LONG if any(isinstance(table.c[name].type, Text) for name in columns) else CHUNK
    query = select(key, *(table.c[name] for name in columns)).where(key > after).order_by(key).limit(size)
    rows = session.execute(query.with_for_update()).mappings().all()
    progress, changes = RotationProgress(len(rows)), []
    for row in rows:
        try:
            values = _sealed_anew(row, columns, vault)
        except VaultError:
            progress.unreadable += (f"{table.name} {row['id']}",)
            continue
        if values:
            changes.append({"row": row["id"], **values})
    for change in changes:
        session.execute(update(table).where(key == bindparam("row")), change)
    if table is Customer.__table__:
        _hold(session, changes)
    progress.changed = len(changes)
    return (rows[-1]["id"] if len(rows) == size else None), progress


def _sealed_anew(row: Any, columns: list[str], vault: Vault) -> dict[str, str]:
    """The new values of columns that are under an older key, and of their fingerprints."""
    values: dict[str, str] = {}
    for name in columns:
        if row[name] is None or vault.is_current(row[name]):
            continue
        plain, field = vault.open(row[name]), name.removesuffix(_SEALED)
        values[name] = vault.seal(plain)
        if field in SECRET_FIELDS:
            values[field + _BLIND] = vault.blind(plain, field)
    return values


def _hold(session: Session, changes: list[dict[str, Any]]) -> None:
    """Move the entries of customers in `customer_key` from the old fingerprints of their values to the new ones."""
    table = CustomerKey.__table__
    for field in SECRET_FIELDS:
        new = {change["row"]: change[field + _BLIND] for change in changes if field + _BLIND in change}
        if not new:
            continue
        holders = select(table.c.customer_id).where(table.c.kind == field, table.c.customer_id.in_(new))
        held = select(table.c.value).where(table.c.kind == field, table.c.value.in_(new.values()))
        taken = set(session.scalars(held))
        rows = [
            {"kind": field, "value": new[customer], "customer_id": customer}
            for customer in sorted(set(session.scalars(holders)))
            if new[customer] not in taken
        ]
        if rows:
            session.execute(insert(table), rows)


def forget_older(session: Session) -> int:
    """Remove the fingerprints of older keys once all rows are resealed. Returns how many."""
    table, removed = CustomerKey.__table__, 0
    for field in SECRET_FIELDS:
        column = Customer.__table__.c[field + _BLIND]
        in_use = select(column).where(column.is_not(None))
        gone = delete(table).where(table.c.kind == field, table.c.value.not_in(in_use))
        removed += session.connection().execute(gone).rowcount
    return removed


def unrotated(session: Session, vault: Vault) -> Iterator[str]:
    """Tables with values that are not under the new key, for a check after the run: "leads: 12"."""
    for table, columns in sealed_columns().items():
        count = 0
        for name in columns:
            values = session.scalars(
                select(table.c[name]).where(table.c[name].is_not(None)).execution_options(yield_per=500)
            )
            count += sum(not vault.is_current(value) for value in values)
        if count:
            yield f"{table.name}: {count}"
