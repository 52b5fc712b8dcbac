"""A timeline for every record: entries of records without their own column store table and id."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("activity") as table:
        table.add_column(sa.Column("record_kind", sa.String(64)))
        table.add_column(sa.Column("record_id", sa.Integer()))
    op.create_index("ix_activity_record", "activity", ["record_kind", "record_id", "id"])


def downgrade() -> None:
    op.drop_index("ix_activity_record", "activity")
    with op.batch_alter_table("activity") as table:
        table.drop_column("record_id")
        table.drop_column("record_kind")
