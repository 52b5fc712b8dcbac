"""Calls of today are counted by the quarter of an hour; complaints are found by words, and by dates that can't be.

`call_rollup_state.quarter_until` is null in the row that there is, and in that of the former code: no quarter is
counted. Both indexes are of a register that has few rows.
"""

import sqlalchemy as sa
from alembic import op

revision = "0083"
down_revision = "0082"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("call_rollup_state", sa.Column("quarter_until", sa.Integer()))
    computed = sa.Computed("disposed_on < received_on", persisted=False)
    op.add_column("complaint", sa.Column("has_reversed_dates", sa.Boolean(), computed))
    op.create_index("ix_complaint_reversed", "complaint", ["has_reversed_dates"])
    # small: a row for each complaint that a house gets in its years; writes of these wait for seconds
    op.create_index("ix_complaint_words", "complaint", ["title"], mysql_prefix="FULLTEXT")


def downgrade() -> None:
    op.drop_index("ix_complaint_words", "complaint")
    op.drop_index("ix_complaint_reversed", "complaint")
    op.drop_column("complaint", "has_reversed_dates")
    op.drop_column("call_rollup_state", "quarter_until")
