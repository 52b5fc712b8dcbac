"""Each minute has how many pages the database was asked for, and how many of them it read from the disk."""

import sqlalchemy as sa
from alembic import op

revision = "0081"
down_revision = "0078"
branch_labels = None
depends_on = None

COLUMNS = ("db_pages_asked", "db_pages_read")


def upgrade() -> None:
    for name in COLUMNS:
        op.add_column("health_sample", sa.Column(name, sa.BigInteger()))


def downgrade() -> None:
    for name in COLUMNS:
        op.drop_column("health_sample", name)
