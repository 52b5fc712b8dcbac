"""Files of records: versions, trash, scans and quotas; pictures of people and customers."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
#: Column of `attachment` -> table of what it belongs to.
PARENTS = {"lead_id": "leads", "ticket_id": "ticket", "customer_id": "customer", "task_id": "task"}


def upgrade() -> None:
    op.drop_table("attachment")  # contract: 1.0.0, no code has read or written it
    note = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "attachment",
        *(
            sa.Column(name, sa.Integer(), sa.ForeignKey(f"{table}.id", ondelete="CASCADE"))
            for name, table in PARENTS.items()
        ),
        sa.Column("activity_id", note, sa.ForeignKey("activity.id", ondelete="CASCADE")),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("mime_type", sa.String(100), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("preview", sa.String(64)),
        sa.Column("series", sa.String(32), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("deleted_on", MOMENT),
        sa.Column("deleted_by_id", sa.Integer(), sa.ForeignKey("ab_user.id")),
        sa.Column("scan", sa.String(8), nullable=False),
        sa.Column("threat", sa.String(120)),
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("created_on", MOMENT, nullable=False),
        sa.Column("changed_on", MOMENT, nullable=False),
        sa.Column("created_by_id", sa.Integer(), sa.ForeignKey("ab_user.id")),
        sa.Column("changed_by_id", sa.Integer(), sa.ForeignKey("ab_user.id")),
        sa.UniqueConstraint("series", "number", name="uq_attachment_series"),
        sqlite_autoincrement=True,
    )
    for name in (*PARENTS, "activity_id"):
        op.create_index(f"ix_attachment_{name}", "attachment", [name])
    for name in ("digest", "preview"):
        op.create_index(f"ix_attachment_{name}", "attachment", [name])
    op.create_index("ix_attachment_scan", "attachment", ["scan", "id"])
    op.create_index("ix_attachment_deleted", "attachment", ["deleted_on"])
    op.create_table(
        "file_usage",
        sa.Column("user_id", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
    )
    for table in ("ab_user", "customer"):
        op.add_column(table, sa.Column("picture", sa.String(64)))
        op.create_index(f"ix_{table}_picture", table, ["picture"])


def downgrade() -> None:
    for table in ("ab_user", "customer"):
        op.drop_index(f"ix_{table}_picture", table)
        op.drop_column(table, "picture")
    op.drop_table("file_usage")
    op.drop_table("attachment")
    op.create_table(
        "attachment",
        *(
            sa.Column(name, sa.Integer(), sa.ForeignKey(f"{table}.id", ondelete="CASCADE"))
            for name, table in PARENTS.items()
            if name != "task_id"
        ),
        sa.Column("stored", sa.String(64), nullable=False, unique=True),
        sa.Column("label", sa.String(200), nullable=False),
        sa.Column("mime", sa.String(100), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("created_on", MOMENT, nullable=False),
        sa.Column("changed_on", MOMENT, nullable=False),
        sa.Column("created_by_id", sa.Integer(), sa.ForeignKey("ab_user.id")),
        sa.Column("changed_by_id", sa.Integer(), sa.ForeignKey("ab_user.id")),
        sqlite_autoincrement=True,
    )
    for name in ("lead_id", "ticket_id", "customer_id"):
        op.create_index(f"ix_attachment_{name}", "attachment", [name])
