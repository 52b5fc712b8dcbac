"""Invitations by email: a link, of which only the hash is stored, and the delivery of its email."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0049"
down_revision = "0048"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")


def upgrade() -> None:
    op.create_table(
        "invitation",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("user_id", sa.Integer(), sa.ForeignKey("ab_user.id", ondelete="CASCADE"), nullable=False),
        sa.Column("address", sa.String(320), nullable=False),
        sa.Column("token_hash", sa.String(64), nullable=False),
        sa.Column("nonce", sa.String(64), nullable=False),
        sa.Column("created_by_id", sa.Integer(), sa.ForeignKey("ab_user.id", ondelete="SET NULL")),
        sa.Column("expires_on", MOMENT, nullable=False),
        sa.Column("accepted_on", MOMENT),
        sa.Column("revoked_on", MOMENT),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("next_try_on", MOMENT),
        sa.Column("error", sa.String(300)),
        sa.UniqueConstraint("user_id"),
        sa.UniqueConstraint("token_hash"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_invitation_due", "invitation", ["state", "next_try_on"])


def downgrade() -> None:
    op.drop_table("invitation")
