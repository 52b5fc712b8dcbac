"""The results of the operations, and the page that shows them."""

from __future__ import annotations

import contextlib
import os
import platform
import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from bench import generate, load
from bench.load import Measurement
from bench.measured_versions import Options
from bench.operations import Operation

CONNECTIONS = (1, 8)


@dataclass
class Result:
    """The measurements of one operation by (target, connections), and those of a single request."""

    operation: Operation
    figures: dict[tuple[str, int], list[Measurement]] = field(default_factory=dict)
    #: CPU time of the server's processes per request, in milliseconds.
    cpu: dict[tuple[str, int], list[float]] = field(default_factory=dict)
    statements: str = "?"
    size: int = 0
    #: Rows that MariaDB reads for one request; the same for the earlier version.
    rows: int | None = None
    rows_earlier: int | None = None
    #: Statements that scan or sort many rows.
    plans: list[str] = field(default_factory=list)
    failure: str = ""

    def add(self, target: str, connections: int, figures: Measurement, cpu: float) -> None:
        """Add the measurement of one round."""
        self.figures.setdefault((target, connections), []).append(figures)
        self.cpu.setdefault((target, connections), []).append(cpu)

    def of(self, target: str, connections: int, name: str) -> float | None:
        """The median over the rounds."""
        found = self.figures.get((target, connections))
        return statistics.median(getattr(each, name) for each in found) if found else None

    def cpu_of(self, target: str, connections: int) -> float | None:
        """The median over the rounds, in milliseconds per request."""
        found = self.cpu.get((target, connections))
        return statistics.median(found) if found else None

    @property
    def errors(self) -> int:
        """The failed requests of the product in all measurements."""
        return sum(each.errors for (name, _), found in self.figures.items() if name == "ours" for each in found)


def page(results: list[Result], notes: dict[str, str], options: Options, sizes: generate.Sizes) -> str:
    """The page of results, as Markdown."""
    lines = ["# Results of `python -m bench`", "", *_conditions(notes, options, sizes), ""]
    lines += _table(_COLUMNS + (_EARLIER if options.against else ()), results)
    plans = [f"- {each.operation.name} ({each.operation.who}): {plan}" for each in results for plan in each.plans]
    found = ["", "## Statements that scan or sort more than 1,000 rows", "", *(plans or ["none"])]
    return "\n".join([*lines, "", *_LEGEND, *found, ""])


_LEGEND = (
    "p50 and p95 in milliseconds, over 1 and over 8 connections; each figure is the median of the rounds. “SQL”: the",
    "statements of a request, those that find out who asks included. “rows”: the rows that MariaDB read for it",
    "(Handler_read_*). “CPU”: milliseconds of the web processes per request, at 8 connections. “of the baseline”: ours",
    "at 8 connections against a bare Flask route with the same statements (bench/baseline.py), measured in turn. See",
    "bench/README.md.",
)

_ONE, _EIGHT = CONNECTIONS


def _ms(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


def _rate(value: float | None) -> str:
    return "" if value is None else (f"{value:.0f}" if value >= 20 else f"{value:.1f}")


def _whole(value: int | None) -> str:
    return "" if value is None else f"{value:,}"


def _ratio(above: float | None, below: float | None) -> float | None:
    return above / below if above and below else None


def _share(result: Result) -> str:
    ratio = _ratio(result.of("ours", _EIGHT, "rate"), result.of("baseline", _EIGHT, "rate"))
    return f"{ratio:.0%}" if ratio else ""


def _times_earlier(result: Result) -> str:
    ratio = _ratio(result.of("ours", _EIGHT, "rate"), result.of("earlier", _EIGHT, "rate"))
    return f"{ratio:.1f} ×" if ratio else ""


Column = tuple[str, Callable[[Result], str]]
#: Heading -> the text of a cell.
_COLUMNS: tuple[Column, ...] = (
    ("p50 (1)", lambda each: _ms(each.of("ours", _ONE, "p50"))),
    ("p95 (1)", lambda each: _ms(each.of("ours", _ONE, "p95"))),
    ("p50 (8)", lambda each: _ms(each.of("ours", _EIGHT, "p50"))),
    ("p95 (8)", lambda each: _ms(each.of("ours", _EIGHT, "p95"))),
    ("requests/s (8)", lambda each: _rate(each.of("ours", _EIGHT, "rate"))),
    ("SQL", lambda each: each.statements),
    ("rows", lambda each: _whole(each.rows)),
    ("CPU", lambda each: _ms(each.cpu_of("ours", _EIGHT))),
    ("bytes", lambda each: _whole(each.size or None)),
    ("errors", lambda each: str(each.errors)),
    ("baseline p50 (1)", lambda each: _ms(each.of("baseline", _ONE, "p50"))),
    ("baseline requests/s (8)", lambda each: _rate(each.of("baseline", _EIGHT, "rate"))),
    ("of the baseline", _share),
)
_EARLIER: tuple[Column, ...] = (
    ("earlier p50 (1)", lambda each: _ms(each.of("earlier", _ONE, "p50"))),
    ("earlier requests/s (8)", lambda each: _rate(each.of("earlier", _EIGHT, "rate"))),
    ("earlier rows", lambda each: _whole(each.rows_earlier)),
    ("earlier CPU", lambda each: _ms(each.cpu_of("earlier", _EIGHT))),
    ("times the earlier rate", _times_earlier),
)


def _table(columns: tuple[Column, ...], results: list[Result]) -> list[str]:
    head = ["operation", "who", *(heading for heading, _ in columns)]
    lines = [f"| {' | '.join(head)} |", f"|---|---|{'---:|' * len(columns)}"]
    for result in results:
        start = f"| {result.operation.name} | {result.operation.who} |"
        if result.failure:
            lines.append(f"{start} **{result.failure}** |" + " |" * (len(columns) - 1))
        else:
            lines.append(f"{start} {' | '.join(text(result) for _, text in columns)} |")
    return lines


def _conditions(notes: dict[str, str], options: Options, sizes: generate.Sizes) -> list[str]:
    counted = ", ".join(f"{getattr(sizes, name):,} {name}" for name in sizes.__annotations__)
    packages = ("Flask", "Flask-AppBuilder", "SQLAlchemy", "PyMySQL", "gunicorn")
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    tool = "wrk" if load.has_wrk() else "Python threads (no wrk here; they cost more than wrk)"
    facts = {
        "When": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "Machine": f"{os.cpu_count()} cores, {_processor()}, {platform.system()} {platform.release()}. "
        "**Client, application and database share these cores.**",
        "Software": f"Python {platform.python_version()}, {versions}, MariaDB {notes.pop('MariaDB', '?')}",
        "Serving": f"gunicorn, {options.workers} workers × {options.threads} threads, no minute jobs; the baseline too",
        "Data": counted,
        "People": f"{generate.SALES}: Sales User with {sizes.leads // generate.SHARE:,} of the leads; "
        f"{generate.MANAGER}: sees all",
        "Database": "innodb_buffer_pool_size 1G, innodb_flush_log_at_trx_commit 1",
        "Load": f"{tool}, {options.seconds:g} s each, {options.rounds} rounds, all in turn",
    }
    if options.against:
        facts["Earlier version"] = f"commit {options.against}, with the same packages, in a MariaDB of its own"
    return [f"- {name}: {text}" for name, text in (facts | notes).items()]


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()
