"""Daily roll-ups of calls, which the job fills: until then dashboards count the calls, as before."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0035"
down_revision = "0034"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
BLOB = sa.LargeBinary().with_variant(mysql.MEDIUMBLOB(), "mysql", "mariadb")
WORD = sa.String(120).with_variant(mysql.VARCHAR(120, collation="utf8mb4_bin"), "mysql", "mariadb")


def _key(name: str, type_: sa.types.TypeEngine = sa.Integer) -> sa.Column:
    return sa.Column(name, type_, primary_key=True, autoincrement=False)


def upgrade() -> None:
    op.create_table(
        "call_rollup_state",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("zone", sa.String(64), nullable=False),
        sa.Column("filled_until", sa.Integer()),
        sa.Column("rebuild_until", sa.Integer()),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "call_rollup_mark",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("moment", MOMENT, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_call_rollup_mark", "call_rollup_mark", ["moment"])
    op.create_table(
        "call_day_count",
        *(_key("person_id"), _key("day"), _key("direction", WORD), _key("status", WORD), _key("cold", sa.Boolean())),
        sa.Column("calls", sa.Integer(), nullable=False),
        sa.Column("seconds", sa.Integer(), nullable=False),
    )
    op.create_table(
        "call_hour_count",
        *(_key("person_id"), _key("day"), _key("hour")),
        sa.Column("calls", sa.Integer(), nullable=False),
    )
    op.create_table(
        "call_day_numbers",
        *(_key("person_id"), _key("day")),
        sa.Column("numbers", BLOB, nullable=False),
        sa.Column("fresh", sa.Integer()),
    )
    for table in ("call_day_count", "call_hour_count", "call_day_numbers"):
        op.create_index(f"ix_{table}_day", table, ["day"])
    op.create_index("ix_call_missed", "call_log", ["direction", "status", "started_on", "employee_id", "other_e164"])


def downgrade() -> None:
    op.drop_index("ix_call_missed", "call_log")
    for table in ("call_day_numbers", "call_hour_count", "call_day_count", "call_rollup_mark", "call_rollup_state"):
        op.drop_table(table)
