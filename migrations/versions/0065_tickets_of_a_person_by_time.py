"""Dashboards of one person read the tickets of that person by the time of creation."""

from alembic import op

revision = "0065"
down_revision = "0064"
branch_labels = None
depends_on = None

INDEXES = (
    ("ix_ticket_assignee_created", ["assignee_id", "created_on"]),
    ("ix_ticket_owner_created", ["owner_id", "created_on"]),
)


def upgrade() -> None:
    for name, columns in INDEXES:
        op.create_index(name, "ticket", columns)


def downgrade() -> None:
    for name, _columns in INDEXES:
        op.drop_index(name, "ticket")
