"""Published versions of the monthly disclosure of complaints."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0076"
down_revision = "0075"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")


def upgrade() -> None:
    op.create_table(
        "complaint_disclosure",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("month", sa.Date(), nullable=False),
        sa.Column("version_number", sa.Integer(), nullable=False),
        sa.Column("layout", sa.String(8), nullable=False),
        sa.Column("figures", sa.JSON(), nullable=False),
        sa.Column("exchange_return", sa.JSON(), nullable=False),
        sa.Column("reason", sa.String(500)),
        sa.Column("published_on", MOMENT, nullable=False),
        sa.Column("published_by_id", sa.Integer(), sa.ForeignKey("ab_user.id")),
        sa.UniqueConstraint("month", "version_number", name="uq_complaint_disclosure"),
    )


def downgrade() -> None:
    op.drop_table("complaint_disclosure")
