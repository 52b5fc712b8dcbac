"""A task says whether the CRM made its title: such a task is closed with its lead or ticket.

Null in the tasks that there are, and in those of the former code: of these, the title says it.
"""

import sqlalchemy as sa
from alembic import op

revision = "0082"
down_revision = "0081"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("task", sa.Column("is_generated", sa.Boolean()))


def downgrade() -> None:
    op.drop_column("task", "is_generated")
