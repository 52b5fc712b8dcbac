"""Exports on an S3-compatible storage: kill -9 and outages during an upload leave one complete file, nothing else."""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from app.domain.files.export_and_import_runs import ExportRun, ImportRun, TransferPart
from app.extensions import db
from app.inbound import message_file_fetch
from app.models import Lead, Notification
from app.ops.storage import s3_bucket
from app.ops.storage.s3_bucket import S3Place
from app.ops.storage.s3_store import S3Store
from app.web.transfer import export_all_request, export_worker, exports
from tests.app_fixtures import Crm
from tests.ops.test_file_store import endpoint  # noqa: F401
from tests.s3_fault_proxy import Way, _pump
from tests.web.invalid_input import raising_server_errors
from tests.web.transfer.test_imports import LEADS, Importer


class CountingWay(Way):
    """A relay that counts uploads: at the one with the number `stops_at` it stops amid it, or goes away."""

    def __init__(self, target: str) -> None:
        self.uploads, self.stops_at, self.goes_away = 0, 0, False
        self.held = threading.Event()
        super().__init__(target)

    def _relay(self, client: socket.socket, first: bytes, _fault: str) -> None:
        with closing(socket.create_connection(self._target)) as server:
            threading.Thread(target=_pump, args=(server, client), daemon=True).start()
            data = first
            with suppress(OSError):
                while data:
                    self.uploads += data.startswith(b"PUT ")
                    if data.startswith(b"PUT ") and self.uploads == self.stops_at:
                        self._stop(client, server, data)
                        return
                    server.sendall(data)
                    data = client.recv(65536)

    def _stop(self, client: socket.socket, server: socket.socket, data: bytes) -> None:
        if self.goes_away:
            self.fault = "away"
            return
        server.sendall(data)
        self.held.set()
        while client.recv(65536):  # the body arrives nowhere, until its sender is killed
            pass


@pytest.fixture
def way(request: pytest.FixtureRequest, crm: Crm, monkeypatch: pytest.MonkeyPatch) -> Iterator[CountingWay]:
    """The files of the product are on the double of S3, in small pieces."""
    for name, value in (("ANSWER_SECONDS", 2), ("ATTEMPTS", 1), ("FILE_SECONDS", 10)):
        monkeypatch.setattr(s3_bucket, name, value)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setattr(exports, "AT_ONCE", 3)
    monkeypatch.setattr(export_worker, "PIECE", 2)
    monkeypatch.setattr(export_worker, "SLICE", 4000)
    monkeypatch.setattr(export_all_request, "SLICE", 4000)
    made = CountingWay(request.getfixturevalue("endpoint"))
    monkeypatch.setitem(crm.app.extensions, "crm_files", store_behind(made))
    yield made
    made.close()


def store_behind(way: Way) -> S3Store:
    return S3Store(S3Place("crm", f"{way.url.rpartition(':')[2]}-{time.monotonic_ns()}/", way.url, "ap-south-1"))


def asked(crm: Crm, kind: str) -> ExportRun:
    """An export that waits for its worker."""
    if kind == "all":
        answer = crm.client("root").form("/exports/all")
    else:
        answer = crm.client("mia").form("/exports/lead", {"format": kind, "columns": ["name", "number"]})
    assert answer.status_code == 302, answer.text
    found: ExportRun = crm.rows(select(ExportRun).order_by(ExportRun.id.desc()).limit(1))[0]
    return found


def content_of(crm: Crm, run: ExportRun) -> Any:
    """What is compared of a finished file."""
    answer = crm.client("root" if run.kind == "all" else "mia").screen(f"/exports/{run.id}/file")
    assert answer.status_code == 200 and len(answer.data) == crm.fresh(run).size
    if run.format == "csv":
        return answer.data
    with zipfile.ZipFile(io.BytesIO(answer.data)) as archive:
        assert archive.testzip() is None
        if run.format == "xlsx":
            return archive.read("xl/worksheets/sheet1.xml")
        rows = archive.read("records/leads.jsonl")
        return sorted(json.loads(line)["number"] for line in rows.splitlines())


def worked(crm: Crm, run: ExportRun) -> None:
    with crm.app.app_context():
        export_worker.work(run.id)


def killed_amid_upload(crm: Crm, way: CountingWay, run: ExportRun, upload: int) -> None:
    """A worker in a process of its own, killed with -9 while it sends this upload."""
    way.uploads, way.stops_at = 0, upload
    way.held.clear()
    child = os.fork()
    if child == 0:  # pragma: no cover
        try:
            with crm.app.app_context():
                db.engine.dispose(close=False)  # the connections are the parent's
                store = crm.app.extensions["crm_files"]
                crm.app.extensions["crm_files"] = S3Store(store.bucket.place)
                export_worker.work(run.id)
        finally:
            os._exit(0)
    try:
        assert way.held.wait(30), f"only {way.uploads} uploads came"
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    way.stops_at = 0


def made_due(crm: Crm) -> None:
    """What is done only after a while is due now."""
    crm.session.execute(update(ExportRun).values(seen_on=datetime.now(UTC) - timedelta(minutes=2), next_try_on=None))
    crm.session.commit()


def refuse_leftovers(crm: Crm) -> None:
    """Assert that nothing is in the storage but the pieces of finished files, once the nightly job has been there."""
    store = crm.app.extensions["crm_files"]
    client = store.bucket.client
    assert not client.list_multipart_uploads(Bucket="crm").get("Uploads")
    late = datetime.now(UTC) + timedelta(days=2)
    with crm.app.app_context():
        for digest, _stored in list(store.list()):
            message_file_fetch.remove_forgotten(crm.session, store, digest, late)
    assert {digest for digest, _stored in store.list()} == set(crm.rows(select(TransferPart.digest)))
    assert set(crm.rows(select(TransferPart.role))) == {"file"}


@pytest.mark.parametrize(("kind", "upload"), [("csv", 1), ("csv", 3), ("xlsx", 2), ("xlsx", 5), ("all", 1), ("all", 2)])
def test_a_worker_that_is_killed_amid_an_upload_leaves_a_whole_file_once(
    crm: Crm, way: CountingWay, kind: str, upload: int
) -> None:
    for n in range(5):
        crm.make.lead("mia", first_name=f"Asha{n}")
    whole = asked(crm, kind)
    worked(crm, whole)
    run = asked(crm, kind)
    killed_amid_upload(crm, way, run, upload)
    assert crm.fresh(run).outcome == "running"
    assert crm.client("root" if kind == "all" else "mia").screen(f"/exports/{run.id}/file").status_code != 200
    made_due(crm)
    worked(crm, run)
    assert crm.fresh(run).outcome == "done"
    assert content_of(crm, run) == content_of(crm, whole)
    assert crm.count(Notification, Notification.event_key.startswith(f"export:{run.id}")) == 1
    refuse_leftovers(crm)


@pytest.mark.parametrize(("kind", "upload"), [("csv", 3), ("xlsx", 5), ("all", 2)])
def test_a_storage_that_goes_away_amid_the_file_is_said_and_waited_for(
    crm: Crm, way: CountingWay, kind: str, upload: int
) -> None:
    for n in range(5):
        crm.make.lead("mia", first_name=f"Asha{n}")
    whole, client = asked(crm, kind), crm.client("root" if kind == "all" else "mia")
    worked(crm, whole)
    run = asked(crm, kind)
    way.uploads, way.stops_at, way.goes_away = 0, upload, True
    worked(crm, run)
    assert crm.fresh(run).outcome == "running"
    assert "The storage of files can" in client.screen(f"/exports/{run.id}/").text
    way.fault, way.stops_at = "", 0
    made_due(crm)
    worked(crm, run)
    assert content_of(crm, run) == content_of(crm, whole)
    refuse_leftovers(crm)


def test_a_storage_that_is_away_is_said_at_each_endpoint_of_imports_and_exports(crm: Crm, way: CountingWay) -> None:
    for n in range(5):
        crm.make.lead("mia", first_name=f"Asha{n}")
    run, mia = asked(crm, "csv"), crm.client("mia")
    worked(crm, run)
    way.fault = "away"
    with raising_server_errors("with the storage away"):
        for answer in (
            mia.screen(f"/exports/{run.id}/file"),
            mia.rest("GET", f"export/{run.id}/file"),
            Importer(crm).upload(LEADS),
        ):
            assert answer.status_code == 503, answer.text
            told = answer.json["message"] if answer.is_json else answer.text
            assert "The storage of files can" in told.replace("&#39;", "'")
    assert 'value="lead" selected' in Importer(crm).upload(LEADS).text
    assert (crm.count(ImportRun), crm.count(Lead)) == (0, 5)
    way.fault = ""
    (part,) = crm.rows(select(TransferPart).where(TransferPart.place == 0))
    crm.app.extensions["crm_files"].delete(part.digest)
    with raising_server_errors("with a piece that is gone"):
        assert mia.screen(f"/exports/{run.id}/file").status_code == 410
