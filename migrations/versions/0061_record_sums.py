"""Leads, tickets and tasks counted by day, what is counted of each row, and marks for rows that have changed since."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0061"
down_revision = "0058"
branch_labels = None
depends_on = None

KEY = sa.String(32).with_variant(mysql.VARCHAR(32, collation="utf8mb4_bin"), "mysql", "mariadb")
BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "row_mark",
        sa.Column("id", BIG, primary_key=True),
        sa.Column("kind", sa.SmallInteger(), nullable=False),
        sa.Column("row_id", sa.Integer(), nullable=False),
    )
    op.create_table(
        "record_rollup_state",
        sa.Column("kind", sa.Integer(), primary_key=True),
        sa.Column("zone", sa.String(64), nullable=False),
        sa.Column("rules", sa.String(40), nullable=False),
        sa.Column("is_complete", sa.Boolean(), nullable=False),
        sa.Column("turn", sa.Integer(), nullable=False),
        sa.Column("compared_until", sa.Integer(), nullable=False),
    )
    op.create_table(
        "counted_row",
        sa.Column("kind", sa.SmallInteger(), primary_key=True, autoincrement=False),
        sa.Column("row_id", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("shares", sa.Text(), nullable=False),
    )
    op.create_table(
        "record_day_sum",
        sa.Column("cube", sa.SmallInteger(), primary_key=True, autoincrement=False),
        sa.Column("day", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("key", KEY, primary_key=True),
        *[sa.Column(f"sum_{n}", sa.BigInteger(), nullable=False) for n in range(9)],
    )


def downgrade() -> None:
    for name in ("record_day_sum", "counted_row", "record_rollup_state", "row_mark"):
        op.drop_table(name)
