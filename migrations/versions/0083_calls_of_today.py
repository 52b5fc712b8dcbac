"""Calls of today are counted by the quarter of an hour; the roll-ups of calls say until which one.

Null in the row that there is, and in that of the former code: no quarter is counted.
"""

import sqlalchemy as sa
from alembic import op

revision = "0083"
down_revision = "0082"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("call_rollup_state", sa.Column("quarter_until", sa.Integer()))


def downgrade() -> None:
    op.drop_column("call_rollup_state", "quarter_until")
