"""Migrations from 0024 on leave the former version working and lock no large table for long, see decision 0065."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from tests.servers import ROOT, Databases

FIRST = 24
VERSIONS = ROOT / "migrations" / "versions"
#: What the former code may still use.
GONE = ("drop_table", "drop_column", "rename_table")
#: What locks or copies a whole table on MariaDB.
HEAVY = ("create_foreign_key", "create_check_constraint", "create_primary_key")
#: Tables that have few rows in every house.
SMALL = {"ab_role", "ab_user", "audit_head", "business_setting", "channel_account", "lead_status", "ticket_status"}
#: Tables with words to search by, or with an index of a virtual column: MariaDB copies them for each new column.
COPIED = {"attachment", "call_log", "complaint", "customer", "leads", "message", "note_text", "task", "ticket"}
#: What such a column does, and the migrations that were made before this was known, or before the table had such an
#: index (0083).
COPIES, MADE_BEFORE = "while nobody can write to it", ("0052", "0071", "0075", "0077", "0082", "0083")
_COPIED = text("""
    SELECT table_name FROM information_schema.statistics WHERE table_schema = DATABASE() AND index_type = 'FULLTEXT'
    UNION SELECT table_name FROM information_schema.statistics
    JOIN information_schema.columns USING (table_schema, table_name, column_name)
    WHERE table_schema = DATABASE() AND extra LIKE '%VIRTUAL%'""")
_DROPS = re.compile(r"\b(DROP\s+(TABLE|COLUMN)|RENAME|MODIFY|CHANGE\s+COLUMN|ADD\s+(CONSTRAINT|FOREIGN))", re.I)
_WRITES = re.compile(r"\b(UPDATE|DELETE\s+FROM)\s+`?(\w+)", re.I)
_CONTRACT = re.compile(r"# contract: (\d+\.\d+\.\d+), \S")
_IS_SMALL = re.compile(r"# (small|inplace|locks): \S")


def migrations() -> list[Path]:
    return [path for path in sorted(VERSIONS.glob("0*.py")) if int(path.name[:4]) >= FIRST]


def faults(source: str, released: set[str]) -> list[str]:
    """What the rule refuses in a migration: “line: why”."""
    tree, lines = ast.parse(source), source.splitlines()
    found = []
    for name in tree.body:
        if isinstance(name, ast.FunctionDef) and name.name == "downgrade":
            continue
        for node, table in _calls(name, ""):
            why, needs_contract = _fault(node, table)
            if why and not _is_excused(lines, node, released, needs_contract):
                found.append(f"{node.lineno}: {why}")
    return found


def _calls(node: ast.AST, table: str, is_new: bool = False) -> Iterator[tuple[ast.Call, str]]:
    """All calls with the table that they are about; those that describe a new table are left out."""
    if isinstance(node, ast.With):
        for item in node.items:
            call = item.context_expr
            if isinstance(call, ast.Call) and _name(call) == "batch_alter_table":
                table = _text(call.args[0])
    if isinstance(node, ast.Call):
        if _name(node) == "create_table":
            return
        yield node, table
    for child in ast.iter_child_nodes(node):
        yield from _calls(child, table)


def _name(call: ast.Call) -> str:
    function = call.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _text(node: ast.AST | None) -> str:
    return str(node.value) if isinstance(node, ast.Constant) else "?"


def _keywords(call: ast.Call) -> dict[str, ast.expr]:
    return {each.arg: each.value for each in call.keywords if each.arg}


def _fault(call: ast.Call, batch_table: str) -> tuple[str, bool]:
    """Why a call is refused, "" if it isn't; and whether it takes something away from the former code."""
    name, words = _name(call), _keywords(call)
    table = batch_table or _text(call.args[0] if call.args else None)
    if name in GONE:
        return f"{name} takes from the former code what it may use", True
    if name == "alter_column" and "new_column_name" in words:
        return "a column is renamed", True
    if name == "alter_column" and table not in SMALL and {"type_", "nullable"} & words.keys():
        return f"a column of {table} gets another type or NOT NULL, which copies the table", False
    if name == "Column" and _is_false(words.get("nullable")) and "server_default" not in words:
        return "a new column is NOT NULL without server_default: rows of the former code have no value", False
    if name == "add_column" and (why := _fault_of_new_column(call, table)):
        return why, False
    if name in HEAVY and table not in SMALL:
        return f"{name} reads or copies all of {table} under a lock", False
    if name == "create_index" and any("FULLTEXT" in ast.dump(value) for value in words.values()):
        return "a FULLTEXT index locks writes while it is made", False
    return _fault_of_sql(call) if name in ("execute", "text") else ("", False)


def _fault_of_new_column(call: ast.Call, table: str) -> str:
    has_key = any(isinstance(each, ast.Call) and _name(each) == "ForeignKey" for each in ast.walk(call))
    if has_key and table not in SMALL:
        return f"a foreign key copies {table} under a lock"
    if table in COPIED:
        return f"a new column copies {table} {COPIES}: put it into a table of its own"
    return ""


def _is_false(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Constant) and node.value is False


def _fault_of_sql(call: ast.Call) -> tuple[str, bool]:
    statement = " ".join(
        each.value for each in ast.walk(call) if isinstance(each, ast.Constant) and isinstance(each.value, str)
    )
    if match := _DROPS.search(statement):
        return f"SQL that alters by hand: {match[0]}", True
    if (match := _WRITES.search(statement)) and match[2].lower() not in SMALL:
        return f"SQL that writes many rows of {match[2]} in one statement", False
    return "", False


def _is_excused(lines: list[str], node: ast.Call, released: set[str], needs_contract: bool) -> bool:
    """Whether the line of the call, or the one above, says why it may be."""
    said = "\n".join(lines[max(0, node.lineno - 2) : node.end_lineno])
    contract = _CONTRACT.search(said)
    if contract:
        return contract[1] in released
    return not needs_contract and bool(_IS_SMALL.search(said))


def releases() -> set[str]:
    return set(re.findall(r"^## \[(\d+\.\d+\.\d+)\]", (ROOT / "CHANGELOG.md").read_text(), re.M))


@pytest.mark.parametrize("path", migrations(), ids=lambda path: path.stem)
def test_a_migration_leaves_the_former_version_working(path: Path) -> None:
    found = faults(path.read_text(), releases())
    assert [each for each in found if COPIES not in each or path.name[:4] not in MADE_BEFORE] == []


def test_the_tables_that_mariadb_copies_are_known(mariadb_server: Databases, migrated_mariadb: str) -> None:
    engine = create_engine(mariadb_server.url(migrated_mariadb))
    with engine.connect() as connection:
        assert {*connection.scalars(_COPIED)} == COPIED
    engine.dispose()


BAD = {
    'op.drop_table("task")': "takes from the former code",
    'op.drop_column("task", "title")': "takes from the former code",
    'op.rename_table("task", "todo")': "takes from the former code",
    'op.drop_table("task")  # contract: 9.9.9, not released': "takes from the former code",
    'op.drop_table("task")  # small: few': "takes from the former code",
    'op.alter_column("task", "title", new_column_name="name")': "renamed",
    'op.alter_column("task", "title", nullable=False)': "another type",
    'op.alter_column("task", "title", type_=sa.Text())': "another type",
    'op.add_column("activity", sa.Column("x", sa.Integer(), nullable=False))': "server_default",
    'op.add_column("task", sa.Column("x", sa.Integer()))': COPIES,
    'op.create_foreign_key("fk", "task", "leads", ["a"], ["id"])': "under a lock",
    'op.add_column("task", sa.Column("x", sa.Integer(), sa.ForeignKey("leads.id")))': "under a lock",
    'op.create_index("ix", "message", ["body"], mysql_prefix="FULLTEXT")': "FULLTEXT",
    'op.execute("ALTER TABLE task DROP COLUMN title")': "by hand",
    'op.execute(sa.text("UPDATE task SET title = 1"))': "many rows",
    'with op.batch_alter_table("task") as batch:\n        batch.drop_column("title")': "takes",
}
GOOD = (
    'op.create_table("x", sa.Column("id", sa.Integer(), nullable=False))',
    'op.add_column("activity", sa.Column("x", sa.Integer()))',
    'op.add_column("activity", sa.Column("x", sa.Integer(), nullable=False, server_default="0"))',
    'op.add_column("task", sa.Column("x", sa.Integer()))  # locks: a minute for 1,000,000 tasks',
    'op.create_index("ix", "task", ["x"])',
    'op.drop_index("ix", "task")',
    'op.alter_column("lead_status", "color", nullable=False)',
    '# contract: 1.0.0, read by the former list\n    op.drop_column("task", "title")',
    'op.execute("UPDATE forty SET x = 1")  # small: one row for each person',
    'op.execute("UPDATE lead_status SET x = 1")',
)


@pytest.mark.parametrize("statement", BAD)
def test_the_rule_refuses(statement: str) -> None:
    (fault, *_more) = faults(f"def upgrade():\n    {statement}\n", {"1.0.0"})
    assert BAD[statement] in fault


@pytest.mark.parametrize("statement", GOOD)
def test_the_rule_allows(statement: str) -> None:
    assert (
        faults(f"def upgrade():\n    {statement}\n\n\ndef downgrade():\n    op.drop_table('task')\n", {"1.0.0"}) == []
    )
