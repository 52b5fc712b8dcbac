"""Fixtures for all tests: private servers, a browser, and a guard that blocks the network.

The application's own fixtures (people, factories, sessions) are in `app_fixtures.py`.
"""

from __future__ import annotations

import asyncio
import ctypes
import fcntl
import gc
import importlib
import ipaddress
import itertools
import os
import shutil
import signal
import socket
import sys
import sysconfig
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadGroupScheduling
from xdist.workermanage import WorkerController

from tests import compiled_templates
from tests.brief_reports import report_briefly
from tests.chromium import Browsers
from tests.huge_pages import use_huge_pages
from tests.servers import (
    ROOT,
    Databases,
    LiveServer,
    MariaDB,
    Redis,
    end_shared_mariadb,
    shared_mariadb,
)

#: Where bytecode is kept between runs if it must not be written beside the source.
BYTECODE = ROOT / ".pytest_cache" / "bytecode"


def keep_bytecode() -> None:
    """Keep what is compiled, also where PYTHONDONTWRITEBYTECODE keeps the source folders clean: with its assertions to
    be rewritten, compiling all of the tests takes ten seconds of CPU, in each process of a run."""
    if sys.dont_write_bytecode:
        sys.dont_write_bytecode, sys.pycache_prefix = False, str(BYTECODE)
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.environ["PYTHONPYCACHEPREFIX"] = sys.pycache_prefix
        if "PYTEST_XDIST_WORKER" not in os.environ:
            _take_over_bytecode()


def _take_over_bytecode() -> None:
    """Link what was compiled when Python and the packages were installed: with a prefix it isn't looked for there."""
    paths = sysconfig.get_paths()
    for root in (Path(paths["stdlib"]), Path(paths["purelib"])):
        taken = BYTECODE / str(root).lstrip("/")
        if taken.exists():
            continue
        for cache in root.rglob("__pycache__"):
            folder = BYTECODE / str(cache.parent).lstrip("/")
            folder.mkdir(parents=True, exist_ok=True)
            for compiled in cache.glob(f"*.{sys.implementation.cache_tag}.pyc"):
                with suppress(OSError):  # there already, or on another disk
                    os.link(compiled, folder / compiled.name)


keep_bytecode()
# While tests are collected, the garbage collector takes a third of the time and finds next to nothing: see
# pytest_collection_finish.
gc.disable()

#: The fixtures of the application, a plugin; a folder's own conftest.py may import it first.
FIXTURES = "tests.app_fixtures"
pytest.register_assert_rewrite(FIXTURES)
#: Which fixture sets which marker.
MARKERS = {"mariadb_server": "mariadb", "lone_mariadb": "mariadb", "redis_server": "redis", "browsers": "browser"}

#: From Linux' <sys/prctl.h>
PR_SET_PDEATHSIG = 1

#: A file system in memory, and how much must be free there to keep the tests' databases and folders in it.
MEMORY, NEEDED_BYTES = Path("/dev/shm"), 3 << 30


def pytest_configure(config: pytest.Config) -> None:
    """If the test run is killed, the kernel ends its workers, and with them their servers. Temporary folders in memory
    halve the time of each change of a schema: no test needs a disk, since none cuts off the power."""
    only_pytest_parses()
    if hasattr(config, "workerinput"):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        report_briefly(config)
    elif has_room(MEMORY, NEEDED_BYTES):
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))
    if compiled_templates.open_folder():
        config.add_cleanup(compiled_templates.remove_folder)
    if runs_tests(config):
        _be_patient()
        compiled_templates.share()
        if (Path(__file__).parent / "app_fixtures.py").exists():
            config.pluginmanager.register(importlib.import_module(FIXTURES), FIXTURES)


def runs_tests(config: pytest.Config) -> bool:
    """Whether this process runs tests; one that has workers starts them sooner without importing the product."""
    return hasattr(config, "workerinput") or config.getoption("dist", "no") == "no"


def _be_patient() -> None:
    """Let no deadline of Hypothesis decide: on a busy machine everything is slow.

    It is imported now, when bytecode is kept: pytest compiles it anew with its assertions rewritten.
    """
    from hypothesis import HealthCheck, settings

    settings.register_profile("crm", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("crm")


def only_pytest_parses() -> None:
    """No thread that logs an exception parses Python, in this process and in those that it starts.

    To mark a part of a line in a traceback, CPython 3.11 parses it. While garbage is collected, another thread may come
    in, and when both build syntax trees (pytest does, of what it imports and of what failed), one of them gets
    "SystemError: AST constructor recursion depth mismatch", which ends the whole run.
    """
    os.environ["PYTHONNODEBUGRANGES"] = "1"
    if hasattr(traceback, "_extract_caret_anchors_from_line_segment"):
        traceback._extract_caret_anchors_from_line_segment = lambda segment: None


def has_room(folder: Path, wanted: int) -> bool:
    """Whether so many bytes are free there, and in memory."""
    if not os.access(folder, os.W_OK):
        return False
    lines = Path("/proc/meminfo").read_text().splitlines()
    memory = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    return min(memory, shutil.disk_usage(folder).free) >= wanted


#: These mostly wait, for processes that start, for time-outs, for a browser.
WAITING = (
    *("tests/browser", "tests/resilience", "tests/ops", "tests/web/realtime", "tests/backups"),
    *("tests/deploy/test_upgrade.py", "tests/test_outside_calls.py"),
)
#: More workers than cores, because these of them wait; more than MAX_WORKERS only get in each other's way.
MAX_WAITING, MAX_WORKERS = 2, 6
#: The longest files, which come first, the longest ahead: the end of a run must not be one worker with a long file.
#: A run of all tests prints them at its end.
LONGEST = (
    *("tests/browser", "tests/web/records/test_tasks_by_holders.py", "tests/web/dashboards/test_record_rollups.py"),
    *("tests/test_row_budgets.py", "tests/ops/test_server.py", "tests/web/realtime/test_broadcast.py"),
    *("tests/ops/test_idle_workers.py", "tests/web/realtime/test_clients.py"),
    *("tests/resilience/test_first_start.py", "tests/ops/test_sidecar_process.py", "tests/resilience/test_kills.py"),
    *("tests/web/test_bad_input.py", "tests/web/compat/test_invalid_input.py", "tests/resilience/test_clock.py"),
    *("tests/deploy/test_upgrade.py", "tests/test_outside_calls.py", "tests/web/test_access_rules.py"),
    *("tests/web/test_list_parameters.py", "tests/test_migration_steps.py", "tests/test_budgets.py"),
    *("tests/test_regular_expressions.py", "tests/web/compat/test_methods.py"),
    *("tests/web/records/test_holder_checks.py", "tests/web/transfer/test_predecessor.py"),
    *("tests/web/test_markup_in_texts.py", "tests/web/transfer/test_custom_exports.py"),
    *("tests/web/dashboards/test_rollups.py", "tests/web/security/test_key_rotation.py"),
    *("tests/web/test_search_by_index.py", "tests/access/test_fast_paging.py"),
    *("tests/ops/test_slow_clients.py", "tests/web/realtime/test_sockets.py", "tests/ops/test_queue.py"),
    *(
        "tests/resilience/test_outages.py",
        "tests/resilience/test_unresponsive_servers.py",
        "tests/ops/test_redis_topology.py",
    ),
    *("tests/ops/test_promote.py", "tests/ops/test_many_servers.py", "tests/backups/test_mechanics.py"),
    *("tests/test_migrations.py", "tests/web/settings/test_user_account_rules.py"),
    *("tests/web/settings/test_admin_urls.py", "tests/domain/test_office_hours.py"),
    *("tests/domain/test_reassignment.py", "tests/domain/test_audit_chain.py", "tests/test_extend_guide.py"),
    *("tests/web/api/test_generated_clients.py", "tests/web/api/test_openapi.py"),
    *("tests/web/reports/test_reports.py", "tests/web/dashboards/test_pages.py"),
    *("tests/web/transfer/test_exports_on_s3.py", "tests/web/transfer/test_import_faults.py"),
    *("tests/web/dashboards/test_counting_in_parallel.py", "tests/web/test_search_of_name_words.py"),
    *("tests/domain/test_escalation.py", "tests/outbox/test_campaigns.py", "tests/inbound/test_mail_fetch.py"),
    *("tests/web/test_masks.py", "tests/backups/test_runs.py", "tests/web/records/test_customer_links.py"),
    *("tests/web/test_search.py", "tests/web/test_uniqueness.py", "tests/web/test_languages.py"),
    *("tests/web/compat/test_filters.py", "tests/web/security/test_security_on_mariadb.py", "tests/test_api_guide.py"),
)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """How many workers `-n auto` starts."""
    return min((os.cpu_count() or 1) + MAX_WAITING, MAX_WORKERS)


def waits(nodeid: str) -> bool:
    """Whether a test mostly waits."""
    return nodeid.startswith((*WAITING, *SCOPES_THAT_WAIT))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by the fixtures that they use, and put the longest files first, then those that wait."""
    for item in items:
        for name in getattr(item, "fixturenames", ()):
            if name in MARKERS:
                item.add_marker(MARKERS[name])
    items.sort(key=lambda item: place(item.nodeid.partition("::")[0]))


def place(path: str) -> tuple[int, bool]:
    """When the tests of a file come, as a sort key."""
    longest = (n for n, each in enumerate(LONGEST) if path.startswith(each))
    return next(longest, len(LONGEST)), not path.startswith(WAITING)


#: Groups of tests of several files. Two workers can have a browser at the same time.
BROWSER_A_TO_L, BROWSER_M_TO_Z, HALL = SCOPES_THAT_WAIT = ("browser, a to l", "browser, m to z", "hall")
#: Its long fixture has a database of each kind: two workers make them at the same time.
BY_DATABASE = "tests/test_migration_steps.py"


class ByFile(LoadGroupScheduling):
    """The tests of a file run in one worker, which then makes their shared fixtures once.

    The browser tests of half the alphabet share a browser and an office, but for the whole stack, and some proofs a
    server. xdist's own groups have no effect with pytest 9.2, which computes a test's id and so has no place for xdist
    to write the group.
    """

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.partition("::")[0]
        if path == BY_DATABASE:
            return f"{path} on MariaDB" if "[mariadb" in nodeid else path
        if path == "tests/test_servers.py":
            return BROWSER_A_TO_L
        if path.startswith("tests/browser/") and not path.endswith("test_stack.py"):
            return BROWSER_A_TO_L if path < "tests/browser/test_m" else BROWSER_M_TO_Z
        return (
            HALL
            if path.endswith(("resilience/test_concurrent_requests.py", "resilience/test_live_updates.py"))
            else path
        )

    def _assign_work_unit(self, node: WorkerController) -> None:
        """Give the worker tests that wait if few others have such; else tests that compute, while there are any."""
        is_free = sum(any(map(waits, scopes)) for scopes in self._unfinished(but=node)) < MAX_WAITING
        chosen = next((scope for scope in self.workqueue if waits(scope) == is_free), None)
        if chosen is not None:
            self.workqueue.move_to_end(chosen, last=False)
        super()._assign_work_unit(node)

    def _unfinished(self, but: WorkerController) -> Iterator[list[str]]:
        """What each of the other workers has to do."""
        for node, scopes in self.assigned_work.items():
            if node is not but:
                yield [scope for scope, tests in scopes.items() if not all(tests.values())]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFile:
    """For `--dist loadgroup`, in the order in which tests are collected."""
    config.option.loadscopereorder = False
    return ByFile(config, log)


#: After this many tests, living objects are frozen, so that garbage collection skips them, and get huge pages; the
#: first time soon, when the first application has been made.
TESTS_A_SWEEP, FIRST_SWEEP = 1000, 50
#: Most objects that outlive a few tests are compiled statements and templates, which stay: the collector looks at
#: new ones, and at all of them every TESTS_A_SWEEP tests.
GC_THRESHOLDS = 10_000, 1000, 1000
_run = itertools.count(1)


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Iterator[None]:
    """The first worker compiles the tests, the others then find the bytecode."""
    if not hasattr(session.config, "workerinput"):
        return (yield)
    folder = shared_folder(session.config, session.config._tmp_path_factory)  # type: ignore[attr-defined]  # of pytest
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "collect.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            fcntl.flock(lock, fcntl.LOCK_SH)
        return (yield)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Freeze all modules and tests, which live to the end, and collect garbage again, less often.

    To look for garbage first takes half a second in each process, and finds some 10 MB.
    """
    gc.freeze()
    use_huge_pages()
    gc.set_threshold(*GC_THRESHOLDS)
    gc.enable()


def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Keep the suite fast: applications live to the end."""
    number = next(_run)
    if number == FIRST_SWEEP or number % TESTS_A_SWEEP == 0:
        _sweep()


def _sweep() -> None:
    gc.collect()
    gc.freeze()
    use_huge_pages()


# --- No network


class NetworkIsOff(RuntimeError):
    """A test tried to reach something outside this machine."""


def refuse_outside(address: object) -> None:
    """Raise NetworkIsOff unless it is a Unix socket's path or a (host, port, …) of loopback."""
    if not isinstance(address, tuple) or is_loopback(address[0]):
        return
    raise NetworkIsOff(f"Tests do not reach out to {address}; let a stand-in on 127.0.0.1 answer.")


def is_loopback(host: object) -> bool:
    """Whether the host is this machine, by name or by number."""
    name = host.decode() if isinstance(host, bytes) else str(host)
    if name in {"localhost", ""}:
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def guarded(original: Callable[..., Any], position: int) -> Callable[..., Any]:
    """The socket function, with a check of the address among its arguments."""

    def guard(*arguments: Any) -> Any:
        try:
            refuse_outside(arguments[position])
        except NetworkIsOff:
            arguments[0].close()  # callers close their socket on OSError only
            raise
        return original(*arguments)

    return guard


def guarded_lookup(original: Callable[..., Any]) -> Callable[..., Any]:
    """getaddrinfo that asks no name server."""

    def guard(host: Any, *arguments: Any, **named: Any) -> Any:
        if host is not None and not is_loopback(host):
            try:
                ipaddress.ip_address(host.decode() if isinstance(host, bytes) else host)
            except ValueError:
                raise NetworkIsOff(f"Tests do not look up {host!r}; let a stand-in on 127.0.0.1 answer.") from None
        return original(host, *arguments, **named)

    return guard


@pytest.fixture(scope="session", autouse=True)
def network_off() -> Iterator[None]:
    """Connections to anything but this machine raise NetworkIsOff."""
    with pytest.MonkeyPatch.context() as patch:
        for name, position in (("connect", 1), ("connect_ex", 1), ("sendto", -1)):
            patch.setattr(socket.socket, name, guarded(getattr(socket.socket, name), position))
        patch.setattr(socket, "getaddrinfo", guarded_lookup(socket.getaddrinfo))
        yield


# --- Servers


def shared_folder(config: pytest.Config, factory: pytest.TempPathFactory) -> Path:
    """A folder shared by all workers of this test run."""
    base = factory.getbasetemp()
    return (base.parent if hasattr(config, "workerinput") else base) / "shared"


def cache_folder(config: pytest.Config) -> Path:
    """Where the installed, still empty MariaDB data folder is kept between test runs."""
    cache = getattr(config, "cache", None)  # there is none with `-p no:cacheprovider`
    if cache is None:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "eshin-crm-tests" / "mariadb"
    return cache.mkdir("mariadb")


@pytest.fixture(scope="session")
def shared(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder shared by all workers of this test run."""
    folder = shared_folder(pytestconfig, tmp_path_factory)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def mariadb_server(pytestconfig: pytest.Config, shared: Path) -> Databases:
    """The MariaDB that all workers share. Create your own database in it; to kill the server, use `lone_mariadb`."""
    is_worker = hasattr(pytestconfig, "workerinput")
    owner = os.getppid() if is_worker else os.getpid()
    return shared_mariadb(shared, owner, cache_folder(pytestconfig))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """The main process ends the shared MariaDB; a skipped test fails the run."""
    if hasattr(session.config, "workerinput"):
        return
    factory = getattr(session.config, "_tmp_path_factory", None)
    if factory is not None:
        end_shared_mariadb(shared_folder(session.config, factory))
        shutil.rmtree(f"{BYTECODE}{factory.getbasetemp()}", ignore_errors=True)
    if skipped_tests(session.config) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


#: So many files are named at the end of a run that takes longer than a minute.
NAMED_FILES, LONG_RUN_SECONDS = 20, 60


def pytest_terminal_summary(config: pytest.Config, terminalreporter: pytest.TerminalReporter) -> None:
    """Name the slowest files of a long run. Say why the run fails although no test did."""
    spent = seconds_by_file(terminalreporter)
    if spent.total() > LONG_RUN_SECONDS:
        terminalreporter.section(f"slowest {NAMED_FILES} files")
        for path, seconds in spent.most_common(NAMED_FILES):
            terminalreporter.write_line(f"{seconds:6.1f} s  {path}")
    if count := skipped_tests(config):
        terminalreporter.write_line(f"{count} skipped: a skipped test counts as failed here.", red=True)


def seconds_by_file(reporter: pytest.TerminalReporter) -> Counter[str]:
    """How long the tests of each file took, with what they set up."""
    spent = Counter[str]()
    for report in {id(each): each for group in reporter.stats.values() for each in group}.values():
        if isinstance(report, pytest.TestReport):
            spent[report.nodeid.partition("::")[0]] += report.duration  # type: ignore[assignment]  # seconds are counted, too
    return spent


def skipped_tests(config: pytest.Config) -> int:
    """How many tests were skipped in this run."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    return len(reporter.stats.get("skipped", ())) if reporter else 0


@pytest.fixture
def mariadb_url(mariadb_server: Databases) -> Iterator[str]:
    """The URL of an empty database on the shared MariaDB, gone after the test."""
    name = mariadb_server.create_database()
    yield mariadb_server.url(name)
    mariadb_server.drop_database(name)


@pytest.fixture
def lone_mariadb(pytestconfig: pytest.Config, tmp_path: Path) -> Iterator[MariaDB]:
    """A MariaDB for this test alone, which may stop, kill and restart it (takes half a second)."""
    with MariaDB(tmp_path / "mariadb", cache_folder(pytestconfig)) as server:
        yield server


@pytest.fixture(scope="session")
def redis_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    """This worker's Redis; tests ask for `redis_server`."""
    with Redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def redis_server(redis_process: Redis) -> Redis:
    """A running, empty Redis; the test may stop and start it."""
    if redis_process.process is None or redis_process.process.poll() is not None:
        return redis_process.start()  # a test before this one stopped it; it stores nothing on disk
    redis_process.empty()
    return redis_process


@pytest.fixture(scope="session")
def live_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """The product itself, as a process of its own on SQLite; `LiveServer.ADMIN` signs in.

    For other settings: `with LiveServer(tmp_path, CRM_DATABASE_URL=mariadb_url) as server: …`
    """
    with LiveServer(tmp_path_factory.mktemp("live")) as server:
        yield server


# --- Browser


@pytest.fixture(scope="session")
def browsers() -> Iterator[Browsers]:
    """The machine's own Chromium, driven by playwright."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        made = Browsers(playwright)
        yield made
        made.close()


@pytest.fixture(autouse=True)
def no_foreign_loop(request: pytest.FixtureRequest) -> Iterator[None]:
    """playwright leaves its event loop running between tests; hide it, or `asyncio.run` fails in the tests after."""
    loop = asyncio._get_running_loop()
    if loop is None or "browsers" in request.fixturenames:
        yield
        return
    asyncio._set_running_loop(None)
    yield
    asyncio._set_running_loop(loop)


@pytest.fixture
def page(browsers: Browsers) -> Iterator[Any]:
    """An empty page of a fresh profile: no cookies, nothing cached."""
    context = browsers.new_context()
    yield context.new_page()
    browsers.end(context)
