"""Lists of shared tickets are read in order, and the first search for duplicates by dates of birth.

A search that is under way has compared the names of the records up to its place, and goes on from there.
"""

import sqlalchemy as sa
from alembic import op

revision = "0054"
down_revision = "0052"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("duplicate_scan", sa.Column("birth_position", sa.Date()))
    # The new one first: a foreign key needs an index on its column.
    op.create_index("ix_assignment_user_ticket", "assignment", ["user_id", "ended_on", "ticket_id"])
    op.drop_index("ix_assignment_user", "assignment")


def downgrade() -> None:
    op.create_index("ix_assignment_user", "assignment", ["user_id", "ended_on"])
    op.drop_index("ix_assignment_user_ticket", "assignment")
    with op.batch_alter_table("duplicate_scan") as batch:
        batch.drop_column("birth_position")
