"""An erasure notes which other leads and customers had the same number or address when it was settled."""

import sqlalchemy as sa
from alembic import op

revision = "0088"
down_revision = "0087"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("data_erasure", sa.Column("same_contacts", sa.JSON()))  # small: one row per erasure


def downgrade() -> None:
    op.drop_column("data_erasure", "same_contacts")
