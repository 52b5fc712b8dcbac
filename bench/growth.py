"""What grows with the data: statements, rows read and CPU of every operation and job, at two sizes.

    python -m bench.growth                            # the full scale beside 100,000 leads; bench/results/full.md
    python -m bench.growth --scale tenth --leads 20000
    python -m bench.growth --only "page: tasks" --results /tmp/r.md

Each size is measured in a process of its own, on a copy of its data, by a test client: statements and rows have no
noise, and processor time little. It needs no quiet machine. A growth of more than 1.3 times is marked.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench import generate, server
from bench.data_sizes import SCALES
from bench.growth_measuring import Cost, measure_jobs, measure_operations, opened
from tests.servers import ROOT

RESULTS = Path(__file__).parent / "results" / "full.md"
#: More than this, compared with the smaller size, is marked.
MOST = 1.3
#: Fewer rows and milliseconds than these more are no growth.
SPARE_ROWS, SPARE_MS = 50, 2.0
PARTS = ("operations", "jobs")


def sizes_of(name: str) -> generate.Sizes:
    """The sizes of a scale by name, or of a number of leads."""
    return generate.Sizes.named(name) if name in SCALES else generate.Sizes.of(int(name))


def measure_here(name: str, options: argparse.Namespace) -> None:
    """Measure one size in this process, and write its figures as JSON."""
    sizes = sizes_of(name)
    with _database(sizes, options.folder) as (database, folder), opened(database, folder) as bed:
        found: dict[str, list[Cost]] = {part: [] for part in PARTS}
        if "operations" in options.parts:
            found["operations"] = measure_operations(bed, sizes, options.only, options.rounds)
        if "jobs" in options.parts:
            found["jobs"] = measure_jobs(bed, options.only)
        kept = {part: [asdict(each) for each in costs] for part, costs in found.items()}
        options.into.write_text(json.dumps(kept | {"memory": bed.memory}))


@contextmanager
def _database(sizes: generate.Sizes, kept: Path | None) -> Iterator[tuple[server.Database, Path]]:
    """A database with a copy of the data of this size, or on the copy that an earlier run has left in `kept`."""
    folder = kept or server.scratch()
    try:
        if not (folder / "data").exists():
            server.copy_data(server.filled_data_folder(sizes)[0], folder)
        with server.Database(folder, server.CACHE / "empty", *server.MEASURING) as database:
            yield database, folder
    finally:
        if kept is None:
            shutil.rmtree(folder, ignore_errors=True)


def _measure_apart(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Measure one size in a process of its own, so that one doesn't fill caches for the other."""
    into = server.scratch() / "figures.json"
    words = [sys.executable, "-m", "bench.growth", "--one", name, "--into", str(into), "--only", options.only]
    words += ["--rounds", str(options.rounds), "--parts", *options.parts]
    subprocess.run(words, cwd=ROOT, check=True)
    found = _read(into)
    shutil.rmtree(into.parent)
    return found


def _read(file: Path) -> dict[str, Any]:
    read = json.loads(file.read_text())
    return {part: [Cost(**each) for each in read[part]] for part in PARTS} | {"memory": read["memory"]}


# --- the page of results


def page(names: tuple[str, str], small: dict[str, Any], large: dict[str, Any], busy: float) -> str:
    """The two sizes beside each other."""
    lines = [
        "# What grows with the data",
        "",
        *(f"- {name}: {_in_words(sizes_of(name))}" for name in names),
        f"- {datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {os.cpu_count()} cores, MariaDB with 1 GB of buffer; load average "
        f"{busy:.1f} before, {os.getloadavg()[0]:.1f} at the end. Rows and statements don't depend on it, CPU little.",
        f"- {small['memory']}; {large['memory']}",
        "",
    ]
    for part in PARTS:
        lines += [f"## {part.capitalize()}", "", *_table(names, small[part], large[part]), ""]
        faults = [f"- {each.name} ({each.who}): {fault}" for each in large[part] for fault in each.faults]
        if part == "operations":
            lines += [f"### Full scans of growing tables and long sorts, {names[1]}", "", *(faults or ["none"]), ""]
    return "\n".join(lines)


def _in_words(sizes: generate.Sizes) -> str:
    return ", ".join(f"{number:,} {name}" for name, number in asdict(sizes).items())


def _table(names: tuple[str, str], small: list[Cost], large: list[Cost]) -> list[str]:
    columns = ("statements", "rows read", "CPU ms, web", "CPU ms, MariaDB")
    titles = [f"{column}, {name}" for column in columns for name in names]
    lines = [f"| what | who | {' | '.join(titles)} | flat |", f"|---|---|{'--:|' * len(titles)}---|"]
    before = {(each.name, each.who): each for each in small}
    for each in large:
        lines.append(_line(before.get((each.name, each.who)), each))
    return lines


def _line(before: Cost | None, now: Cost) -> str:
    if now.failure or before is None or before.failure:
        return f"| {now.name} | {now.who} | {now.failure or (before and before.failure) or 'only there'} |"
    pairs = [(before.statements, now.statements), (before.rows, now.rows)]
    cells = [f"{number:,}" for pair in pairs for number in pair]
    cells += [
        f"{number:.1f}" for name in ("web_ms", "database_ms") for number in (getattr(before, name), getattr(now, name))
    ]
    return f"| {now.name} | {now.who} | {' | '.join(cells)} | {_verdict(before, now)} |"


def _verdict(before: Cost, now: Cost) -> str:
    """ "yes", or what has grown by how much."""
    found = [
        f"{what} {after / max(earlier, 0.1):.1f} ×"
        for what, earlier, after, spare in (
            ("statements", before.statements, now.statements, 1),
            ("rows", before.rows, now.rows, SPARE_ROWS),
            ("web", before.web_ms, now.web_ms, SPARE_MS),
            ("MariaDB", before.database_ms, now.database_ms, SPARE_MS),
        )
        if after > MOST * earlier and after > earlier + spare
    ]
    return f"**{', '.join(found)}**" if found else "yes"


def main() -> int:
    """Measure both sizes and write the page."""
    parser = argparse.ArgumentParser(prog="python -m bench.growth", description="What grows with the data.")
    parser.add_argument("--scale", default="full", help="the larger size: full, tenth, or a number of leads")
    parser.add_argument("--leads", default="100000", help="the smaller size")
    parser.add_argument("--only", default="", help="only what has this in its name or person")
    parser.add_argument("--rounds", type=int, default=30, help="requests over which CPU is measured")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--results", type=Path, default=RESULTS, help="where to write the page of results")
    parser.add_argument("--one", help="measure one size, and write its figures to --into")
    parser.add_argument("--into", type=Path)
    parser.add_argument("--folder", type=Path, help="with --one: keep the copy of the data here, for the next run")
    parser.add_argument("--figures", type=Path, nargs=2, help="compare what --one has written, of the two sizes")
    options = parser.parse_args()
    if options.one:
        measure_here(options.one, options)
        return 0
    busy, names = os.getloadavg()[1], (options.leads, options.scale)
    small, large = map(_read, options.figures) if options.figures else [_measure_apart(name, options) for name in names]
    text = page(names, small, large, busy)
    options.results.write_text(text, encoding="utf-8")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
