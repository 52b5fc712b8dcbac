"""Names are found by their second word, too.

The database computes what follows the first word of a name, also for rows that are there. On SQLite the indexes ignore
the case of letters, as LIKE does; MariaDB's collation does anyway.
"""

import sqlalchemy as sa
from alembic import op

revision = "0066"
down_revision = "0065"
branch_labels = None
depends_on = None

TABLES = ("leads", "customer", "ticket")
#: Column -> the name that it is made of, and the other one.
REST = {"first_name_rest": ("first_name", "last_name"), "last_name_rest": ("last_name", "first_name")}
#: Whose rows are searched by themselves.
HOLDERS = {"leads": ("assignee", "owner"), "customer": ("owner",), "ticket": ()}
IGNORING_CASE = ("first_name_rest", "last_name_rest", "first_name", "last_name")


def upgrade() -> None:
    for table in TABLES:
        for rest, (name, other) in REST.items():
            op.add_column(table, sa.Column(rest, sa.String(80), sa.Computed(_rest_of(name), persisted=False)))
            _add_index(f"ix_{table}_{rest}", table, [rest, other])
            for holder in HOLDERS[table]:
                _add_index(f"ix_{table}_{holder}_{rest}", table, [f"{holder}_id", rest])


def _rest_of(name: str) -> str:
    return f"CASE WHEN instr({name}, ' ') > 0 THEN ltrim(substr({name}, instr({name}, ' ') + 1)) END"


def _add_index(name: str, table: str, columns: list[str]) -> None:
    if op.get_bind().dialect.name != "sqlite":
        op.create_index(name, table, columns)
        return
    listed = ", ".join(f"{column} COLLATE NOCASE" if column in IGNORING_CASE else column for column in columns)
    op.execute(f"CREATE INDEX {name} ON {table} ({listed})")


def downgrade() -> None:
    for table in TABLES:
        for rest in REST:
            for holder in HOLDERS[table]:
                op.drop_index(f"ix_{table}_{holder}_{rest}", table)
            op.drop_index(f"ix_{table}_{rest}", table)
            op.drop_column(table, rest)
