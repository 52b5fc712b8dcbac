"""Imports remember how often they were tried and when the next attempt is; their rows are found by their record."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0047"
down_revision = "0046"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")


def upgrade() -> None:
    op.add_column("import_run", sa.Column("tries", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("import_run", sa.Column("next_try_on", MOMENT))
    op.create_index("ix_import_row_record", "import_row", ["run_id", "record_id"])


def downgrade() -> None:
    op.drop_index("ix_import_row_record", "import_row")
    op.drop_column("import_run", "next_try_on")
    op.drop_column("import_run", "tries")
