"""Files by content: attachments, media, recordings. The address of a file is the SHA-256 of its content.

Names given by people are never part of a path; they are in the row that refers to the file.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Protocol

from app.lib.file_kinds import kind_of_file

#: Larger files are refused.
MAX_BYTES = 25_000_000
#: Prefix of the `address` of a stored file in a message.
PREFIX = "file:"
#: Bytes of a file that are in memory at a time.
CHUNK = 262_144
#: Writing one file never takes this long.
LEFT_AFTER = timedelta(days=1)
_DIGEST = re.compile(r"[0-9a-f]{64}")


class TooLarge(Exception):
    """The file is larger than MAX_BYTES."""


class StorageUnavailable(OSError):
    """The storage can't be reached, or refuses the account: nothing was stored or read; it may work later."""


@dataclass(frozen=True)
class StoredFile:
    """A stored file."""

    #: 64 hex digits.
    digest: str
    #: In bytes.
    size: int
    #: Detected from its content.
    mime_type: str

    @property
    def address(self) -> str:
        """The address by which messages refer to it."""
        return PREFIX + self.digest


class FileStore(Protocol):
    """The interface of a file store: a folder, or object storage."""

    def put(self, content: bytes | BinaryIO) -> StoredFile:
        """Store a file; the same content is stored only once. Raises TooLarge, OSError.

        A file that exists already counts as stored now, so that it isn't considered forgotten.
        """

    def open(self, digest: str) -> BinaryIO:
        """Open a file. Raises FileNotFoundError, also for an invalid digest; OSError."""

    def delete(self, digest: str, before: datetime | None = None) -> bool:
        """Remove a file to which no row refers any more. Returns whether it existed.

        With `before` (UTC), only if it was last stored earlier. Raises OSError.
        """

    def list(self) -> Iterator[tuple[str, datetime]]:
        """Digest of every file, and when it was last stored, UTC. Raises OSError."""


def describe_content(content: bytes | BinaryIO) -> tuple[BinaryIO, StoredFile]:
    """The content as a file at its beginning, and its description; read piece by piece. Raises TooLarge."""
    file = BytesIO(content) if isinstance(content, bytes) else content
    file.seek(0)
    digest, size = hashlib.sha256(), 0
    while chunk := file.read(CHUNK):
        digest.update(chunk)
        size += len(chunk)
        if size > MAX_BYTES:
            raise TooLarge
    kind = kind_of_file(file)
    return file, StoredFile(digest.hexdigest(), size, kind)


def is_digest(text: str) -> bool:
    """Whether this is a valid digest."""
    return _DIGEST.fullmatch(text) is not None


def check_digest(digest: str) -> str:
    """The digest. Raises FileNotFoundError for an invalid one, so that it never becomes part of a path."""
    if not _DIGEST.fullmatch(digest):
        raise FileNotFoundError(digest[:20])
    return digest


class FolderStore:
    """Files in a folder of this server, two levels deep."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, content: bytes | BinaryIO) -> StoredFile:
        """Store a file: completely or not at all, even if the server stops meanwhile."""
        file, stored = describe_content(content)
        path = self._path(stored.digest)
        try:
            os.utime(path)
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._write(path, file)
        return stored

    def _write(self, path: Path, content: BinaryIO) -> None:
        handle, made = tempfile.mkstemp(dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                while chunk := content.read(CHUNK):
                    file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
            os.replace(made, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(made)
            raise

    def open(self, digest: str) -> BinaryIO:
        """Open a file for reading. Raises FileNotFoundError."""
        return self._path(digest).open("rb")

    def delete(self, digest: str, before: datetime | None = None) -> bool:
        """Remove a file. It is set aside first: if somebody stores it at the same time, it is put back."""
        path = self._path(digest)
        aside = path.with_name(f"{path.name}.old")
        try:
            os.replace(path, aside)
            if before is not None and _stored_on(aside) >= before:
                os.replace(aside, path)
                return False
            aside.unlink()
        except FileNotFoundError:
            return False
        return True

    def list(self) -> Iterator[tuple[str, datetime]]:
        """All files, folder by folder."""
        for path in sorted(self.folder.glob("[0-9a-f][0-9a-f]/*")):
            digest = path.parent.name + path.name
            if _DIGEST.fullmatch(digest):
                with suppress(FileNotFoundError):
                    yield digest, _stored_on(path)
            elif path.name.startswith("tmp"):
                _remove_left(path)

    def _path(self, digest: str) -> Path:
        check_digest(digest)
        return self.folder / digest[:2] / digest[2:]


def _remove_left(path: Path) -> None:
    """Remove files left by a process killed while writing; not those being written now."""
    with suppress(FileNotFoundError):
        if datetime.now(UTC) - _stored_on(path) > LEFT_AFTER:
            path.unlink()


def _stored_on(path: Path) -> datetime:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC)
