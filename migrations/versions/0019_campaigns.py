"""Campaigns with their recipients, uploads of do-not-disturb lists, and the words of messages."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

from app.ops.database import sqlite_full_text

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
INDEXES = {
    "ix_campaign_state": ("campaign", ["state", "start_on"]),
    "ix_campaign_author": ("campaign", ["created_by_id"]),
    "ix_campaign_recipient_state": ("campaign_recipient", ["campaign_id", "state", "id"]),
    "ix_campaign_recipient_message": ("campaign_recipient", ["message_id"]),
}


def upgrade() -> None:
    _campaigns()
    _recipients()
    _uploads()
    for name, (table, columns) in INDEXES.items():
        op.create_index(name, table, columns)
    if op.get_bind().dialect.name != "sqlite":
        op.create_index("ix_message_words", "message", ["body"], mysql_prefix="FULLTEXT")
    sqlite_full_text.create(op.get_bind(), "message")


def _record() -> tuple[sa.Column, ...]:
    return (
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("created_on", MOMENT, nullable=False),
        sa.Column("changed_on", MOMENT, nullable=False),
        _reference("created_by_id", "ab_user"),
        _reference("changed_by_id", "ab_user"),
    )


def _reference(name: str, table: str, **more: str) -> sa.Column:
    return sa.Column(name, sa.Integer(), sa.ForeignKey(f"{table}.id", **more))


def _campaigns() -> None:
    op.create_table(
        "campaign",
        *_record(),
        sa.Column("name", sa.String(140), nullable=False),
        sa.Column("state", sa.String(12), nullable=False),
        sa.Column("channel", sa.String(16), nullable=False),
        sa.Column("purpose", sa.String(16), nullable=False),
        _reference("account_id", "channel_account", ondelete="SET NULL"),
        _reference("template_id", "message_template", ondelete="SET NULL"),
        sa.Column("subject", sa.String(200)),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("variables", sa.JSON(), nullable=False),
        sa.Column("per_minute", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(12), nullable=False),
        sa.Column("source", sa.JSON(), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("filled", sa.Integer(), nullable=False),
        sa.Column("start_on", MOMENT),
        sa.Column("started_on", MOMENT),
        sa.Column("ended_on", MOMENT),
        _reference("sender_id", "ab_user"),
        sa.Column("paced_on", MOMENT),
        sa.Column("next_on", MOMENT),
        sa.Column("reason", sa.String(300)),
        sqlite_autoincrement=True,
    )


def _recipients() -> None:
    op.create_table(
        "campaign_recipient",
        *_record(),
        sa.Column("campaign_id", sa.Integer(), sa.ForeignKey("campaign.id", ondelete="CASCADE"), nullable=False),
        sa.Column("address", sa.String(254)),
        sa.Column("person", sa.String(24)),
        _reference("lead_id", "leads", ondelete="SET NULL"),
        _reference("customer_id", "customer", ondelete="SET NULL"),
        sa.Column("state", sa.String(12), nullable=False),
        sa.Column("code", sa.String(16)),
        sa.Column("reason", sa.String(300)),
        sa.Column("variables", sa.JSON()),
        _reference("message_id", "message", ondelete="SET NULL"),
        sa.UniqueConstraint("campaign_id", "address", name="uq_campaign_address"),
        sa.UniqueConstraint("campaign_id", "person", name="uq_campaign_person"),
        sqlite_autoincrement=True,
    )


def _uploads() -> None:
    op.create_table(
        "dnd_upload",
        *_record(),
        sa.Column("name", sa.String(140), nullable=False),
        sa.Column("state", sa.String(12), nullable=False),
        sa.Column("error", sa.String(300)),
        sa.Column("checked_on", MOMENT, nullable=False),
        *(
            sa.Column(name, sa.Integer(), nullable=False)
            for name in ("size", "position", "lines", "stored", "wrong", "wrong_size")
        ),
        sqlite_autoincrement=True,
    )


def downgrade() -> None:
    sqlite_full_text.remove(op.get_bind(), "message")
    if op.get_bind().dialect.name != "sqlite":
        op.drop_index("ix_message_words", "message")
    for table in ("dnd_upload", "campaign_recipient", "campaign"):
        op.drop_table(table)
