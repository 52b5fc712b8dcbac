"""Missed calls to return are found by status and time, those of a person too."""

from alembic import op

revision = "0069"
down_revision = "0068"
branch_labels = None
depends_on = None

INDEXES = (
    ("ix_call_status", ["status", "started_on"]),
    ("ix_call_employee_status", ["employee_id", "status", "started_on"]),
)


def upgrade() -> None:
    for name, columns in INDEXES:
        op.create_index(name, "call_log", columns)


def downgrade() -> None:
    for name, _columns in INDEXES:
        op.drop_index(name, "call_log")
