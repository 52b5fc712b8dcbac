"""The texts of notes have a full-text index; a job fills the table with those that there are."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

from app.ops.database import sqlite_full_text

revision = "0070"
down_revision = "0069"
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
LONG_TEXT = sa.Text().with_variant(mysql.MEDIUMTEXT(), "mysql", "mariadb")


def upgrade() -> None:
    op.create_table(
        "note_text",
        sa.Column("id", BIG, sa.ForeignKey("activity.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
        sa.Column("body", LONG_TEXT, nullable=False),
    )
    if op.get_bind().dialect.name != "sqlite":
        # small: the table is new, and empty.
        op.create_index("ix_note_text_words", "note_text", ["body"], mysql_prefix="FULLTEXT")
    sqlite_full_text.create(op.get_bind(), "note_text")
    state = op.create_table(
        "note_text_state",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("filled_until", BIG, nullable=False),
    )
    op.bulk_insert(state, [{"id": 1, "filled_until": 0}])


def downgrade() -> None:
    op.drop_table("note_text_state")
    sqlite_full_text.remove(op.get_bind(), "note_text")
    op.drop_table("note_text")
