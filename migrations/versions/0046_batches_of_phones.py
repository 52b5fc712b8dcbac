"""Telephones count their batches, and calls lose an index that two others replace.

`ix_call_employee_started` and `ix_call_other` find the calls of a batch that are known already.
"""

import sqlalchemy as sa
from alembic import op

revision = "0046"
down_revision = "0045"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("phone_sync", sa.Column("batches", sa.Integer(), nullable=False, server_default="0"))
    op.drop_index("ix_call_natural", "call_log")


def downgrade() -> None:
    op.create_index("ix_call_natural", "call_log", ["employee_id", "other_e164", "started_on"])
    op.drop_column("phone_sync", "batches")
