"""A customer or lead can be erased again, by another request; only one erasure of it goes on at a time."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0087"
down_revision = "0086"
branch_labels = None
depends_on = None

NAMES = {"uq": "uq_%(table_name)s_%(column_0_name)s"}
NUMBER = sa.String(24).with_variant(mysql.VARCHAR(24, collation="utf8mb4_bin"), "mysql", "mariadb")


def upgrade() -> None:
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    with op.batch_alter_table("data_erasure", naming_convention=NAMES) as table:  # small: one row per erasure
        table.add_column(sa.Column("active_number", NUMBER))
        table.drop_constraint("uq_data_erasure_number" if is_sqlite else "number", type_="unique")
        table.create_unique_constraint(
            "uq_data_erasure_active_number" if is_sqlite else "active_number", ["active_number"]
        )
    op.create_index("ix_data_erasure_number", "data_erasure", ["number"])
    rows = sa.table("data_erasure", *(sa.column(name) for name in ("number", "active_number", "state")))
    op.execute(sa.update(rows).where(rows.c.state != "done").values(active_number=rows.c.number))


def downgrade() -> None:
    rows = sa.table("data_erasure", *(sa.column(name) for name in ("id", "number", "active_number")))
    newest = sa.select(sa.func.max(rows.c.id).label("id")).group_by(rows.c.number).subquery()
    op.execute(sa.delete(rows).where(rows.c.id.not_in(sa.select(newest.c.id))))
    op.drop_index("ix_data_erasure_number", "data_erasure")
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    with op.batch_alter_table("data_erasure", naming_convention=NAMES) as table:
        table.drop_constraint("uq_data_erasure_active_number" if is_sqlite else "active_number", type_="unique")
        table.drop_column("active_number")
        table.create_unique_constraint("uq_data_erasure_number" if is_sqlite else "number", ["number"])
