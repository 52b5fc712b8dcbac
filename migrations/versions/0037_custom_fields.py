"""Custom fields of leads, customers, tickets and tasks, and their values."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0037"
down_revision = "0036"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
RECORDS = ("leads", "customer", "ticket", "task")


def upgrade() -> None:
    op.create_table(
        "custom_field",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("created_on", MOMENT, nullable=False),
        sa.Column("changed_on", MOMENT, nullable=False),
        # small: columns of new tables only
        sa.Column("created_by_id", sa.Integer(), sa.ForeignKey("ab_user.id")),
        sa.Column("changed_by_id", sa.Integer(), sa.ForeignKey("ab_user.id")),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("record_table", sa.String(16), nullable=False),
        sa.Column("name", sa.String(32), nullable=False),
        sa.Column("kind", sa.String(8), nullable=False),
        sa.Column("label", sa.String(60), nullable=False),
        sa.Column("labels", sa.JSON(), nullable=False),
        sa.Column("help", sa.String(200)),
        sa.Column("choices", sa.JSON(), nullable=False),
        sa.Column("is_required", sa.Boolean(), nullable=False),
        sa.Column("is_restricted", sa.Boolean(), nullable=False),
        sa.Column("is_quick", sa.Boolean(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("removed_on", MOMENT),
        sa.UniqueConstraint("record_table", "name", name="uq_custom_field_name"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "custom_value",
        # small: columns of new tables only
        sa.Column(
            "field_id",
            sa.Integer(),
            sa.ForeignKey("custom_field.id", ondelete="CASCADE"),
            primary_key=True,
            autoincrement=False,
        ),
        sa.Column("record_id", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("text_value", sa.String(500)),
        sa.Column("number_value", sa.Numeric(20, 4)),
        sa.Column("date_value", sa.Date()),
    )
    for kind in ("text", "number", "date"):
        op.create_index(f"ix_custom_value_{kind}", "custom_value", ["field_id", f"{kind}_value", "record_id"])
    for table in RECORDS:
        # Without a check, so that MariaDB doesn't copy the table. Its reversed columns and its index of words keep it
        # from only changing the description: it rebuilds the rows in place, seconds per 100,000; others can read.
        op.add_column(table, sa.Column("custom", sa.Text().with_variant(mysql.MEDIUMTEXT(), "mysql", "mariadb")))


def downgrade() -> None:
    for table in RECORDS:
        op.drop_column(table, "custom")
    op.drop_table("custom_value")
    op.drop_table("custom_field")
