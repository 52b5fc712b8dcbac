"""Dashboards count leads, tickets and tasks of a period on an index, without reading the rows."""

from alembic import op

revision = "0039"
down_revision = "0038"
branch_labels = None
depends_on = None

#: Name -> (table, columns).
ADDED = {
    "ix_leads_figures": (
        "leads",
        *("created_on", "status_id", "source_id", "replied_on", "sla_started_on"),
        *("reply_late_on", "reply_due_on", "assignee_id", "owner_id"),
    ),
    "ix_ticket_figures": (
        "ticket",
        *("created_on", "status_id", "priority", "replied_on", "sla_started_on"),
        *("reply_late_on", "reply_due_on", "resolve_late_on", "assignee_id", "owner_id"),
    ),
    # Beside ix_task_due, which a list in the order of due times needs as it is: after both columns comes the id.
    "ix_task_figures": ("task", "status", "due_on", "assignee_id"),
}
#: Name -> (table, columns until now, columns that join them).
WIDENED = {
    "ix_task_done": ("task", ["done_on"], ["status", "due_on", "assignee_id"]),
}


def upgrade() -> None:
    for name, (table, *columns) in ADDED.items():
        op.create_index(name, table, columns)
    for name, (table, former, more) in WIDENED.items():
        op.drop_index(name, table)
        op.create_index(name, table, former + more)


def downgrade() -> None:
    for name, (table, former, _more) in WIDENED.items():
        op.drop_index(name, table)
        op.create_index(name, table, former)
    for name, (table, *_columns) in ADDED.items():
        op.drop_index(name, table)
