"""The benchmark: fills a database; measures product, baseline and earlier version in turn; writes the report."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from bench import earlier_version, generate, load, report, server, statement_recording
from bench.load import Browser, Request
from bench.measured_versions import Options, Target, key_of, restart_ended, sign_in
from bench.operations import LIST, Operation, Requests, operations
from bench.report import CONNECTIONS, Result
from tests.servers import ServerFailed

__all__ = ["CONNECTIONS", "LIST", "Options", "TestBed", "key_of", "running"]


@dataclass
class TestBed:
    """The running servers."""

    product: Target
    baseline: Target
    earlier: Target | None = None

    @property
    def targets(self) -> list[Target]:
        """All targets, in the order of their turns."""
        return [self.product, self.baseline, *([self.earlier] if self.earlier else [])]


@dataclass(frozen=True)
class Data:
    """The filled data folders."""

    product: Path
    earlier: Path | None = None
    source: Path | None = None


@contextlib.contextmanager
def running(data: Data, folder: Path, options: Options, counting: bool) -> Iterator[TestBed]:
    """All servers, running; the data folders are copied once."""
    with contextlib.ExitStack() as servers:
        database = _database(servers, data.product, folder)
        web = server.Product(folder / "product", database.address, options.workers, options.threads, counting)
        baseline = server.Baseline(folder / "baseline", database, options.workers, options.threads)
        bed = TestBed(_ready("ours", database, servers.enter_context(web)), Target("baseline", database, baseline))
        if data.earlier and data.source:
            before = _database(servers, data.earlier, folder / "before")
            old = server.Product(
                folder / "before" / "product", before.address, options.workers, options.threads, counting
            )
            old.source = data.source
            bed.earlier = _ready("earlier", before, servers.enter_context(old))
        bed.baseline.mine, bed.baseline.any = bed.product.mine, bed.product.any
        servers.enter_context(baseline)
        yield bed


def _database(servers: contextlib.ExitStack, data: Path, folder: Path) -> server.Database:
    if not (folder / "data").exists():
        server.copy_data(data, folder)
    return servers.enter_context(server.Database(folder, server.CACHE / "empty", *server.MEASURING))


def _ready(name: str, database: server.Database, web: server.Product) -> Target:
    target = Target(name, database, web)
    target.load_ids()
    target.sign_in_all()
    return target


# --- checking


def check_first(result: Result, bed: TestBed, replay: statement_recording.Replay) -> None:
    """Send a few requests: whether they succeed, with how many statements, rows and bytes; and record one."""
    target, browser = bed.product, Browser(bed.product.web.port)
    requests = result.operation.requests(target)
    counts = []
    for request in requests[:3] * (1 if len(requests) >= 3 else 3):
        status, headers, body = browser.send(request)
        if status >= 300:
            text = re.sub(r"<[^>]*>|\s+|\|", " ", headers.get("location") or body)
            result.failure = f"{status} {' '.join(text.split())[:100]}"
            return
        counts.append(int(headers.get("x-sql-count", -1)))
        result.size = len(body.encode())
    # The first request may have filled a cache of the process.
    result.statements = str(min(counts)) if max(counts) >= 0 else "?"
    fresh = requests[3:] or requests[:1]
    result.rows = min(
        statement_recording.rows_read(target, partial(browser.send, fresh[n % len(fresh)])) for n in range(2)
    )
    recorded = statement_recording.record(
        target, [fresh[n % len(fresh)] for n in range(2, 2 + statement_recording.TRIES)]
    )
    if result.operation.writes:
        recorded = statement_recording.into_copies(target, recorded) if result.operation.has_baseline else recorded
    else:
        result.plans = statement_recording.explain(target, recorded.statements)
    if result.operation.has_baseline:
        replay.recordings[_slug(result.operation)] = recorded
    if bed.earlier:
        result.rows_earlier = _rows_of_earlier(result.operation, bed.earlier)


def _rows_of_earlier(operation: Operation, target: Target) -> int:
    requests, browser = operation.requests(target), Browser(target.web.port)
    for request in requests[:3] * (1 if len(requests) >= 3 else 3):
        browser.send(request)
    fresh = requests[3:5] or requests[:1]
    return min(statement_recording.rows_read(target, partial(browser.send, each)) for each in fresh)


def _slug(operation: Operation) -> str:
    return re.sub(r"\W+", "-", f"{operation.name} {operation.who}")


def _baseline_requests(operation: Operation) -> Requests | None:
    if operation.baseline or not operation.has_baseline:
        return operation.baseline
    method = "POST" if operation.writes else "GET"
    return lambda _target: [Request(method, f"/replay/{_slug(operation)}")]


def compare_with_baseline(bed: TestBed) -> str:
    """Compare the responses of the baseline with the product's. Returns "" or the differences."""
    found = []
    one = bed.product.mine[0]
    for ours, below in ((f"{LIST}(page:0,page_size:20)", "/list/20"), (f"/api/v1/lead/{one}", f"/get/{one}")):
        for target, path in ((bed.product, ours), (bed.baseline, below)):
            found.append(json.loads(Browser(target.web.port).send(Request("GET", path, key_of(generate.SALES)))[2]))
    differences = _differences(found[0], found[1]) + _differences(found[2], found[3])
    return ", ".join(sorted(set(differences)))


def _differences(ours: Any, below: Any, where: str = "") -> list[str]:
    """The paths at which two responses differ."""
    if isinstance(ours, dict) and isinstance(below, dict):
        keys = ours.keys() | below.keys()
        return [each for key in keys for each in _differences(ours.get(key), below.get(key), f"{where}.{key}")]
    if isinstance(ours, list) and isinstance(below, list) and len(ours) == len(below):
        return [each for pair in zip(ours, below, strict=True) for each in _differences(*pair, f"{where}[]")]
    return [] if ours == below else [where.lstrip(".") or "everything"]


# --- measuring


def measure(result: Result, bed: TestBed, options: Options) -> None:
    """Measure all targets in turn, over one connection and over eight."""
    for _ in range(options.rounds):
        for connections in CONNECTIONS:
            for target in bed.targets:
                operation = result.operation
                requests = _baseline_requests(operation) if target is bed.baseline else operation.requests
                if requests is None:
                    continue
                before = server.cpu_seconds(target.web.pid)
                figures = load.send_load(target.web.port, requests(target), connections, options.seconds)
                cpu = (server.cpu_seconds(target.web.pid) - before) * 1000 / max(1, figures.requests)
                result.add(target.name, connections, figures, cpu)


def measure_sign_in(bed: TestBed, options: Options) -> Result:
    """Measure the sign-in form, by another user each time; with Python threads, because it takes two requests."""
    result = Result(Operation("sign in (2 requests)", "salespeople", lambda _target: []))
    target = bed.product
    names = [row[0] for row in target.query("SELECT username FROM ab_user WHERE username LIKE 'sales_%%'")]

    def act(n: int) -> bool:
        try:
            # Another address each time: the product limits attempts by address.
            address = f"127.1.{n // 250 % 250}.{n % 250 + 1}"
            with Browser(target.web.port, address) as browser:
                sign_in(browser, names[n % len(names)])
        except (ServerFailed, OSError):
            return False
        return True

    for connections in CONNECTIONS:
        before = server.cpu_seconds(target.web.pid)
        figures = load.run_threads(act, connections, options.seconds)
        result.add(
            "ours", connections, figures, (server.cpu_seconds(target.web.pid) - before) * 1000 / figures.requests
        )
    return result


def run(options: Options) -> int:
    """Run the benchmark. Returns the number of operations that failed or had errors."""
    sizes = options.sizes
    print(f"Filling {sizes} …", flush=True)
    data, took = server.filled_data_folder(sizes)
    print(f"  {took or 'kept from an earlier run'}: {server.shown(data)}")
    folders = Data(data)
    if options.against:
        source = earlier_version.work_tree(options.against)
        folders = replace(folders, earlier=earlier_version.filled_data_folder(source, options.leads), source=source)
    folder = server.scratch()
    try:
        results, notes = _measure_all(folders, folder, options)
    finally:
        if options.keep:
            print(f"Kept: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    page = report.page(results, notes | {"Filling": _filling_text(took)}, options, sizes)
    options.results.parent.mkdir(parents=True, exist_ok=True)
    options.results.write_text(page)
    print(page)
    return sum(bool(each.failure or each.errors) for each in results)


def _filling_text(took: dict[str, float]) -> str:
    if not took:
        return "kept from an earlier run"
    return f"{took['rows']:,.0f} rows in {took['fill']:.0f} s (indexes included)"


def _measure_all(data: Data, folder: Path, options: Options) -> tuple[list[Result], dict[str, str]]:
    # First with counting of statements; then restarted without it, to measure.
    replay = statement_recording.Replay(folder / "replay.json")
    replay.save()
    with running(data, folder, options, counting=True) as bed:
        results = [Result(operation) for operation in _wanted(bed, options)]
        for result in results:
            print(f"  checking {result.operation.name} ({result.operation.who})", flush=True)
            check_first(result, bed, replay)
        notes = {"Ours and the baseline answer alike": compare_with_baseline(bed) or "yes"}
    replay.save()
    with running(data, folder, options, counting=False) as bed:
        load.send_load(bed.product.web.port, [Request("GET", f"{LIST}(page_size:20)", key_of(generate.SALES))], 8, 2)
        notes["Memory when idle"] = _memory(bed)
        busy = os.getloadavg()[1]
        for result in results:
            _measure_one(result, bed, options)
        if options.only.lower() in "sign in":
            results.append(measure_sign_in(bed, options))
        notes["Others at work"] = (
            f"load average of the five minutes before {busy:.1f}; believe it only when well under 1"
        )
        notes["Memory at the end"] = _memory(bed)
        notes["MariaDB"] = str(bed.product.query("SELECT VERSION()")[0][0])
    return results, notes


def _wanted(bed: TestBed, options: Options) -> list[Operation]:
    found = operations(bed.product, options.sizes)
    return [each for each in found if options.only.lower() in f"{each.name} {each.who}".lower()]


def _measure_one(result: Result, bed: TestBed, options: Options) -> None:
    print(f"  {result.operation.name} ({result.operation.who}) {result.failure}", flush=True)
    if result.failure:
        return
    try:
        measure(result, bed, options)
    except load.NoAnswer as nothing:
        result.failure = f"{nothing}; {restart_ended(bed.targets)}"


def _memory(bed: TestBed) -> str:
    named = {each.name: each.web.pid for each in bed.targets} | {"MariaDB": bed.product.database.pid}
    return "; ".join(
        f"{name} {' + '.join(map(str, server.memory(pid)))} MB (PSS {server.proportional_memory(pid):.0f} MB)"
        for name, pid in named.items()
    )
