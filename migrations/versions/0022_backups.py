"""Backups, checks and drills: what was asked for, what became of it."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
COLUMNS = (
    sa.Column("kind", sa.String(12), nullable=False, server_default="backup"),
    sa.Column("slot", sa.String(40)),
    sa.Column("started_on", MOMENT),
    sa.Column("seen_on", MOMENT),
    sa.Column("ended_on", MOMENT),
    sa.Column("tries", sa.Integer(), nullable=False, server_default="0"),
    sa.Column("error", sa.String(500)),
    sa.Column("details", sa.JSON()),
    sa.Column("ran_by", sa.String(80)),
    sa.Column("copied_on", MOMENT),
    sa.Column("deleted_on", MOMENT),
)


def upgrade() -> None:
    with op.batch_alter_table("backup_run", table_kwargs={"sqlite_autoincrement": True}) as batch:
        batch.alter_column("file", new_column_name="name", existing_type=sa.String(200), type_=sa.String(80))
        for column in COLUMNS:
            batch.add_column(column)
        batch.create_unique_constraint("uq_backup_run_slot", ["slot"])
    op.create_index("ix_backup_run_kind", "backup_run", ["kind", "outcome", "ended_on"])
    op.create_index("ix_backup_run_name", "backup_run", ["name"])


def downgrade() -> None:
    op.drop_index("ix_backup_run_name", "backup_run")
    op.drop_index("ix_backup_run_kind", "backup_run")
    with op.batch_alter_table("backup_run", table_kwargs={"sqlite_autoincrement": True}) as batch:
        batch.drop_constraint("uq_backup_run_slot", type_="unique")
        for column in COLUMNS:
            batch.drop_column(column.name)
        batch.alter_column("name", new_column_name="file", existing_type=sa.String(80), type_=sa.String(200))
