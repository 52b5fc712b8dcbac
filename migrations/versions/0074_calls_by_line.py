"""Calls are counted by day and by the line that customers saw, and whether a number is new to a person; a job does so.

The index of calls by number has the person, so that the job reads no call for that.
"""

import sqlalchemy as sa
from alembic import op

revision = "0074"
down_revision = "0073"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "call_line_count",
        sa.Column("day", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("number", sa.String(20), primary_key=True),
        sa.Column("series", sa.String(12), primary_key=True),
        sa.Column("is_own", sa.Boolean(), primary_key=True),
        sa.Column("purpose", sa.String(16), primary_key=True),
        sa.Column("calls", sa.Integer(), nullable=False),
        sa.Column("completed", sa.Integer(), nullable=False),
        sa.Column("seconds", sa.Integer(), nullable=False),
        sa.Column("unfitting", sa.Integer(), nullable=False),
    )
    op.create_index("ix_call_other_person", "call_log", ["other_e164", "started_on", "employee_id"])
    op.drop_index("ix_call_other", "call_log")


def downgrade() -> None:
    op.create_index("ix_call_other", "call_log", ["other_e164", "started_on"])
    op.drop_index("ix_call_other_person", "call_log")
    op.drop_table("call_line_count")
