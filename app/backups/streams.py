"""The parts of a backup: written once from a stream, compressed and optionally encrypted, in bounded memory."""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from backports.zstd import CompressionParameter, ZstdError, ZstdFile

from app.backups.encryption import Encryption, decrypting, encrypting
from app.backups.errors import BackupError

CHUNK = 1024 * 1024
#: zstd's default: on dumps about as small as gzip -9, and ten times as fast.
LEVEL = 3
_OPTIONS: Mapping[int, int] = {CompressionParameter.compression_level: LEVEL, CompressionParameter.checksum_flag: 1}


@dataclass(frozen=True)
class BackupFile:
    """One file of a backup, as its manifest describes it."""

    file: str
    #: Bytes as stored, and their SHA-256.
    size: int
    sha256: str
    #: Before compression and encryption.
    plain_size: int
    plain_sha256: str

    def as_json(self) -> dict[str, Any]:
        """The file as JSON for the manifest."""
        return asdict(self)


class PartWriter:
    """Writes the plain bytes of a part."""

    def __init__(self, pack: Any) -> None:
        self._pack = pack
        self.digest, self.size = hashlib.sha256(), 0

    def write(self, data: bytes) -> None:
        """Write the next bytes of the part."""
        self.digest.update(data)
        self.size += len(data)
        self._pack.write(data)


def write_part(path: Path, encryption: Encryption, fill: Callable[[PartWriter], None]) -> BackupFile:
    """Write a part and read it back. Suffixes are added to the name. Raises BackupError, OSError."""
    path = path.with_name(f"{path.name}.zst{encryption.suffix}")
    with create(path) as target:
        with encrypting(encryption, target) as sealed, ZstdFile(sealed, "wb", options=_OPTIONS) as pack:
            writer = PartWriter(pack)
            writer.write(b"")  # otherwise an empty part would have no bytes at all
            fill(writer)
        target.flush()
        os.fsync(target.fileno())
    return BackupFile(path.name, path.stat().st_size, sha256_of(path), writer.size, writer.digest.hexdigest())


def create(path: Path) -> Any:
    """A new file that only this user can read."""
    return os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb")


@contextmanager
def reading_part(path: Path, identity: Path | None) -> Iterator[Iterator[bytes]]:
    """The plain bytes of a part, in chunks. Raises BackupError if the file is damaged or can't be decrypted."""
    with decrypting(path, identity) as packed, ZstdFile(packed) as plain:
        yield _chunks(path, plain)


def _chunks(path: Path, plain: Any) -> Iterator[bytes]:
    try:
        while chunk := plain.read(CHUNK):
            yield chunk
    except (ZstdError, EOFError, zlib.error) as error:
        raise BackupError(f"{path.name} is damaged: {str(error) or 'it ends too early'}.") from error


def sha256_of(path: Path) -> str:
    """SHA-256 of a file in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
