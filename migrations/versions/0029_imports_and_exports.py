"""Imports and exports: how far they are, their files, and each row that an import has read; who may do either."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
#: Module -> the verbs that are new in it.
OFFERED = {
    **dict.fromkeys(("Leads", "Tickets", "Customers", "Tasks", "Call Logs"), ("export", "import")),
    **dict.fromkeys(("Messages", "Requests"), ("export",)),
}
#: Roles that export and import what they may write from now on; any other role waits until somebody decides.
GRANTED = ("Sales Manager", "Support Manager")


def upgrade() -> None:
    with op.batch_alter_table("export_run") as table:
        table.add_column(sa.Column("total", sa.Integer()))
        table.add_column(sa.Column("format", sa.String(8), nullable=False, server_default="csv"))
        table.add_column(sa.Column("size", sa.BigInteger(), nullable=False, server_default="0"))
        table.add_column(sa.Column("error", sa.String(300)))
        table.add_column(sa.Column("seen_on", MOMENT))
        table.add_column(sa.Column("worker", sa.String(40)))
        table.add_column(sa.Column("finished_on", MOMENT))
        table.add_column(sa.Column("expires_on", MOMENT))
    op.create_index("ix_export_run_state", "export_run", ["outcome", "seen_on"])
    _widen_import_run()
    op.create_table(
        "import_row",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("run_id", *_key("import_run.id", "CASCADE"), nullable=False),
        sa.Column("is_trial", sa.Boolean(), nullable=False),
        sa.Column("line", sa.Integer(), nullable=False),
        sa.Column("result", sa.String(12), nullable=False),
        sa.Column("record_id", sa.Integer()),
        sa.Column("at", MOMENT),
        sa.Column("before", sa.JSON()),
        sa.Column("problem", sa.String(500)),
        sa.Column("cells", sa.JSON()),
        sa.UniqueConstraint("run_id", "is_trial", "line", name="uq_import_row"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_import_row_result", "import_row", ["run_id", "is_trial", "result"])
    op.create_table(
        "transfer_part",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("export_id", *_key("export_run.id", "CASCADE"), nullable=False),
        sa.Column("role", sa.String(8), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.UniqueConstraint("export_id", "role", "place", name="uq_transfer_part"),
        sqlite_autoincrement=True,
    )
    _grant()
    # small: one row
    op.execute(sa.text("UPDATE access_version SET n = n + 1"))


def downgrade() -> None:
    op.drop_table("transfer_part")
    op.drop_table("import_row")
    for name, columns in (
        ("import_run", _IMPORT_COLUMNS),
        ("export_run", ("total", "format", "size", "error", "seen_on", "worker", "finished_on", "expires_on")),
    ):
        for index in _INDEXES[name]:
            op.drop_index(index, name)
        with op.batch_alter_table(name) as table:
            for column in columns:
                table.drop_column(column)
    cells = _table("module_permission")
    op.execute(sa.delete(cells).where(cells.c.verb.in_(("export", "import"))))


_IMPORT_COLUMNS = (
    *("name", "digest", "size", "shape", "position", "total", "created", "updated", "skipped", "wrong"),
    *("error", "seen_on", "finished_on"),
)
_INDEXES = {
    "import_run": ("ix_import_run_state", "ix_import_run_shape"),
    "export_run": ("ix_export_run_state",),
}


def _widen_import_run():
    count = {"nullable": False, "server_default": "0"}
    with op.batch_alter_table("import_run") as table:
        table.add_column(sa.Column("name", sa.String(140), nullable=False, server_default=""))
        table.add_column(sa.Column("digest", sa.String(64)))
        table.add_column(sa.Column("size", sa.Integer(), **count))
        table.add_column(sa.Column("shape", sa.String(64), nullable=False, server_default=""))
        table.add_column(sa.Column("position", sa.Integer(), **count))
        table.add_column(sa.Column("total", sa.Integer()))
        for name in ("created", "updated", "skipped", "wrong"):
            table.add_column(sa.Column(name, sa.Integer(), **count))
        table.add_column(sa.Column("error", sa.String(300)))
        table.add_column(sa.Column("seen_on", MOMENT))
        table.add_column(sa.Column("finished_on", MOMENT))
    op.create_index("ix_import_run_state", "import_run", ["outcome", "seen_on"])
    op.create_index("ix_import_run_shape", "import_run", ["kind", "shape"])


def _key(target, ondelete=None):
    return sa.Integer(), sa.ForeignKey(target, ondelete=ondelete)


def _table(name):
    return sa.Table(name, sa.MetaData(), autoload_with=op.get_bind(), resolve_fks=False)


def _grant():
    """The cells of the matrix, and FAB's permissions that agree with them."""
    bind, roles = op.get_bind(), _table("ab_role")
    found = {key for key, name in bind.execute(sa.select(roles.c.id, roles.c.name)) if name in GRANTED}
    cells = _table("module_permission")
    writes = sa.select(cells.c.role_id, cells.c.module, cells.c.level).where(
        cells.c.role_id.in_(found), cells.c.verb == "write", cells.c.level != "none", cells.c.module.in_(list(OFFERED))
    )
    held = [(key, module, verb, level) for key, module, level in bind.execute(writes).all() for verb in OFFERED[module]]
    if not held:
        return
    op.bulk_insert(
        cells, [{"role_id": key, "module": module, "verb": verb, "level": level} for key, module, verb, level in held]
    )
    tables = {name: _table(name) for name in ("ab_permission", "ab_view_menu", "ab_permission_view")}
    pairs = {(module, verb): _pair(tables, module, verb) for _role, module, verb, _level in held}
    links = [{"role_id": key, "permission_view_id": pairs[module, verb]} for key, module, verb, _level in held]
    op.bulk_insert(_table("ab_permission_view_role"), links)


def _pair(tables, module, verb):
    """The id of FAB's permission for this cell, which is made if need be."""
    bind, pair = op.get_bind(), tables["ab_permission_view"]
    right, view = _named(tables["ab_permission"], f"can_{verb}"), _named(tables["ab_view_menu"], module)
    query = sa.select(pair.c.id).where(pair.c.permission_id == right, pair.c.view_menu_id == view)
    if bind.execute(query).scalar() is None:
        bind.execute(pair.insert().values(permission_id=right, view_menu_id=view))
    return bind.execute(query).scalar()


def _named(table, value):
    """The id of the row of this name, which is made if need be."""
    bind = op.get_bind()
    query = sa.select(table.c.id).where(table.c.name == value)
    if bind.execute(query).scalar() is None:
        bind.execute(table.insert().values(name=value))
    return bind.execute(query).scalar()
