"""Emails beside their messages, and up to where mailboxes were read."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
LONG_TEXT = sa.Text().with_variant(mysql.MEDIUMTEXT(), "mysql", "mariadb")
INDEXES = {
    "ix_mail_message": ["message_id"],
    "ix_mail_header": ["header_id"],
    "ix_mail_peer": ["peer", "received_on"],
    "ix_mail_state": ["state", "received_on"],
}


def upgrade() -> None:
    op.create_table(
        "mail",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("account_id", sa.Integer(), sa.ForeignKey("channel_account.id", ondelete="CASCADE")),
        sa.Column("message_id", sa.Integer(), sa.ForeignKey("message.id", ondelete="CASCADE")),
        sa.Column("mail_key", sa.String(64)),
        sa.Column("header_id", sa.String(255)),
        sa.Column("direction", sa.String(8), nullable=False),
        sa.Column("state", sa.String(12), nullable=False),
        sa.Column("sentence", sa.String(300)),
        sa.Column("origin", sa.String(12), nullable=False, server_default="person"),
        sa.Column("peer", sa.String(254)),
        sa.Column("cc", sa.JSON(), nullable=False),
        sa.Column("participants", sa.JSON(), nullable=False),
        sa.Column("html", LONG_TEXT),
        sa.Column("has_remote_pictures", sa.Boolean(), nullable=False, server_default="0"),
        sa.Column("quoted", LONG_TEXT),
        sa.Column("is_unverified", sa.Boolean(), nullable=False, server_default="0"),
        sa.Column("original", sa.String(80)),
        sa.Column("uid_validity", BIG),
        sa.Column("uid", BIG),
        sa.Column("received_on", MOMENT, nullable=False),
        sa.UniqueConstraint("account_id", "mail_key", name="uq_mail"),
        sqlite_autoincrement=True,
    )
    for name, columns in INDEXES.items():
        op.create_index(name, "mail", columns)
    op.create_table(
        "mailbox_state",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column(
            "account_id",
            sa.Integer(),
            sa.ForeignKey("channel_account.id", ondelete="CASCADE"),
            nullable=False,
            unique=True,
        ),
        sa.Column("uid_validity", BIG),
        sa.Column("last_uid", BIG, nullable=False),
        sa.Column("read_on", MOMENT),
        sa.Column("leased_until", MOMENT),
        sqlite_autoincrement=True,
    )


def downgrade() -> None:
    op.drop_table("mailbox_state")
    op.drop_table("mail")
