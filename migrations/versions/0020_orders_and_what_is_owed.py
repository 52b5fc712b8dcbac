"""Indexes for lists by creation and change of records that had none, and for what each person owes a response."""

from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

#: Name -> table and columns.
INDEXES = {
    "ix_leads_assignee_owed": (
        "leads",
        ["assignee_id", "status_id", "paused_on", "reply_due_on", "resolve_due_on", "owner_id"],
    ),
    "ix_task_created": ("task", ["created_on"]),
    "ix_task_changed": ("task", ["changed_on"]),
    "ix_call_created": ("call_log", ["created_on"]),
    "ix_customer_created": ("customer", ["created_on"]),
    "ix_message_created": ("message", ["created_on"]),
}


def upgrade() -> None:
    for name, (table, columns) in INDEXES.items():
        op.create_index(name, table, columns)


def downgrade() -> None:
    for name, (table, _columns) in INDEXES.items():
        op.drop_index(name, table)
