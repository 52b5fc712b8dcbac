"""Calls made from the CRM: what is to be dialled, cards on open pages, recordings in our storage and who hears them."""

import hashlib
from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
#: Role -> whose recordings it hears from now on; a role of any other name hears none until somebody decides.
LEVELS = {
    "Sales Manager": "team",
    "Support Manager": "team",
    "Sales User": "own",
    "Support User": "own",
    "Compliance": "all",
}


def upgrade() -> None:
    op.create_table(
        "call_request",
        *_record(),
        sa.Column("call_id", *_key("call_log.id", "CASCADE"), nullable=False, unique=True),
        sa.Column("user_id", *_key("ab_user.id"), nullable=False),
        sa.Column("person_number", sa.String(20), nullable=False),
        sa.Column("caller_id", sa.String(20)),
        sa.Column("purpose", sa.String(16), nullable=False),
        sa.Column("fits_purpose", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(12), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("due_on", MOMENT),
        sa.Column("expires_on", MOMENT, nullable=False),
        sa.Column("began_on", MOMENT),
        sa.Column("error", sa.String(300)),
        sa.Column("line_of", sa.Integer(), unique=True),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_call_request_due", "call_request", ["state", "due_on"])
    op.create_table(
        "call_card",
        *_record(),
        sa.Column("call_id", *_key("call_log.id", "CASCADE"), nullable=False),
        sa.Column("user_id", *_key("ab_user.id"), nullable=False),
        sa.Column("note", sa.Text()),
        sa.Column("closed_on", MOMENT),
        sa.UniqueConstraint("call_id", "user_id", name="uq_call_card"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_call_card_user", "call_card", ["user_id", "closed_on"])
    op.create_table(
        "call_recording",
        *_record(),
        sa.Column("call_id", *_key("call_log.id", "CASCADE"), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("address_hash", sa.String(64), nullable=False),
        sa.Column("state", sa.String(12), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("due_on", MOMENT),
        sa.Column("began_on", MOMENT),
        sa.Column("error", sa.String(300)),
        sa.Column("digest", sa.String(64)),
        sa.Column("mime_type", sa.String(60)),
        sa.Column("size", sa.Integer()),
        sa.UniqueConstraint("call_id", "address_hash", name="uq_call_recording"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_call_recording_due", "call_recording", ["state", "due_on"])
    _move_recordings()
    op.drop_column("call_log", "recording")
    op.add_column("call_log", sa.Column("answered_on", MOMENT))
    op.add_column("ab_user", sa.Column("takes_calls", sa.Boolean(), nullable=False, server_default="0"))
    _grant_recordings()
    op.execute(sa.text("UPDATE access_version SET n = n + 1"))


def downgrade() -> None:
    op.drop_column("ab_user", "takes_calls")
    op.drop_column("call_log", "answered_on")
    op.add_column("call_log", sa.Column("recording", sa.String(500)))
    for table in ("call_recording", "call_card", "call_request"):
        op.drop_table(table)
    cells = _table("module_permission")
    op.execute(sa.delete(cells).where(cells.c.verb == "recordings"))


def _record():
    """The columns of every record."""
    return (
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("created_on", MOMENT, nullable=False),
        sa.Column("changed_on", MOMENT, nullable=False),
        sa.Column("created_by_id", *_key("ab_user.id")),
        sa.Column("changed_by_id", *_key("ab_user.id")),
    )


def _key(target, ondelete=None):
    return sa.Integer(), sa.ForeignKey(target, ondelete=ondelete)


def _table(name):
    return sa.Table(name, sa.MetaData(), autoload_with=op.get_bind(), resolve_fks=False)


def _move_recordings():
    """The addresses that providers have reported so far are fetched like new ones, while they still exist."""
    bind, calls = op.get_bind(), _table("call_log")
    now = datetime.now(UTC).replace(tzinfo=None)
    found = bind.execute(sa.select(calls.c.id, calls.c.recording).where(calls.c.recording.is_not(None))).all()
    same = {"created_on": now, "changed_on": now, "state": "queued", "tries": 0, "due_on": now}
    rows = [
        same | {"call_id": key, "address": url, "address_hash": hashlib.sha256(url.encode()).hexdigest()}
        for key, url in found
        if url
    ]
    if rows:
        op.bulk_insert(_table("call_recording"), rows)


def _grant_recordings():
    """The cell of the matrix, and FAB's permission that agrees with it."""
    bind, roles, cells = op.get_bind(), _table("ab_role"), _table("module_permission")
    granted = [(key, LEVELS[name]) for key, name in bind.execute(sa.select(roles.c.id, roles.c.name)) if name in LEVELS]
    if not granted:
        return
    cell = {"module": "Call Logs", "verb": "recordings"}
    op.bulk_insert(cells, [{"role_id": key, "level": level, **cell} for key, level in granted])
    pair, link = _table("ab_permission_view"), _table("ab_permission_view_role")
    right, view = _named("ab_permission", "can_recordings"), _named("ab_view_menu", "Call Logs")
    query = sa.select(pair.c.id).where(pair.c.permission_id == right, pair.c.view_menu_id == view)
    if bind.execute(query).scalar() is None:
        bind.execute(pair.insert().values(permission_id=right, view_menu_id=view))
    made = bind.execute(query).scalar()
    op.bulk_insert(link, [{"role_id": key, "permission_view_id": made} for key, _level in granted])


def _named(name, value):
    """The id of the row of this name, which is made if need be."""
    bind, table = op.get_bind(), _table(name)
    query = sa.select(table.c.id).where(table.c.name == value)
    if bind.execute(query).scalar() is None:
        bind.execute(table.insert().values(name=value))
    return bind.execute(query).scalar()
