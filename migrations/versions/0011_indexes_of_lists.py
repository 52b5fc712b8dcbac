"""Indexes for the lists of one person: by last change, by status, by due time, by start; and of message authors."""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

#: Name -> table and columns.
INDEXES = {
    "ix_leads_owner_status": ("leads", ["owner_id", "status_id", "id"]),
    "ix_leads_assignee_changed": ("leads", ["assignee_id", "changed_on"]),
    "ix_leads_owner_changed": ("leads", ["owner_id", "changed_on"]),
    "ix_ticket_owner_status": ("ticket", ["owner_id", "status_id", "id"]),
    "ix_ticket_assignee_changed": ("ticket", ["assignee_id", "changed_on"]),
    "ix_ticket_owner_changed": ("ticket", ["owner_id", "changed_on"]),
    "ix_task_assignee_id": ("task", ["assignee_id", "id"]),
    "ix_task_assignee_due": ("task", ["assignee_id", "due_on"]),
    "ix_task_due_on": ("task", ["due_on"]),
    "ix_call_employee_started": ("call_log", ["employee_id", "started_on"]),
    "ix_message_author": ("message", ["created_by_id", "id"]),
}


def upgrade() -> None:
    for name, (table, columns) in INDEXES.items():
        op.create_index(name, table, columns)


def downgrade() -> None:
    for name, (table, _columns) in INDEXES.items():
        op.drop_index(name, table)
