"""The audit log gets a key, places in its chain and a locked end; runs of jobs show signs of life.

The hashes of the old chain were made without a key, so whoever could write to the table could also repair it. Each
entry is checked against the old chain, then sealed anew. What was broken already is listed in an entry of the log
itself (event "audit carried over") and printed; nothing is repaired in silence.
"""

import hashlib
import json
from datetime import UTC, datetime
from types import SimpleNamespace

import sqlalchemy as sa
from alembic import op
from flask import current_app
from sqlalchemy.dialects import mysql

from app.domain.audit_log import audit_chain, audit_keys
from app.lib.field_encryption import audit_key, read_key

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
BATCH = 1000
#: Broken entries that the log lists by id.
MAX_LISTED = 1000
ENTRY = sa.table(
    "audit_entry",
    sa.column("id", sa.Integer),
    sa.column("at", MOMENT),
    sa.column("event", sa.String),
    sa.column("user_id", sa.Integer),
    sa.column("address", sa.String),
    sa.column("about", sa.String),
    sa.column("payload", sa.JSON),
    sa.column("seq", sa.Integer),
    sa.column("hash", sa.String),
)
HEAD = sa.table(
    "audit_head",
    sa.column("id", sa.Integer),
    sa.column("count", sa.Integer),
    sa.column("hash", sa.String),
    sa.column("key_id", sa.String),
)


def upgrade() -> None:
    with op.batch_alter_table("job_run") as table:
        table.add_column(sa.Column("seen_on", MOMENT))
    op.create_table(
        "audit_head",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("key_id", sa.String(16), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("audit_entry") as table:
        table.add_column(sa.Column("seq", sa.Integer()))
    _carry_over()
    with op.batch_alter_table("audit_entry") as table:
        table.alter_column("seq", existing_type=sa.Integer(), nullable=False)
        table.create_unique_constraint("uq_audit_entry_seq", ["seq"])


def _carry_over() -> None:
    """Check the old chain and seal its entries; then say in an entry what was found."""
    connection = op.get_bind()
    key = audit_key(read_key(current_app.config["CRM"].field_key))
    count, old_hash, new_hash, broken, broken_ids = 0, "", "", 0, []
    for entry in _entries(connection):
        count += 1
        if entry.hash != _hash_without_key(old_hash, entry):
            broken += 1
            broken_ids += [entry.id] if len(broken_ids) < MAX_LISTED else []
        old_hash, new_hash = entry.hash, audit_chain.entry_hash(count, new_hash, entry, key)
        changed = sa.update(ENTRY).where(ENTRY.c.id == entry.id).values(seq=count, hash=new_hash)
        connection.execute(changed)
    if count:
        count, new_hash = _say(connection, key, (count, new_hash), (broken, broken_ids))
    connection.execute(
        sa.insert(HEAD).values(id=1, count=count, hash=new_hash, key_id=audit_keys.key_id(key)),
    )


def _entries(connection: sa.Connection):
    last = 0
    while batch := connection.execute(
        sa.select(ENTRY).where(ENTRY.c.id > last).order_by(ENTRY.c.id).limit(BATCH)
    ).all():
        yield from batch
        last = batch[-1].id


def _say(connection: sa.Connection, key: bytes, head: tuple[int, str], found: tuple[int, list[int]]) -> tuple[int, str]:
    count, (broken, broken_ids) = head[0], found
    payload = {"entries": count, "breaks": broken, "broken": broken_ids}
    values = {"at": datetime.now(UTC).replace(tzinfo=None), "event": "audit carried over", "payload": payload}
    values |= {"user_id": None, "address": None, "about": None}
    sealed = audit_chain.entry_hash(count + 1, head[1], SimpleNamespace(**values), key)
    connection.execute(sa.insert(ENTRY).values(**values, seq=count + 1, hash=sealed))
    if broken:
        shown = ", ".join(map(str, broken_ids[:20])) + (" …" if broken > 20 else "")
        print(f"The audit log was broken before this upgrade at {broken} of {count} entries: {shown}")  # noqa: T201
    return count + 1, sealed


def _hash_without_key(previous_hash: str, entry: sa.Row) -> str:
    """As the versions before this one made it."""
    at = entry.at.replace(tzinfo=UTC).isoformat()
    row = [previous_hash, at, entry.event, entry.user_id, entry.about, entry.address, entry.payload]
    return hashlib.sha256(json.dumps(row, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def downgrade() -> None:
    connection, old_hash = op.get_bind(), ""
    for entry in _entries(connection):
        old_hash = _hash_without_key(old_hash, entry)
        connection.execute(sa.update(ENTRY).where(ENTRY.c.id == entry.id).values(hash=old_hash))
    with op.batch_alter_table("audit_entry") as table:
        table.drop_constraint("uq_audit_entry_seq", type_="unique")
        table.drop_column("seq")
    op.drop_table("audit_head")
    with op.batch_alter_table("job_run") as table:
        table.drop_column("seen_on")
