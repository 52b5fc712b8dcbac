"""File storage: a folder, and an S3-compatible storage (moto's server), with the same rules."""

from __future__ import annotations

import io
import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from app.ops.storage import s3_bucket
from app.ops.storage.file_store import MAX_BYTES, FileStore, FolderStore, StorageUnavailable, TooLarge
from app.ops.storage.s3_bucket import S3Place
from app.ops.storage.s3_store import S3Store
from tests import sample_uploads
from tests.app_fixtures import Crm, settings_for

PDF = sample_uploads.PDF


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """A double of S3 with the bucket "crm"."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "testing")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        import boto3
        from moto.server import ThreadedMotoServer

        server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
        server.start()
        url = "http://{}:{}".format(*server.get_host_and_port())
        client = boto3.client("s3", endpoint_url=url, region_name="ap-south-1")
        with suppress(client.exceptions.BucketAlreadyOwnedByYou):  # doubles of one process share what they store
            client.create_bucket(Bucket="crm", CreateBucketConfiguration={"LocationConstraint": "ap-south-1"})
        client.close()
        yield url
        server.stop()


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    if request.param == "folder":
        return FolderStore(tmp_path / "files")
    return S3Store(S3Place("crm", f"{tmp_path.name}/", request.getfixturevalue("endpoint"), "ap-south-1"))


def content_of(store: FileStore, digest: str) -> bytes:
    with store.open(digest) as file:
        return file.read()


def test_a_file_is_stored_read_listed_and_removed(store: FileStore) -> None:
    before = datetime.now(UTC) - timedelta(seconds=2)
    stored = store.put(io.BytesIO(PDF))
    assert (stored.size, stored.mime_type, store.put(PDF)) == (len(PDF), "application/pdf", stored)
    assert content_of(store, stored.digest) == PDF
    ((digest, stored_on),) = list(store.list())
    assert digest == stored.digest and stored_on >= before
    assert store.delete(digest, before=before) is False and content_of(store, digest) == PDF
    assert store.delete(digest, before=datetime.now(UTC) + timedelta(seconds=5)) is True
    assert (store.delete(digest), list(store.list())) == (False, [])
    for missing in (digest, "../../etc/passwd", "", "f" * 63):
        with pytest.raises(FileNotFoundError):
            store.open(missing)


def test_what_is_too_large_is_not_stored(store: FileStore) -> None:
    with pytest.raises(TooLarge):
        store.put(io.BytesIO(b"x" * (MAX_BYTES + 1)))
    assert list(store.list()) == []


def test_a_file_that_is_stored_again_is_not_forgotten(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    stored = store.put(PDF)
    path = tmp_path / stored.digest[:2] / stored.digest[2:]
    os.utime(path, (1_000_000, 1_000_000))
    store.put(PDF)
    assert store.delete(stored.digest, before=datetime.now(UTC) - timedelta(hours=1)) is False
    os.utime(path, (1_000_000, 1_000_000))
    assert store.delete(stored.digest, before=datetime.now(UTC) - timedelta(hours=1)) is True
    assert [each for each in tmp_path.rglob("*") if each.is_file()] == []


def test_a_storage_that_is_away_or_refuses_us_is_no_missing_file(
    endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_bucket, "ATTEMPTS", 1)
    away = S3Store(S3Place("crm", "", "http://127.0.0.1:9", "ap-south-1"))
    no_bucket = S3Store(S3Place("other", "", endpoint, "ap-south-1"))
    for broken in (away, no_bucket):
        for attempt in (lambda s: s.put(PDF), lambda s: list(s.list())):
            with pytest.raises(StorageUnavailable) as told:
                attempt(broken)
            assert "127.0.0.1" not in str(told.value)
    with pytest.raises(StorageUnavailable):
        away.open("0" * 64)


def test_a_storage_that_is_slow_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_bucket, "_room", lambda size: 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections, and never answers
        store = S3Store(S3Place("crm", "slow/", f"http://127.0.0.1:{silent.getsockname()[1]}", "ap-south-1"))
        with pytest.raises(StorageUnavailable):
            store.open("0" * 64)
        with pytest.raises(StorageUnavailable):
            store.put(b"y" * 600_000)


def test_files_are_moved_from_the_folder_and_checked(crm: Crm, endpoint: str, tmp_path: Path) -> None:
    from app.models import Mail

    folder: FolderStore = crm.app.extensions["crm_files"]
    digests = [folder.put(PDF + str(n).encode()).digest for n in range(3)]
    crm.session.add_all(
        Mail(direction="in", state="failed", original=each, received_on=datetime.now(UTC)) for each in digests
    )
    crm.session.commit()
    run = crm.app.test_cli_runner().invoke
    assert "Set CRM_FILES" in run(args=["files", "move"]).output
    crm.app.extensions["crm_files"] = S3Store(S3Place("crm", "moved/", endpoint, "ap-south-1"))
    try:
        lost = run(args=["files", "check"])
        assert lost.exit_code == 1 and f"missing\t{digests[0]}\tmail.original" in lost.output
        assert "3 files were copied, 0 were there" in run(args=["files", "move"]).output
        moved = run(args=["files", "move", "--delete"])
        assert "0 files were copied, 3 were there" in moved.output and list(folder.list()) == []
        found = run(args=["files", "check"])
        assert (found.exit_code, found.output) == (0, "3 files are there, 0 are missing.\n")
    finally:
        crm.app.extensions["crm_files"] = folder


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CRM_FILES", "folder"),
        ("CRM_FILES", "s3://"),
        ("CRM_FILES", "s3://UPPER"),
        ("CRM_FILES", "s3://bucket/a b"),
        ("CRM_S3_ENDPOINT", "127.0.0.1:9000"),
        ("CRM_S3_REGION", "Mumbai!"),
    ],
)
def test_a_wrong_place_is_told_at_the_start(tmp_path: Path, name: str, value: str) -> None:
    import config

    with pytest.raises(config.WrongSetting, match=name):
        settings_for(tmp_path, **{name: value})
    assert settings_for(tmp_path, CRM_FILES="s3://crm-files/desk/").files == ("crm-files", "desk/")


def test_what_a_killed_process_has_left_is_removed_after_a_day(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    kept = store.put(b"whole").digest
    old, new = (tmp_path / kept[:2] / name for name in ("tmpold", "tmpnew"))
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (1, 1))
    assert [digest for digest, _stored_on in store.list()] == [kept]
    assert new.exists() and not old.exists()
