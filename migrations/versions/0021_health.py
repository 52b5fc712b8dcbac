"""Health of the installation: samples by the minute, crossed thresholds, slow statements and errors."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")


def upgrade() -> None:
    buckets = [sa.Column(f"bucket_{place}", sa.Integer(), nullable=False, server_default="0") for place in range(6)]
    op.create_table(
        "health_sample",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("minute", sa.Integer(), nullable=False),
        sa.Column("server", sa.String(64), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("requests", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("errors", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("total_ms", sa.BigInteger(), nullable=False, server_default="0"),
        *buckets,
        sa.Column("memory_percent", sa.Integer()),
        sa.Column("queue_depth", sa.Integer()),
        sa.Column("db_connections", sa.Integer()),
        sa.UniqueConstraint("minute", "server", "role", name="uq_health_sample"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "health_crossing",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("measure", sa.String(16), nullable=False),
        sa.Column("server", sa.String(64), nullable=False),
        sa.Column("open_key", sa.String(96), unique=True),
        sa.Column("began_on", MOMENT, nullable=False),
        sa.Column("ended_on", MOMENT),
        sa.Column("threshold", sa.Integer(), nullable=False),
        sa.Column("worst", sa.Integer(), nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_health_crossing_began", "health_crossing", ["began_on"])
    _noted("slow_statement", sa.Column("text", sa.Text(), nullable=False), SLOW)
    _noted("error_report", sa.Column("text", sa.String(300), nullable=False), FAILED)


SLOW = (("total_ms", sa.BigInteger()), ("max_ms", sa.Integer()))
FAILED = (("trace", sa.Text()), ("request_id", sa.String(64)))


def _noted(name: str, text: sa.Column, others: tuple) -> None:
    op.create_table(
        name,
        sa.Column("digest", sa.String(32), primary_key=True),
        text,
        sa.Column("place", sa.String(100), nullable=False),
        *(sa.Column(column, kind, nullable=False) for column, kind in others),
        sa.Column("times", sa.Integer(), nullable=False),
        sa.Column("first_on", MOMENT, nullable=False),
        sa.Column("last_on", MOMENT, nullable=False),
    )
    op.create_index(f"ix_{name}_last_on", name, ["last_on"])


def downgrade() -> None:
    for name in ("error_report", "slow_statement", "health_crossing", "health_sample"):
        op.drop_table(name)
