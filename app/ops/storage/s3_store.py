"""Files in S3 storage."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from datetime import datetime
from typing import Any, BinaryIO

from app.ops.storage.file_store import MAX_BYTES, StoredFile, check_digest, describe_content
from app.ops.storage.s3_bucket import Bucket, S3Place

#: Files up to this size are kept in memory while they are read.
MEMORY_BYTES = 1_000_000


class S3Store:
    """Files in one bucket."""

    def __init__(self, place: S3Place) -> None:
        self.bucket = Bucket(place)

    def put(self, content: bytes | BinaryIO) -> StoredFile:
        """Store a file. An existing one is stored again, which marks it as in use."""
        file, stored = describe_content(content)
        self.bucket.put(_key(stored.digest), file, stored.size)
        return stored

    def open(self, digest: str) -> BinaryIO:
        """Open a file: all of it is fetched first, so that no response waits for the storage halfway."""
        kept: Any = tempfile.SpooledTemporaryFile(MEMORY_BYTES)  # noqa: SIM115  # the caller closes it
        try:
            self.bucket.read(_key(digest), kept, MAX_BYTES)
        except BaseException:
            kept.close()
            raise
        kept.seek(0)
        return kept  # type: ignore[no-any-return]

    def delete(self, digest: str, before: datetime | None = None) -> bool:
        """Delete a file; returns whether it was there."""
        try:
            stored_on = self.bucket.stored_on(_key(digest))
        except FileNotFoundError:
            return False
        if before is not None and stored_on >= before:
            return False
        self.bucket.delete([_key(digest)])
        return True

    def list(self) -> Iterator[tuple[str, datetime]]:
        """All files, a thousand at a time."""
        for key, stored_on in self.bucket.list():
            digest = key.replace("/", "")
            if len(digest) == 64:
                yield digest, stored_on


def _key(digest: str) -> str:
    check_digest(digest)
    return f"{digest[:2]}/{digest[2:]}"
