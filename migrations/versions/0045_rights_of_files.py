"""Files made for a person remember their rights; exports remember how often they were tried."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0045"
down_revision = "0044"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")


def upgrade() -> None:
    op.add_column("export_run", sa.Column("rights", sa.JSON()))
    op.add_column("export_run", sa.Column("tries", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("export_run", sa.Column("next_try_on", MOMENT))
    op.add_column("report_run", sa.Column("rights", sa.JSON()))


def downgrade() -> None:
    op.drop_column("report_run", "rights")
    op.drop_column("export_run", "next_try_on")
    op.drop_column("export_run", "tries")
    op.drop_column("export_run", "rights")
