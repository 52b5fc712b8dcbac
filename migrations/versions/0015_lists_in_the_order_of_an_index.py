"""Indexes in whose order a person's leads of a status are read by last change, and their customers newest first."""

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

#: Name -> table and columns.
INDEXES = {
    "ix_leads_assignee_status_changed": ("leads", ["assignee_id", "status_id", "changed_on"]),
    "ix_leads_owner_status_changed": ("leads", ["owner_id", "status_id", "changed_on"]),
    "ix_ticket_assignee_customer": ("ticket", ["assignee_id", "customer_id"]),
    "ix_ticket_owner_customer": ("ticket", ["owner_id", "customer_id"]),
}


def upgrade() -> None:
    for name, (table, columns) in INDEXES.items():
        op.create_index(name, table, columns)


def downgrade() -> None:
    for name, (table, _columns) in INDEXES.items():
        op.drop_index(name, table)
