"""python -m bench.app_servers [--share 25] [--seconds 20] [--rounds 3]: what do two app servers carry, and one?

As root. Each server of the CRM (one web process) gets the same share of a core by a control group of the kernel; nginx,
MariaDB, Redis and the client have what is left of the machine. So the servers are the narrow place, whatever else the
machine does, as they are where each has a machine of its own. Goal: two carry 1.7 times what one does.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import statistics
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bench import generate, server
from bench.data_sizes import Sizes
from bench.load import Measurement, send_load
from bench.measured_versions import Target
from bench.operations import Operation, operations
from tests.server_clusters import Nginx
from tests.servers import LiveServer, Redis, ServerFailed

GOAL_RATIO = 1.7
#: Connections of the client for each server, so that each has the same load.
CONNECTIONS, DEFAULT_LEADS = 8, 20_000
WANTED = ("REST list 20 newest", "page: a lead", "create a lead")
_PERIOD_US = 100_000
#: Before the servers are limited, for each operation: caches fill, processes part from their parents' memory.
WARM_SECONDS = 3.0
_V1, _V2 = Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup")


@dataclass
class NginxTarget(Target):
    """nginx as a target, with the servers behind it."""

    webs: list[LiveServer] = field(default_factory=list)

    def cpu_seconds(self) -> float:
        """What the servers have used so far."""
        return sum(server.cpu_seconds(each.pid) for each in self.webs)


@contextlib.contextmanager
def group(name: str, pids: list[int], percent: int | None = None) -> Iterator[None]:
    """A control group with these processes: before all others, and with so much of one core at most, if `percent`.

    Raises ServerFailed where this machine lets nobody make one.
    """
    is_v1 = _V1.is_dir()
    root = _V1 if is_v1 else _V2
    made = root / f"crm-bench-{os.getpid()}-{name}"
    values = {"cpu.shares": "100000"} if is_v1 else {"cpu.weight": "10000"}
    if percent:
        quota = _PERIOD_US * percent // 100
        values |= {"cpu.cfs_quota_us": str(quota)} if is_v1 else {"cpu.max": f"{quota} {_PERIOD_US}"}
    try:
        made.mkdir()
        for file, value in values.items():
            (made / file).write_text(value)
        for pid in pids:
            for each in server.family(pid):
                (made / "cgroup.procs").write_text(str(each))
    except OSError as error:
        raise ServerFailed(f"{made} can't be made ({error.strerror}): be root, with the cpu controller on.") from None
    try:
        yield
    finally:
        for pid_left in (made / "cgroup.procs").read_text().split():
            with contextlib.suppress(OSError):
                (root / "cgroup.procs").write_text(pid_left)
        made.rmdir()


@contextlib.contextmanager
def limited_servers(folder: Path, leads: int, share: int) -> Iterator[tuple[NginxTarget, NginxTarget]]:
    """NginxTarget one nginx one server, behind another one the same and a second; warmed up, then limited."""
    data, _took = server.filled_data_folder(Sizes.of(leads))
    server.copy_data(data, folder / "mariadb")
    with contextlib.ExitStack() as stack:
        database = stack.enter_context(server.Database(folder / "mariadb", server.CACHE / "empty", *server.MEASURING))
        redis = stack.enter_context(Redis(folder / "redis"))
        webs: list[LiveServer] = [_web(folder / name, database.address, redis.url) for name in ("crm1", "crm2")]
        for web in webs:
            stack.enter_context(web)
        fronts = [stack.enter_context(Nginx(folder / f"nginx{n}", webs[:n])) for n in (1, 2)]
        made = [
            NginxTarget(f"{n} behind nginx", database, front, webs=webs[:n])
            for n, front in zip((1, 2), fronts, strict=True)
        ]
        for each in made:
            each.load_ids()
            each.sign_in_all()
        made[1].serial += 5_000_000  # leads with numbers of their own
        for operation in wanted(made[1]):
            measured(made[1], operation, WARM_SECONDS)
        for web in webs:
            stack.enter_context(group(web.folder.name, [web.pid], share))
        stack.enter_context(group("others", [database.pid, redis.pid, *(each.pid for each in fronts)]))
        yield made[0], made[1]


def wanted(target: NginxTarget) -> list[Operation]:
    """What is measured: a list, a page, and a change."""
    known = {each.name: each for each in operations(target, Sizes.of(DEFAULT_LEADS)) if each.who == generate.SALES}
    return [known[name] for name in WANTED]


def _web(folder: Path, database: str, redis: str) -> LiveServer:
    made = server.Product(folder, database, workers=1, threads=8)
    own = {"CRM_REDIS_URL": redis, "CRM_ROLE": "web", "CRM_PROXIES": "1", "CRM_SERVER_NAME": folder.name}
    made.settings = made.settings | own | {"CRM_SECRET_KEY": "s" * 40, "PYTHONNODEBUGRANGES": "1"}
    return made


def measured(target: NginxTarget, operation: Operation, seconds: float) -> tuple[Measurement, float]:
    """What it carries, and milliseconds of CPU for each request. Raises ServerFailed if a request failed."""
    before = target.cpu_seconds()
    found = send_load(target.web.port, operation.requests(target), len(target.webs) * CONNECTIONS, seconds)
    if found.errors:
        raise ServerFailed(f"{operation.name}, {target.name}: {found.errors} of {found.requests} requests failed.")
    return found, (target.cpu_seconds() - before) * 1000 / max(1, found.requests)


def compare(one: NginxTarget, two: NginxTarget, operation: Operation, seconds: float, rounds: int) -> float:
    """Print the rates, in turn, and return the ratio of their medians."""
    pairs = [(measured(one, operation, seconds), measured(two, operation, seconds)) for _ in range(rounds)]
    rates = [statistics.median(pair[n][0].rate for pair in pairs) for n in (0, 1)]
    late = [statistics.median(pair[n][0].p95 for pair in pairs) for n in (0, 1)]
    cpu = [statistics.median(pair[n][1] for pair in pairs) for n in (0, 1)]
    said = ", ".join(f"{pair[0][0].rate:.1f}/{pair[1][0].rate:.1f}" for pair in pairs)
    print(
        f"| {operation.name} | {rates[0]:.1f} | {rates[1]:.1f} | {rates[1] / rates[0]:.2f} "
        f"| {late[0]:.0f} / {late[1]:.0f} ms | {cpu[0]:.1f} / {cpu[1]:.1f} ms | {said} | {os.getloadavg()[0]:.1f} |",
        flush=True,
    )
    return rates[1] / rates[0]


def main() -> int:
    """Returns 1 if the goal was not met."""
    parser = argparse.ArgumentParser(prog="python -m bench.app_servers", description=__doc__)
    parser.add_argument("--share", type=int, default=25, help="per cent of a core that each server has")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--leads", type=int, default=DEFAULT_LEADS)
    options = parser.parse_args()
    folder = server.scratch()
    try:
        with limited_servers(folder, options.leads, options.share) as (one, two):
            print(f"{options.share} % of a core for each server, {CONNECTIONS} connections for each")
            print("| Operation | one, requests/s | two | ratio | p95, one / two | CPU a request | rounds | load |")
            print("|---|---|---|---|---|---|---|---|")
            ratios = [compare(one, two, each, options.seconds, options.rounds) for each in wanted(one)]
    except ServerFailed as failed:
        print(failed, file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    good = min(ratios) >= GOAL_RATIO
    print(f"goal (two carry {GOAL_RATIO} times one): {'met' if good else 'not met'}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
