"""Reports that people build, share, pin and have sent by email; who may open and build them."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
MODULE = "Reports"
#: Role -> its rights to reports from now on; any other role waits until somebody decides.
GRANTED = {
    **dict.fromkeys(("Sales Manager", "Support Manager"), ("read", "create")),
    **dict.fromkeys(("Sales User", "Support User", "Compliance"), ("read",)),
}


def upgrade() -> None:
    op.create_table(
        "report",
        *_stamped(),
        sa.Column("owner_id", *_key("ab_user.id", "CASCADE"), nullable=False),
        sa.Column("label", sa.String(80), nullable=False),
        sa.Column("kind", sa.String(24), nullable=False),
        sa.Column("definition", sa.JSON(), nullable=False),
        sa.Column("audience", sa.String(8), nullable=False),
        sa.Column("role_id", *_key("ab_role.id", "SET NULL")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_report_owner", "report", ["owner_id", "label"])
    op.create_index("ix_report_role_id", "report", ["role_id"])
    op.create_table(
        "report_pin",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("user_id", *_key("ab_user.id", "CASCADE"), nullable=False),
        sa.Column("report_id", *_key("report.id", "CASCADE"), nullable=False),
        sa.UniqueConstraint("user_id", "report_id", name="uq_report_pin"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_report_pin_report_id", "report_pin", ["report_id"])
    _create_schedules()
    _grant()
    # small: one row
    op.execute(sa.text("UPDATE access_version SET n = n + 1"))


def _create_schedules() -> None:
    op.create_table(
        "report_schedule",
        *_stamped(),
        sa.Column("report_id", *_key("report.id", "CASCADE"), nullable=False),
        sa.Column("rhythm", sa.String(8), nullable=False),
        sa.Column("at", sa.String(5), nullable=False),
        sa.Column("day", sa.Integer(), nullable=False),
        sa.Column("format", sa.String(8), nullable=False),
        sa.Column("readers", sa.JSON(), nullable=False),
        sa.Column("next_on", MOMENT, nullable=False),
        sa.Column("paused_on", MOMENT),
        sa.Column("paused_why", sa.String(300)),
        sa.Column("failures", sa.Integer(), nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_report_schedule_report_id", "report_schedule", ["report_id"])
    op.create_index("ix_report_schedule_due", "report_schedule", ["paused_on", "next_on"])
    op.create_table(
        "report_run",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("schedule_id", *_key("report_schedule.id", "CASCADE"), nullable=False),
        sa.Column("slot", sa.String(40), nullable=False),
        sa.Column("user_id", *_key("ab_user.id", "CASCADE"), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        *[sa.Column(name, sa.Integer(), nullable=False) for name in ("missed", "rows", "size", "took_ms")],
        sa.Column("digest", sa.String(64)),
        *[sa.Column(name, sa.Integer(), nullable=False) for name in ("made", "tries")],
        sa.Column("created_on", MOMENT, nullable=False),
        sa.Column("began_on", MOMENT),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("next_try_on", MOMENT),
        sa.Column("error", sa.String(300)),
        sa.UniqueConstraint("schedule_id", "slot", "user_id", name="uq_report_run"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_report_run_due", "report_run", ["state", "next_try_on"])
    op.create_index("ix_report_run_user_id", "report_run", ["user_id"])


def downgrade() -> None:
    for name in ("report_run", "report_schedule", "report_pin", "report"):
        op.drop_table(name)
    cells = _table("module_permission")
    op.execute(sa.delete(cells).where(cells.c.module == MODULE))


def _stamped():
    return [
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("created_on", MOMENT, nullable=False),  # small: a column of new tables only
        sa.Column("changed_on", MOMENT, nullable=False),  # small: a column of new tables only
        sa.Column("created_by_id", *_key("ab_user.id")),
        sa.Column("changed_by_id", *_key("ab_user.id")),
    ]


def _key(target, ondelete=None):
    return sa.Integer(), sa.ForeignKey(target, ondelete=ondelete)


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
    tables = {name: _table(name) for name in ("ab_permission", "ab_view_menu", "ab_permission_view")}
    pairs = {verb: _pair(verb, tables) for verb in dict.fromkeys(verb for _role, verb in held)}
    links = [{"role_id": key, "permission_view_id": pairs[verb]} for key, verb in held]
    op.bulk_insert(_table("ab_permission_view_role"), links)


def _pair(verb, tables):
    """The id of FAB's permission for this cell, which is made if need be."""
    bind, pair = op.get_bind(), tables["ab_permission_view"]
    right, view = _named(tables["ab_permission"], f"can_{verb}"), _named(tables["ab_view_menu"], MODULE)
    query = sa.select(pair.c.id).where(pair.c.permission_id == right, pair.c.view_menu_id == view)
    if bind.execute(query).scalar() is None:
        bind.execute(pair.insert().values(permission_id=right, view_menu_id=view))
    return bind.execute(query).scalar()


def _named(table, value):
    """The id of the row of this name, which is made if need be."""
    bind, query = op.get_bind(), sa.select(table.c.id).where(table.c.name == value)
    if bind.execute(query).scalar() is None:
        bind.execute(table.insert().values(name=value))
    return bind.execute(query).scalar()
