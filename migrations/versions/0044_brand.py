"""The brand: what the CRM is called and looks like."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0044"
down_revision = "0043"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")


def upgrade() -> None:
    op.create_table(
        "brand",
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("created_on", MOMENT, nullable=False),
        sa.Column("changed_on", MOMENT, nullable=False),
        # small: columns of new tables only
        sa.Column("created_by_id", sa.Integer(), sa.ForeignKey("ab_user.id")),
        sa.Column("changed_by_id", sa.Integer(), sa.ForeignKey("ab_user.id")),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(60)),
        sa.Column("accent", sa.String(7)),
        sa.Column("logo", sa.String(64)),
        sa.Column("logo_width", sa.Integer()),
        sa.Column("logo_height", sa.Integer()),
        sa.Column("icon_192", sa.String(64)),
        sa.Column("icon_512", sa.String(64)),
        sa.Column("icon_maskable", sa.String(64)),
    )


def downgrade() -> None:
    op.drop_table("brand")
