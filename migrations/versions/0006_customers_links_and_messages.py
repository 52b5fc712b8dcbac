"""One customer per number and identity, links that wait for a decision, contact fields of tickets, noted messages."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
#: Contact columns of a ticket -> length; the indexed ones.
CONTACT = {
    "first_name": 80,
    "last_name": 80,
    "mobile": 40,
    "mobile_e164": 20,
    "alternative_mobile": 40,
    "alternative_e164": 20,
    "email": 254,
    "address": 500,
    "pan_sealed": 200,
    "pan_blind": 64,
    "aadhaar_sealed": 200,
    "aadhaar_blind": 64,
}
INDEXED = ("mobile_e164", "alternative_e164", "email", "pan_blind", "aadhaar_blind")
#: Column of a customer -> kind of value; main numbers come before alternative ones.
KEYED = {"mobile_e164": "mobile", "alternative_e164": "mobile", "pan_blind": "pan", "aadhaar_blind": "aadhaar"}


def upgrade() -> None:
    _keys()
    _links()
    with op.batch_alter_table("ticket") as table:
        for name, length in CONTACT.items():
            table.add_column(sa.Column(name, sa.String(length)))
        table.add_column(sa.Column("opens_customer", sa.Boolean(), nullable=False, server_default="1"))
    for name in INDEXED:
        op.create_index(f"ix_ticket_{name}", "ticket", [name])
    _messages()


def _keys() -> None:
    op.create_table(
        "customer_key",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("kind", sa.String(8), nullable=False),
        sa.Column("value", sa.String(64), nullable=False),
        sa.Column("customer_id", sa.Integer(), sa.ForeignKey("customer.id", ondelete="CASCADE"), nullable=False),
        sa.UniqueConstraint("kind", "value", name="uq_customer_key"),
    )
    op.create_index("ix_customer_key_customer_id", "customer_key", ["customer_id"])
    # Customers that share a number or identity all stay; the oldest is its holder. `flask customer duplicates` lists
    # the others.
    key = sa.table("customer_key", *(sa.column(name) for name in ("kind", "value", "customer_id"))).c
    customer = sa.table("customer", sa.column("id"), *(sa.column(name) for name in KEYED)).c
    for name, kind in KEYED.items():
        value = customer[name]
        held = sa.exists().where(key.kind == kind, key.value == value)
        new = sa.select(sa.literal(kind), value, sa.func.min(customer.id)).where(value.is_not(None), ~held)
        op.execute(sa.insert(key.kind.table).from_select(["kind", "value", "customer_id"], new.group_by(value)))


def _links() -> None:
    def reference(name: str, target: str, **options: str) -> sa.Column:
        return sa.Column(name, sa.Integer(), sa.ForeignKey(f"{target}.id", **options))

    op.create_table(
        "customer_link",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("created_on", MOMENT, nullable=False),
        sa.Column("changed_on", MOMENT, nullable=False),
        reference("created_by_id", "ab_user"),
        reference("changed_by_id", "ab_user"),
        reference("lead_id", "leads", ondelete="CASCADE"),
        reference("ticket_id", "ticket", ondelete="CASCADE"),
        sa.Column("customer_id", sa.Integer(), sa.ForeignKey("customer.id", ondelete="CASCADE"), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("open_key", sa.String(40)),
        reference("decided_by_id", "ab_user"),
        sa.Column("decided_on", MOMENT),
        sa.CheckConstraint("(lead_id IS NULL) <> (ticket_id IS NULL)", name="link_of_lead_or_ticket"),
        sa.UniqueConstraint("open_key", name="uq_customer_link_open"),
    )
    op.create_index("ix_customer_link_waiting", "customer_link", ["customer_id", "status", "id"])
    op.create_index("ix_customer_link_lead_id", "customer_link", ["lead_id"])
    op.create_index("ix_customer_link_ticket_id", "customer_link", ["ticket_id"])


def _messages() -> None:
    """Messages that were queued although nothing sent them were written down by hand: they become noted.

    Their time is when they were written down. Their first responses stay as they were counted.
    """
    with op.batch_alter_table("message") as table:
        table.add_column(sa.Column("happened_on", MOMENT))
        table.add_column(sa.Column("purpose", sa.String(16), nullable=False, server_default="service"))
    names = ("state", "created_on", "happened_on", "due_on", "tries", "provider_id")
    message = sa.table("message", *(sa.column(name) for name in names)).c
    unsent = (message.state == "queued", message.tries == 0, message.provider_id.is_(None))
    noted = {"state": "noted", "happened_on": message.created_on, "due_on": None}
    op.execute(sa.update(message.state.table).where(*unsent).values(noted))
    sent = message.state.in_(("sent", "delivered", "read"))
    op.execute(sa.update(message.state.table).where(sent).values(happened_on=message.created_on))


def downgrade() -> None:
    message = sa.table("message", sa.column("state"))
    op.execute(sa.update(message).where(message.c.state == "noted").values(state="queued"))
    with op.batch_alter_table("message") as table:
        table.drop_column("purpose")
        table.drop_column("happened_on")
    for name in INDEXED:
        op.drop_index(f"ix_ticket_{name}", "ticket")
    with op.batch_alter_table("ticket") as table:
        table.drop_column("opens_customer")
        for name in CONTACT:
            table.drop_column(name)
    op.drop_table("customer_link")
    op.drop_table("customer_key")
