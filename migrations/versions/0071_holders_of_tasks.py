"""Tasks are found by who holds their lead or ticket; a job fills in what there is already."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0071"
down_revision = "0070"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
HOLDERS = ("assignee", "owner")


def upgrade() -> None:
    for holder in HOLDERS:
        op.add_column("task", sa.Column(f"parent_{holder}_id", sa.Integer()))
        op.create_index(f"ix_task_parent_{holder}", "task", [f"parent_{holder}_id", "status", "due_on"])
    op.add_column("assignment", sa.Column("beside_id", sa.Integer()))
    op.create_index("ix_assignment_beside", "assignment", ["beside_id", "ticket_id"])
    state = op.create_table(
        "holder_check",
        sa.Column("name", sa.String(16), primary_key=True),
        sa.Column("checked_until", sa.Integer(), nullable=False),
        sa.Column("began_on", MOMENT),
        sa.Column("settles_on", MOMENT),
        sa.Column("is_settled", sa.Boolean(), nullable=False),
    )
    is_new = op.get_bind().execute(sa.text("SELECT 1 FROM task LIMIT 1")).first() is None
    names = ("task", "assignment")
    op.bulk_insert(state, [{"name": name, "checked_until": 0, "is_settled": is_new} for name in names])


def downgrade() -> None:
    op.drop_table("holder_check")
    op.drop_index("ix_assignment_beside", "assignment")
    op.drop_column("assignment", "beside_id")
    for holder in HOLDERS:
        op.drop_index(f"ix_task_parent_{holder}", "task")
        op.drop_column("task", f"parent_{holder}_id")
