"""Indexes by which dashboards find what happened in a period."""

from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None

#: What figures of calls are made from, beside the time.
COUNTED = ["employee_id", "direction", "status", "cold", "duration_seconds", "other_e164"]
#: Name -> table and columns.
INDEXES = {
    "ix_leads_opened": ("leads", ["opened_on"]),
    "ix_leads_activated": ("leads", ["activated_on"]),
    "ix_ticket_resolved": ("ticket", ["resolved_on"]),
    "ix_task_done": ("task", ["done_on"]),
    "ix_assignment_started": ("assignment", ["started_on"]),
    "ix_call_figures": ("call_log", ["started_on", *COUNTED]),
}


def upgrade() -> None:
    for name, (table, columns) in INDEXES.items():
        op.create_index(name, table, columns)


def downgrade() -> None:
    for name, (table, _columns) in INDEXES.items():
        op.drop_index(name, table)
