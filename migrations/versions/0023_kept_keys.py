"""Keys of former field keys, kept for the older part of the audit log and for the Message-IDs of sent emails."""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "kept_key",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("purpose", sa.String(20), nullable=False),
        sa.Column("key_id", sa.String(16), nullable=False),
        sa.Column("key_sealed", sa.String(200), nullable=False),
        sa.Column("until_seq", sa.Integer()),
        sa.UniqueConstraint("purpose", "key_id", name="uq_kept_key"),
        sqlite_autoincrement=True,
    )


def downgrade() -> None:
    op.drop_table("kept_key")
