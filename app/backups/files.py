"""The files of a backup: each content is copied once into a pool that all backups share.

A file is stored before the row that refers to it is committed. Whatever the dump refers to is therefore in the store at
the moment of the dump; files deleted around that moment have been copied just before.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from app.backups.encryption import Encryption, decrypting, encrypting
from app.backups.errors import BackupError
from app.backups.folder import Backup, sync
from app.backups.streams import CHUNK, PartWriter, reading_part, sha256_of
from app.ops.storage.file_store import FileStore

LIST = "files.txt"
#: The name of an encrypted file also contains the hash of the stored bytes, so that it can be checked without the key,
#: and a tag of the recipients: other public keys make another file.
_STORED = re.compile(r"([0-9a-f]{64})(?:-([0-9a-f]{64})-[0-9a-f]{8}\.(?:age|gpg))?")


@dataclass(frozen=True)
class PoolFile:
    """One file of a backup."""

    digest: str
    #: Its name in the pool, without the folder: the digest, or digest-stored.age.
    stored: str
    #: In bytes, as it is stored.
    size: int

    @property
    def place(self) -> str:
        """The path of the file in the pool."""
        return f"{self.stored[:2]}/{self.stored[2:]}"


class FilePool:
    """The files of all backups."""

    def __init__(self, folder: Path, encryption: Encryption) -> None:
        self.folder, self.encryption = folder, encryption
        self._end = f"-{encryption.tag}{encryption.suffix}" if encryption.kind else ""
        ours = (
            each for each in self._all() if each.stored.endswith(self._end) and is_encrypted(each) == bool(self._end)
        )
        self._known = {each.digest: each for each in ours}

    def _all(self) -> Iterator[PoolFile]:
        for part in sorted(self.folder.glob("??")):
            for entry in os.scandir(part):
                if found := _STORED.fullmatch(part.name + entry.name):
                    yield PoolFile(found[1], part.name + entry.name, entry.stat().st_size)

    def add_all(self, store: FileStore, beat: Callable[[], None]) -> dict[str, PoolFile]:
        """Copy the files that the pool doesn't have; one that has left the store meanwhile is skipped."""
        added = {}
        for digest, _stored_on in store.list():
            with suppress(FileNotFoundError):
                added[digest] = self._known.get(digest) or self._add(store, digest)
            beat()
        return added

    def _add(self, store: FileStore, digest: str) -> PoolFile:
        with store.open(digest) as source:
            handle, name = tempfile.mkstemp(dir=self.folder)
            try:
                with os.fdopen(handle, "wb") as target:
                    self._copy(digest, source, target)
                    os.fsync(target.fileno())
                found = self._placed(digest, Path(name))
            except BaseException:
                with suppress(OSError):
                    os.unlink(name)
                raise
        self._known[digest] = found
        return found

    def _copy(self, digest: str, source: IO[bytes], target: IO[bytes]) -> None:
        hashed = hashlib.sha256()
        with encrypting(self.encryption, target) as sealed:
            while chunk := source.read(CHUNK):
                hashed.update(chunk)
                sealed.write(chunk)
            sealed.flush()
        if hashed.hexdigest() != digest:
            raise BackupError(
                f"The stored file {digest} is damaged: its content has another checksum. Put it back from an earlier "
                "backup, or remove it."
            )

    def _placed(self, digest: str, path: Path) -> PoolFile:
        size = path.stat().st_size
        stored = f"{digest}-{sha256_of(path)}{self._end}" if self._end else digest
        made = PoolFile(digest, stored, size)
        place = self.folder / made.place
        place.parent.mkdir(exist_ok=True, mode=0o700)
        os.replace(path, place)
        sync(place.parent)
        return made

    def sweep(self, backups: Iterable[Backup]) -> int:
        """Remove files that no backup refers to any more. Returns how many; 0 if a list can't be read."""
        kept: set[str] = set()
        for backup in backups:
            try:
                kept |= {each.stored for each in files_of(backup)}
            except BackupError:
                return 0
        gone = [each for each in self._all() if each.stored not in kept]
        for each in gone:
            (self.folder / each.place).unlink(missing_ok=True)
        for left in self.folder.glob("tmp*"):
            left.unlink(missing_ok=True)
        return len(gone)


def is_encrypted(file: PoolFile) -> bool:
    """Whether a file of the pool is encrypted."""
    return file.stored != file.digest


def write_list(writer: PartWriter, files: Iterable[PoolFile]) -> None:
    """Write one line per file: its name in the pool, and its size."""
    for each in files:
        writer.write(f"{each.stored} {each.size}\n".encode())


def files_of(backup: Backup) -> Iterator[PoolFile]:
    """The files that belong to a backup. Raises BackupError."""
    part = backup.manifest["parts"].get("files")
    if part is None:
        return
    rest = b""
    with reading_part(backup.path / part["file"], None) as chunks:
        for chunk in chunks:
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                yield _parsed(line, backup.name)
    if rest:
        raise BackupError(f"The list of files of {backup.name} ends too early.")


def _parsed(line: bytes, name: str) -> PoolFile:
    stored, _blank, size = line.decode(errors="replace").partition(" ")
    found = _STORED.fullmatch(stored)
    if found is None or not size.isdigit():
        raise BackupError(f"The list of files of {name} is damaged.")
    return PoolFile(found[1], stored, int(size))


def check_file(pool: Path, file: PoolFile, is_deep: bool) -> str | None:
    """What is wrong with a file of the pool, as a sentence; None if it is fine."""
    path = pool / file.place
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        return f"The file {file.digest[:16]}… is missing."
    if size != file.size:
        return f"The file {file.digest[:16]}… has {size} bytes instead of {file.size}."
    wanted = file.stored.split("-")[1] if is_encrypted(file) else file.digest
    if is_deep and sha256_of(path) != wanted:
        return f"The file {file.digest[:16]}… was altered."
    return None


def restore_missing(pool: Path, files: Iterable[PoolFile], store: FileStore, identity: Path | None) -> int:
    """Copy files into a store that lacks them. Returns how many. Raises BackupError."""
    count = 0
    for file in files:
        try:
            store.open(file.digest).close()
            continue
        except FileNotFoundError:
            pass
        with decrypting(_existing(pool / file.place), identity) as source:
            content = source.read()
        if store.put(content).digest != file.digest:
            raise BackupError(f"The file {file.digest} of the backup is damaged.")
        count += 1
    return count


def _existing(path: Path) -> Path:
    if not path.exists():
        raise BackupError(f"The file {path.name[:16]}… of the backup is missing in {path.parent.parent}.")
    return path
