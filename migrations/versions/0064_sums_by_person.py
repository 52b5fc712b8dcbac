"""When the comparing of all rows began, and until when servers of a former version may change rows without marks."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0064"
down_revision = "0061"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
COLUMNS = ("compared_since", "settles_on")


def upgrade() -> None:
    for name in COLUMNS:
        op.add_column("record_rollup_state", sa.Column(name, MOMENT))


def downgrade() -> None:
    with op.batch_alter_table("record_rollup_state") as table:
        for name in COLUMNS:
            table.drop_column(name)
