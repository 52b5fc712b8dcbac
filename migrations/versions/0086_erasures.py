"""Erasures of people, and the lead that a request about personal data may be about."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0086"
down_revision = "0083"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
NUMBER = sa.String(24).with_variant(mysql.VARCHAR(24, collation="utf8mb4_bin"), "mysql", "mariadb")


def upgrade() -> None:
    op.create_table(
        "data_erasure",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("request_id", sa.Integer(), sa.ForeignKey("data_request.id", ondelete="SET NULL"), unique=True),
        sa.Column("request_number", sa.String(24), nullable=False),
        sa.Column("record_table", sa.String(16), nullable=False),
        sa.Column("record_id", sa.Integer(), nullable=False),
        sa.Column("number", NUMBER, nullable=False, unique=True),
        sa.Column("accounts_ended_on", sa.Date()),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("confirmed_on", MOMENT, nullable=False),
        sa.Column("settled_on", MOMENT),
        sa.Column("next_on", MOMENT),
        sa.Column("addresses_sealed", sa.Text()),
        sa.Column("counts", sa.JSON(), nullable=False),
        sa.Column("kept", sa.JSON(), nullable=False),
        sa.Column("created_on", MOMENT, nullable=False),
        sa.Column("changed_on", MOMENT, nullable=False),
        sa.Column("created_by_id", sa.Integer(), sa.ForeignKey("ab_user.id")),
        sa.Column("changed_by_id", sa.Integer(), sa.ForeignKey("ab_user.id")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_data_erasure_next", "data_erasure", ["state", "next_on"])
    with op.batch_alter_table("data_request") as table:
        table.add_column(sa.Column("lead_id", sa.Integer()))
        # small: a register of a few hundred rows
        table.create_foreign_key("fk_data_request_lead", "leads", ["lead_id"], ["id"], ondelete="SET NULL")
    op.create_index("ix_data_request_lead_id", "data_request", ["lead_id"])


def downgrade() -> None:
    with op.batch_alter_table("data_request") as table:
        table.drop_constraint("fk_data_request_lead", type_="foreignkey")
    op.drop_index("ix_data_request_lead_id", "data_request")  # which MariaDB needs for the key
    op.drop_column("data_request", "lead_id")
    op.drop_table("data_erasure")
