"""The plan of every statement of every operation, and the parts of them that would grow with the data.

python -m bench --leads 1000000 --only plans      # a few minutes; bench/results/plans.md

SELECTs are run by `ANALYZE`, so that the rows are those actually read, not estimates; all others by `EXPLAIN`. Flagged
are full scans of growing tables and sorts of more than MAX_SORTED rows.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bench import generate, server, statement_recording
from bench.measured_versions import Options, Target
from bench.operations import Operation, operations, page, rest_list
from bench.run import Data, running
from database_engine import OPTIMIZER_SWITCH

RESULTS = Path(__file__).parent / "results" / "plans.md"
PREFIX = "plans"
#: More rows than this must neither be sorted nor scanned; a count reads one more to stop.
MAX_SORTED = 1001
#: Smaller tables are picklists and the like (statuses, users, roles), which don't grow with daily work.
GROWING = 2000
_SELECT = re.compile(r"\s*\(*\s*SELECT\b", re.IGNORECASE)
_LOCKS = re.compile(r"\bFOR UPDATE\b|\bLOCK IN SHARE MODE\b", re.IGNORECASE)
_PLANNED = re.compile(r"\s*(\(*\s*SELECT|UPDATE|DELETE)\b", re.IGNORECASE)
_SHOWN = 400
#: A backslash and what it escapes. MariaDB quotes conditions of SQL in its plans as they are, so \' stands there, too,
#: which isn't JSON.
_ESCAPED = re.compile(r"\\(.)")


@dataclass(frozen=True)
class Step:
    """One table of a plan."""

    table: str
    access: str
    index: str
    #: The number of rows read in all loops; for a statement that was only explained, the estimate.
    rows: float
    #: The number of rows sorted afterwards.
    sorted: float = 0.0

    def __str__(self) -> str:
        text = f"{self.table}: {self.access} {self.index or '–'}, {self.rows:,.0f} rows"
        return text + (f", {self.sorted:,.0f} sorted" if self.sorted else "")


@dataclass
class Plan:
    """One statement of an operation."""

    statement: str
    steps: list[Step] = field(default_factory=list)

    def faults(self, growing: set[str]) -> list[str]:
        """The parts that would grow with the data."""
        found = [f"full scan: {each}" for each in self.steps if _is_scan(each, growing)]
        return found + [f"sort: {each}" for each in self.steps if each.sorted > MAX_SORTED]


def _is_scan(step: Step, growing: set[str]) -> bool:
    """Whether it reads a whole growing table; an index scan that stops after a few rows is none."""
    return step.access in ("ALL", "index") and step.table in growing and step.rows > MAX_SORTED


def plan_of(target: Target, statement: str) -> Plan:
    """The plan of a statement by MariaDB, with the optimizer's switches of the product's connections.

    Without steps if it has none, such as an INSERT of values.
    """
    if not _PLANNED.match(statement):
        return Plan(statement)
    is_run = bool(_SELECT.match(statement)) and not _LOCKS.search(statement)
    verb = "ANALYZE" if is_run else "EXPLAIN"
    with contextlib.closing(target.database.connect(server.DATABASE)) as connection, connection.cursor() as cursor:
        cursor.execute("SET SESSION optimizer_switch = %s", (OPTIMIZER_SWITCH,))
        cursor.execute(f"{verb} FORMAT=JSON {statement}")
        found = cursor.fetchall()
    return Plan(statement, _in_order(json.loads(_ESCAPED.sub(_as_json, found[0][0]))))


def _as_json(escaped: re.Match[str]) -> str:
    return escaped[0] if escaped[1] in '"\\/bfnrtu' else f"\\{escaped[0]}"


def _in_order(document: Any) -> list[Step]:
    """The steps of a plan; a sort belongs to the first table beneath it."""
    steps: list[Step] = []
    for table, rows_sorted in _tables(document, 0.0):
        name = table.get("table_name", "")
        rows = float(table.get("r_rows", table.get("rows", 0)) or 0) * float(table.get("r_loops", 1) or 0)
        steps.append(Step(name, table.get("access_type", ""), table.get("key", ""), rows, rows_sorted))
    return [replace(each, table=_plain(each.table)) for each in steps]


def _plain(table: str) -> str:
    """The table of SQLAlchemy's alias: leads_1 is leads."""
    return re.sub(r"_\d+$", "", table)


def _tables(node: Any, rows_sorted: float) -> Iterator[tuple[dict[str, Any], float]]:
    """Every table of a plan, with the rows of the sort above it."""
    if isinstance(node, list):
        for each in node:
            yield from _tables(each, rows_sorted)
    if not isinstance(node, dict):
        return
    for name, value in node.items():
        if name == "table" and isinstance(value, dict):
            yield value, rows_sorted
            yield from _tables([each for each in value.values() if isinstance(each, dict | list)], 0.0)
        elif name in ("filesort", "read_sorted_file"):
            beneath = list(_tables(value, 0.0))
            # The first of its tables stands for all of them.
            yield from (
                (table, below or (0.0 if n else _sorted_rows(value))) for n, (table, below) in enumerate(beneath)
            )
        elif isinstance(value, dict | list):
            yield from _tables(value, rows_sorted)


def _sorted_rows(node: Any) -> float:
    """The number of input rows of a filesort."""
    if not isinstance(node, dict):
        return 0.0
    own = node.get("r_output_rows", 0) or 0
    taken = node.get("r_used_priority_queue")
    if taken:  # a priority queue outputs only the rows that it keeps; its input are the rows beneath it
        own = max((_read(table) for table, _ in _tables(node, 0.0)), default=0.0)
    return float(own) * float(node.get("r_loops", 1) or 1)


def _read(table: dict[str, Any]) -> float:
    share = float(table.get("r_filtered", 100) or 0) / 100
    return float(table.get("r_rows", table.get("rows", 0)) or 0) * share


# --- all operations


def measure(options: Options) -> int:
    """Write the page of plans. Returns 1 if anything in them would grow with the data."""
    sizes = options.sizes
    data, _took = server.filled_data_folder(sizes)
    folder = server.scratch()
    try:
        with running(Data(data), folder, options, counting=True) as bed:
            growing = growing_tables(bed.product)
            wanted = [*operations(bed.product, sizes), *_of_support()]
            found = [(each, _plans(bed.product, each)) for each in wanted]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    text, count = _page(found, growing, options)
    results = RESULTS if options.results == Options().results else options.results
    results.parent.mkdir(parents=True, exist_ok=True)
    results.write_text(text)
    print(text.partition("## All plans")[0])
    return 1 if count else 0


def _of_support() -> list[Operation]:
    """The lists of people who work on tickets, which can have several assignees."""
    pages = [
        page(f"page: {name}", generate.SUPPORT, f"/{name}/") for name in ("tickets", "tasks", "customers", "calls")
    ]
    rest = [rest_list(f"REST list of {name}", generate.SUPPORT, name) for name in ("ticket", "task", "call_log")]
    return [*pages, *rest, page("page: My day", generate.SUPPORT, "/")]


def growing_tables(target: Target) -> set[str]:
    """The tables that are larger than a list of choices."""
    counted = """SELECT table_name, table_rows FROM information_schema.tables WHERE table_schema = DATABASE()"""
    return {name for name, rows in target.query(counted) if (rows or 0) > GROWING}


def _plans(target: Target, operation: Operation) -> list[Plan]:
    """The plans of one request, after the caches of the processes are filled."""
    print(f"  {operation.name} ({operation.who})", flush=True)
    requests = operation.requests(target)[: statement_recording.TRIES + 3]
    statement_recording.send_all(target, requests if len(requests) > 1 else requests * 4)
    recorded = statement_recording.record(target, requests[-statement_recording.TRIES :])
    return [plan_of(target, each) for each in recorded.statements]


def _page(found: list[tuple[Operation, list[Plan]]], growing: set[str], options: Options) -> tuple[str, int]:
    """The page, and its number of faults."""
    faults, lines = [], []
    for operation, plans in found:
        lines += [f"### {operation.name} ({operation.who})", ""]
        for plan in plans:
            own = plan.faults(growing)
            faults += [f"- {operation.name} ({operation.who}): {each}" for each in own]
            lines += [f"- `{_short(plan.statement)}`", *[f"    - {each}" for each in plan.steps]]
        lines.append("")
    title = f"# Plans of all statements, {options.sizes.leads:,} leads"
    count = sum(len(plans) for _, plans in found)
    summary = f"{count} statements of {len(found)} operations. Growing tables: {', '.join(sorted(growing))}."
    head = [title, "", summary, "", f"## Full scans and sorts of more than {MAX_SORTED:,} rows", ""]
    return "\n".join([*head, *(faults or ["none"]), "", "## All plans", "", *lines]), len(faults)


def _short(statement: str) -> str:
    text = " ".join(statement.split())
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]} …"
