"""The cost of large imports and exports on MariaDB: lists, files, everything at once; and kill -9 during each.

python -m bench.data --leads 200000 --rows 100000      # some minutes; bench/results/data.md

Each command is a process with its own memory peak. A killed one is continued by the same command or by a server; then
the rows are counted: none is missing or duplicated.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from app.demo.sample_text import FIRST, LAST
from bench import generate, server
from tests.servers import ROOT, eventually

RESULTS = Path(__file__).parent / "results" / "data.md"
USER = "bench_mover"
_TIME = "/usr/bin/time"
_ATTACH = (
    "INSERT INTO attachment (created_on, changed_on, lead_id, name, mime_type, size, digest, series, number, scan) "
    "SELECT NOW(), NOW(), MIN(id), 'big.pdf', 'application/pdf', 24000000, %s, %s, 1, 'off' FROM leads"
)
_TAKEN = "SELECT COUNT(*) FROM former_name WHERE doctype = "


@dataclass
class Bed:
    """The database, and the rows of the result page."""

    database: server.Database
    folder: Path
    product: server.Product
    rows: list[tuple[str, str]] = field(default_factory=list)

    def command(self, *words: str) -> list[str]:
        """The command line of a command of the product."""
        return [sys.executable, "-m", "flask", "--app", "run", *words]

    def env(self) -> dict[str, str]:
        """Its environment."""
        return dict(self.product.environment()) | {"CRM_SCHEDULER": "off"}

    def measured(self, title: str, *words: str) -> str:
        """Run it; record its duration, processor time and peak memory. Returns its output."""
        before = self.database_cpu()
        line = [_TIME, "-f", "%e %U %S %M", *self.command(*words)]
        done = subprocess.run(line, cwd=ROOT, env=self.env(), capture_output=True, text=True)
        last = done.stderr.strip().splitlines()[-1].split()
        if done.returncode:
            raise SystemExit(f"{title}: {done.stdout[-500:]} {done.stderr[-1500:]}")
        took, user, system, peak = (float(each) for each in last)
        beside = self.database_cpu() - before
        figure = f"{took:.1f} s; CPU {user + system:.1f} s, of MariaDB {beside:.1f} s; peak {peak / 1024:.0f} MB"
        self.note(title, figure)
        return done.stdout

    def database_cpu(self) -> float:
        """The processor time of MariaDB, in seconds."""
        return server.cpu_seconds(self.database.pid)

    def note(self, title: str, figure: str) -> None:
        """Add a row to the result page."""
        self.rows.append((title, figure))
        print(f"  {title}: {figure}", flush=True)

    def killed(self, when: Callable[[], bool], *words: str) -> None:
        """Run it and kill it with SIGKILL as soon as `when` returns true."""
        running = subprocess.Popen(
            self.command(*words), cwd=ROOT, env=self.env(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            eventually(lambda: when() or running.poll() is not None, "the moment to kill", 900)
            assert running.poll() is None, "it was over before it could be killed"
        finally:
            running.send_signal(signal.SIGKILL)
            running.wait()

    def one(self, query: str) -> Any:
        """The only value of a query's result."""
        return self.database._ask(query.replace("FROM ", f"FROM {server.DATABASE}.", 1))[0][0]


# --- made files


def leads_file(path: Path, count: int, first: int) -> None:
    """Write leads that don't exist yet, as CSV or XLSX."""
    rng = random.Random(first)  # invented people
    heading = ["Full Name", "Mobile No", "Email", "Status", "Source", "Remarks"]

    def rows() -> Any:
        for number in range(first, first + count):
            name = f"{rng.choice(FIRST)[0]} {rng.choice(LAST)[0]}"
            yield [name, str(7_000_000_000 + number), f"p{number}@example.in", "New", "Walk In", "asked for a call"]

    if path.suffix == ".csv":
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([heading, *rows()])
        return
    from openpyxl import Workbook

    book = Workbook(write_only=True)
    sheet = book.create_sheet()
    sheet.append(heading)
    for row in rows():
        sheet.append(row)
    book.save(path)


def write_predecessor_exports(folder: Path, leads: int) -> None:
    """Exports of the predecessor: customers, leads with their logs, tasks, calls, comments."""
    folder.mkdir()
    rng, start = random.Random(7), datetime(2025, 1, 1)  # in the predecessor's format

    def stamps(number: int) -> dict[str, str]:
        at = start + timedelta(minutes=3 * number)
        return {"creation": f"{at}", "modified": f"{at + timedelta(days=2)}", "owner": f"person{number % 30}@old.test"}

    def table(name: str, rows: Any) -> None:
        with (folder / name).open("w", newline="", encoding="utf-8") as file:
            writer = None
            for row in rows:
                if writer is None:
                    writer = csv.DictWriter(file, list(row))
                    writer.writeheader()
                writer.writerow(row)

    table("CRM Customer.csv", (_customer(number, stamps(number), rng) for number in range(leads // 2)))
    table("CRM Lead.csv", (_lead(number, stamps(number), leads) for number in range(leads)))
    table("CRM Status Change Log.csv", (_change(number, stamps(number)) for number in range(leads)))
    table("CRM Task.csv", (_task(number, stamps(number)) for number in range(leads)))
    table("CRM Call Log.csv", (_call(number, stamps(number), leads) for number in range(2 * leads)))
    table("Comment.csv", (_comment(number, stamps(number), leads) for number in range(2 * leads)))


def _customer(number: int, stamp: dict[str, str], rng: random.Random) -> dict[str, str]:
    name = {"first_name": rng.choice(FIRST)[0], "last_name": rng.choice(LAST)[0]}
    name["mobile_no"] = f"{6_500_000_000 + number}"
    return {"name": f"CRM-CUST-2025-{number:05d}", **name, "customer_source": "Lead"} | stamp


def _lead(number: int, stamp: dict[str, str], leads: int) -> dict[str, str]:
    own = {"name": f"CRM-LEAD-2025-{number:05d}", "status": "Contacted", "lead_owner": f"person{number % 30}@old.test"}
    return own | {"customer_id": f"CRM-CUST-2025-{number % (leads // 2):05d}", "lead_source": "On Call"} | stamp


def _change(number: int, stamp: dict[str, str]) -> dict[str, str]:
    own = {"name": f"s{number}", "parent": f"CRM-LEAD-2025-{number:05d}", "parenttype": "CRM Lead", "idx": "1"}
    return own | {"from": "New", "to": "Contacted", "to_date": stamp["modified"], "duration": "172800"} | stamp


def _task(number: int, stamp: dict[str, str]) -> dict[str, str]:
    own = {"name": str(number + 1), "title": "Call back", "status": "Done", "due_date": stamp["modified"]}
    return own | {"reference_doctype": "CRM Lead", "reference_docname": f"CRM-LEAD-2025-{number:05d}"} | stamp


def _call(number: int, stamp: dict[str, str], leads: int) -> dict[str, str]:
    who = f"{6_500_000_000 + number % (leads // 2)}"
    own = {"name": f"device_{number}_{who}", "device_call_id": f"device_{number}_{who}", "type": "Incoming"}
    own |= {"status": "Completed", "from": who, "to": "9800000000", "start_time": stamp["modified"], "duration": "60"}
    return own | {"employee": stamp["owner"], "method": "Mobile"} | stamp


def _comment(number: int, stamp: dict[str, str], leads: int) -> dict[str, str]:
    own = {"name": f"c{number}", "comment_type": "Comment", "reference_doctype": "CRM Lead"}
    name = f"CRM-LEAD-2025-{number % leads:05d}"
    return own | {"reference_name": name, "content": "<p>He asked for the form again</p>"} | stamp


# --- what is measured


def exports(bed: Bed) -> None:
    """Export the list of all leads to both formats."""
    count = bed.one("SELECT COUNT(*) FROM leads")
    for kind in ("csv", "xlsx"):
        out = bed.folder / f"leads.{kind}"
        bed.measured(
            f"export of {count:,} leads, {kind.upper()}",
            "export",
            "lead",
            "--format",
            kind,
            "--as",
            USER,
            "--out",
            str(out),
        )
        out.unlink()


def imports(bed: Bed, count: int) -> None:
    """Check and import files of leads; the last import is killed and continued by a server."""
    for place, kind in enumerate(("csv", "xlsx")):
        path = bed.folder / f"leads.{kind}"
        leads_file(path, count, place * count)
        said = bed.measured(
            f"import of {count:,} leads, {kind.upper()} (check and import)",
            "import",
            str(path),
            "--kind",
            "lead",
            "--as",
            USER,
        )
        assert f"{count} created" in said, said
    path = bed.folder / "killed.csv"
    leads_file(path, count, 2 * count)
    before = bed.one("SELECT COUNT(*) FROM leads")
    third = count // 3
    bed.killed(
        lambda: bed.one("SELECT COUNT(*) FROM leads") > before + third,
        *("import", str(path), "--kind", "lead", "--as", USER, "--duplicates", "create"),
    )
    left = bed.one("SELECT COUNT(*) FROM leads") - before
    began = time.monotonic()
    bed.product.start()
    try:
        state = "SELECT outcome FROM import_run ORDER BY id DESC LIMIT 1"
        eventually(lambda: bed.one(state) == "done", "the import to be gone on with", 900)
    finally:
        bed.product.stop()
    made = bed.one("SELECT COUNT(*) FROM leads") - before
    assert made == count, made
    later = f"{time.monotonic() - began:.0f} s later (it waits a minute for a lost worker)"
    bed.note(
        "the same, killed (kill -9) and gone on with by a server",
        f"{left:,} leads were there; {later} {made:,}",
    )


def move(bed: Bed, leads: int) -> None:
    """A full import from the predecessor, killed, continued by the same command, and repeated."""
    folder = bed.folder / "former"
    write_predecessor_exports(folder, leads)
    words = ("import-predecessor", str(folder), "--as", USER)
    bed.measured(f"dry run of a move: {leads:,} leads and {6.5 * leads:,.0f} other rows", *words, "--dry-run")
    before = bed.one("SELECT COUNT(*) FROM former_name")
    bed.killed(lambda: bed.one("SELECT COUNT(*) FROM former_name") > before + 2 * leads, *words)
    left = bed.one("SELECT COUNT(*) FROM former_name") - before
    bed.measured(f"the move, killed (kill -9) after {left:,} rows, and gone on with", *words)
    counts = [bed.one(_TAKEN + f"'{name}'") for name in ("CRM Lead", "Comment")]
    assert counts == [leads, 2 * leads], counts
    rows = bed.one("SELECT COUNT(*) FROM former_name")
    bed.measured("the same move once more: nothing is new", *words)
    assert bed.one("SELECT COUNT(*) FROM former_name") == rows


def everything(bed: Bed) -> None:
    """Export everything with files, one of them large: killed, then complete; verify the manifest's checksums."""
    store = Path(bed.env()["CRM_INSTANCE_DIR"]) / "files"
    digest = _big_file(store)
    with contextlib.closing(bed.database.connect(server.DATABASE)) as connection, connection.cursor() as cursor:
        cursor.execute(_ATTACH, (digest, "a" * 32))
        connection.commit()
    half, whole = bed.folder / "half", bed.folder / "all"
    bed.killed(lambda: (half / "records" / "activity.jsonl").exists(), "export-all", "--out", str(half))
    assert not (half / "manifest.json").exists(), "half an export has no manifest"
    bed.measured("everything, with its files", "export-all", "--out", str(whole))
    manifest = json.loads((whole / "manifest.json").read_text())
    for table in manifest["tables"].values():
        with (whole / table["file"]).open("rb") as file:
            assert hashlib.file_digest(file, "sha256").hexdigest() == table["sha256"], table
    with (whole / "files" / digest).open("rb") as file:
        assert hashlib.file_digest(file, "sha256").hexdigest() == digest
    rows = sum(table["rows"] for table in manifest["tables"].values())
    bed.note("its manifest", f"{rows:,} rows, {manifest['files']['count']} files; every checksum is right")


def _big_file(store: Path) -> str:
    data = b"%PDF-1.4\n" + os.urandom(23_999_991)
    digest = hashlib.sha256(data).hexdigest()
    place = store / digest[:2] / digest[2:]
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(data)
    return digest


PARTS = {"exports": exports, "imports": imports, "move": move, "everything": everything}


def main() -> int:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(prog="python -m bench.data", description="Measure imports and exports at size.")
    parser.add_argument(
        "--leads", type=int, default=200_000, help="leads in the database; everything else in proportion"
    )
    parser.add_argument("--rows", type=int, default=100_000, help="leads of the files that are imported")
    parser.add_argument("--only", choices=sorted(PARTS), help="one part")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where to write the page of results")
    options = parser.parse_args()
    data, _took = server.filled_data_folder(generate.Sizes.of(options.leads))
    folder = server.scratch()
    busy = os.getloadavg()[1]
    try:
        server.copy_data(data, folder / "mariadb")
        with server.Database(folder / "mariadb", server.CACHE / "empty", *server.MEASURING) as database:
            bed = Bed(database, folder, server.Product(folder / "product", database.address, 1, 8))
            _prepare(bed)
            for name, part in PARTS.items():
                if options.only in (None, name):
                    part(bed, options.rows) if name in ("imports", "move") else part(bed)  # type: ignore[operator]
        _write(bed, options, busy)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


def _prepare(bed: Bed) -> None:
    """Create a user who may do everything, and measure a process that does nothing."""
    words = bed.command("user", "add", USER, "--role", "Admin")
    asked = f"{generate.PASSWORD}\n{generate.PASSWORD}\n"
    done = subprocess.run(words, cwd=ROOT, env=bed.env(), input=asked, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    bed.measured("a command that does nothing (flask user list)", "user", "list")


def _write(bed: Bed, options: argparse.Namespace, busy: float) -> None:
    head = (
        f"{options.leads:,} leads and everything in proportion before, MariaDB on the same {os.cpu_count()} cores. "
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC. Load average of the five minutes before: {busy:.1f}, "
        f"at the end {os.getloadavg()[1]:.1f} (a quiet machine has less than 1: measured beside the work of others, "
        "the times are too long, the processor times and the memory are right)."
    )
    table = "\n".join(f"| {what} | {figure} |" for what, figure in bed.rows)
    page = f"# Results of `python -m bench.data`\n\n{head}\n\n| what | measured |\n|---|---|\n{table}\n"
    options.results.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
