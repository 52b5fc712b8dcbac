"""Whom the user of a sign-in views the CRM as, and until when."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0058"
down_revision = "0055"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")


def upgrade() -> None:
    op.add_column("sign_in", sa.Column("viewed_id", sa.Integer()))
    op.add_column("sign_in", sa.Column("view_ends_on", MOMENT))


def downgrade() -> None:
    with op.batch_alter_table("sign_in") as batch:
        batch.drop_column("view_ends_on")
        batch.drop_column("viewed_id")
