"""Exports through the pages, on MariaDB and Redis: requested on a page, written by a worker, with kill -9 in between.

    python -m bench.export_runs                    # 20,000 leads and everything in proportion
    python -m bench.export_runs --leads 40000
    python -m bench.export_runs --s3               # the files in a double of S3

The list of calls as CSV and as XLSX, and everything. Each is written once undisturbed and once by a worker that is
killed: the file that another worker finishes must be identical row for row, and can't be downloaded before. On S3 no
parts of unfinished uploads may remain, and only objects that the nightly job removes.
"""

from __future__ import annotations

import argparse
import hashlib
import http.client
import io
import json
import os
import re
import shutil
import subprocess
import sys
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from bench import generate, server
from bench.data import USER
from bench.import_runs import Installation
from tests.servers import ROOT, Redis, Server

_RUN = "SELECT outcome, `rows`, total, worker, tries FROM crm.export_run WHERE id = "
#: Seconds between two checks while waiting for the moment to kill, and for another worker.
_SHORT, _LONG = 0.2, 5.0
#: Seconds after the start of the export of everything when its worker is killed.
_AMID = 3.0
_Kill = Callable[[tuple[Any, ...], float], bool]


class Storage(Server):
    """A double of S3, in a process of its own."""

    KEYS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_EC2_METADATA_DISABLED": "true"}

    def command(self) -> Sequence[str]:
        return (sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port))

    def answers(self) -> bool:
        with suppress(OSError, http.client.HTTPException):
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
            connection.request("GET", "/moto-api/")
            return connection.getresponse().status < 500
        return False

    def ready(self) -> Any:
        """A client, and an empty bucket."""
        import boto3

        os.environ.update(self.KEYS)
        client = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{self.port}", region_name="ap-south-1")
        client.create_bucket(Bucket="crm", CreateBucketConfiguration={"LocationConstraint": "ap-south-1"})
        return client

    def settings(self) -> dict[str, str]:
        """The settings with which the product stores its files here."""
        url = f"http://127.0.0.1:{self.port}"
        return {"CRM_FILES": "s3://crm", "CRM_S3_ENDPOINT": url, "CRM_S3_REGION": "ap-south-1"}


class Exports:
    """Requests to the export pages."""

    def __init__(self, installation: Installation) -> None:
        self.installation = installation

    def row(self, key: int) -> tuple[Any, ...]:
        """The row _RUN of this export."""
        found: tuple[Any, ...] = self.installation.database._ask(f"{_RUN}{key}")[0]
        return found

    def file(self, key: int) -> tuple[int, bytes]:
        """Status and body of the download."""
        browser = self.installation.browser
        cookies = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
        browser.connection.close()  # the server closes idle connections
        browser.connection.request("GET", f"/exports/{key}/file", None, {"Cookie": cookies})
        answer = browser.connection.getresponse()
        return answer.status, answer.read()

    def made(self, path: str, page: str, values: dict[str, Any], kill: _Kill | None = None) -> bytes:
        """Request an export; kill its worker as soon as `kill` returns true for its row and age. Returns its file."""
        key = int(re.search(r"/exports/(\d+)/", self.installation.post(path, values, page))[1])  # type: ignore[index]
        if kill is not None:
            self._killed(key, kill)
        began = time.monotonic()
        while (row := self.row(key))[0] != "done":
            assert row[0] in ("waiting", "running"), row
            assert time.monotonic() - began < 600, row
            self._refused(key)
            time.sleep(_SHORT if kill is None else _LONG)
        status, data = self.file(key)
        assert status == 200, status
        roles = self.installation.database._ask(f"SELECT DISTINCT role FROM crm.transfer_part WHERE export_id = {key}")  # noqa: S608
        assert [each[0] for each in roles] == ["file"], roles
        told = self.installation.one(f"SELECT COUNT(*) FROM crm.notification WHERE event_key LIKE 'export:{key}%'")  # noqa: S608
        assert told == 1, f"{told} notices"
        print(f"    {time.monotonic() - began:.0f} s later {row[0]}, {row[1]} rows, {len(data)} bytes, 1 notice")
        return data

    def _refused(self, key: int) -> None:
        status, data = self.file(key)
        assert status != 200 or self.row(key)[0] == "done", f"a file of {len(data)} bytes before it is done"

    def _killed(self, key: int, kill: _Kill) -> None:
        installation = self.installation
        installation.use.look(installation.back.pid)
        before, began = dict(installation.use.cpu), None
        while True:
            row = self.row(key)
            if row[0] == "running" and began is None:
                began = time.monotonic()
            assert row[0] in ("waiting", "running"), f"it was {row[0]} before its worker could be killed"
            if began is not None and kill(row, time.monotonic() - began):
                break
            time.sleep(_SHORT)
        installation.use.look(installation.back.pid)
        installation.kill_worker(before)
        time.sleep(1)
        stopped = self.row(key)
        assert stopped[0] == "running", f"{stopped}: it was over when its worker was killed"
        self._refused(key)
        print(f"    kill -9 of the worker at {stopped[1]} of {stopped[2]} rows", flush=True)
        time.sleep(_LONG)
        assert self.row(key) == stopped, (stopped, self.row(key), "another process wrote it")


def lists(exports: Exports) -> None:
    """The list of all calls, its worker killed twice for each format."""
    count = exports.installation.one("SELECT COUNT(*) FROM crm.call_log")
    for kind in ("csv", "xlsx"):
        print(f"  {count} calls, {kind.upper()}", flush=True)
        ask = ("/exports/call_log", "/exports/call_log/new", {"format": kind})
        whole = _lines(kind, exports.made(*ask))
        assert len(whole) == count + 1, len(whole)
        again = _lines(kind, exports.made(*ask, kill=lambda row, _age: row[1] >= (row[2] or count) // 3))
        differing = sum((Counter(whole) - Counter(again)).values())
        assert again == whole, f"{len(again)} lines for {len(whole)}, {differing} differ"
        print("    the same rows in the same order as without a kill", flush=True)


def _lines(kind: str, data: bytes) -> list[bytes]:
    if kind == "csv":
        return data.splitlines()
    with zipfile.ZipFile(io.BytesIO(data)) as book:
        assert book.testzip() is None
        # Each row names its own number, so equal rows are equal in position, too.
        return re.findall(rb"<row.*?</row>", book.read("xl/worksheets/sheet1.xml"), re.S)


def everything(exports: Exports) -> None:
    """Everything as an archive: complete after the kill, with every checksum of the manifest correct."""
    print("  everything", flush=True)
    data = exports.made("/exports/all", "/exports/", {}, kill=lambda _row, age: age >= _AMID)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        assert len(names) == len(set(names)), "a file is in it twice"
        tables = json.loads(archive.read("manifest.json"))["tables"]
        for table in tables.values():
            assert hashlib.sha256(archive.read(table["file"])).hexdigest() == table["sha256"], table
        calls = [json.loads(line)["id"] for line in archive.read("records/call_log.jsonl").splitlines()]
    assert len(calls) == len(set(calls)) == exports.installation.one("SELECT COUNT(*) FROM crm.call_log")
    print(
        f"    {sum(table['rows'] for table in tables.values())} rows of {len(tables)} tables, every checksum is right"
    )


def main() -> int:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(prog="python -m bench.export_runs", description="Exports whose worker is killed.")
    parser.add_argument("--leads", type=int, default=20_000, help="leads in the database; the rest in proportion")
    parser.add_argument("--s3", action="store_true", help="keep files in a double of S3, not in a folder")
    options = parser.parse_args()
    source, _took = server.filled_data_folder(generate.Sizes.of(options.leads))
    folder = server.scratch()
    try:
        server.copy_data(source, folder / "mariadb")
        with ExitStack() as stack:
            database = server.Database(folder / "mariadb", server.CACHE / "empty", *server.MEASURING)
            stack.enter_context(database)
            storage = stack.enter_context(Storage(folder / "s3")) if options.s3 else None
            client = storage.ready() if storage is not None else None
            more = storage.settings() if storage is not None else None
            installation = Installation(folder, database, stack.enter_context(Redis(folder / "redis")), more)
            stack.callback(installation.stop)
            _add_admin(installation)
            installation.user = USER
            installation.start()
            exports = Exports(installation)
            lists(exports)
            everything(exports)
            _look_at_leftovers(folder)
            if client is not None:
                _look_at_objects(installation, client)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


def _add_admin(installation: Installation) -> None:
    words = [sys.executable, "-m", "flask", "--app", "run", "user", "add", USER, "--role", "Admin"]
    env = dict(installation.web.environment())
    asked = f"{generate.PASSWORD}\n" * 2
    done = subprocess.run(words, cwd=ROOT, env=env, input=asked, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def _look_at_leftovers(folder: Path) -> None:
    left = [path.name for path in (folder / "instance").iterdir() if path.is_file() and path.suffix in (".zip", ".tmp")]
    assert not left, left


def _look_at_objects(installation: Installation, client: Any) -> None:
    unfinished = client.list_multipart_uploads(Bucket="crm").get("Uploads", [])
    assert not unfinished, unfinished
    pages = client.get_paginator("list_objects_v2").paginate(Bucket="crm")
    there = {each["Key"].replace("/", "") for page in pages for each in page.get("Contents", ())}
    named = {row[0] for row in installation.database._ask("SELECT digest FROM crm.transfer_part")}
    assert named <= there, named - there
    print(f"  S3: {len(named)} pieces of files; {len(there - named)} objects for the nightly job; no unfinished upload")


if __name__ == "__main__":
    sys.exit(main())
