"""Rows of one person by time: My day, the calendar and the dashboards of a person read no rows of others."""

from alembic import op

revision = "0055"
down_revision = "0054"
branch_labels = None
depends_on = None

#: (index, table, columns)
MADE = (
    ("ix_leads_assignee_reply", "leads", ["assignee_id", "reply_due_on"]),
    ("ix_leads_assignee_resolve", "leads", ["assignee_id", "resolve_due_on"]),
    ("ix_ticket_assignee_reply", "ticket", ["assignee_id", "reply_due_on"]),
    ("ix_ticket_assignee_resolve", "ticket", ["assignee_id", "resolve_due_on"]),
    ("ix_leads_assignee_follow_up", "leads", ["assignee_id", "next_follow_up_on"]),
    ("ix_leads_owner_follow_up", "leads", ["owner_id", "next_follow_up_on"]),
    ("ix_leads_assignee_created", "leads", ["assignee_id", "created_on"]),
    ("ix_leads_owner_created", "leads", ["owner_id", "created_on"]),
    ("ix_task_assignee_done", "task", ["assignee_id", "done_on", "status", "due_on"]),
    ("ix_task_assignee_created", "task", ["assignee_id", "created_on", "status"]),
    ("ix_assignment_user_started", "assignment", ["user_id", "started_on", "lead_id"]),
)
#: It was read whole, for all open leads of a person.
DROPPED = (
    "ix_leads_assignee_owed",
    "leads",
    ["assignee_id", "status_id", "paused_on", "reply_due_on", "resolve_due_on", "owner_id"],
)

#: The leads of a period, for dashboards; those of referrals read the rows of all leads without the last column.
FIGURES = [
    *("created_on", "status_id", "source_id", "replied_on", "sla_started_on"),
    *("reply_late_on", "reply_due_on", "assignee_id", "owner_id"),
]


def upgrade() -> None:
    for name, table, columns in MADE:
        op.create_index(name, table, columns)
    op.drop_index(DROPPED[0], DROPPED[1])
    op.drop_index("ix_leads_figures", "leads")
    op.create_index("ix_leads_figures", "leads", [*FIGURES, "referral"])


def downgrade() -> None:
    op.drop_index("ix_leads_figures", "leads")
    op.create_index("ix_leads_figures", "leads", FIGURES)
    op.create_index(*DROPPED)
    for name, table, _columns in MADE:
        op.drop_index(name, table)
