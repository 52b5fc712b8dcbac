"""The predecessor's API compared with our own REST API: the same twenty leads and the same one lead, in turn.

python -m bench --only compat [--leads 20000]     # a few minutes; bench/results/compat.md
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlencode

from bench import generate, load, run, server
from bench.load import Request
from bench.measured_versions import Options, Target, key_of
from bench.operations import LIST
from bench.report import CONNECTIONS

RESULTS = Path(__file__).parent / "results" / "compat.md"
PREFIX = "compat"
#: The allowed time of the predecessor's API, as a multiple of our own.
MAX_RATIO = 1.3
#: The fields of a lead that both APIs return in a list.
OURS = (
    "number",
    "first_name",
    "last_name",
    "mobile",
    "email",
    "status",
    "source",
    "assignee",
    "owner",
    "created_on",
    "changed_on",
)
THEIRS = (
    "name",
    "first_name",
    "last_name",
    "mobile_no",
    "email",
    "status",
    "source",
    "assign_to",
    "lead_owner",
    "creation",
    "modified",
)
Requests = Callable[[Target], list[Request]]


@dataclass(frozen=True)
class Pair:
    """The same data, requested from both APIs."""

    name: str
    ours: Requests
    theirs: Requests


def _get(path: str) -> Request:
    return Request("GET", path, key_of(generate.SALES))


def _numbers(bed: Target) -> list[str]:
    return [number for (number,) in bed.query("SELECT number FROM leads WHERE id IN %s", bed.mine[:1000])]


_LIST = {"doctype": "CRM Lead", "fields": json.dumps(THEIRS), "limit_page_length": 20}
PAIRS = (
    Pair(
        "20 leads",
        lambda bed: [_get(f"{LIST}(columns:!({','.join(OURS)}),page_size:20)")],
        lambda bed: [_get("/api/method/frappe.client.get_list?" + urlencode(_LIST))],
    ),
    Pair(
        "20 leads, /api/resource",
        lambda bed: [_get(f"{LIST}(columns:!({','.join(OURS)}),page_size:20)")],
        lambda bed: [_get("/api/resource/CRM%20Lead?" + urlencode(_LIST))],
    ),
    Pair(
        "one lead",
        lambda bed: [_get(f"/api/v1/lead/{key}") for key in bed.mine[:1000]],
        lambda bed: [
            _get("/api/method/frappe.client.get?" + urlencode({"doctype": "CRM Lead", "name": number}))
            for number in _numbers(bed)
        ],
    ),
)


def measure(options: Options) -> int:
    """Measure both APIs in turn, over one connection and over eight.

    Returns the number of pairs over MAX_RATIO or with errors.
    """
    data, _took = server.filled_data_folder(options.sizes)
    folder = server.scratch()
    try:
        server.copy_data(data, folder)
        with run.running(run.Data(data), folder, options, counting=False) as servers:
            bed = servers.product
            lines = [_line(pair, bed, options) for pair in PAIRS]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    text = _report_page([line for line, _bad in lines], options)
    RESULTS.write_text(text)
    print(text)
    return sum(bad for _line, bad in lines)


def _line(pair: Pair, bed: Target, options: Options) -> tuple[str, bool]:
    found: dict[tuple[str, int], list[load.Measurement]] = {}
    requests = {"ours": pair.ours(bed), "theirs": pair.theirs(bed)}
    for wanted in requests.values():  # fill the caches of the processes
        load.send_load(bed.web.port, wanted, 8, 1)
    for _ in range(options.rounds):
        for connections in CONNECTIONS:
            for side, wanted in requests.items():
                figures = load.send_load(bed.web.port, wanted, connections, options.seconds)
                found.setdefault((side, connections), []).append(figures)
    errors = sum(each.errors for all_ in found.values() for each in all_)
    # With one client the time of a call counts; with eight on few cores, which wait for each other, the calls per
    # second.
    p50 = {side: statistics.median(each.p50 for each in found[side, 1]) for side in requests}
    rate = {side: statistics.median(each.rate for each in found[side, 8]) for side in requests}
    ratios = [p50["theirs"] / p50["ours"], rate["ours"] / rate["theirs"]]
    cells = [*(f"{each:.1f}" for each in p50.values()), *(f"{each:.0f}" for each in rate.values())]
    row = " | ".join([pair.name, *cells, *(f"{ratio:.2f}" for ratio in ratios), str(errors)])
    return f"| {row} |", max(ratios) > MAX_RATIO or errors > 0


def _report_page(lines: list[str], options: Options) -> str:
    head = (
        "what",
        "ours p50 (1)",
        "theirs p50 (1)",
        "ours requests/s (8)",
        "theirs requests/s (8)",
        "ratio (1)",
        "ratio (8)",
        "errors",
    )
    return "\n".join(
        [
            "# The predecessor's API against our own REST API",
            "",
            f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {options.leads:,} leads, {os.cpu_count()} cores shared by "
            f"client, application and database; load average {os.getloadavg()[1]:.1f}. p50 in milliseconds over 1 "
            "connection, "
            f"requests/s over 8, median of {options.rounds} rounds in turn. Wanted: a ratio of at most {MAX_RATIO}.",
            "",
            f"| {' | '.join(head)} |",
            f"|---|{'---:|' * (len(head) - 1)}",
            *lines,
            "",
        ]
    )
