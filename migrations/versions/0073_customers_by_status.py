"""Customers are found by their status, for groups of a list."""

from alembic import op

revision = "0073"
down_revision = "0072"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_customer_status", "customer", ["status", "id"])


def downgrade() -> None:
    op.drop_index("ix_customer_status", "customer")
