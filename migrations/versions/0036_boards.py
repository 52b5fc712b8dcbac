"""Boards of figures that managers arrange, and the home of a role."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0036"
down_revision = "0035"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")


def upgrade() -> None:
    op.create_table(
        "board",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("created_on", MOMENT, nullable=False),
        sa.Column("changed_on", MOMENT, nullable=False),
        # small: columns of new tables only
        sa.Column("created_by_id", sa.Integer(), sa.ForeignKey("ab_user.id")),
        sa.Column("changed_by_id", sa.Integer(), sa.ForeignKey("ab_user.id")),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("owner_id", sa.Integer(), sa.ForeignKey("ab_user.id", ondelete="CASCADE"), nullable=False),
        sa.Column("label", sa.String(80), nullable=False),
        sa.Column("audience", sa.String(8), nullable=False),
        sa.Column("role_id", sa.Integer(), sa.ForeignKey("ab_role.id", ondelete="SET NULL")),
        sa.Column("manager_id", sa.Integer(), sa.ForeignKey("ab_user.id", ondelete="SET NULL")),
        sa.Column("origin", sa.String(32), nullable=False),
        sa.Column("layout", sa.JSON(), nullable=False),
        sqlite_autoincrement=True,
    )
    for name, column in (("owner", "owner_id"), ("role_id", "role_id"), ("manager_id", "manager_id")):
        op.create_index(f"ix_board_{name}", "board", [column])
    op.create_table(
        "board_home",
        # small: columns of new tables only
        sa.Column(
            "role_id",
            sa.Integer(),
            sa.ForeignKey("ab_role.id", ondelete="CASCADE"),
            primary_key=True,
            autoincrement=False,
        ),
        sa.Column("board_id", sa.Integer(), sa.ForeignKey("board.id", ondelete="CASCADE"), nullable=False),
    )
    op.create_index("ix_board_home_board_id", "board_home", ["board_id"])


def downgrade() -> None:
    op.drop_table("board_home")
    op.drop_table("board")
