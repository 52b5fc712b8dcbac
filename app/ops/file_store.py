"""Files by their content: attachments, media, recordings. The address of a file is the SHA-256 of what is in it.

Names that people give are never part of a path; they stand in the row that refers to the file.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from app.lib.file_kinds import kind_of

#: Larger files are refused.
MAX_BYTES = 25_000_000
#: How the `address` of a file in a message begins.
PREFIX = "file:"
_DIGEST = re.compile(r"[0-9a-f]{64}")


class TooLarge(Exception):
    """The file is larger than MAX_BYTES."""


@dataclass(frozen=True)
class StoredFile:
    """A file that is stored."""

    #: 64 hex digits.
    digest: str
    #: In bytes.
    size: int
    #: By its content.
    mime_type: str

    @property
    def address(self) -> str:
        """How a message refers to it."""
        return PREFIX + self.digest


class FileStore(Protocol):
    """Where files are: a folder, or a storage of objects."""

    def put(self, content: bytes) -> StoredFile:
        """Store a file; a second one with the same content is the same file. Raises TooLarge, OSError."""

    def open(self, digest: str) -> BinaryIO:
        """Read a file. Raises FileNotFoundError, also for what is no digest."""

    def delete(self, digest: str) -> None:
        """Remove a file that no row refers to any more; nothing happens when it is gone."""

    def digests(self) -> Iterator[str]:
        """All files, in no order; what is stored or deleted meanwhile may be among them or not."""


class FolderStore:
    """Files in a folder of this server, two levels deep."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, content: bytes) -> StoredFile:
        """Store a file: whole or not at all, also when the server stops amid."""
        if len(content) > MAX_BYTES:
            raise TooLarge
        stored = StoredFile(hashlib.sha256(content).hexdigest(), len(content), kind_of(content))
        path = self._path(stored.digest)
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._write(path, content)
        return stored

    def _write(self, path: Path, content: bytes) -> None:
        handle, made = tempfile.mkstemp(dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(made, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(made)
            raise

    def open(self, digest: str) -> BinaryIO:
        """Read a file."""
        return self._path(digest).open("rb")

    def delete(self, digest: str) -> None:
        """Remove a file."""
        with suppress(FileNotFoundError):
            self._path(digest).unlink()

    def digests(self) -> Iterator[str]:
        """All files."""
        for folder in self.folder.glob("??"):
            for path in folder.iterdir():
                if _DIGEST.fullmatch(folder.name + path.name):
                    yield folder.name + path.name

    def _path(self, digest: str) -> Path:
        if not _DIGEST.fullmatch(digest):
            raise FileNotFoundError(digest[:20])
        return self.folder / digest[:2] / digest[2:]
