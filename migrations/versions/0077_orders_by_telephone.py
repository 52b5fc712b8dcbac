"""Calls can be marked as orders, with what proves them; orders without evidence are found by an index."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0077"
down_revision = "0076"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")


def upgrade() -> None:
    op.add_column("call_log", sa.Column("is_order", sa.Boolean(), nullable=False, server_default=sa.text("0")))
    op.create_index("ix_call_order", "call_log", ["is_order", "started_on"])
    op.create_table(
        "order_evidence",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("call_id", sa.Integer(), sa.ForeignKey("call_log.id", ondelete="CASCADE"), nullable=False),
        sa.Column("attachment_id", sa.Integer(), sa.ForeignKey("attachment.id", ondelete="CASCADE")),
        sa.Column("message_id", sa.Integer(), sa.ForeignKey("message.id", ondelete="CASCADE")),
        sa.Column("created_on", MOMENT, nullable=False),
        sa.Column("changed_on", MOMENT, nullable=False),
        sa.Column("created_by_id", sa.Integer(), sa.ForeignKey("ab_user.id")),
        sa.Column("changed_by_id", sa.Integer(), sa.ForeignKey("ab_user.id")),
        sa.UniqueConstraint("call_id", "attachment_id", name="uq_order_evidence_file"),
        sa.UniqueConstraint("call_id", "message_id", name="uq_order_evidence_message"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_order_evidence_attachment_id", "order_evidence", ["attachment_id"])
    op.create_index("ix_order_evidence_message_id", "order_evidence", ["message_id"])


def downgrade() -> None:
    op.drop_table("order_evidence")
    op.drop_index("ix_call_order", "call_log")
    op.drop_column("call_log", "is_order")
