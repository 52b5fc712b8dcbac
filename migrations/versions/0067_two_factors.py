"""The second factor of sign-in: keys, recovery codes, begun sign-ins, remembered browsers, roles that demand it."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0067"
down_revision = "0066"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")


def upgrade() -> None:
    # small: one row per role
    op.add_column("ab_role", sa.Column("needs_two_factor", sa.Boolean(), nullable=False, server_default="0"))
    op.create_table(
        "two_factor",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("user_id", sa.Integer(), sa.ForeignKey("ab_user.id", ondelete="CASCADE"), nullable=False),
        sa.Column("key_sealed", sa.String(200), nullable=False),
        sa.Column("last_step", sa.Integer(), nullable=False),
        sa.Column("confirmed_on", MOMENT, nullable=False),
        sa.UniqueConstraint("user_id"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "recovery_code",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("user_id", sa.Integer(), sa.ForeignKey("ab_user.id", ondelete="CASCADE"), nullable=False),
        sa.Column("code_hash", sa.String(64), nullable=False),
        sa.Column("used_on", MOMENT),
        sa.UniqueConstraint("code_hash"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_recovery_code_user", "recovery_code", ["user_id", "used_on"])
    for table in ("pending_sign_in", "remembered_browser"):
        op.create_table(
            table,
            sa.Column("id", sa.Integer(), primary_key=True),
            sa.Column("token_hash", sa.String(64), nullable=False),
            sa.Column("user_id", sa.Integer(), sa.ForeignKey("ab_user.id", ondelete="CASCADE"), nullable=False),
            sa.Column("started_on", MOMENT, nullable=False),
            sa.UniqueConstraint("token_hash"),
            sqlite_autoincrement=True,
        )
        op.create_index(f"ix_{table}_user_id", table, ["user_id"])
        op.create_index(f"ix_{table}_started_on", table, ["started_on"])


def downgrade() -> None:
    for table in ("remembered_browser", "pending_sign_in", "recovery_code", "two_factor"):
        op.drop_table(table)
    op.drop_column("ab_role", "needs_two_factor")
