"""What somebody owes, by due time: My day reads the first ones, and counts no further than it says."""

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
)
#: It was read whole, for all open leads of a person.
DROPPED = (
    "ix_leads_assignee_owed",
    "leads",
    ["assignee_id", "status_id", "paused_on", "reply_due_on", "resolve_due_on", "owner_id"],
)


def upgrade() -> None:
    for name, table, columns in MADE:
        op.create_index(name, table, columns)
    op.drop_index(DROPPED[0], DROPPED[1])


def downgrade() -> None:
    op.create_index(*DROPPED)
    for name, table, _columns in MADE:
        op.drop_index(name, table)
