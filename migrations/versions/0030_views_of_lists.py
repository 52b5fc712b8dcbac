"""Saved views: shared with a role or everybody, pinned by each person for themselves; choices for lists; undo."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")


def _user() -> sa.Column:
    # small: a column of new tables only
    return sa.Column("user_id", sa.Integer(), sa.ForeignKey("ab_user.id", ondelete="CASCADE"), nullable=False)


def _view(on_delete: str, nullable: bool) -> sa.Column:
    # small: a column of new tables only
    return sa.Column("view_id", sa.Integer(), sa.ForeignKey("saved_view.id", ondelete=on_delete), nullable=nullable)


def upgrade() -> None:
    op.add_column("access_version", sa.Column("lists", sa.Integer(), nullable=False, server_default="0"))
    with op.batch_alter_table("saved_view", table_kwargs={"sqlite_autoincrement": True}) as batch:
        batch.add_column(sa.Column("audience", sa.String(8), nullable=False, server_default="me"))
        batch.add_column(sa.Column("role_id", sa.Integer()))
        # small: no page has saved a view yet
        batch.create_foreign_key("fk_saved_view_role", "ab_role", ["role_id"], ["id"], ondelete="SET NULL")
        batch.create_index("ix_saved_view_role_id", ["role_id"])
    op.create_table(
        "view_pin",
        sa.Column("id", sa.Integer(), primary_key=True),
        _user(),
        _view("CASCADE", nullable=False),
        sa.UniqueConstraint("user_id", "view_id", name="uq_view_pin"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_view_pin_view_id", "view_pin", ["view_id"])
    # What was shared stays shared, what was pinned stays in its owner's sidebar.
    # small: no page has saved a view yet
    op.execute(sa.text("UPDATE saved_view SET audience = 'all' WHERE shared = 1"))
    op.execute(sa.text("INSERT INTO view_pin (user_id, view_id) SELECT owner_id, id FROM saved_view WHERE pinned = 1"))
    with op.batch_alter_table("saved_view", table_kwargs={"sqlite_autoincrement": True}) as batch:
        batch.drop_column("shared")  # contract: 1.0.0, no code has used it
        batch.drop_column("pinned")  # contract: 1.0.0, no code has used it
    _create_choices()


def _create_choices() -> None:
    op.create_table(
        "list_choice",
        sa.Column("id", sa.Integer(), primary_key=True),
        _user(),
        sa.Column("module", sa.String(32), nullable=False),
        _view("SET NULL", nullable=True),
        sa.Column("columns", sa.String(1000), nullable=False),
        sa.UniqueConstraint("user_id", "module", name="uq_list_choice"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_list_choice_view_id", "list_choice", ["view_id"])
    op.create_table(
        "list_setup",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("module", sa.String(32), nullable=False, unique=True),
        sa.Column("quick_filters", sa.JSON()),
        sa.Column("create_fields", sa.JSON()),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "bulk_change",
        sa.Column("id", sa.Integer(), primary_key=True),
        _user(),
        sa.Column("module", sa.String(32), nullable=False),
        sa.Column("label", sa.String(200), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("undone_on", MOMENT),
        sa.Column("rows", sa.JSON(), nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_bulk_change_user", "bulk_change", ["user_id", "at"])


def downgrade() -> None:
    for name in ("bulk_change", "list_setup", "list_choice"):
        op.drop_table(name)
    with op.batch_alter_table("saved_view", table_kwargs={"sqlite_autoincrement": True}) as batch:
        batch.add_column(sa.Column("shared", sa.Boolean(), nullable=False, server_default=sa.false()))
        batch.add_column(sa.Column("pinned", sa.Boolean(), nullable=False, server_default=sa.false()))
    # small: no page has saved a view yet
    op.execute(sa.text("UPDATE saved_view SET shared = 1 WHERE audience = 'all'"))
    pinned = "SELECT 1 FROM view_pin WHERE view_pin.view_id = saved_view.id AND view_pin.user_id = saved_view.owner_id"
    op.execute(sa.text(f"UPDATE saved_view SET pinned = 1 WHERE EXISTS ({pinned})"))
    op.drop_table("view_pin")
    with op.batch_alter_table("saved_view", table_kwargs={"sqlite_autoincrement": True}) as batch:
        batch.drop_constraint("fk_saved_view_role", type_="foreignkey")
        batch.drop_index("ix_saved_view_role_id")
        batch.drop_column("role_id")
        batch.drop_column("audience")
    op.drop_column("access_version", "lists")
