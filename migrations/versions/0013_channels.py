"""Accounts with providers, conversations, the consent ledger, events of hooks; what messages need to be sent."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
LONG_TEXT = sa.Text().with_variant(mysql.MEDIUMTEXT(), "mysql", "mariadb")
#: SQLite's unique constraints have no names; this is how a rebuild of the table calls them.
NAMES = {"uq": "uq_%(table_name)s_%(column_0_name)s"}
NO_PROVIDER = "No provider was connected when this message was written, so it was never sent."
INDEXES = {
    "conversation": {
        "ix_conversation_peer": ["peer"],
        "ix_conversation_claimed": ["claimed_by_id", "state", "last_message_on"],
        "ix_conversation_state": ["state", "last_message_on"],
        "ix_conversation_lead": ["lead_id"],
        "ix_conversation_ticket": ["ticket_id"],
        "ix_conversation_customer": ["customer_id"],
    },
    "consent": {
        "ix_consent_address": ["address", "channel", "id"],
        "ix_consent_customer": ["customer_id", "id"],
        "ix_consent_lead": ["lead_id", "id"],
    },
    "inbound_event": {
        "ix_inbound_event_due": ["state", "next_try_on"],
        "ix_inbound_event_at": ["received_on"],
    },
}


def upgrade() -> None:
    _accounts()
    _conversations()
    _templates()
    _messages()
    _calls()
    _consents()
    _events()
    for table, indexes in INDEXES.items():
        for name, columns in indexes.items():
            op.create_index(name, table, columns)


def _reference(name: str, target: str, **options: str) -> sa.Column:
    return sa.Column(name, sa.Integer(), sa.ForeignKey(f"{target}.id", **options))


def _record() -> tuple[sa.Column, ...]:
    return (
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("created_on", MOMENT, nullable=False),
        sa.Column("changed_on", MOMENT, nullable=False),
        _reference("created_by_id", "ab_user"),
        _reference("changed_by_id", "ab_user"),
    )


def _records() -> tuple[sa.Column, ...]:
    return _reference("lead_id", "leads", ondelete="SET NULL"), _reference(
        "customer_id", "customer", ondelete="SET NULL"
    )


def _account(is_needed: bool = True) -> sa.Column:
    return sa.Column(
        "account_id", sa.Integer(), sa.ForeignKey("channel_account.id", ondelete="CASCADE"), nullable=not is_needed
    )


def _accounts() -> None:
    op.create_table(
        "channel_account",
        *_record(),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(60), nullable=False),
        sa.Column("kind", sa.String(24), nullable=False),
        sa.Column("channels", sa.JSON(), nullable=False),
        sa.Column("purpose", sa.String(16)),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.Column("secrets_sealed", sa.Text()),
        sa.Column("token_hash", sa.String(64), nullable=False),
        sa.Column("token_sealed", sa.String(300), nullable=False),
        sa.Column("per_second", sa.Integer()),
        sa.Column("per_minute", sa.Integer()),
        sa.Column("caller_ids", sa.JSON(), nullable=False),
        sa.Column("last_success_on", MOMENT),
        sa.Column("last_error", sa.String(300)),
        sa.Column("last_error_on", MOMENT),
        sa.UniqueConstraint("name"),
        sa.UniqueConstraint("token_hash"),
    )


def _conversations() -> None:
    op.create_table(
        "conversation",
        *_record(),
        sa.Column("channel", sa.String(16), nullable=False),
        _account(),
        sa.Column("peer", sa.String(254), nullable=False),
        sa.Column("peer_name", sa.String(140)),
        sa.Column("state", sa.String(8), nullable=False, server_default="open"),
        *_records(),
        _reference("ticket_id", "ticket", ondelete="SET NULL"),
        _reference("claimed_by_id", "ab_user"),
        sa.Column("claimed_on", MOMENT),
        sa.Column("unread", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("last_message_id", sa.Integer()),
        sa.Column("last_message_on", MOMENT),
        sa.Column("last_inbound_on", MOMENT),
        sa.UniqueConstraint("channel", "account_id", "peer", name="uq_conversation"),
    )


def _templates() -> None:
    with op.batch_alter_table("message_template") as table:
        account = sa.ForeignKey("channel_account.id", name="fk_message_template_account", ondelete="CASCADE")
        table.add_column(sa.Column("account_id", sa.Integer(), account))
        table.add_column(sa.Column("name", sa.String(120)))
        table.add_column(sa.Column("language", sa.String(16), nullable=False, server_default="en"))
        table.add_column(sa.Column("purpose", sa.String(16), nullable=False, server_default="service"))
        table.add_column(sa.Column("category", sa.String(40)))
        table.add_column(sa.Column("header", sa.String(200)))
        table.add_column(sa.Column("provider_id", sa.String(64)))
        table.add_column(sa.Column("approval", sa.String(16), nullable=False, server_default="local"))
        table.add_column(sa.Column("approval_note", sa.String(300)))
        table.add_column(sa.Column("synced_on", MOMENT))
        table.create_unique_constraint("uq_message_template_name", ["account_id", "name", "language"])


#: New columns of a message -> the tables to which they refer.
REFERENCES = {
    "account_id": "channel_account",
    "conversation_id": "conversation",
    "template_id": "message_template",
    "reply_to_id": "message",
}
COLUMNS = (
    ("code", sa.String(40)),
    ("began_on", MOMENT),
    ("variables", sa.JSON()),
    ("media", sa.JSON()),
    ("reactions", sa.JSON()),
    ("delivered_on", MOMENT),
    ("read_on", MOMENT),
    ("ask_on", MOMENT),
)


def _messages() -> None:
    """A provider's id is unique within its account. What waits although nothing could send it has failed."""
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    with op.batch_alter_table("message", naming_convention=NAMES) as table:
        for name, kind in COLUMNS:
            table.add_column(sa.Column(name, kind))
        table.add_column(sa.Column("asks", sa.Integer(), nullable=False, server_default="0"))
        for name, target in REFERENCES.items():
            key = sa.ForeignKey(f"{target}.id", name=f"fk_message_{name}", ondelete="SET NULL")
            table.add_column(sa.Column(name, sa.Integer(), key))
        table.drop_constraint("uq_message_channel" if is_sqlite else "channel", type_="unique")
        table.create_unique_constraint("uq_message_provider", ["account_id", "provider_id"])
    op.create_index("ix_message_conversation", "message", ["conversation_id", "id"])
    message = sa.table("message", *(sa.column(name) for name in ("state", "reason", "due_on"))).c
    waits = message.state.in_(("queued", "sending"))
    op.execute(sa.update(message.state.table).where(waits).values(state="failed", reason=NO_PROVIDER, due_on=None))


def _calls() -> None:
    with op.batch_alter_table("call_log") as table:
        account = sa.ForeignKey("channel_account.id", name="fk_call_log_account", ondelete="SET NULL")
        table.add_column(sa.Column("account_id", sa.Integer(), account))
        table.add_column(sa.Column("provider_id", sa.String(120)))
        table.create_unique_constraint("uq_call_provider", ["account_id", "provider_id"])


def _consents() -> None:
    op.create_table(
        "consent",
        *_record(),
        sa.Column("channel", sa.String(16), nullable=False),
        sa.Column("address", sa.String(254), nullable=False),
        sa.Column("purpose", sa.String(16), nullable=False),
        sa.Column("action", sa.String(16), nullable=False),
        sa.Column("happened_on", MOMENT, nullable=False),
        sa.Column("ends_on", MOMENT),
        sa.Column("how", sa.String(24), nullable=False),
        sa.Column("words", sa.Text()),
        sa.Column("language", sa.String(16)),
        sa.Column("evidence", sa.String(190)),
        _reference("message_id", "message", ondelete="SET NULL"),
        *_records(),
    )
    op.create_table(
        "do_not_disturb",
        *_record(),
        sa.Column("number", sa.String(20), nullable=False),
        sa.Column("preference", sa.String(16), nullable=False),
        sa.Column("checked_on", MOMENT, nullable=False),
        sa.Column("how", sa.String(24), nullable=False),
        sa.UniqueConstraint("number"),
    )


def _events() -> None:
    op.create_table(
        "inbound_event",
        sa.Column("id", BIG, primary_key=True),
        _account(),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("received_on", MOMENT, nullable=False),
        sa.Column("request_sealed", LONG_TEXT, nullable=False),
        sa.Column("state", sa.String(12), nullable=False),
        sa.Column("summary", sa.String(120)),
        sa.Column("error", sa.String(300)),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("next_try_on", MOMENT),
        sa.Column("done_on", MOMENT),
        sa.UniqueConstraint("account_id", "digest", name="uq_inbound_event"),
    )


def downgrade() -> None:
    for table in ("inbound_event", "do_not_disturb", "consent"):
        op.drop_table(table)
    with op.batch_alter_table("call_log") as table:
        table.drop_constraint("fk_call_log_account", type_="foreignkey")
        table.drop_constraint("uq_call_provider", type_="unique")
        table.drop_column("account_id")
        table.drop_column("provider_id")
    with op.batch_alter_table("message") as table:
        for name in REFERENCES:
            table.drop_constraint(f"fk_message_{name}", type_="foreignkey")
        table.drop_constraint("uq_message_provider", type_="unique")
        table.drop_index("ix_message_conversation")
        for name in (*REFERENCES, *(name for name, _kind in COLUMNS), "asks"):
            table.drop_column(name)
        table.create_unique_constraint("uq_message_channel", ["channel", "provider_id"])
    with op.batch_alter_table("message_template") as table:
        table.drop_constraint("fk_message_template_account", type_="foreignkey")
        table.drop_constraint("uq_message_template_name", type_="unique")
        for name in ("account_id", "name", "language", "purpose", "category", "header", "provider_id"):
            table.drop_column(name)
        for name in ("approval", "approval_note", "synced_on"):
            table.drop_column(name)
    op.drop_table("conversation")
    op.drop_table("channel_account")
