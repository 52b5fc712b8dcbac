"""Lists of tasks by due time check the access rules on their index, which figures use, too."""

from alembic import op

revision = "0056"
down_revision = "0055"
branch_labels = None
depends_on = None

FORMER = ("status", "due_on")
WIDENED = (*FORMER, "id", "assignee_id", "lead_id", "ticket_id")


def upgrade() -> None:
    _replace(WIDENED)
    op.drop_index("ix_task_figures", "task")


def downgrade() -> None:
    op.create_index("ix_task_figures", "task", ["status", "due_on", "assignee_id"])
    _replace(FORMER)


def _replace(columns: tuple[str, ...]) -> None:
    """Replace the index in one statement on MariaDB, where running servers name it in theirs."""
    if op.get_bind().dialect.name == "sqlite":
        op.drop_index("ix_task_due", "task")
        op.create_index("ix_task_due", "task", [*columns])
        return
    op.execute(f"ALTER TABLE task DROP INDEX ix_task_due, ADD INDEX ix_task_due ({', '.join(columns)})")
