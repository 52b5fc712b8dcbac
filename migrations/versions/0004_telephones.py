"""Phones in use: the last sync of each, refused calls, and links to a person's own number."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
EXACT_ID = sa.String(120).with_variant(mysql.VARCHAR(120, collation="utf8mb4_bin"), "mysql", "mariadb")


def upgrade() -> None:
    with op.batch_alter_table("api_key") as table:
        table.add_column(sa.Column("last_used_from", sa.String(64)))
        table.add_column(sa.Column("expires_on", MOMENT))
    op.create_table(
        "phone_sync",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("employee_id", sa.Integer(), sa.ForeignKey("ab_user.id", ondelete="CASCADE"), nullable=False),
        sa.Column("synced_on", MOMENT),
        sa.Column("newest_call_on", MOMENT),
        sa.Column("created", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("updated", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("duplicates", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("refused", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("agent", sa.String(200)),
        sa.Column("gap_from", MOMENT),
        sa.Column("gap_to", MOMENT),
        sa.UniqueConstraint("employee_id"),
    )
    op.create_table(
        "quarantined_call",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("employee_id", sa.Integer(), sa.ForeignKey("ab_user.id", ondelete="CASCADE"), nullable=False),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("code", sa.String(32), nullable=False),
        sa.Column("sentence", sa.String(300), nullable=False),
        sa.Column("raw", sa.JSON(), nullable=False),
        sa.Column("first_on", MOMENT, nullable=False),
        sa.Column("last_on", MOMENT, nullable=False),
        sa.Column("times", sa.Integer(), nullable=False, server_default="1"),
        sa.UniqueConstraint("employee_id", "fingerprint"),
    )
    op.create_index("ix_quarantined_call_last", "quarantined_call", ["employee_id", "last_on"])
    op.create_table(
        "kept_answer",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("user_id", sa.Integer(), sa.ForeignKey("ab_user.id", ondelete="CASCADE"), nullable=False),
        sa.Column("key", sa.String(100), nullable=False),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("status", sa.Integer()),
        sa.Column("record_id", sa.Integer()),
        sa.UniqueConstraint("user_id", "key"),
    )
    op.create_index("ix_kept_answer_at", "kept_answer", ["at"])
    _add_webhooks()
    with op.batch_alter_table("call_log") as table:
        table.alter_column("device_call_id", type_=EXACT_ID, existing_type=sa.String(120), existing_nullable=True)
        table.add_column(sa.Column("linked", sa.Boolean(), nullable=False, server_default=sa.text("0")))
    calls = sa.table("call_log", *(sa.column(name) for name in ("linked", "lead_id", "ticket_id", "medium")))
    by_hand = sa.or_(calls.c.lead_id.is_not(None), calls.c.ticket_id.is_not(None))
    op.execute(calls.update().where(by_hand, calls.c.medium == "manual").values(linked=sa.true()))


def _add_webhooks() -> None:
    """Create the tables of webhooks and their deliveries."""
    op.create_table(
        "webhook",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("created_on", MOMENT, nullable=False),
        sa.Column("changed_on", MOMENT, nullable=False),
        sa.Column("created_by_id", sa.Integer(), sa.ForeignKey("ab_user.id")),
        sa.Column("changed_by_id", sa.Integer(), sa.ForeignKey("ab_user.id")),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(120), nullable=False),
        sa.Column("url", sa.String(500), nullable=False),
        sa.Column("events", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(8), nullable=False),
        sa.Column("why", sa.String(16)),
        sa.Column("secret_sealed", sa.String(200), nullable=False),
        sa.Column("user_id", sa.Integer(), sa.ForeignKey("ab_user.id"), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("tried_on", MOMENT),
        sa.Column("result", sa.String(300)),
    )
    op.create_table(
        "webhook_delivery",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True),
        sa.Column("key", sa.String(36), nullable=False, unique=True),
        sa.Column("webhook_id", sa.Integer(), sa.ForeignKey("webhook.id", ondelete="CASCADE"), nullable=False),
        sa.Column("event", sa.String(24), nullable=False),
        sa.Column("record_id", sa.Integer()),
        sa.Column("number", sa.String(24)),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("state", sa.String(8), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("tried_on", MOMENT),
        sa.Column("next_try_on", MOMENT),
        sa.Column("code", sa.Integer()),
        sa.Column("answer", sa.String(200)),
        sa.Column("error", sa.String(300)),
    )
    op.create_index("ix_webhook_delivery_log", "webhook_delivery", ["webhook_id", "id"])
    op.create_index("ix_webhook_delivery_due", "webhook_delivery", ["state", "next_try_on"])
    op.create_index("ix_webhook_delivery_at", "webhook_delivery", ["at"])


def downgrade() -> None:
    with op.batch_alter_table("api_key") as table:
        table.drop_column("expires_on")
        table.drop_column("last_used_from")
    with op.batch_alter_table("call_log") as table:
        table.drop_column("linked")
        table.alter_column("device_call_id", type_=sa.String(120), existing_type=EXACT_ID, existing_nullable=True)
    op.drop_table("webhook_delivery")
    op.drop_table("webhook")
    op.drop_table("kept_answer")
    op.drop_table("quarantined_call")
    op.drop_table("phone_sync")
