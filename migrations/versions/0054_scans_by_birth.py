"""The first search for duplicates scans records with a date of birth in the order of that date.

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


def downgrade() -> None:
    with op.batch_alter_table("duplicate_scan") as batch:
        batch.drop_column("birth_position")
