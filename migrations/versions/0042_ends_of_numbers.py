"""Calls and messages are found by the last digits of a number, too.

The database computes the numbers backwards, also for rows that are there; see 0012.
"""

import sqlalchemy as sa
from alembic import op

revision = "0042"
down_revision = "0041"
branch_labels = None
depends_on = None

#: table -> column, and the one with its text backwards.
REVERSED = {"call_log": ("other_e164", "other_reversed"), "message": ("peer", "peer_reversed")}
LENGTH = 40


def upgrade() -> None:
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    for table, (name, backwards) in REVERSED.items():
        computed = sa.Computed(_backwards(name, is_sqlite), persisted=False)
        op.add_column(table, sa.Column(backwards, sa.String(LENGTH), computed))
        op.create_index(f"ix_{table}_{backwards}", table, [backwards])


def _backwards(name: str, is_sqlite: bool) -> str:
    """The first LENGTH characters backwards. SQLite has no function for it."""
    if is_sqlite:
        return " || ".join(f"substr({name}, {n}, 1)" for n in range(LENGTH, 0, -1))
    return f"reverse(left({name}, {LENGTH}))"


def downgrade() -> None:
    for table, (_name, backwards) in REVERSED.items():
        op.drop_index(f"ix_{table}_{backwards}", table)
        op.drop_column(table, backwards)
