"""Customers whose KYC has to be renewed are found by its date."""

from alembic import op

revision = "0072"
down_revision = "0071"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_customer_rekyc", "customer", ["rekyc_on", "id"])


def downgrade() -> None:
    op.drop_index("ix_customer_rekyc", "customer")
