"""Files of records are found by the words of their names."""

from alembic import op

revision = "0041"
down_revision = "0039"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # small: a row for each file that a person has attached; writes of these wait for seconds
    op.create_index("ix_attachment_words", "attachment", ["name"], mysql_prefix="FULLTEXT")


def downgrade() -> None:
    op.drop_index("ix_attachment_words", "attachment")
