"""Copies each backup to object storage (S3). The manifest comes last, so that every copy is complete or ignored."""

from __future__ import annotations

import contextlib
import logging
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from app.backups.errors import BackupError
from app.backups.files import PoolFile, files_of
from app.backups.folder import MANIFEST, POOL, Backup, read_manifest
from app.backups.installation import Installation
from app.ops.storage.file_store import LEFT_AFTER, StorageUnavailable
from app.ops.storage.s3_bucket import Bucket, S3Place

log = logging.getLogger("crm.backups")


@contextlib.contextmanager
def _bucket(installation: Installation) -> Iterator[Bucket]:
    """The bucket; any error inside becomes BackupError."""
    if installation.s3 is None:
        raise BackupError("CRM_BACKUP_S3 isn't set.")
    url, endpoint = installation.s3
    name, _slash, prefix = url.removeprefix("s3://").partition("/")
    try:
        yield Bucket(S3Place(name, f"{prefix}/" if prefix else "", endpoint))
    except ImportError:
        raise BackupError("CRM_BACKUP_S3 is set, but the package boto3 isn't installed.") from None
    except (StorageUnavailable, FileNotFoundError) as error:
        raise BackupError(f"{url} refused a step: {error}.") from error


def _keys(bucket: Bucket, below: str) -> set[str]:
    """The keys stored below a prefix."""
    return {key for key, _stored_on in bucket.list(below)}


def copy(installation: Installation, backup: Backup, deleted: list[str]) -> None:
    """Copy a backup with its files, and delete the copies of deleted ones. Raises BackupError."""
    with _bucket(installation) as bucket:
        there = _keys(bucket, f"{POOL}/")
        for file in files_of(backup):
            if _key(file) not in there:
                bucket.upload(_key(file), installation.pool / file.place)
            installation.beat()
        for part in backup.manifest["parts"].values():
            bucket.upload(f"{backup.name}/{part['file']}", backup.path / part["file"])
            installation.beat()
        bucket.upload(f"{backup.name}/{MANIFEST}", backup.path / MANIFEST)
        _abort_left_uploads(bucket)
    delete(installation, deleted)


def _abort_left_uploads(bucket: Bucket) -> None:
    """Abort unfinished uploads of killed processes; a copy is complete without them."""
    try:
        count = bucket.abort_uploads(datetime.now(UTC) - LEFT_AFTER)
    except StorageUnavailable as error:  # the account may only be allowed to store and read
        log.warning("unfinished uploads could not be looked for: %s", error)
    else:
        if count:
            log.info("%s unfinished uploads were removed from S3", count)


def _key(file: PoolFile) -> str:
    return f"{POOL}/{file.place}"


def delete(installation: Installation, names: list[str]) -> None:
    """Remove the copies of these backups, manifests first, and files that no backup needs."""
    if not names:
        return
    with _bucket(installation) as bucket:
        for name in names:
            bucket.delete([f"{name}/{MANIFEST}"])
            bucket.delete(sorted(_keys(bucket, f"{name}/")))
        if installation.folder.damaged():
            return
        kept = {_key(file) for each in installation.folder.all() for file in files_of(each)}
        bucket.delete(sorted(_keys(bucket, f"{POOL}/") - kept))


def fetch(installation: Installation, name: str) -> Backup:
    """Fetch a backup into the folder, with the files that are missing. Raises BackupError."""
    installation.folder.prepare()
    with _bucket(installation) as bucket:
        keys = _keys(bucket, f"{name}/")
        if f"{name}/{MANIFEST}" not in keys:
            raise BackupError(f"There is no backup {name} in {installation.folder.path}, nor a copy of it on S3.")
        half = installation.folder.begin(name)
        for key in sorted(keys):
            bucket.download(key, half / Path(key).name)
            installation.beat()
        half.rename(installation.folder.path / name)
        backup = installation.folder.find(name)
        for file in files_of(backup):
            place = installation.pool / file.place
            if not place.exists():
                place.parent.mkdir(exist_ok=True, mode=0o700)
                bucket.download(_key(file), place)
    return backup


def newest_manifest(installation: Installation) -> list[dict[str, Any]]:
    """The manifest of the newest copy on S3, which says what has happened since older ones; none without S3 or a copy.

    A restore goes on without it if S3 doesn't answer.
    """
    if installation.s3 is None:
        return []
    try:
        return _newest_manifest(installation)
    except BackupError as error:
        log.warning("the newest manifest on S3 could not be read: %s", error)
        return []


def _newest_manifest(installation: Installation) -> list[dict[str, Any]]:
    with _bucket(installation) as bucket, tempfile.TemporaryDirectory() as folder:
        # Names of backups begin with the year; the files beside them may be many.
        keys = sorted(key for key in _keys(bucket, "2") if key.endswith(f"/{MANIFEST}"))
        if not keys:
            return []
        path = Path(folder) / MANIFEST
        bucket.download(keys[-1], path)
        return [read_manifest(path)]
