"""Files of records on an S3-compatible storage with every fault: a clear message, nothing lost, no long waits."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, select

from app.inbound import message_file_fetch
from app.models import Attachment, FileUsage
from app.ops.storage import s3_bucket
from app.ops.storage.s3_bucket import S3Place
from app.ops.storage.s3_store import S3Store
from tests import sample_uploads
from tests.app_fixtures import Crm
from tests.ops.test_file_store import endpoint  # noqa: F401
from tests.s3_fault_proxy import FAULTS, Way, way_to
from tests.web.records.test_files import by_script, send
from tests.web.records.test_profile_pictures import JPEG, post


@pytest.fixture
def way(request: pytest.FixtureRequest, crm: Crm, monkeypatch: pytest.MonkeyPatch) -> Iterator[Way]:
    """The files of the house are on the double of S3, behind a way that fails as told."""
    monkeypatch.setattr(s3_bucket, "ANSWER_SECONDS", 1)
    monkeypatch.setattr(s3_bucket, "ATTEMPTS", 1)
    monkeypatch.setattr(s3_bucket, "FILE_SECONDS", 1.5)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    with way_to(request.getfixturevalue("endpoint")) as made:
        store = S3Store(S3Place("crm", f"{time.monotonic_ns()}/", made.url, "ap-south-1"))
        monkeypatch.setitem(crm.app.extensions, "crm_files", store)
        yield made


def used(crm: Crm) -> int:
    crm.session.rollback()
    return int(crm.rows(select(func.coalesce(func.sum(FileUsage.bytes), 0)))[0])


@pytest.mark.parametrize("fault", FAULTS)
def test_what_a_failing_storage_does_is_said_and_nothing_is_lost(crm: Crm, way: Way, fault: str) -> None:
    lead, ana = crm.make.lead("ana"), crm.client("ana")
    url = f"/files/of/lead/{lead.id}"
    kept = by_script(ana, url, "kept.jpg", sample_uploads.picture()).json
    before = used(crm)
    way.fault, began = fault, time.monotonic()
    answer = by_script(ana, url, "new.jpg", sample_uploads.picture((640, 480)))
    assert (answer.status_code, time.monotonic() - began < 8) == (503, True)
    assert answer.json["message"] == (
        "“new.jpg” could not be kept: the storage of files can't be reached. Please try again."
    )
    assert "secret-host" not in answer.text
    page = send(ana, url, ("a.txt", b"a"), ("b.txt", b"b"))
    told = ana.screen(page.headers["Location"]).text
    assert told.count("could not be kept") == 2 and "kept.jpg" in told
    for part in ("", "/preview"):
        opened = ana.screen(f"/files/{kept['id']}{part}")
        assert opened.status_code == 503 and "storage of files can" in opened.text
    assert post(crm, "ana", "/pictures/me", JPEG).status_code in (302, 503)
    assert ana.screen(f"/leads/show/{lead.id}").status_code == 200
    assert (crm.count(Attachment), used(crm)) == (1, before)
    way.fault = ""
    assert by_script(ana, url, "new.jpg", sample_uploads.picture((640, 480))).status_code == 201
    assert ana.screen(f"/files/{kept['id']}").data == sample_uploads.picture()


def test_versions_previews_and_what_nobody_names_on_s3(crm: Crm, way: Way) -> None:
    lead, ana = crm.make.lead("ana"), crm.client("ana")
    url, store = f"/files/of/lead/{lead.id}", crm.app.extensions["crm_files"]
    first = by_script(ana, url, "plan.jpg", sample_uploads.picture()).json["id"]
    second = by_script(ana, f"/files/{first}/version", "plan.jpg", sample_uploads.picture((300, 200))).json["id"]
    assert ana.screen(f"/files/{first}").data == sample_uploads.picture()
    assert ana.screen(f"/files/{second}/preview").data.startswith(b"\xff\xd8\xff")
    orphan, named = store.put(b"nobody's").digest, {row.digest for row in crm.rows(select(Attachment))}
    late: Any = datetime.now(UTC) + timedelta(days=2)
    with crm.app.app_context():
        gone = [
            digest
            for digest, _stored in store.list()
            if message_file_fetch.remove_forgotten(crm.session, store, digest, late)
        ]
    assert gone == [orphan] and named <= {digest for digest, _stored in store.list()}
