"""The benchmark: fills, starts, measures ours and the floor in turn, and writes bench/results/latest.md."""

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
from bench.load import Ask, Figures, Visit
from tests.servers import ServerFailed

RESULTS = Path(__file__).parent / "results" / "latest.md"
CONNECTIONS = (1, 8)
JSON = {"Content-Type": "application/json"}
LIST = "/api/v1/lead/?q="


@dataclass(frozen=True)
class Options:
    """What the command line says."""

    leads: int = 200_000
    seconds: float = 5.0
    rounds: int = 2
    workers: int = 2
    threads: int = 4
    only: str = ""
    keep: bool = False
    results: Path = RESULTS


@dataclass
class House:
    """What is being measured: the servers, and the ids to ask for."""

    database: server.Database
    product: server.Product
    floor: server.Floor
    mine: list[int] = field(default_factory=list)
    any: list[int] = field(default_factory=list)
    status: dict[str, int] = field(default_factory=dict)
    cookies: dict[str, dict[str, str]] = field(default_factory=dict)
    serial: int = 0

    def revive(self) -> str:
        """Start again what has ended; says what that was."""
        ended = [each for each in (self.product, self.floor) if each.process is None or each.process.poll() is not None]
        said = [f"{type(each).__name__} ended with {each.process and each.process.returncode}" for each in ended]
        for each in ended:
            print(each.last_words())
            each.start()
        return ", ".join(said) or "all of them run"

    def ask(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Look into the database."""
        with contextlib.closing(self.database.connect(server.DATABASE)) as connection, connection.cursor() as cursor:
            cursor.execute(statement, values or None)
            return list(cursor.fetchall())


@dataclass(frozen=True)
class Operation:
    """Something people or machines do. `asks` makes the requests of one measurement."""

    name: str
    who: str
    asks: Callable[[House], list[Ask]]
    floor: Callable[[House], list[Ask]] | None = None


@dataclass
class Result:
    """Measurements of one operation by (ours or floor, connections), and what one request showed."""

    operation: Operation
    figures: dict[tuple[str, int], list[Figures]] = field(default_factory=dict)
    statements: str = "?"
    size: int = 0
    trouble: str = ""

    def of(self, side: str, connections: int, name: str) -> float | None:
        """The median over the rounds."""
        found = self.figures.get((side, connections))
        return statistics.median(getattr(each, name) for each in found) if found else None

    @property
    def errors(self) -> int:
        """Failed requests of ours, all measurements together."""
        return sum(each.errors for (side, _), found in self.figures.items() if side == "ours" for each in found)


# --- the operations ----------------------------------------------------------------------------------------------


def key_of(who: str) -> dict[str, str]:
    """The header of an API key."""
    return {"Authorization": f"token {generate.key_of(who)}:{generate.secret_of(who)}"}


def reading(name: str, who: str, path: str, floor: str = "") -> Operation:
    """One address of REST, again and again."""
    below = (lambda house: [Ask("GET", floor, key_of(who))]) if floor else None
    return Operation(name, who, lambda house: [Ask("GET", path, key_of(who))], below)


def getting(who: str) -> Operation:
    """One lead after the other."""

    def asks(prefix: str, house: House) -> list[Ask]:
        ids = house.mine if who == generate.SALES else house.any
        return [Ask("GET", f"{prefix}{key}", key_of(who)) for key in ids[:1000]]

    below = (lambda house: asks("/get/", house)) if who == generate.SALES else None
    return Operation("get one lead", who, lambda house: asks("/api/v1/lead/", house), below)


def creating(house: House) -> list[Ask]:
    """Leads with numbers that nobody has."""
    asks = []
    for _ in range(12_000):
        house.serial += 1
        mobile, email = generate.mobile(10**8 + house.serial), f"new{house.serial}@bench.example"
        body = {"first_name": "Bench", "last_name": f"Person {house.serial}", "mobile": mobile, "email": email}
        asks.append(Ask("POST", "/api/v1/lead/", key_of(generate.SALES) | JSON, json.dumps(body)))
    return asks


def moving(house: House) -> list[Ask]:
    """One's own leads to and fro between two statuses without a gate, each request a real change."""
    pair = [house.status["Contacted"], house.status["Nurture"]]
    rows = house.ask("SELECT id, status_id FROM leads WHERE id IN %s", house.mine)
    now = {key: status for key, status in rows if status in pair}
    asks = []
    while now and len(asks) < 12_000:
        for key, status in now.items():
            now[key] = pair[0] if status == pair[1] else pair[1]
            body = json.dumps({"status": now[key]})
            asks.append(Ask("PUT", f"/api/v1/lead/{key}", key_of(generate.SALES) | JSON, body))
    return asks


def tasking(house: House) -> list[Ask]:
    """Tasks of one's own leads."""
    asks = []
    for n in range(12_000):
        body = {
            "title": f"Call {n}",
            "lead": house.mine[n % len(house.mine)],
            "priority": "Medium",
            "due_on": f"2027-01-{n % 28 + 1:02d}T10:00:00Z",
        }
        asks.append(Ask("POST", "/api/v1/task/", key_of(generate.SALES) | JSON, json.dumps(body)))
    return asks


def screen(name: str, who: str, *paths: str) -> Operation:
    """Pages for a signed-in browser; {id} stands for a lead."""

    def asks(house: House) -> list[Ask]:
        cookie = {"Cookie": "; ".join(f"{name}={value}" for name, value in house.cookies[who].items())}
        ids = (house.mine if who == generate.SALES else house.any)[:500]
        wanted = [path.format(id=key) for path in paths for key in (ids if "{id}" in path else ids[:1])]
        return [Ask("GET", path, cookie) for path in wanted]

    return Operation(name, who, asks)


def operations(house: House, sizes: generate.Sizes) -> list[Operation]:
    """All that is measured."""
    contacted = house.status["Contacted"]
    by_status = (
        f"(filters:!((col:status,opr:eq,value:{contacted})),order_column:changed_on,order_direction:desc,page_size:20)"
    )
    deep = {generate.SALES: max(0, sizes.leads // generate.SHARE // 20 - 10), generate.MANAGER: sizes.leads // 40}
    found = []
    for who in (generate.SALES, generate.MANAGER):
        is_sales = who == generate.SALES
        found += [
            reading("REST list 20 newest", who, f"{LIST}(page:0,page_size:20)", "/list/20" if is_sales else ""),
            reading("REST list 100 newest", who, f"{LIST}(page:0,page_size:100)", "/list/100" if is_sales else ""),
            reading("REST list 20, status, by change", who, LIST + by_status),
            reading(f"REST list 20, page {deep[who]:,}", who, f"{LIST}(page:{deep[who]},page_size:20)"),
            getting(who),
        ]
    found += [
        Operation(name, generate.SALES, asks)
        for name, asks in (("create a lead", creating), ("change a status", moving), ("create a task", tasking))
    ]
    for who in (generate.SALES, generate.MANAGER):
        found += [
            screen("screen: list of leads", who, "/leads/"),
            screen("screen: a lead", who, "/leads/show/{id}"),
            screen("screen: home", who, "/"),
        ]
    return found


# --- signing in --------------------------------------------------------------------------------------------------

_TOKEN = re.compile(r'name="csrf_token"[^>]*value="([^"]+)"')


def sign_in(visit: Visit, who: str) -> Visit:
    """Sign the browser in. Raises ServerFailed."""
    port = visit.connection.port
    _, _, page = visit.send(Ask("GET", "/login/"))
    token = _TOKEN.search(page)
    form = {"username": who, "password": generate.PASSWORD} | ({"csrf_token": html.unescape(token[1])} if token else {})
    kind = {"Content-Type": "application/x-www-form-urlencoded", "Referer": f"http://127.0.0.1:{port}/login/"}
    status, headers, _ = visit.send(Ask("POST", "/login/", kind, urlencode(form)))
    if status not in (302, 303) or "/login" in headers.get("location", ""):
        raise ServerFailed(f"{who} cannot sign in: {status} {headers.get('location', '')}")
    return visit


def signing_in(house: House, options: Options, names: list[str]) -> Result:
    """The form and the password, by other people each time; Python threads, for it takes two requests."""
    result = Result(Operation("sign in (2 requests)", "salespeople", lambda _house: []))

    def act(n: int) -> bool:
        try:
            # A new address each: the product lets one address try so often a minute only.
            address = f"127.1.{n // 250 % 250}.{n % 250 + 1}"
            with Visit(house.product.port, address) as visit:
                sign_in(visit, names[n % len(names)])
        except (ServerFailed, OSError):
            return False
        return True

    for connections in CONNECTIONS:
        result.figures["ours", connections] = [load.hammer(act, connections, options.seconds)]
    return result


# --- measuring ---------------------------------------------------------------------------------------------------


def preflight(result: Result, house: House) -> None:
    """A few requests by hand: does it answer at all, with how many statements and bytes?"""
    asks, visit = result.operation.asks(house), Visit(house.product.port)
    counts = []
    for ask in asks[:3] * (1 if len(asks) >= 3 else 3):
        status, headers, body = visit.send(ask)
        if status >= 300:
            said = re.sub(r"<[^>]*>|\s+|\|", " ", headers.get("location") or body)
            result.trouble = f"{status} {' '.join(said.split())[:100]}"
            return
        counts.append(int(headers.get("x-sql-count", -1)))
        result.size = len(body.encode())
    # The first may have filled a cache of the process.
    result.statements = str(min(counts)) if max(counts) >= 0 else "?"


def same_answer(house: House) -> str:
    """Whether the floor answers what ours answers; "" or what differs."""
    found = []
    one = house.mine[0]
    for ours, below in ((f"{LIST}(page:0,page_size:20)", "/list/20"), (f"/api/v1/lead/{one}", f"/get/{one}")):
        for port, path in ((house.product.port, ours), (house.floor.port, below)):
            found.append(json.loads(Visit(port).send(Ask("GET", path, key_of(generate.SALES)))[2]))
    differences = _differences(found[0], found[1]) + _differences(found[2], found[3])
    return ", ".join(sorted(set(differences)))


def _differences(ours: Any, below: Any, where: str = "") -> list[str]:
    """The places where two answers are not the same."""
    if isinstance(ours, dict) and isinstance(below, dict):
        keys = ours.keys() | below.keys()
        return [each for key in keys for each in _differences(ours.get(key), below.get(key), f"{where}.{key}")]
    if isinstance(ours, list) and isinstance(below, list) and len(ours) == len(below):
        return [each for pair in zip(ours, below, strict=True) for each in _differences(*pair, f"{where}[]")]
    return [] if ours == below else [where.lstrip(".") or "everything"]


def measure(result: Result, house: House, options: Options) -> None:
    """Ours and the floor in turn, over one connection and over eight."""
    operation = result.operation
    for _ in range(options.rounds):
        for connections in CONNECTIONS:
            sides = [("ours", house.product.port, operation.asks)]
            sides += [("floor", house.floor.port, operation.floor)] if operation.floor else []
            for side, port, asks in sides:
                figures = load.fire(port, asks(house), connections, options.seconds)
                result.figures.setdefault((side, connections), []).append(figures)


@contextlib.contextmanager
def standing(data: Path, folder: Path, options: Options, counting: bool) -> Iterator[House]:
    """Database, product and floor, running."""
    with contextlib.ExitStack() as servers:
        database = servers.enter_context(server.Database(folder, server.CACHE / "empty", *server.MEASURING))
        product = server.Product(folder / "product", database.address, options.workers, options.threads, counting)
        floor = server.Floor(folder / "floor", database, options.workers, options.threads)
        servers.enter_context(product)
        house = House(database, product, servers.enter_context(floor))
        house.mine = [row[0] for row in house.ask(_MINE, generate.SALES)]
        house.any = [row[0] for row in house.ask("SELECT id FROM leads WHERE id % 97 = 0 LIMIT 2000")]
        random.Random(generate.SEED).shuffle(house.mine)
        house.status = dict(house.ask("SELECT label, id FROM lead_status"))
        house.serial = int(time.time()) % 10_000_000 * 10
        house.cookies = {who: _cookies(product.port, who) for who in (generate.SALES, generate.MANAGER)}
        yield house


_MINE = """SELECT l.id FROM leads l JOIN ab_user u ON u.id = l.assignee_id WHERE u.username = %s
    ORDER BY l.id DESC LIMIT 5000"""


def _cookies(port: int, who: str) -> dict[str, str]:
    try:
        return sign_in(Visit(port), who).cookies
    except ServerFailed as failed:
        print(f"  {failed}")
        return {}


def run(options: Options) -> int:
    """The whole benchmark; the number of operations that did not answer or had errors."""
    sizes = generate.Sizes.of(options.leads)
    print(f"Filling {sizes} …", flush=True)
    data, took = server.filled(sizes)
    print(f"  {took or 'kept from an earlier run'}: {data}")
    folder = server.scratch()
    try:
        server.copy_of(data, folder)
        results, notes = _measured(data, folder, options, sizes)
    finally:
        if options.keep:
            print(f"Kept: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    report = written(results, notes | {"Filling": _took(took)}, options, sizes)
    options.results.parent.mkdir(parents=True, exist_ok=True)
    options.results.write_text(report)
    print(report)
    return sum(bool(each.trouble or each.errors) for each in results)


def _took(took: dict[str, float]) -> str:
    if not took:
        return "kept from an earlier run"
    return f"{took['rows']:,.0f} rows in {took['fill']:.0f} s (indexes included)"


def _measured(data: Path, folder: Path, options: Options, sizes: generate.Sizes) -> tuple[list[Result], dict[str, str]]:
    # Once with counting, to see the statements; then anew without, to measure.
    with standing(data, folder, options, counting=True) as house:
        wanted = [
            each for each in operations(house, sizes) if options.only.lower() in f"{each.name} {each.who}".lower()
        ]
        results = [Result(operation) for operation in wanted]
        for result in results:
            preflight(result, house)
        notes = {"Ours and the floor answer alike": same_answer(house) or "yes"}
    with standing(data, folder, options, counting=False) as house:
        load.fire(house.product.port, [Ask("GET", f"{LIST}(page_size:20)", key_of(generate.SALES))], 8, 2)
        notes["Memory when idle"] = _memory(house)
        busy = os.getloadavg()[1]
        for result in results:
            print(f"  {result.operation.name} ({result.operation.who}) {result.trouble}", flush=True)
            if result.trouble:
                continue
            try:
                measure(result, house, options)
            except load.NothingAnswers as nothing:
                result.trouble = f"{nothing}; {house.revive()}"
        if options.only.lower() in "sign in":
            names = [row[0] for row in house.ask("SELECT username FROM ab_user WHERE username LIKE 'sales_%'")]
            results.append(signing_in(house, options, names))
        notes["Others at work"] = (
            f"load average of the five minutes before {busy:.1f}; believe it only when well under 1"
        )
        notes["Memory at the end"] = _memory(house)
        notes["MariaDB"] = str(house.ask("SELECT VERSION()")[0][0])
    return results, notes


def _memory(house: House) -> str:
    named = {"ours": house.product.pid, "floor": house.floor.pid, "MariaDB": house.database.pid}
    return "; ".join(f"{name} {' + '.join(map(str, server.memory(pid)))} MB" for name, pid in named.items())


# --- the report --------------------------------------------------------------------------------------------------


def written(results: list[Result], notes: dict[str, str], options: Options, sizes: generate.Sizes) -> str:
    """The page of results."""
    lines = ["# Results of `python -m bench`", "", *_circumstances(notes, options, sizes), "", *_head()]
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
    if result.trouble:
        return f"| {name} | {who} | **{result.trouble}** |" + " |" * 10
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


def _circumstances(notes: dict[str, str], options: Options, sizes: generate.Sizes) -> list[str]:
    counted = ", ".join(f"{getattr(sizes, name):,} {name}" for name in sizes.__annotations__)
    packages = ("Flask", "Flask-AppBuilder", "SQLAlchemy", "PyMySQL", "gunicorn")
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    tool = "wrk" if load.has_wrk() else "Python threads (no wrk here; they cost more than wrk)"
    said = {
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
    return [f"- {name}: {text}" for name, text in said.items()]


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()
