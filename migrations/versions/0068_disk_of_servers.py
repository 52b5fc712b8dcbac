"""The health page knows how full the disks of each server are."""

import sqlalchemy as sa
from alembic import op

revision = "0068"
down_revision = "0067"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("health_sample", sa.Column("disk_percent", sa.Integer()))


def downgrade() -> None:
    op.drop_column("health_sample", "disk_percent")
