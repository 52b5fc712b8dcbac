"""Legal holds: records of which nothing is deleted, and who may place and release them."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0043"
down_revision = "0042"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
MODULE = "Legal Holds"
#: Role -> its rights from now on; any other role waits until somebody decides.
GRANTED = {"Compliance": ("read", "create", "write")}


def upgrade() -> None:
    op.create_table(
        "legal_hold",
        sa.Column("id", sa.Integer(), primary_key=True),
        # small: columns of a new table only
        sa.Column("customer_id", sa.Integer(), sa.ForeignKey("customer.id", ondelete="CASCADE")),
        sa.Column("lead_id", sa.Integer(), sa.ForeignKey("leads.id", ondelete="CASCADE")),
        sa.Column("ticket_id", sa.Integer(), sa.ForeignKey("ticket.id", ondelete="CASCADE")),
        sa.Column("reason", sa.String(500), nullable=False),
        sa.Column("until", sa.Date()),
        sa.Column("placed_on", MOMENT, nullable=False),
        sa.Column("placed_by_id", sa.Integer(), sa.ForeignKey("ab_user.id")),
        sa.Column("released_on", MOMENT),
        sa.Column("released_by_id", sa.Integer(), sa.ForeignKey("ab_user.id")),
        sa.Column("released_why", sa.String(500)),
        sqlite_autoincrement=True,
    )
    for column in ("customer_id", "lead_id", "ticket_id"):
        op.create_index(f"ix_legal_hold_{column}", "legal_hold", [column])
    op.create_index("ix_legal_hold_released", "legal_hold", ["released_on"])
    _grant()
    # small: one row
    op.execute(sa.text("UPDATE access_version SET n = n + 1"))


def downgrade() -> None:
    op.drop_table("legal_hold")
    cells = _table("module_permission")
    op.execute(sa.delete(cells).where(cells.c.module == MODULE))


def _table(name):
    return sa.Table(name, sa.MetaData(), autoload_with=op.get_bind(), resolve_fks=False)


def _grant():
    """The cells of the matrix, and FAB's permissions that agree with them."""
    bind, roles = op.get_bind(), _table("ab_role")
    found = {name: key for key, name in bind.execute(sa.select(roles.c.id, roles.c.name)) if name in GRANTED}
    held = [(key, verb) for name, key in found.items() for verb in GRANTED[name]]
    if not held:
        return
    cells = [{"role_id": key, "module": MODULE, "verb": verb, "level": "all"} for key, verb in held]
    op.bulk_insert(_table("module_permission"), cells)
    pairs = {verb: _pair(verb) for _role, verb in held}
    links = [{"role_id": key, "permission_view_id": pairs[verb]} for key, verb in held]
    op.bulk_insert(_table("ab_permission_view_role"), links)


def _pair(verb):
    """The id of FAB's permission for this cell, which is made if need be."""
    bind, pair = op.get_bind(), _table("ab_permission_view")
    right, view = _named("ab_permission", f"can_{verb}"), _named("ab_view_menu", MODULE)
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
