"""Merging records: what became of which, with all that is needed to undo it; and records that look like duplicates."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
CODE = sa.String(24).with_variant(mysql.VARCHAR(24, collation="utf8mb4_bin"), "mysql", "mariadb")
#: Roles that merge what they may write from now on; any other role waits until somebody decides.
GRANTED = ("Sales Manager", "Support Manager")
MODULES = ("Leads", "Tickets", "Customers")


def _key(target, ondelete=None):
    return sa.Integer(), sa.ForeignKey(target, ondelete=ondelete)


def upgrade() -> None:
    op.create_table(
        "record_merge",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("kept_id", sa.Integer(), nullable=False),
        sa.Column("kept_number", CODE, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("by_id", *_key("ab_user.id")),
        sa.Column("undone_on", MOMENT),
        sa.Column("undone_by_id", *_key("ab_user.id")),
        sa.Column("forgotten_on", MOMENT),
        sa.Column("fields", sa.JSON(), nullable=False),
        sa.Column("counts", sa.JSON(), nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_record_merge_at", "record_merge", ["kind", "at"])
    op.create_index("ix_record_merge_kept", "record_merge", ["kind", "kept_id"])
    op.create_table(
        "merged_record",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("merge_id", *_key("record_merge.id", "CASCADE"), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("record_id", sa.Integer(), nullable=False),
        sa.Column("number", CODE, nullable=False),
        sa.Column("gone_key", sa.String(40)),
        sa.Column("row", sa.JSON()),
        sa.Column("pan_sealed", sa.String(200)),
        sa.Column("pan_blind", sa.String(64)),
        sa.Column("aadhaar_sealed", sa.String(200)),
        sa.Column("aadhaar_blind", sa.String(64)),
        sa.UniqueConstraint("gone_key", name="uq_merged_record_gone"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_merged_record_merge", "merged_record", ["merge_id"])
    op.create_index("ix_merged_record_number", "merged_record", ["kind", "number"])
    op.create_table(
        "merge_change",
        sa.Column("id", BIG, primary_key=True),
        sa.Column("merge_id", *_key("record_merge.id", "CASCADE"), nullable=False),
        sa.Column("table_name", sa.String(64), nullable=False),
        sa.Column("column_name", sa.String(64)),
        sa.Column("before", sa.JSON()),
        sa.Column("after", sa.JSON()),
        sa.Column("rows", sa.JSON(), nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_merge_change_merge", "merge_change", ["merge_id"])
    op.create_table(
        "duplicate_pair",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("first_id", sa.Integer(), nullable=False),
        sa.Column("second_id", sa.Integer(), nullable=False),
        sa.Column("reasons", sa.Integer(), nullable=False),
        sa.Column("score", sa.Integer(), nullable=False),
        sa.Column("found_on", MOMENT, nullable=False),
        sa.Column("dismissed_on", MOMENT),
        sa.Column("dismissed_by_id", *_key("ab_user.id")),
        sa.UniqueConstraint("kind", "first_id", "second_id", name="uq_duplicate_pair"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_duplicate_pair_second", "duplicate_pair", ["kind", "second_id"])
    op.create_index("ix_duplicate_pair_score", "duplicate_pair", ["kind", "dismissed_on", "score", "id"])
    op.create_table(
        "duplicate_scan",
        sa.Column("kind", sa.String(16), primary_key=True),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("seen_until", MOMENT),
        sa.Column("seen_id", sa.Integer(), nullable=False),
        sa.Column("finished_on", MOMENT),
    )
    op.create_index("ix_leads_birth", "leads", ["date_of_birth"])
    _grant()
    # small: one row
    op.execute(sa.text("UPDATE access_version SET n = n + 1"))


def downgrade() -> None:
    op.drop_index("ix_leads_birth", "leads")
    for name in ("duplicate_scan", "duplicate_pair", "merge_change", "merged_record", "record_merge"):
        op.drop_table(name)
    cells = _table("module_permission")
    op.execute(sa.delete(cells).where(cells.c.verb == "merge"))


def _table(name):
    return sa.Table(name, sa.MetaData(), autoload_with=op.get_bind(), resolve_fks=False)


def _grant():
    """The cells of the matrix, and FAB's permissions that agree with them."""
    bind, roles = op.get_bind(), _table("ab_role")
    found = {key for key, name in bind.execute(sa.select(roles.c.id, roles.c.name)) if name in GRANTED}
    cells = _table("module_permission")
    writes = sa.select(cells.c.role_id, cells.c.module, cells.c.level).where(
        cells.c.role_id.in_(found), cells.c.verb == "write", cells.c.level != "none", cells.c.module.in_(MODULES)
    )
    held = bind.execute(writes).all()
    if not held:
        return
    op.bulk_insert(
        cells, [{"role_id": key, "module": module, "verb": "merge", "level": level} for key, module, level in held]
    )
    pairs = {module: _pair(module) for _role, module, _level in held}
    links = [{"role_id": key, "permission_view_id": pairs[module]} for key, module, _level in held]
    op.bulk_insert(_table("ab_permission_view_role"), links)


def _pair(module):
    """The id of FAB's permission for this cell, which is made if need be."""
    bind, pair = op.get_bind(), _table("ab_permission_view")
    right, view = _named("ab_permission", "can_merge"), _named("ab_view_menu", module)
    query = sa.select(pair.c.id).where(pair.c.permission_id == right, pair.c.view_menu_id == view)
    if bind.execute(query).scalar() is None:
        bind.execute(pair.insert().values(permission_id=right, view_menu_id=view))
    return bind.execute(query).scalar()


def _named(name, value):
    """The id of the row of this name, which is made if need be."""
    bind, table = op.get_bind(), _table(name)
    query = sa.select(table.c.id).where(table.c.name == value)
    if bind.execute(query).scalar() is None:
        bind.execute(table.insert().values(name=value))
    return bind.execute(query).scalar()
