"""How long the pages of daily work take among 200,000 leads: lists, boards, records, search.

    python -m bench.pages [--leads 200000] [--rounds 20] [--browser]

starts a private MariaDB on a copy of the data, and prints one line per person and page: median and 95th percentile of
whole requests in milliseconds, processor time of the request and of MariaDB beside it (what a busy machine leaves
right), statements, and the HTML in kB, plain and compressed. A page above the goals of GOALS is marked.

With `--browser` also starts the product, opens the pages in Chromium, and prints until when they could be used, and
what a first visit transfers of scripts and styles.
"""

from __future__ import annotations

import argparse
import gzip
import shutil
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import select

from app import access, create_app
from app.extensions import db
from app.models import Lead, Ticket
from app.ops.database.connections import STATEMENTS
from bench import generate, server
from bench.dashboards import sign_in
from tests.app_fixtures import Colleague, UserClient, settings_for
from tests.servers import browser_program

PEOPLE = (generate.MANAGER, generate.SALES, generate.SUPPORT)
#: Statements at most, by kind of page; milliseconds of a request; the HTML of a list in kB.
GOALS = {"list": 7, "board": 8, "record": 14, "search": 6}
GOAL_MS, GOAL_HTML, GOAL_USABLE_MS, GOAL_FILES = 100, 40, 1000, 150
FILES = """() => performance.getEntriesByType('resource')
  .filter((each) => /\\.(js|css)$/.test(new URL(each.name).pathname))
  .reduce((sum, each) => sum + each.encodedBodySize, 0)"""
USABLE = "() => performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd"


@dataclass(frozen=True)
class Cost:
    """What a page costs; times in milliseconds, sizes in kB."""

    half: float
    most: float
    cpu: float
    database_cpu: float
    statements: int
    html: float
    packed: float

    def misses(self, kind: str) -> bool:
        """Whether it is above a goal; its time by the processor time, which other work on the machine leaves right."""
        is_heavy = kind == "list" and self.html > GOAL_HTML
        return self.cpu + self.database_cpu > GOAL_MS or self.statements > GOALS[kind] or is_heavy


def pages(session: Any, who: Colleague) -> list[tuple[str, str]]:
    """(kind, address) of what is measured for this person."""
    found = [
        *(("list", path) for path in ("/leads/", "/leads/?q=asha", "/leads/?_flt_eq_status=New", "/tickets/")),
        *(("list", path) for path in ("/customers/", "/tasks/", "/calls/")),
        *(("board", f"/{name}/?layout=board") for name in ("leads", "tickets", "tasks")),
        *(("search", f"/search/hits?q={text}") for text in ("asha", "98200", "asha pat", "meht", "pstel")),
    ]
    for model, path in ((Lead, "/leads/show/"), (Ticket, "/tickets/show/")):
        mine = select(model.id).where(model.assignee_id == who.id).order_by(model.id.desc()).limit(1)
        found += [("record", f"{path}{key}") for key in session.scalars(mine)]
    return found


def cost_of(client: UserClient, path: str, rounds: int, database: server.Database) -> Cost | None:
    """What this page costs with all caches filled; None for who has no such page."""
    answers = [client.screen(path) for _each in range(2)]
    if answers[-1].status_code != 200:
        return None
    body = answers[-1].get_data()
    body = gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body
    took: list[float] = []
    sent: list[str] = []
    cpu, beside = time.process_time(), server.cpu_seconds(database.pid)
    for _each in range(rounds):
        sent = []
        token, start = STATEMENTS.set(sent), time.perf_counter()
        client.screen(path)
        took.append((time.perf_counter() - start) * 1000)
        STATEMENTS.reset(token)
    cpu, beside = time.process_time() - cpu, server.cpu_seconds(database.pid) - beside
    return Cost(
        statistics.median(took),
        sorted(took)[max(0, round(0.95 * rounds) - 1)],
        cpu * 1000 / rounds,
        beside * 1000 / rounds,
        len(sent),
        len(body) / 1000,
        len(gzip.compress(body, 6)) / 1000,
    )


def measure(app: Any, database: server.Database, rounds: int) -> int:
    """Print what each page costs. Returns how many miss a goal."""
    with app.app_context(), access.as_system(db.session()) as session:
        plan = [(who, pages(session, who)) for who in (sign_in(session, name) for name in PEOPLE)]
        session.commit()
    print("who\tpage\tp50\tp95\tCPU\tof MariaDB\tstatements\tHTML kB\tcompressed kB")
    missed = 0
    for who, paths in plan:
        client = UserClient(app, who)
        for kind, path in paths:
            found = cost_of(client, path, rounds, database)
            if found is None:
                continue
            missed += found.misses(kind)
            times = [f"{each:.0f}" for each in (found.half, found.most, found.cpu, found.database_cpu)]
            sizes = [f"{each:.1f}" for each in (found.html, found.packed)]
            mark = "  above a goal" if found.misses(kind) else ""
            print(who.username, path, *times, found.statements, *sizes, mark, sep="\t", flush=True)
    return missed


def look(folder: Path, database: server.Database) -> int:
    """Open the pages in Chromium and print when they could be used. Returns how many miss a goal."""
    from playwright.sync_api import sync_playwright

    missed = 0
    with (
        server.Product(folder / "product", database.address, workers=1, threads=16) as product,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=browser_program())
        for path in ("/", "/leads/", "/leads/?layout=board", "/tickets/"):
            first, again, files = _visit(browser, product.url, path)
            is_missed = again > GOAL_USABLE_MS or files > GOAL_FILES
            missed += is_missed
            print(
                f"{path}\tusable after {first:.0f} ms at the first visit, {again:.0f} ms after"
                f"\t{files:.1f} kB of scripts and styles{'  above a goal' if is_missed else ''}",
                flush=True,
            )
    return missed


def _visit(browser: Any, url: str, path: str) -> tuple[float, float, float]:
    """Milliseconds until a page could be used, with an empty cache and with a full one; kB of scripts and styles."""
    context = browser.new_context(viewport={"width": 1440, "height": 900}, service_workers="block")
    page = context.new_page()
    page.goto(f"{url}/login/")
    page.fill("#username", generate.SALES)
    page.fill("#password", generate.PASSWORD)
    page.click("form[name=login] button[type=submit]")
    page.wait_for_load_state("networkidle")
    cookies = context.cookies()
    context.close()
    context = browser.new_context(viewport={"width": 1440, "height": 900}, service_workers="block")
    context.add_cookies(cookies)
    page = context.new_page()
    page.goto(url + path)
    page.wait_for_load_state("networkidle")
    first, files = page.evaluate(USABLE), page.evaluate(FILES) / 1000
    times = []
    for _each in range(5):
        page.goto(url + path)
        page.wait_for_load_state("networkidle")
        times.append(page.evaluate(USABLE))
    context.close()
    return first, statistics.median(times), files


def main() -> int:
    """Returns 1 if a page misses a goal."""
    parser = argparse.ArgumentParser(prog="python -m bench.pages", description=__doc__.splitlines()[0])
    parser.add_argument("--leads", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--browser", action="store_true", help="also open the pages in Chromium")
    options = parser.parse_args()
    folder, data = server.scratch(), server.filled_data_folder(generate.Sizes.of(options.leads))[0]
    try:
        server.copy_data(data, folder / "db")
        with server.Database(folder / "db", server.CACHE / "empty", *server.MEASURING) as database:
            settings = settings_for(
                folder, CRM_DATABASE_URL=database.address, CRM_FIELD_KEY=server.FIELD_KEY, CRM_SCHEDULER="off"
            )
            app = create_app(settings, TESTING=True)
            missed = measure(app, database, options.rounds)
            with app.app_context():
                db.engine.dispose()
            if options.browser:
                missed += look(folder, database)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
