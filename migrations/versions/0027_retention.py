"""How long each kind of row is kept, what was deleted for its age, and where the audit log begins since."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0027"
down_revision = "0025"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
#: Of `audit_head`, which has one row.
BEGINNING = (
    sa.Column("base_seq", sa.Integer(), nullable=False, server_default="0"),
    sa.Column("base_hash", sa.String(64), nullable=False, server_default=""),
    sa.Column("base_seal", sa.String(64), nullable=False, server_default=""),
)


def upgrade() -> None:
    op.create_table(
        "retention_rule",
        sa.Column("kind", sa.String(40), primary_key=True),
        sa.Column("days", sa.Integer()),
        sa.Column("changed_on", MOMENT),
        sa.Column("reached", sa.BigInteger(), nullable=False, server_default="0"),
    )
    op.create_table(
        "retention_run",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("kind", sa.String(40), nullable=False),
        sa.Column("open_key", sa.String(40), unique=True),
        sa.Column("began_on", MOMENT, nullable=False),
        sa.Column("ended_on", MOMENT),
        sa.Column("days", sa.Integer(), nullable=False),
        sa.Column("deleted", sa.Integer(), nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_retention_run_kind", "retention_run", ["kind", "id"])
    for column in BEGINNING:
        op.add_column("audit_head", column)


def downgrade() -> None:
    with op.batch_alter_table("audit_head") as batch:
        for column in BEGINNING:
            batch.drop_column(column.name)
    op.drop_table("retention_run")
    op.drop_table("retention_rule")
