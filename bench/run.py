"""The benchmark: fills a database, measures the product and the floor in turn, and writes bench/results/latest.md."""

from __future__ import annotations

import contextlib
import html
import json
import os
import platform
import random
import re
import shutil
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from bench import generate, load, server
from bench.load import Browser, Measurement, Request
from tests.servers import ServerFailed

RESULTS = Path(__file__).parent / "results" / "latest.md"
CONNECTIONS = (1, 8)
JSON = {"Content-Type": "application/json"}
LIST = "/api/v1/lead/?q="


@dataclass(frozen=True)
class Options:
    """The options of the command line."""

    leads: int = 200_000
    seconds: float = 5.0
    rounds: int = 2
    workers: int = 2
    threads: int = 4
    only: str = ""
    keep: bool = False
    results: Path = RESULTS


@dataclass
class TestBed:
    """The running servers, and the ids to request."""

    database: server.Database
    product: server.Product
    floor: server.Floor
    mine: list[int] = field(default_factory=list)
    any: list[int] = field(default_factory=list)
    status: dict[str, int] = field(default_factory=dict)
    cookies: dict[str, dict[str, str]] = field(default_factory=dict)
    serial: int = 0

    def restart_ended(self) -> str:
        """Restart the servers that have ended, and return which they were."""
        ended = [each for each in (self.product, self.floor) if each.process is None or each.process.poll() is not None]
        texts = [f"{type(each).__name__} ended with {each.process and each.process.returncode}" for each in ended]
        for each in ended:
            print(each.last_words())
            each.start()
        return ", ".join(texts) or "all of them run"

    def query(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Query the database."""
        with contextlib.closing(self.database.connect(server.DATABASE)) as connection, connection.cursor() as cursor:
            cursor.execute(statement, values or None)
            return list(cursor.fetchall())


@dataclass(frozen=True)
class Operation:
    """What is measured. `requests` makes the requests of one measurement."""

    name: str
    who: str
    requests: Callable[[TestBed], list[Request]]
    floor: Callable[[TestBed], list[Request]] | None = None


@dataclass
class Result:
    """The measurements of one operation by (ours or floor, connections), and what a single request showed."""

    operation: Operation
    figures: dict[tuple[str, int], list[Measurement]] = field(default_factory=dict)
    statements: str = "?"
    size: int = 0
    failure: str = ""

    def of(self, side: str, connections: int, name: str) -> float | None:
        """The median over the rounds."""
        found = self.figures.get((side, connections))
        return statistics.median(getattr(each, name) for each in found) if found else None

    @property
    def errors(self) -> int:
        """The failed requests of the product in all measurements."""
        return sum(each.errors for (side, _), found in self.figures.items() if side == "ours" for each in found)


# --- the operations ----------------------------------------------------------------------------------------------


def key_of(who: str) -> dict[str, str]:
    """The header of a user's API key."""
    return {"Authorization": f"token {generate.key_of(who)}:{generate.secret_of(who)}"}


def list_operation(name: str, who: str, path: str, floor: str = "") -> Operation:
    """One REST list, again and again."""
    below = (lambda bed: [Request("GET", floor, key_of(who))]) if floor else None
    return Operation(name, who, lambda bed: [Request("GET", path, key_of(who))], below)


def get_operation(who: str) -> Operation:
    """One lead after another."""

    def requests(prefix: str, bed: TestBed) -> list[Request]:
        ids = bed.mine if who == generate.SALES else bed.any
        return [Request("GET", f"{prefix}{key}", key_of(who)) for key in ids[:1000]]

    below = (lambda bed: requests("/get/", bed)) if who == generate.SALES else None
    return Operation("get one lead", who, lambda bed: requests("/api/v1/lead/", bed), below)


def create_requests(bed: TestBed) -> list[Request]:
    """New leads with unused mobile numbers."""
    requests = []
    for _ in range(12_000):
        bed.serial += 1
        mobile, email = generate.mobile(10**8 + bed.serial), f"new{bed.serial}@bench.example"
        body = {"first_name": "Bench", "last_name": f"Person {bed.serial}", "mobile": mobile, "email": email}
        requests.append(Request("POST", "/api/v1/lead/", key_of(generate.SALES) | JSON, json.dumps(body)))
    return requests


def status_requests(bed: TestBed) -> list[Request]:
    """The user's leads, to and fro between two statuses without required fields; each request is a real change."""
    pair = [bed.status["Contacted"], bed.status["Nurture"]]
    rows = bed.query("SELECT id, status_id FROM leads WHERE id IN %s", bed.mine)
    now = {key: status for key, status in rows if status in pair}
    requests = []
    while now and len(requests) < 12_000:
        for key, status in now.items():
            now[key] = pair[0] if status == pair[1] else pair[1]
            body = json.dumps({"status": now[key]})
            requests.append(Request("PUT", f"/api/v1/lead/{key}", key_of(generate.SALES) | JSON, body))
    return requests


def task_requests(bed: TestBed) -> list[Request]:
    """New tasks of the user's leads."""
    requests = []
    for n in range(12_000):
        body = {
            "title": f"Call {n}",
            "lead": bed.mine[n % len(bed.mine)],
            "priority": "Medium",
            "due_on": f"2027-01-{n % 28 + 1:02d}T10:00:00Z",
        }
        requests.append(Request("POST", "/api/v1/task/", key_of(generate.SALES) | JSON, json.dumps(body)))
    return requests


def screen_operation(name: str, who: str, *paths: str) -> Operation:
    """Pages in a signed-in browser; {id} is replaced by the id of a lead."""

    def requests(bed: TestBed) -> list[Request]:
        cookie = {"Cookie": "; ".join(f"{name}={value}" for name, value in bed.cookies[who].items())}
        ids = (bed.mine if who == generate.SALES else bed.any)[:500]
        wanted = [path.format(id=key) for path in paths for key in (ids if "{id}" in path else ids[:1])]
        return [Request("GET", path, cookie) for path in wanted]

    return Operation(name, who, requests)


def operations(bed: TestBed, sizes: generate.Sizes) -> list[Operation]:
    """All operations."""
    contacted = bed.status["Contacted"]
    by_status = (
        f"(filters:!((col:status,opr:eq,value:{contacted})),order_column:changed_on,order_direction:desc,page_size:20)"
    )
    deep = {generate.SALES: max(0, sizes.leads // generate.SHARE // 20 - 10), generate.MANAGER: sizes.leads // 40}
    found = []
    for who in (generate.SALES, generate.MANAGER):
        floors = ("/list/20", "/list/100") if who == generate.SALES else ("", "")
        found += [
            list_operation("REST list 20 newest", who, f"{LIST}(page:0,page_size:20)", floors[0]),
            list_operation("REST list 100 newest", who, f"{LIST}(page:0,page_size:100)", floors[1]),
            list_operation("REST list 20, status, by change", who, LIST + by_status),
            list_operation(f"REST list 20, page {deep[who]:,}", who, f"{LIST}(page:{deep[who]},page_size:20)"),
            get_operation(who),
        ]
    changes = {"create a lead": create_requests, "change a status": status_requests, "create a task": task_requests}
    found += [Operation(name, generate.SALES, requests) for name, requests in changes.items()]
    for who in (generate.SALES, generate.MANAGER):
        found += [
            screen_operation("screen: list of leads", who, "/leads/"),
            screen_operation("screen: a lead", who, "/leads/show/{id}"),
            screen_operation("screen: home", who, "/"),
        ]
    return found


# --- sign-in -----------------------------------------------------------------------------------------------------

_TOKEN = re.compile(r'name="csrf_token"[^>]*value="([^"]+)"')


def sign_in(browser: Browser, who: str) -> Browser:
    """Sign in. Raises ServerFailed."""
    port = browser.connection.port
    _, _, page = browser.send(Request("GET", "/login/"))
    token = _TOKEN.search(page)
    form = {"username": who, "password": generate.PASSWORD} | ({"csrf_token": html.unescape(token[1])} if token else {})
    kind = {"Content-Type": "application/x-www-form-urlencoded", "Referer": f"http://127.0.0.1:{port}/login/"}
    status, headers, _ = browser.send(Request("POST", "/login/", kind, urlencode(form)))
    if status not in (302, 303) or "/login" in headers.get("location", ""):
        raise ServerFailed(f"{who} cannot sign in: {status} {headers.get('location', '')}")
    return browser


def measure_sign_in(bed: TestBed, options: Options, names: list[str]) -> Result:
    """Measure the sign-in form, by another user each time; with Python threads, because it takes two requests."""
    result = Result(Operation("sign in (2 requests)", "salespeople", lambda _bed: []))

    def act(n: int) -> bool:
        try:
            # Another address each time: the product limits attempts by address.
            address = f"127.1.{n // 250 % 250}.{n % 250 + 1}"
            with Browser(bed.product.port, address) as browser:
                sign_in(browser, names[n % len(names)])
        except (ServerFailed, OSError):
            return False
        return True

    for connections in CONNECTIONS:
        result.figures["ours", connections] = [load.run_threads(act, connections, options.seconds)]
    return result


# --- measuring ---------------------------------------------------------------------------------------------------


def check_first(result: Result, bed: TestBed) -> None:
    """Send a few requests: whether they succeed, with how many statements and bytes."""
    requests, browser = result.operation.requests(bed), Browser(bed.product.port)
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


def compare_with_floor(bed: TestBed) -> str:
    """Compare the responses of the floor with the product's: "" or what differs."""
    found = []
    one = bed.mine[0]
    for ours, below in ((f"{LIST}(page:0,page_size:20)", "/list/20"), (f"/api/v1/lead/{one}", f"/get/{one}")):
        for port, path in ((bed.product.port, ours), (bed.floor.port, below)):
            found.append(json.loads(Browser(port).send(Request("GET", path, key_of(generate.SALES)))[2]))
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


def measure(result: Result, bed: TestBed, options: Options) -> None:
    """Measure the product and the floor in turn, over one connection and over eight."""
    operation = result.operation
    for _ in range(options.rounds):
        for connections in CONNECTIONS:
            sides = [("ours", bed.product.port, operation.requests)]
            sides += [("floor", bed.floor.port, operation.floor)] if operation.floor else []
            for side, port, requests in sides:
                figures = load.send_load(port, requests(bed), connections, options.seconds)
                result.figures.setdefault((side, connections), []).append(figures)


@contextlib.contextmanager
def running(data: Path, folder: Path, options: Options, counting: bool) -> Iterator[TestBed]:
    """Database, product and floor, running."""
    with contextlib.ExitStack() as servers:
        database = servers.enter_context(server.Database(folder, server.CACHE / "empty", *server.MEASURING))
        product = server.Product(folder / "product", database.address, options.workers, options.threads, counting)
        floor = server.Floor(folder / "floor", database, options.workers, options.threads)
        servers.enter_context(product)
        bed = TestBed(database, product, servers.enter_context(floor))
        bed.mine = [row[0] for row in bed.query(_MINE, generate.SALES)]
        bed.any = [row[0] for row in bed.query("SELECT id FROM leads WHERE id % 97 = 0 LIMIT 2000")]
        random.Random(generate.SEED).shuffle(bed.mine)
        bed.status = dict(bed.query("SELECT label, id FROM lead_status"))
        bed.serial = int(time.time()) % 10_000_000 * 10
        bed.cookies = {who: _cookies(product.port, who) for who in (generate.SALES, generate.MANAGER)}
        yield bed


_MINE = """SELECT l.id FROM leads l JOIN ab_user u ON u.id = l.assignee_id WHERE u.username = %s
    ORDER BY l.id DESC LIMIT 5000"""


def _cookies(port: int, who: str) -> dict[str, str]:
    try:
        return sign_in(Browser(port), who).cookies
    except ServerFailed as failed:
        print(f"  {failed}")
        return {}


def run(options: Options) -> int:
    """Run the benchmark. Returns the number of operations that failed or had errors."""
    sizes = generate.Sizes.of(options.leads)
    print(f"Filling {sizes} …", flush=True)
    data, took = server.filled_data_folder(sizes)
    print(f"  {took or 'kept from an earlier run'}: {data}")
    folder = server.scratch()
    try:
        server.copy_data(data, folder)
        results, notes = _measure_all(data, folder, options, sizes)
    finally:
        if options.keep:
            print(f"Kept: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    report = report_page(results, notes | {"Filling": _filling_text(took)}, options, sizes)
    options.results.parent.mkdir(parents=True, exist_ok=True)
    options.results.write_text(report)
    print(report)
    return sum(bool(each.failure or each.errors) for each in results)


def _filling_text(took: dict[str, float]) -> str:
    if not took:
        return "kept from an earlier run"
    return f"{took['rows']:,.0f} rows in {took['fill']:.0f} s (indexes included)"


def _measure_all(
    data: Path, folder: Path, options: Options, sizes: generate.Sizes
) -> tuple[list[Result], dict[str, str]]:
    # First with counting of statements; then restarted without it, to measure.
    with running(data, folder, options, counting=True) as bed:
        wanted = [each for each in operations(bed, sizes) if options.only.lower() in f"{each.name} {each.who}".lower()]
        results = [Result(operation) for operation in wanted]
        for result in results:
            check_first(result, bed)
        notes = {"Ours and the floor answer alike": compare_with_floor(bed) or "yes"}
    with running(data, folder, options, counting=False) as bed:
        load.send_load(bed.product.port, [Request("GET", f"{LIST}(page_size:20)", key_of(generate.SALES))], 8, 2)
        notes["Memory when idle"] = _memory(bed)
        busy = os.getloadavg()[1]
        for result in results:
            print(f"  {result.operation.name} ({result.operation.who}) {result.failure}", flush=True)
            if result.failure:
                continue
            try:
                measure(result, bed, options)
            except load.NoAnswer as nothing:
                result.failure = f"{nothing}; {bed.restart_ended()}"
        if options.only.lower() in "sign in":
            names = [row[0] for row in bed.query("SELECT username FROM ab_user WHERE username LIKE 'sales_%'")]
            results.append(measure_sign_in(bed, options, names))
        notes["Others at work"] = (
            f"load average of the five minutes before {busy:.1f}; believe it only when well under 1"
        )
        notes["Memory at the end"] = _memory(bed)
        notes["MariaDB"] = str(bed.query("SELECT VERSION()")[0][0])
    return results, notes


def _memory(bed: TestBed) -> str:
    named = {"ours": bed.product.pid, "floor": bed.floor.pid, "MariaDB": bed.database.pid}
    return "; ".join(f"{name} {' + '.join(map(str, server.memory(pid)))} MB" for name, pid in named.items())


# --- the report --------------------------------------------------------------------------------------------------


def report_page(results: list[Result], notes: dict[str, str], options: Options, sizes: generate.Sizes) -> str:
    """The page of results, as Markdown."""
    lines = ["# Results of `python -m bench`", "", *_conditions(notes, options, sizes), "", *_head()]
    lines += [_line(result) for result in results]
    return "\n".join([*lines, "", *_LEGEND, ""])


_LEGEND = (
    "p50 and p95 in milliseconds, over 1 and over 8 connections; each figure is the median of the rounds. “SQL”: the",
    "statements of a request, those that find out who asks included. “of the floor”: ours at 8 connections against a",
    "bare Flask route with the same statements (bench/floor.py), measured in turn. See bench/README.md.",
)


def _head() -> list[str]:
    names = (
        "operation",
        "who",
        "p50 (1)",
        "p95 (1)",
        "p50 (8)",
        "p95 (8)",
        "requests/s (8)",
        "SQL",
        "bytes",
        "errors",
        "floor p50 (1)",
        "floor requests/s (8)",
        "of the floor",
    )
    return [f"| {' | '.join(names)} |", f"|---|---|{'---:|' * (len(names) - 2)}"]


def _line(result: Result) -> str:
    name, who = result.operation.name, result.operation.who
    if result.failure:
        return f"| {name} | {who} | **{result.failure}** |" + " |" * 10
    one, eight = CONNECTIONS
    rate, below = result.of("ours", eight, "rate"), result.of("floor", eight, "rate")
    cells = [
        _ms(result.of("ours", one, "p50")),
        _ms(result.of("ours", one, "p95")),
        _ms(result.of("ours", eight, "p50")),
        _ms(result.of("ours", eight, "p95")),
        _rate(rate),
        result.statements,
        f"{result.size:,}" if result.size else "",
        str(result.errors),
        _ms(result.of("floor", one, "p50")),
        _rate(below),
        f"{rate / below:.0%}" if rate and below else "",
    ]
    return f"| {name} | {who} | {' | '.join(cells)} |"


def _ms(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


def _rate(value: float | None) -> str:
    return "" if value is None else (f"{value:.0f}" if value >= 20 else f"{value:.1f}")


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
        "Serving": f"gunicorn, {options.workers} workers × {options.threads} threads, no minute jobs; the floor too",
        "Data": counted,
        "People": f"{generate.SALES}: Sales User with {sizes.leads // generate.SHARE:,} of the leads; "
        f"{generate.MANAGER}: sees all",
        "Database": "innodb_buffer_pool_size 1G, innodb_flush_log_at_trx_commit 1",
        "Load": f"{tool}, {options.seconds:g} s each, {options.rounds} rounds, ours and floor in turn",
        **notes,
    }
    return [f"- {name}: {text}" for name, text in facts.items()]


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()
