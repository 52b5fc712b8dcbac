"""Indexes for searches: names by either part, phone numbers and codes by their ends, titles by their words.

The ends are columns with the text backwards, which the database computes, also for rows that are there. On SQLite the
indexes of names and codes ignore the case of letters, as LIKE does; MariaDB's collation does anyway.
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

#: table -> columns that get one with their text backwards, and its name.
REVERSED = {
    "leads": {
        "mobile_e164": "mobile_reversed",
        "alternative_e164": "alternative_reversed",
        "client_id": "client_id_reversed",
        "pod_id": "pod_id_reversed",
    },
    "customer": {
        "mobile_e164": "mobile_reversed",
        "alternative_e164": "alternative_reversed",
        "referral_code": "referral_code_reversed",
    },
    "ticket": {"mobile_e164": "mobile_reversed", "alternative_e164": "alternative_reversed"},
}
LENGTH = 40
#: Column with a text backwards -> the one it is made of. Digits are compared as they are, names and codes in any case.
REVERSED_OF = {backwards: name for columns in REVERSED.values() for name, backwards in columns.items()}
#: Index that the new ones replace.
REPLACED = {"leads": "ix_leads_name", "customer": "ix_customer_name"}
#: A person's rows by name, and those that have a customer: name -> table and columns.
OF_PEOPLE = {
    "ix_leads_assignee_first_name": ("leads", ["assignee_id", "first_name"]),
    "ix_leads_assignee_last_name": ("leads", ["assignee_id", "last_name"]),
    "ix_leads_owner_first_name": ("leads", ["owner_id", "first_name"]),
    "ix_leads_owner_last_name": ("leads", ["owner_id", "last_name"]),
    "ix_customer_owner_first_name": ("customer", ["owner_id", "first_name"]),
    "ix_customer_owner_last_name": ("customer", ["owner_id", "last_name"]),
    "ix_leads_assignee_customer": ("leads", ["assignee_id", "customer_id"]),
    "ix_leads_owner_customer": ("leads", ["owner_id", "customer_id"]),
}
#: Name -> table, and on MariaDB by words.
TITLES = {"ix_task_words": "task", "ix_ticket_words": "ticket"}


def upgrade() -> None:
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    for table, columns in REVERSED.items():
        for name, backwards in columns.items():
            computed = sa.Computed(_backwards(name, is_sqlite), persisted=False)
            op.add_column(table, sa.Column(backwards, sa.String(LENGTH), computed))
            _add_index(f"ix_{table}_{backwards}", table, [backwards])
        _add_index(f"ix_{table}_first_name", table, ["first_name", "last_name"])
        _add_index(f"ix_{table}_last_name", table, ["last_name", "first_name"])
    for name, (table, columns) in OF_PEOPLE.items():
        op.create_index(name, table, columns)
    for table, name in REPLACED.items():
        op.drop_index(name, table)
    for name, table in TITLES.items():
        op.create_index(name, table, ["title"], mysql_prefix="FULLTEXT")


def _backwards(name: str, is_sqlite: bool) -> str:
    """The first LENGTH characters backwards. SQLite has no function for it."""
    if is_sqlite:
        return " || ".join(f"substr({name}, {n}, 1)" for n in range(LENGTH, 0, -1))
    return f"reverse(left({name}, {LENGTH}))"


def _add_index(name: str, table: str, columns: list[str]) -> None:
    if op.get_bind().dialect.name == "sqlite" and "e164" not in (REVERSED_OF.get(columns[0]) or ""):
        listed = ", ".join(f"{column} COLLATE NOCASE" for column in columns)
        op.execute(f"CREATE INDEX {name} ON {table} ({listed})")
    else:
        op.create_index(name, table, columns)


def downgrade() -> None:
    for name, table in TITLES.items():
        op.drop_index(name, table)
    for name, (table, _columns) in OF_PEOPLE.items():
        op.drop_index(name, table)
    for table, name in REPLACED.items():
        op.create_index(name, table, ["first_name", "last_name"])
    for table, columns in REVERSED.items():
        for name in ("first_name", "last_name"):
            op.drop_index(f"ix_{table}_{name}", table)
        for backwards in columns.values():
            op.drop_index(f"ix_{table}_{backwards}", table)
            op.drop_column(table, backwards)
