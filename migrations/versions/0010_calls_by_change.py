"""Calls by the time of their last change: the order in which clients of the predecessor ask for them."""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_call_changed", "call_log", ["changed_on"])


def downgrade() -> None:
    op.drop_index("ix_call_changed", "call_log")
