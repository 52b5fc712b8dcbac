"""The proofs of tests/resilience in their long form, with measurements: kills, takeover, outages, push, a full pass.

python -m bench --only engine              # all of them, a quarter of an hour; bench/results/engine.md
python -m bench --only "engine: push"      # one of them; the other sections of the page stay
"""

from __future__ import annotations

import os
import shutil
import signal
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import delete, func, select, text

from bench import generate, load, run, server
from bench.measured_versions import Options, Target
from bench.operations import operations
from tests.resilience import kill_run, outages, scenario
from tests.resilience.concurrent_requests import ask
from tests.resilience.external_writer import outsider
from tests.resilience.kill_run import Outcome, Trial
from tests.resilience.process_group import GroupSettings
from tests.resilience.process_killer import ProcessKiller
from tests.resilience.scenario import Scenario
from tests.resilience.socket_client import wires
from tests.resilience.tcp_connections import children, ports_of
from tests.servers import LiveServer, Redis, ServerFailed, eventually

RESULTS = Path(__file__).parent / "results" / "engine.md"
PREFIX = "engine: "
TASKS, KILLS = 10_000, 60
#: How often the leader is killed, and how many commits are measured.
TAKEOVERS, COMMITS = 3, 100
REDIS_AWAY_SECONDS = 30.0
Rows = list[tuple[str, str]]


@dataclass(frozen=True)
class Experiment:
    """The options and the folder of one experiment."""

    options: Options
    folder: Path


# --- kills


def kills(prove: Callable[[Any, Scenario, Trial], Outcome], experiment: Experiment) -> Rows:
    """10,000 tasks, 60 kills, by four and by two processes."""
    rows = []
    for count in (4, 2):
        with _empty_database(experiment.folder / str(count)) as (database, field):
            done = prove(database, field, Trial(TASKS, KILLS, GroupSettings(count=count, limit=200), 1200.0))
        what = f"{TASKS:,} tasks, {count} processes"
        rows += [
            (what, f"{done.seconds:.0f} s; {done.kill_counts}"),
            ("lost, doubled or uneven", _verdict(done.faults)),
        ]
    return rows


def _verdict(faults: list[str]) -> str:
    return f"**{len(faults)}: {'; '.join(faults[:3])}**" if faults else "0"


# --- leader election


def leader_takeover(experiment: Experiment) -> Rows:
    """Three servers as an operator starts them; the leader is killed shortly before a minute begins."""
    takeovers, lags = [], []
    with _empty_database(experiment.folder) as (database, field), ExitStack() as opened:
        settings = field.settings | {"CRM_SCHEDULER": "on"}
        webs = [opened.enter_context(LiveServer(experiment.folder / f"web{n}", **settings)) for n in range(3)]
        for _ in range(TAKEOVERS):
            leader = _leader(database, field, webs)
            time.sleep((57 - time.time()) % 60)
            slot = int(time.time() / 60 + 1) * 60
            _kill(leader)
            began = time.monotonic()
            _leader(database, field, [web for web in webs if web is not leader])
            takeovers.append(time.monotonic() - began)
            lags.append(_lag(field, slot))
            leader.start()
    return [
        ("another process is the leader after", _distribution(takeovers, "s")),
        ("the next minute's jobs begin after their minute by", _distribution(lags, "s")),
        ("aim", "10 s"),
    ]


def _leader(database: server.Database, field: Scenario, webs: Sequence[LiveServer]) -> LiveServer:
    found: list[LiveServer] = []
    hunter = ProcessKiller(database, field.name)

    def is_found() -> bool:
        ports = hunter.leading_ports()
        found[:] = [web for web in webs if any(ports & ports_of(pid) for pid in children(web.pid))]
        return bool(found)

    eventually(is_found, "no process is the leader")
    return found[0]


def _kill(web: LiveServer) -> None:
    """Kill all processes of one server at once, as when its machine fails."""
    os.killpg(web.pid, signal.SIGKILL)
    web.kill()


def _lag(field: Scenario, slot: int) -> float:
    from app.models import JobRun

    name = f"{datetime.fromtimestamp(slot, UTC):%Y-%m-%dT%H:%MZ}"
    query = select(func.max(JobRun.started_on)).where(JobRun.slot == name, JobRun.job == "reassign overdue tasks")
    eventually(lambda: field.rows(query)[0] is not None, f"nobody runs {name}", 120)
    return max(0.0, float(field.rows(query)[0].timestamp() - slot))


# --- outages


def mariadb_dies(experiment: Experiment) -> Rows:
    """mariadbd is killed during a pass."""
    with _empty_database(experiment.folder) as (database, field):
        seen = outages.of_mariadb(database, field, 2000)
    return [
        ("answers meanwhile", ", ".join(sorted({str(reply.status) for reply in seen.meanwhile}))),
        ("after its return the web answers after", f"{seen.web_seconds:.1f} s"),
        ("and the pass goes on after", f"{seen.job_seconds:.1f} s (aim: 60 s)"),
        ("lost, doubled or uneven", _verdict(seen.faults)),
    ]


def redis_dies(experiment: Experiment) -> Rows:
    """Half a minute without Redis, then an empty Redis."""
    with _empty_database(experiment.folder) as (_, field), Redis(experiment.folder / "redis") as redis:
        seen = outages.of_redis(redis, field, 2000, REDIS_AWAY_SECONDS)
    wrong = [reply for reply in seen.meanwhile + seen.around if not 0 < reply.status < 500]
    return [
        (
            f"{len(seen.meanwhile)} answers while it was away for {REDIS_AWAY_SECONDS:.0f} s",
            _distribution([reply.seconds * 1000 for reply in seen.meanwhile], "ms"),
        ),
        ("answers of 500 and above, or none", str(len(wrong))),
        ("lost, doubled, uneven or left hanging", _verdict(seen.faults)),
    ]


# --- push


def push(experiment: Experiment) -> Rows:
    """The time from a commit to the event in the browser; two web processes with sockets on both."""
    with _empty_database(experiment.folder) as (_, field), Redis(experiment.folder / "redis") as redis:
        settings = field.settings | {"CRM_REDIS_URL": redis.url}
        with (
            LiveServer(experiment.folder / "web", CRM_WORKERS="2", **settings) as web,
            outsider(field, CRM_REDIS_URL=redis.url) as outside,
            wires(web, "ben") as sockets,
        ):
            ben, make = field.crm.people["ben"].id, field.crm.make
            gives = {
                "a commit of a process that is no web process": lambda key: outside.give(key, ben),
                "a commit through REST (from its answer)": lambda key: _give(web.port, key),
            }
            found = {what: _bells(sockets, partial(make.lead, "ana"), give) for what, give in gives.items()}
            page = _pages(web.port, sockets, make.lead("ben").id)
    rows = [(f"bell, {what}", _distribution(times, "ms")) for what, times in found.items()]
    return [*rows, ("page, a change through REST (from its answer)", _distribution(page, "ms")), ("aim", "1,000 ms")]


def _give(port: int, key: int) -> float:
    assert ask(port, "root", "POST", f"/api/v1/lead/{key}/assign", {"assign_to": "ben"}).status == 200
    return time.monotonic()


def _bells(sockets: list[Any], lead: Callable[[], Any], give: Callable[[int], float]) -> list[float]:
    times = []
    for _ in range(COMMITS):
        key, since = lead().id, time.monotonic()
        committed = give(key)
        times += [max(0.0, each.await_event("bell", since) - committed) * 1000 for each in sockets]
        time.sleep(0.1)
    return times


def _pages(port: int, sockets: list[Any], key: int) -> list[float]:
    times = []
    for each in sockets:
        each.watch("lead", key)
    time.sleep(1)
    for n in range(COMMITS):
        since = time.monotonic()
        assert ask(port, "root", "PUT", f"/api/v1/lead/{key}", {"description": f"change {n}"}).status == 200
        saved = time.monotonic()
        times += [max(0.0, each.await_event("activity", since, id=key) - saved) * 1000 for each in sockets]
        time.sleep(0.1)
    return times


# --- a full pass, and an idle one


def full_pass(experiment: Experiment) -> Rows:
    """All overdue tasks of the big database in one pass while users load lists; then passes without work."""
    data, _ = server.filled_data_folder(experiment.options.sizes)
    server.copy_data(data, experiment.folder)
    with run.running(run.Data(data), experiment.folder, experiment.options, counting=False) as servers:
        bed = servers.product
        app, requests = _app(bed, experiment.folder), _lists(bed, experiment.options)
        listing = partial(load.send_load, bed.web.port, requests, 4, experiment.options.seconds)
        rows, passes = [("lists, 4 connections, nothing else at work", _figures(listing()))], list[tuple[Any, ...]]()
        worker = threading.Thread(target=lambda: passes.extend(_until_done(app)))
        worker.start()
        rows.append(("lists, 4 connections, beside the pass (aim: p95 200 ms)", _figures(listing())))
        worker.join()
        rows += [
            (f"pass {n + 1} (aim for 10,000: 15 s)", f"{items:,} records, {failed} failed, {took:.1f} s")
            for n, (items, failed, took) in enumerate(passes)
        ]
        return rows + _idle(app)


def _lists(bed: Target, options: Options) -> list[load.Request]:
    names, sizes = ("REST list 20 newest", "page: leads"), options.sizes
    wanted = [each for each in operations(bed, sizes) if each.name in names and each.who == generate.SALES]
    return [ask for each in wanted for ask in each.requests(bed)]


def _figures(seen: load.Measurement) -> str:
    return f"p50 {seen.p50:.0f} ms, p95 {seen.p95:.0f} ms, {seen.requests} requests, {seen.errors} errors"


def _app(bed: Target, folder: Path) -> Any:
    import config
    from app import create_app
    from app.extensions import db
    from app.models import OfficeRange

    settings = {"CRM_DATABASE_URL": bed.database.address, "CRM_INSTANCE_DIR": str(folder / "jobs")}
    app = create_app(config.load(settings))
    with app.app_context(), db.engine.begin() as connection:
        connection.execute(delete(OfficeRange.__table__))  # so that it can be measured at any hour
    return app


def _until_done(app: Any) -> list[tuple[int, int, float]]:
    """(items, failed, seconds) of each pass, until nothing is left to do."""
    from app import jobs

    passes = []
    for _ in range(20):
        began = time.monotonic()
        done = jobs.run_now(app, "reassign overdue tasks")
        if not done.items and not done.failed_items:
            break
        passes.append((done.items, done.failed_items, time.monotonic() - began))
    return passes


def _idle(app: Any) -> Rows:
    """Each minute job, nine times, with all tasks open and due in ten days."""
    from app import jobs
    from app.extensions import db
    from app.job_runner import every_minute

    ahead = "UPDATE task SET status = 'Todo', exhausted = 0, due_on = UTC_TIMESTAMP() + INTERVAL 10 DAY, remind_on = "
    with app.app_context(), db.engine.begin() as connection:
        changed = connection.execute(text(ahead + "UTC_TIMESTAMP() + INTERVAL 9 DAY")).rowcount
        connection.execute(text("ANALYZE TABLE task"))
    names = [job.name for job in jobs.SCHEDULE if job.when == every_minute]
    return [(f"idle, {changed:,} open tasks: {name}", _job_cost(app, name)) for name in names]


def _job_cost(app: Any, name: str) -> str:
    from app import jobs
    from app.ops.database.connections import STATEMENTS

    times, counts, items = [], [], 0
    for _ in range(9):
        token, began = STATEMENTS.set([]), time.monotonic()
        items = jobs.run_now(app, name).items
        times.append((time.monotonic() - began) * 1000)
        counts.append(len(STATEMENTS.get() or ()))
        STATEMENTS.reset(token)
    return f"{_distribution(times, 'ms')}; {min(counts)} statements, {items} items (aim: 100 ms, 6 statements)"


# --- the page of results


EXPERIMENTS: dict[str, Callable[[Experiment], Rows]] = {
    f"{PREFIX}kills, reassignment": partial(kills, kill_run.of_reassignment),
    f"{PREFIX}kills, reminders": partial(kills, kill_run.of_reminders),
    f"{PREFIX}take-over": leader_takeover,
    f"{PREFIX}MariaDB dies": mariadb_dies,
    f"{PREFIX}Redis dies": redis_dies,
    f"{PREFIX}push": push,
    f"{PREFIX}full pass": full_pass,
}


@contextmanager
def _empty_database(folder: Path) -> Iterator[tuple[server.Database, Scenario]]:
    """A private MariaDB that writes every commit to disk, with the data of tests.resilience.scenario."""
    with ExitStack() as opened:
        made = server.Database(folder / "database", server.CACHE / "empty", *server.MEASURING)
        database = opened.enter_context(made)
        url = database.url(database.create_database())
        yield database, opened.enter_context(scenario.settled(url, folder / "scenario"))


def _distribution(times: Sequence[float], unit: str) -> str:
    ordered = sorted(times)
    p95 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))]
    return f"p50 {statistics.median(ordered):.1f}, p95 {p95:.1f}, most {ordered[-1]:.1f} {unit} (of {len(ordered)})"


def measure(options: Options) -> int:
    """Run all experiments with `options.only` in their name. Returns how many failed."""
    failed = 0
    for name, experiment in EXPERIMENTS.items():
        if options.only.lower() not in name.lower():
            continue
        print(f"{name} …", flush=True)
        folder, busy = server.scratch(), os.getloadavg()[1]
        try:
            rows = experiment(Experiment(options, folder))
        except ServerFailed as trouble:
            failed, rows = failed + 1, [("**failed**", str(trouble).splitlines()[0])]
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        section = _section(name, rows, busy)
        print(section)
        _update_section(name, section)
    return failed


def _section(name: str, rows: Rows, busy: float) -> str:
    head = (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC; {os.cpu_count()} cores, shared by clients, application, MariaDB and "
        f"Redis; load average of the five minutes before {busy:.1f}."
    )
    table = "\n".join(f"| {what} | {figure} |" for what, figure in rows)
    return f"## {name.removeprefix(PREFIX)}\n\n{head}\n\n| what | figure |\n|---|---|\n{table}\n"


def _update_section(name: str, section: str) -> None:
    """Replace the section on the page; the others stay as they are."""
    old = RESULTS.read_text().split("\n## ")[1:] if RESULTS.exists() else []
    kept = {part.splitlines()[0]: f"## {part}" for part in old}
    kept[name.removeprefix(PREFIX)] = section
    order = [each.removeprefix(PREFIX) for each in EXPERIMENTS]
    parts = [kept[each].rstrip() + "\n" for each in order if each in kept]
    RESULTS.write_text("\n".join(["# Results of `python -m bench --only engine`\n", *parts]))
