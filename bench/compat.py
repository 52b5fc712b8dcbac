"""The predecessor's doors against our own REST: the same twenty leads, the same one lead, in turn.

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
from bench.load import Ask

RESULTS = Path(__file__).parent / "results" / "compat.md"
PREFIX = "compat"
#: What the old door may cost at most, as a multiple of our own.
MOST = 1.3
#: The fields of a lead that both doors tell in a list.
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
Asks = Callable[[run.House], list[Ask]]


@dataclass(frozen=True)
class Pair:
    """One thing, asked for at both doors."""

    name: str
    ours: Asks
    theirs: Asks


def _get(path: str) -> Ask:
    return Ask("GET", path, run.key_of(generate.SALES))


def _numbers(house: run.House) -> list[str]:
    return [number for (number,) in house.ask("SELECT number FROM leads WHERE id IN %s", house.mine[:1000])]


_LIST = {"doctype": "CRM Lead", "fields": json.dumps(THEIRS), "limit_page_length": 20}
PAIRS = (
    Pair(
        "20 leads",
        lambda house: [_get(f"{run.LIST}(columns:!({','.join(OURS)}),page_size:20)")],
        lambda house: [_get("/api/method/frappe.client.get_list?" + urlencode(_LIST))],
    ),
    Pair(
        "20 leads, /api/resource",
        lambda house: [_get(f"{run.LIST}(columns:!({','.join(OURS)}),page_size:20)")],
        lambda house: [_get("/api/resource/CRM%20Lead?" + urlencode(_LIST))],
    ),
    Pair(
        "one lead",
        lambda house: [_get(f"/api/v1/lead/{key}") for key in house.mine[:1000]],
        lambda house: [
            _get("/api/method/frappe.client.get?" + urlencode({"doctype": "CRM Lead", "name": number}))
            for number in _numbers(house)
        ],
    ),
)


def measure(options: run.Options) -> int:
    """Both doors in turn, over one connection and over eight; the number of pairs over MOST or with errors."""
    data, _took = server.filled(generate.Sizes.of(options.leads))
    folder = server.scratch()
    try:
        server.copy_of(data, folder)
        with run.standing(data, folder, options, counting=False) as house:
            lines = [_line(pair, house, options) for pair in PAIRS]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    report = _written([line for line, _bad in lines], options)
    RESULTS.write_text(report)
    print(report)
    return sum(bad for _line, bad in lines)


def _line(pair: Pair, house: run.House, options: run.Options) -> tuple[str, bool]:
    found: dict[tuple[str, int], list[load.Figures]] = {}
    asks = {"ours": pair.ours(house), "theirs": pair.theirs(house)}
    for side in asks.values():  # what is kept in the processes is there
        load.fire(house.product.port, side, 8, 1)
    for _ in range(options.rounds):
        for connections in run.CONNECTIONS:
            for side, wanted in asks.items():
                figures = load.fire(house.product.port, wanted, connections, options.seconds)
                found.setdefault((side, connections), []).append(figures)
    errors = sum(each.errors for all_ in found.values() for each in all_)
    # With one caller the time of a call counts; with eight on few cores, where each waits for the others, how many
    # calls a second are answered.
    p50 = {side: statistics.median(each.p50 for each in found[side, 1]) for side in asks}
    rate = {side: statistics.median(each.rate for each in found[side, 8]) for side in asks}
    ratios = [p50["theirs"] / p50["ours"], rate["ours"] / rate["theirs"]]
    cells = [*(f"{each:.1f}" for each in p50.values()), *(f"{each:.0f}" for each in rate.values())]
    told = " | ".join([pair.name, *cells, *(f"{ratio:.2f}" for ratio in ratios), str(errors)])
    return f"| {told} |", max(ratios) > MOST or errors > 0


def _written(lines: list[str], options: run.Options) -> str:
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
            "# The predecessor's doors against our own REST",
            "",
            f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {options.leads:,} leads, {os.cpu_count()} cores shared by "
            f"client, application and database; load average {os.getloadavg()[1]:.1f}. p50 in milliseconds over 1 "
            "connection, "
            f"requests/s over 8, median of {options.rounds} rounds in turn. Wanted: a ratio of at most {MOST}.",
            "",
            f"| {' | '.join(head)} |",
            f"|---|{'---:|' * (len(head) - 1)}",
            *lines,
            "",
        ]
    )
