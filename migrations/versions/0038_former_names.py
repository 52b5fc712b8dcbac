"""What records were called in the former system, and people of it who are still to be matched with users."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0038"
down_revision = "0037"
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
EXACT = sa.String(140).with_variant(mysql.VARCHAR(140, collation="utf8mb4_bin"), "mysql", "mariadb")


def upgrade() -> None:
    op.create_table(
        "former_name",
        sa.Column("id", BIG, primary_key=True),
        sa.Column("doctype", sa.String(60), nullable=False),
        sa.Column("name", EXACT, nullable=False),
        sa.Column("kind", sa.String(24)),
        sa.Column("record_id", BIG),
        sa.UniqueConstraint("doctype", "name", name="uq_former_name"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_former_name_record", "former_name", ["kind", "record_id"])
    op.create_index("ix_former_name_name", "former_name", ["name"])
    op.create_table(
        "former_person",
        sa.Column("id", BIG, primary_key=True),
        sa.Column("email", sa.String(140), nullable=False),
        sa.Column("kind", sa.String(24), nullable=False),
        sa.Column("record_id", BIG, nullable=False),
        sa.Column("column_name", sa.String(24), nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_former_person_email", "former_person", ["email", "id"])
    op.create_index("ix_former_person_record", "former_person", ["kind", "record_id"])


def downgrade() -> None:
    op.drop_table("former_person")
    op.drop_table("former_name")
