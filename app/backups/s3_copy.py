"""A copy of each backup in an object storage (S3). The manifest comes last, so that a copy is whole or none."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from app.backups.files import PoolFile, files_of
from app.backups.folder import MANIFEST, POOL, Backup
from app.backups.house import House
from app.backups.trouble import BackupTrouble

#: Larger files are sent in pieces, each with a checksum of its own.
_KEYS_AT_ONCE = 1000


class _Bucket:
    """The storage, under its prefix. Credentials come as boto3 finds them: AWS_… variables, a profile, the machine."""

    def __init__(self, url: str, endpoint: str | None) -> None:
        import boto3  # loaded only where backups are copied
        from botocore.config import Config

        self.name, _slash, prefix = url.removeprefix("s3://").partition("/")
        self.prefix = f"{prefix}/" if prefix else ""
        waits = Config(connect_timeout=10, read_timeout=60, retries={"max_attempts": 4})
        self.client: Any = boto3.client("s3", endpoint_url=endpoint, config=waits)

    def keys(self, below: str) -> set[str]:
        """What is stored below a prefix."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=self.prefix + below)
        return {entry["Key"].removeprefix(self.prefix) for page in pages for entry in page.get("Contents", ())}

    def put(self, path: Path, key: str) -> None:
        """Store a file; the storage checks its SHA-256."""
        self.client.upload_file(str(path), self.name, self.prefix + key, ExtraArgs={"ChecksumAlgorithm": "SHA256"})

    def get(self, key: str, path: Path) -> None:
        """Fetch a file."""
        self.client.download_file(self.name, self.prefix + key, str(path))

    def delete(self, keys: list[str]) -> None:
        """Remove objects."""
        for start in range(0, len(keys), _KEYS_AT_ONCE):
            some = [{"Key": self.prefix + key} for key in keys[start : start + _KEYS_AT_ONCE]]
            self.client.delete_objects(Bucket=self.name, Delete={"Objects": some, "Quiet": True})


@contextlib.contextmanager
def _bucket(house: House) -> Iterator[_Bucket]:
    """Raises BackupTrouble for whatever goes wrong inside."""
    if house.s3 is None:
        raise BackupTrouble("CRM_BACKUP_S3 isn't set.")
    try:
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError
    except ImportError:
        raise BackupTrouble("CRM_BACKUP_S3 is set, but the package boto3 isn't installed.") from None
    try:
        yield _Bucket(*house.s3)
    except (BotoCoreError, ClientError, Boto3Error) as error:
        raise BackupTrouble(f"{house.s3[0]} refused a step ({_summary(error)}).") from error


def _summary(error: Any) -> str:
    """The code of an error; its text can hold names and signatures."""
    code = getattr(error, "response", {}).get("Error", {}).get("Code", "")
    return f"{type(error).__name__} {code}".strip()


def copy(house: House, backup: Backup, deleted: list[str]) -> None:
    """Copy a backup with its files, and delete the copies of those that are gone. Raises BackupTrouble."""
    with _bucket(house) as bucket:
        there = bucket.keys(f"{POOL}/")
        for file in files_of(backup):
            if _key(file) not in there:
                bucket.put(house.pool / file.place, _key(file))
            house.beat()
        for part in backup.manifest["parts"].values():
            bucket.put(backup.path / part["file"], f"{backup.name}/{part['file']}")
            house.beat()
        bucket.put(backup.path / MANIFEST, f"{backup.name}/{MANIFEST}")
    delete(house, deleted)


def _key(file: PoolFile) -> str:
    return f"{POOL}/{file.place}"


def delete(house: House, names: list[str]) -> None:
    """Remove the copies of these backups, the manifests first, and files that no backup needs any more."""
    if not names:
        return
    with _bucket(house) as bucket:
        for name in names:
            bucket.delete([f"{name}/{MANIFEST}"])
            bucket.delete(sorted(bucket.keys(f"{name}/")))
        if house.folder.damaged():
            return
        kept = {_key(file) for each in house.folder.all() for file in files_of(each)}
        bucket.delete(sorted(bucket.keys(f"{POOL}/") - kept))


def fetch(house: House, name: str) -> Backup:
    """Bring a backup back into the folder, with the files that are missing. Raises BackupTrouble."""
    house.folder.prepare()
    with _bucket(house) as bucket:
        keys = bucket.keys(f"{name}/")
        if f"{name}/{MANIFEST}" not in keys:
            raise BackupTrouble(f"There is no backup {name} in {house.folder.path}, nor a copy of it on S3.")
        half = house.folder.begin(name)
        for key in sorted(keys):
            bucket.get(key, half / Path(key).name)
            house.beat()
        half.rename(house.folder.path / name)
        backup = house.folder.find(name)
        for file in files_of(backup):
            place = house.pool / file.place
            if not place.exists():
                place.parent.mkdir(exist_ok=True, mode=0o700)
                bucket.get(_key(file), place)
    return backup
