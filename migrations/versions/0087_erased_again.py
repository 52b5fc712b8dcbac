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


def _names() -> tuple[str, str]:
    """The names of the unique keys of `number` and `active_number`; MariaDB calls a key by its column."""
    prefix = "uq_data_erasure_" if op.get_bind().dialect.name == "sqlite" else ""
    return f"{prefix}number", f"{prefix}active_number"


def upgrade() -> None:
    number, active_number = _names()
    with op.batch_alter_table("data_erasure", naming_convention=NAMES) as table:  # small: one row per erasure
        table.add_column(sa.Column("active_number", NUMBER))
        table.drop_constraint(number, type_="unique")
        table.create_unique_constraint(active_number, ["active_number"])
    op.create_index("ix_data_erasure_number", "data_erasure", ["number"])
    rows = sa.table("data_erasure", *(sa.column(name) for name in ("number", "active_number", "state")))
    op.execute(sa.update(rows).where(rows.c.state != "done").values(active_number=rows.c.number))


def downgrade() -> None:
    rows = sa.table("data_erasure", *(sa.column(name) for name in ("id", "number", "active_number")))
    newest = sa.select(sa.func.max(rows.c.id).label("id")).group_by(rows.c.number).subquery()
    op.execute(sa.delete(rows).where(rows.c.id.not_in(sa.select(newest.c.id))))
    op.drop_index("ix_data_erasure_number", "data_erasure")
    number, active_number = _names()
    with op.batch_alter_table("data_erasure", naming_convention=NAMES) as table:
        table.drop_constraint(active_number, type_="unique")
        table.drop_column("active_number")
        table.create_unique_constraint(number, ["number"])
