"""The folder of backups: one folder for each backup, and one pool with the files of all of them.

    backups/20261126T203000Z/manifest.json     written last: what is in the backup, with checksums
    backups/20261126T203000Z/database.sql.zst  or database.sqlite3.zst; .age or .gpg when encrypted
    backups/20261126T203000Z/files.txt.zst     which files belong to it
    backups/files/ab/cdef…                     the files of all backups, by their content

A backup is made as `NAME.half` and renamed when it is complete and flushed to disk; to delete one, it is first renamed
to `NAME.gone`. So every listed backup is complete.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from app.backups.errors import BackupBusy, BackupError
from app.lib.operator_command import operator_command

MANIFEST = "manifest.json"
HALF, GONE = ".half", ".gone"
POOL = "files"
#: The time is UTC; -2, -3 … distinguish backups made within one second.
_NAME = re.compile(r"\d{8}T\d{6}Z(-\d{1,3})?")
#: Larger manifests can't be ours.
_MAX_MANIFEST = 4_000_000


@dataclass(frozen=True)
class Backup:
    """A backup in the folder."""

    name: str
    path: Path
    manifest: dict[str, Any]

    @property
    def made_on(self) -> datetime:
        """The moment of the backup, UTC."""
        return datetime.fromisoformat(self.manifest["made_on"])

    @property
    def size(self) -> int:
        """Bytes of its own parts, without the pool's files."""
        return sum(int(part["size"]) for part in self.manifest["parts"].values())


class BackupFolder:
    """The backups in a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def pool(self) -> Path:
        """The folder that holds the files of all backups."""
        return self.path / POOL

    def prepare(self) -> None:
        """Create the folder. Raises OSError."""
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.pool.mkdir(exist_ok=True, mode=0o700)

    def all(self) -> list[Backup]:
        """The complete backups, oldest first; folders without a readable manifest are skipped."""
        found = []
        for name in self.names():
            try:
                found.append(self.find(name))
            except BackupError:
                continue
        return sorted(found, key=lambda each: (each.made_on, each.name))

    def damaged(self) -> list[str]:
        """Names of folders that look like backups but have no readable manifest."""
        good = {each.name for each in self.all()}
        return [name for name in self.names() if name not in good]

    def names(self) -> list[str]:
        """Names of all folders that look like backups."""
        if not self.path.is_dir():
            return []
        return sorted(each.name for each in self.path.iterdir() if _NAME.fullmatch(each.name))

    def find(self, name: str) -> Backup:
        """The backup of this name. Raises BackupError."""
        if not _NAME.fullmatch(name):
            raise BackupError(f"“{name[:80]}” isn't the name of a backup. {_all_shown()}")
        path = self.path / name
        if not path.is_dir():
            raise BackupError(f"There is no backup {name} in {self.path}. {_all_shown()}")
        return Backup(name, path, read_manifest(path / MANIFEST))

    def new_name(self, now: datetime) -> str:
        """A name that no backup has had."""
        stem = f"{now.astimezone(UTC):%Y%m%dT%H%M%SZ}"
        taken = {each.name.partition(".")[0] for each in self.path.iterdir()}
        return next(name for name in (stem, *(f"{stem}-{n}" for n in range(2, 1000))) if name not in taken)

    # --- all or nothing

    def begin(self, name: str) -> Path:
        """The folder in which a backup is made."""
        half = self.path / (name + HALF)
        half.mkdir(mode=0o700)
        return half

    def complete(self, name: str, manifest: dict[str, Any]) -> Backup:
        """Write the manifest, and list the backup once all of it is on disk."""
        half, path = self.path / (name + HALF), self.path / name
        handle = os.open(half / MANIFEST, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(handle, "w") as file:
            json.dump(manifest, file, indent=1, sort_keys=True)
            file.flush()
            os.fsync(file.fileno())
        sync(half)
        half.rename(path)
        sync(self.path)
        return Backup(name, path, manifest)

    def delete(self, backup: Backup) -> None:
        """Remove a backup from the list, then delete it. Its files stay in the pool until `files.sweep`."""
        gone = backup.path.with_name(backup.name + GONE)
        backup.path.rename(gone)
        shutil.rmtree(gone)

    def clear(self) -> None:
        """Remove what a killed process has left. Call it with the lock held."""
        for each in self.path.iterdir():
            stem, _dot, suffix = each.name.partition(".")
            if each.is_dir() and _NAME.fullmatch(stem) and f".{suffix}" in (HALF, GONE):
                shutil.rmtree(each, ignore_errors=True)
            elif each.name.startswith("drill-"):
                each.unlink(missing_ok=True)

    # --- one at a time

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder's lock, which the kernel frees when the process ends. Raises BackupBusy."""
        self.prepare()
        with (self.path / "lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise BackupBusy(
                    "Another backup, check, restore or drill is going on in this folder. Try again when it has ended."
                ) from None
            yield


def _all_shown() -> str:
    return f"`{operator_command('backup list')}` shows them all."


def read_manifest(path: Path) -> dict[str, Any]:
    """The content of a manifest. Raises BackupError."""
    try:
        with path.open() as file:
            found = json.loads(file.read(_MAX_MANIFEST))
        datetime.fromisoformat(found["made_on"])
        if not all(_is_part(part) for part in found["parts"].values()) or "database" not in found["parts"]:
            raise ValueError
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BackupError(
            f"The backup {path.parent.name} has no readable manifest, so nothing can be said about it. Use another one."
        ) from error
    return dict(found)


def _is_part(part: Any) -> bool:
    """Whether the path is one in the backup's own folder."""
    return Path(part["file"]).name == part["file"] and isinstance(part["size"], int) and len(part["sha256"]) == 64


def sync(folder: Path) -> None:
    """Flush a folder's directory entries to disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
