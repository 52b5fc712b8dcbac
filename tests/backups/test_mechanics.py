"""Backups of a small database: consistent, complete or missing, and recognized when damaged."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import MetaData, text

from app.backups import mariadb, retention, s3_copy
from app.backups.create import make, one_at_a_time
from app.backups.database_urls import open_database
from app.backups.drill import drill
from app.backups.errors import BackupBusy, BackupError
from app.backups.folder import Backup
from app.backups.installation import Installation
from app.backups.restore import WATCH_SECONDS, RestoreRequest, restore
from app.backups.verify import verify
from app.ops.database import migration_guard
from app.ops.processes.leader import election
from app.ops.storage.file_store import FolderStore
from tests.backups import installations
from tests.servers import ROOT, Databases, eventually


@pytest.fixture(params=["sqlite", "mariadb"])
def filled(request: pytest.FixtureRequest, tmp_path: Path) -> Installation:
    url = request.getfixturevalue("mariadb_url") if request.param == "mariadb" else ""
    made = installations.installation(tmp_path, url)
    installations.fill(made)
    return made


@pytest.fixture
def target(filled: Installation, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty database of the same kind."""
    if filled.database_url.startswith("sqlite"):
        yield f"sqlite:///{tmp_path / 'other.sqlite3'}"
        return
    server: Databases = request.getfixturevalue("mariadb_server")
    name = server.create_database()
    yield server.url(name)
    server.drop_database(name)


@pytest.fixture(scope="module")
def backed(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """An installation with one backup, which no test changes."""
    made = installations.installation(tmp_path_factory.mktemp("backed"))
    installations.fill(made)
    make(made)
    return made


class Writer(threading.Thread):
    """Writes pairs until it is told to stop."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url, self.count, self.told = url, 0, threading.Event()

    def run(self) -> None:
        with installations.connected(self.url) as connection:
            while not self.told.is_set():
                installations.write_pair(connection, "meanwhile")
                connection.commit()
                self.count += 1


def test_a_backup_made_while_others_write_is_of_one_moment(filled: Installation, target: str, tmp_path: Path) -> None:
    writer = Writer(filled.database_url)
    writer.start()
    try:
        eventually(lambda: writer.count > 5, "the writer begins")
        backup = make(filled).backup
        seen = writer.count
        eventually(lambda: writer.count > seen, "the writer goes on")
    finally:
        writer.told.set()
        writer.join()
    tables = backup.manifest["contents"]["tables"]
    assert tables["one"]["rows"] == tables["two"]["rows"] > 55
    done = restore(filled, RestoreRequest(backup.name, target, files_into=tmp_path / "put back"))
    assert "1 files were put back" in "".join(done.lines)
    restored, now = installations.rows_of(target), installations.rows_of(filled.database_url)
    assert restored == {name: rows[: tables[name]["rows"]] for name, rows in now.items()}
    assert len(now["one"]) > len(restored["one"])
    assert installations.contents_of(FolderStore(tmp_path / "put back")) == [installations.PICTURE]
    assert drill(filled).outcome == "done" == verify(filled, backup.name).outcome
    if not target.startswith("sqlite"):
        with installations.connected(target) as connection:
            kinds = connection.execute(text("SHOW INDEX FROM one WHERE Index_type = 'FULLTEXT'")).all()
            assert kinds and connection.execute(text("CALL nothing()")).all() != []
            leftovers = connection.execute(text("SHOW DATABASES LIKE '%_drill_%'")).all()
            assert leftovers == []


def test_restore_refuses_what_is_there_and_replaces_it_when_told(filled: Installation) -> None:
    backup, before = make(filled).backup, installations.rows_of(filled.database_url)
    with installations.connected(filled.database_url) as connection:
        connection.execute(text("DELETE FROM two"))
        connection.commit()
    changed = installations.rows_of(filled.database_url)
    with pytest.raises(BackupError, match=r"isn't empty.*Nothing was changed.*--overwrite"):
        restore(filled, RestoreRequest(backup.name, filled.database_url))
    assert installations.rows_of(filled.database_url) == changed
    restore(filled, RestoreRequest(backup.name, filled.database_url, is_overwriting=True))
    assert installations.rows_of(filled.database_url) == before


class Leader(threading.Thread):
    """A process that runs the schedule."""

    def __init__(self, made: Installation) -> None:
        super().__init__()
        self.election, self.told = election(made.database_url, made.instance_dir), threading.Event()

    def run(self) -> None:
        while not self.told.wait(0.1):
            self.election.acquire()
        self.election.release()


def test_no_database_is_replaced_behind_running_servers(filled: Installation) -> None:
    backup, before = make(filled).backup, installations.rows_of(filled.database_url)
    leader = Leader(filled)
    assert leader.election.acquire()
    leader.start()
    try:
        with pytest.raises(BackupError, match=r"is in use. Stop all servers and workers.*Nothing was changed"):
            restore(filled, RestoreRequest(backup.name, filled.database_url, is_overwriting=True))
    finally:
        leader.told.set()
        leader.join()
    assert installations.rows_of(filled.database_url) == before


def test_a_schedule_that_rests_is_noticed(mariadb_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where its jobs have run within a minute, the restore waits for its next connection, else not at all."""
    filled = installations.installation(tmp_path, mariadb_url)
    installations.fill(filled)
    with installations.connected(mariadb_url) as connection:
        connection.execute(text("CREATE TABLE job_run (id INT PRIMARY KEY, started_on DATETIME(6) NOT NULL)"))
        connection.commit()
        assert open_database(mariadb_url).seconds_to_watch() == 0
        connection.execute(text("INSERT INTO job_run VALUES (1, UTC_TIMESTAMP(6))"))
        connection.commit()
    backup, leader, first = make(filled).backup, Leader(filled), open_database(mariadb_url).seconds_to_watch()
    assert 0 < first <= mariadb.REST_SECONDS
    sleep = time.sleep

    def rest(seconds: float) -> None:
        if seconds == WATCH_SECONDS and not leader.is_alive():
            leader.start()
        sleep(seconds)

    monkeypatch.setattr("app.backups.restore.time.sleep", rest)
    try:
        with pytest.raises(BackupError, match="is in use"):
            restore(filled, RestoreRequest(backup.name, mariadb_url, is_overwriting=True))
    finally:
        leader.told.set()
        leader.join()
    with installations.connected(mariadb_url) as connection:
        connection.execute(text("UPDATE job_run SET started_on = UTC_TIMESTAMP(6) - INTERVAL 80 SECOND"))
        connection.commit()
    assert open_database(mariadb_url).seconds_to_watch() == 0


def test_no_schedule_runs_while_a_restore_takes_long(filled: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two minutes it has no connection, so that the restore doesn't see it."""
    backup, other, led = make(filled).backup, election(filled.database_url, filled.instance_dir), []
    monkeypatch.setattr("app.ops.processes.leader.FROZEN_SECONDS", 1 if "mysql" in filled.database_url else 3600)

    def check(*_: Any) -> None:
        time.sleep(2.5)  # the server ends connections that have been silent for a second
        led.append(other.acquire())
        other.release()

    monkeypatch.setattr("app.backups.restore._check", check)
    restore(filled, RestoreRequest(backup.name, filled.database_url, is_overwriting=True))
    assert led == [False]
    assert other.acquire()
    other.release()


def test_a_file_is_stored_once_for_all_backups_and_leaves_with_the_last(filled: Installation, tmp_path: Path) -> None:
    filled = replace(filled, keep={"hourly": 0, "daily": 0, "weekly": 0, "monthly": 0})
    first = make(filled, now=datetime(2026, 1, 1, tzinfo=UTC)).backup
    stored = [each for each in filled.pool.rglob("*") if each.is_file()]
    born = stored[0].stat().st_ino
    filled.store.delete(next(iter(filled.store.list()))[0])
    second = make(filled)
    assert second.deleted == [first.name] and installations.listed(filled) == [second.backup.name]
    assert born and not [each for each in filled.pool.rglob("*") if each.is_file()]
    assert (
        second.backup.manifest["files"]["missing"] and "were not in the store" in second.backup.manifest["remarks"][0]
    )


# --- faults


def cut(made: Installation, backup: Backup) -> None:
    part = backup.path / backup.manifest["parts"]["database"]["file"]
    part.write_bytes(part.read_bytes()[:-7])


def alter(made: Installation, backup: Backup) -> None:
    part = backup.path / backup.manifest["parts"]["database"]["file"]
    content = bytearray(part.read_bytes())
    content[len(content) // 2] ^= 1
    part.write_bytes(content)


def lose(made: Installation, backup: Backup) -> None:
    (backup.path / backup.manifest["parts"]["files"]["file"]).unlink()


def forge(made: Installation, backup: Backup) -> None:
    manifest = backup.path / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"rows": 51', '"rows": 50'))


def lose_file(made: Installation, backup: Backup) -> None:
    next(each for each in made.pool.rglob("*") if each.is_file()).unlink()


def alter_file(made: Installation, backup: Backup) -> None:
    next(each for each in made.pool.rglob("*") if each.is_file()).write_bytes(b"a pictura")


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (cut, "bytes instead of"),
        (alter, "was altered: its checksum is another one"),
        (lose, "files.txt.zst is missing"),
        (forge, "The manifest was altered"),
        (lose_file, "… is missing"),
        (alter_file, "… was altered"),
    ],
)
def test_damage_is_found_and_never_restored(
    backed: Installation, damage: Callable[..., None], said: str, tmp_path: Path
) -> None:
    made = installations.copy_of(backed, tmp_path)
    damage(made, made.folder.all()[0])
    report = verify(made, installations.listed(made)[0])
    assert report.outcome == "failed" and said in " ".join(report.faults)
    url = f"sqlite:///{tmp_path / 'target.sqlite3'}"
    if damage is not alter_file:  # a file's content is read when it is put back
        with pytest.raises(BackupError, match="nothing was changed"):
            restore(made, RestoreRequest(report.name, url))
        assert not (tmp_path / "target.sqlite3").exists()
        assert drill(made).outcome == "failed"
    else:
        with pytest.raises(BackupError, match="is damaged"):
            restore(made, RestoreRequest(report.name, url, files_into=tmp_path / "files"))


def test_another_field_key_is_said_and_refuses_the_own_database(backed: Installation, tmp_path: Path) -> None:
    made = replace(installations.copy_of(backed, tmp_path), field_key="A" * 43 + "=")
    name = installations.listed(made)[0]
    assert "another CRM_FIELD_KEY" in " ".join(verify(made, name).unchecked)
    with pytest.raises(BackupError, match=r"another CRM_FIELD_KEY.*Nothing was changed"):
        restore(made, RestoreRequest(name, made.database_url, is_overwriting=True))


@pytest.mark.parametrize("name", ["../../etc", "/etc/passwd", "20260101T000000Z", "x" * 5000, "a\0b", ""])
def test_a_name_is_no_path(backed: Installation, name: str) -> None:
    with pytest.raises(BackupError, match=r"isn't the name of a backup|There is no backup"):
        verify(backed, name)


def test_a_full_disk_leaves_the_earlier_backups(backed: Installation, tmp_path: Path) -> None:
    made = installations.copy_of(backed, tmp_path)
    before = sorted(made.folder.path.rglob("*"))
    full = installations.FailingStore(tmp_path / "files", OSError(errno.ENOSPC, "No space left on device"))
    full.put(b"another picture")
    with pytest.raises(BackupError, match=r"no room left in .*the earlier backups are as they were"):
        make(replace(made, store=full))
    assert sorted(made.folder.path.rglob("*")) == before
    assert verify(made, installations.listed(made)[0]).outcome == "done"


KILLED = """
import sys, time
from pathlib import Path
sys.path.insert(0, {root!r})
from tests.backups import installations
from app.backups.create import make
from app.ops.storage.file_store import FolderStore

class Slow(FolderStore):
    calls = 0
    def list(self):
        Slow.calls += 1
        if Slow.calls == 2:
            print("in the middle", flush=True)
            time.sleep(600)
        return super().list()

from dataclasses import replace
made = installations.installation(Path({folder!r}))
make(replace(made, store=Slow(Path({folder!r}) / "files")))
"""


def test_a_killed_backup_is_never_listed_and_the_next_one_clears_it_away(tmp_path: Path) -> None:
    made = installations.installation(tmp_path)
    installations.fill(made)
    first = make(made).backup.name
    code = KILLED.format(root=str(ROOT), folder=str(tmp_path))
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout and process.stdout.readline() == "in the middle\n"
        halves = list(made.folder.path.glob("*.half"))
        assert len(halves) == 1 and (halves[0] / "database.sqlite3.zst").stat().st_size
        with pytest.raises(BackupBusy, match="going on"):
            make(made)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    assert installations.listed(made) == [first] and verify(made, first).outcome == "done"
    second = make(made).backup.name
    assert installations.listed(made) == [first, second] and not list(made.folder.path.glob("*.half"))


def test_only_one_at_a_time_on_one_database(mariadb_url: str, tmp_path: Path) -> None:
    """Two servers with folders of their own."""
    here, there = (installations.installation(tmp_path / name, mariadb_url) for name in ("here", "there"))
    with one_at_a_time(here), pytest.raises(BackupBusy, match="perhaps on another server"), one_at_a_time(there):
        pass


# --- encryption


@pytest.mark.parametrize("kind", ["age", "gpg"])
def test_encrypted_backups_are_opened_by_their_key_only(kind: str, tmp_path: Path) -> None:
    plain = installations.installation(tmp_path)
    installations.fill(plain)
    made, right, wrong = installations.encrypted(plain, kind, tmp_path)
    backup = make(made).backup
    part = (backup.path / backup.manifest["parts"]["database"]["file"]).read_bytes()
    assert b"SQLite format 3" not in part and not any(
        installations.PICTURE in each.read_bytes() for each in made.pool.rglob("*") if each.is_file()
    )
    for report in (drill(made), verify(made, backup.name)):
        assert report.outcome == "partly" and "the private key isn't on this server" in report.unchecked[0]
    url = f"sqlite:///{tmp_path / 'other.sqlite3'}"
    with pytest.raises(BackupError, match="--identity FILE"):
        restore(made, RestoreRequest(backup.name, url))

    def with_key(path: Path) -> Installation:
        return replace(made, encryption=replace(made.encryption, identity=path))

    assert drill(with_key(right)).outcome == "done"
    failed = drill(with_key(wrong))
    assert failed.outcome == "failed" and "can't be decrypted" in failed.faults[0]
    with pytest.raises(BackupError, match=r"can't be decrypted"):
        restore(with_key(wrong), RestoreRequest(backup.name, url))
    restore(with_key(right), RestoreRequest(backup.name, url, files_into=tmp_path / "back"))
    assert installations.rows_of(url) == installations.rows_of(made.database_url)
    assert installations.contents_of(FolderStore(tmp_path / "back")) == [installations.PICTURE]
    for_another = replace(made, encryption=replace(made.encryption, recipients=made.encryption.recipients * 2))
    make(for_another, now=datetime.now(UTC) + timedelta(days=1))
    assert len([each for each in made.pool.rglob("*") if each.is_file()]) == 2  # not what the old key opens


# --- MariaDB's rights and programs


def test_no_server_starts_on_half_a_restore(mariadb_url: str) -> None:
    database, script = open_database(mariadb_url), ScriptDirectory(str(ROOT / "migrations"))
    database.mark(is_restoring=True)
    with (
        installations.connected(mariadb_url) as connection,
        pytest.raises(
            migration_guard.MigrationRefused, match=r"A restore .* was cut off.*run it again with --overwrite"
        ),
    ):
        migration_guard.begin(connection, script, MetaData())
    database.mark(is_restoring=False)
    assert database.tables() == []


def test_a_user_without_the_right_is_told_which_one(mariadb_server: Databases, tmp_path: Path) -> None:
    name = mariadb_server.create_database()
    secret = 'se"cr\\et'
    with installations.connected(mariadb_server.url(name)) as connection:
        connection.execute(text(f"CREATE USER {name}@'%' IDENTIFIED BY 'se\"cr\\\\et'"))
        connection.execute(text(f"GRANT ALL ON {name}.* TO {name}@'%'"))
    url = f"mysql+pymysql://{name}:se%22cr%5Cet@127.0.0.1:{mariadb_server.port}/{name}?charset=utf8mb4"
    made = installations.installation(tmp_path, url)
    installations.fill(made)
    with installations.connected(mariadb_server.url(name)) as connection:
        connection.execute(text("LOCK TABLES one WRITE"))
        lines: list[str] = []

        def dump_has_begun() -> bool:
            lines.extend(command_lines("mariadb-dump"))
            return bool(lines)

        maker = threading.Thread(target=make, args=(made,))
        maker.start()
        try:
            eventually(dump_has_begun, "the dump begins")
        finally:
            connection.execute(text("UNLOCK TABLES"))
            maker.join()
    assert lines and not any(secret in line or "se%22" in line for line in lines)
    assert len(installations.listed(made)) == 1
    report = drill(made)
    escaped = name.replace("_", r"\\_")
    assert report.outcome == "failed" and "may not create the database" in report.faults[0]
    assert f"GRANT ALL PRIVILEGES ON `{escaped}".replace("\\\\", "\\") in report.faults[0]
    mariadb_server.drop_database(name)


def command_lines(program: str) -> list[str]:
    """The command lines and environments of running programs of this name."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            line = (folder / "cmdline").read_bytes() + b" " + (folder / "environ").read_bytes()
        except OSError:
            continue
        if program.encode() in line.partition(b"\0")[0]:
            found.append(line.decode(errors="replace"))
    return found


# --- retention


def test_of_each_period_the_newest_stays() -> None:
    start = datetime(2026, 1, 31, 12, tzinfo=UTC)
    backups = [
        Backup(f"{n}", Path(), {"made_on": (start - timedelta(hours=6 * n)).isoformat(), "parts": {}})
        for n in range(400)
    ]
    stay = retention.names_to_keep(backups, {"hourly": 2, "daily": 3, "weekly": 2, "monthly": 2}, "Asia/Kolkata")
    # hours: 0, 1; days (in India from 18:30 UTC on the next one): 0, 3 and 7; weeks: 0 and 23; months: 0 and 123
    assert sorted(map(int, stay)) == [0, 1, 3, 7, 23, 123]
    assert retention.names_to_keep(backups, dict.fromkeys(("hourly", "daily", "weekly", "monthly"), 0), "UTC") == {"0"}


# --- the copy on S3


def _uploads(bucket: Any) -> set[str]:
    """What has been begun in pieces and not ended, in the whole bucket."""
    return {each["UploadId"] for each in bucket.client.list_multipart_uploads(Bucket="kept").get("Uploads", ())}


def test_a_lost_folder_is_brought_back_from_s3(backed: Installation, tmp_path: Path, monkeypatch: Any) -> None:
    from moto.server import ThreadedMotoServer

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "ap-south-1")
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        made = replace(installations.copy_of(backed, tmp_path), s3=("s3://kept/crm", f"http://{host}:{port}"))
        name = installations.listed(made)[0]
        with pytest.raises(BackupError, match=r"s3://kept/crm refused a step.*NoSuchBucket"):
            s3_copy.copy(made, made.folder.find(name), [])
        with s3_copy._bucket(made) as bucket:
            bucket.client.create_bucket(Bucket="kept", CreateBucketConfiguration={"LocationConstraint": "ap-south-1"})
            left = [bucket.client.create_multipart_upload(Bucket="kept", Key=f"crm/pool/{n}")["UploadId"] for n in "ab"]
            other = bucket.client.create_multipart_upload(Bucket="kept", Key="other/c")["UploadId"]
        with monkeypatch.context() as patch:
            patch.setattr(s3_copy, "LEFT_AFTER", timedelta(days=36_500))  # the double says 2010 of each upload
            s3_copy.copy(made, made.folder.find(name), [])
        assert _uploads(bucket) == {*left, other}, "perhaps somebody is at it"
        s3_copy.copy(made, made.folder.find(name), [])
        assert _uploads(bucket) == {other}
        lost = replace(made, folder=installations.installation(tmp_path / "new").folder)
        url = f"sqlite:///{tmp_path / 'other.sqlite3'}"
        restore(lost, RestoreRequest(name, url, files_into=tmp_path / "back"))
        assert installations.rows_of(url) == installations.rows_of(made.database_url)
        assert verify(lost, name).outcome == "done"
        s3_copy.delete(replace(lost, folder=installations.installation(tmp_path / "empty").folder), [name])
        with s3_copy._bucket(made) as bucket:
            assert list(bucket.list()) == []
    finally:
        server.stop()
