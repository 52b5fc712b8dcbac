"""Registers of requests about personal data and of data breaches, and who may see and keep them."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0078"
down_revision = "0077"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
MODULES = ("Data Requests", "Data Breaches")
#: Role -> its rights to both from now on; any other role waits until somebody decides.
GRANTED = {"Compliance": ("read", "create", "write", "export")}


def upgrade() -> None:
    op.create_table(
        "data_request",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("person", sa.String(200), nullable=False),
        # small: columns of a new table only
        sa.Column("customer_id", sa.Integer(), sa.ForeignKey("customer.id", ondelete="SET NULL")),
        sa.Column("contact", sa.String(254)),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("details", sa.Text()),
        sa.Column("received_on", sa.Date(), nullable=False),
        sa.Column("due_on", sa.Date(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("identity_how", sa.String(200)),
        sa.Column("identity_checked_on", sa.Date()),
        sa.Column("identity_checked_by_id", sa.Integer(), sa.ForeignKey("ab_user.id")),
        sa.Column("answered_on", sa.Date()),
        sa.Column("answer", sa.Text()),
        sa.Column("proof", sa.String(190)),
        sa.Column("copy_id", sa.Integer(), sa.ForeignKey("export_run.id", ondelete="SET NULL")),
        sa.Column("copy_taken_on", MOMENT),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_on", MOMENT, nullable=False),
        sa.Column("changed_on", MOMENT, nullable=False),
        sa.Column("created_by_id", sa.Integer(), sa.ForeignKey("ab_user.id")),
        sa.Column("changed_by_id", sa.Integer(), sa.ForeignKey("ab_user.id")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_data_request_customer_id", "data_request", ["customer_id"])
    op.create_index("ix_data_request_copy_id", "data_request", ["copy_id"])
    op.create_index("ix_data_request_due", "data_request", ["state", "due_on"])
    op.create_table(
        "data_breach",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("title", sa.String(200), nullable=False),
        sa.Column("details", sa.Text()),
        sa.Column("happened_on", MOMENT),
        sa.Column("noticed_on", MOMENT, nullable=False),
        sa.Column("data_kinds", sa.String(300)),
        sa.Column("people", sa.Text()),
        sa.Column("people_count", sa.Integer()),
        sa.Column("measures", sa.Text()),
        sa.Column("cert_in_due_on", MOMENT, nullable=False),
        sa.Column("cert_in_told_on", MOMENT),
        sa.Column("board_due_on", MOMENT, nullable=False),
        sa.Column("board_told_on", MOMENT),
        sa.Column("people_told_on", MOMENT),
        sa.Column("proof", sa.String(190)),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_on", MOMENT, nullable=False),
        sa.Column("changed_on", MOMENT, nullable=False),
        sa.Column("created_by_id", sa.Integer(), sa.ForeignKey("ab_user.id")),
        sa.Column("changed_by_id", sa.Integer(), sa.ForeignKey("ab_user.id")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_data_breach_state", "data_breach", ["state", "noticed_on"])
    for module in MODULES:
        _grant(module)
    # small: one row
    op.execute(sa.text("UPDATE access_version SET n = n + 1"))


def downgrade() -> None:
    op.drop_table("data_breach")
    op.drop_table("data_request")
    cells = _table("module_permission")
    op.execute(sa.delete(cells).where(cells.c.module.in_(MODULES)))
    _take_back()


def _take_back():
    """No role but Admin has FAB's permissions for the modules any more: the next upgrade gives them again."""
    links, roles = _table("ab_permission_view_role"), _table("ab_role")
    pairs, views = _table("ab_permission_view"), _table("ab_view_menu")
    of_modules = sa.select(pairs.c.id).join(views, views.c.id == pairs.c.view_menu_id).where(views.c.name.in_(MODULES))
    others = sa.select(roles.c.id).where(roles.c.name != "Admin")
    op.execute(sa.delete(links).where(links.c.permission_view_id.in_(of_modules), links.c.role_id.in_(others)))


def _table(name):
    return sa.Table(name, sa.MetaData(), autoload_with=op.get_bind(), resolve_fks=False)


def _grant(module):
    """The cells of the matrix, and FAB's permissions that agree with them."""
    bind, roles = op.get_bind(), _table("ab_role")
    found = {name: key for key, name in bind.execute(sa.select(roles.c.id, roles.c.name)) if name in GRANTED}
    held = [(key, verb) for name, key in found.items() for verb in GRANTED[name]]
    if not held:
        return
    cells = [{"role_id": key, "module": module, "verb": verb, "level": "all"} for key, verb in held]
    op.bulk_insert(_table("module_permission"), cells)
    pairs = {verb: _pair(verb, module) for _role, verb in held}
    links = [{"role_id": key, "permission_view_id": pairs[verb]} for key, verb in held]
    op.bulk_insert(_table("ab_permission_view_role"), links)


def _pair(verb, module):
    """The id of FAB's permission for this cell, which is made if need be."""
    bind, pair = op.get_bind(), _table("ab_permission_view")
    right, view = _named("ab_permission", f"can_{verb}"), _named("ab_view_menu", module)
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
