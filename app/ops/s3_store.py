"""Files in a storage of objects that speaks S3, such as Amazon's, MinIO or Ceph.

boto3 is loaded when the first file is stored or read: it takes a second and 30 MB, which few processes need.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, BinaryIO

from app.ops.file_store import CHUNK, StoreAway, StoredFile, check_digest, described

#: Seconds for a connection, for each answer, and for a whole file in either direction.
CONNECT_SECONDS, ANSWER_SECONDS, TOTAL_SECONDS = 3, 10, 60
#: Attempts of one request; boto waits longer before each.
ATTEMPTS = 3
#: Files up to this size are kept in memory while they are read.
MEMORY_BYTES = 1_000_000
_MISSING = {"404", "NoSuchKey", "NotFound"}


@dataclass(frozen=True)
class S3Place:
    """Where the files are."""

    bucket: str
    #: What the keys of all files begin with, "" or such as "crm/".
    prefix: str = ""
    #: The address of a storage that is not Amazon's.
    endpoint: str | None = None
    region: str | None = None


class S3Store:
    """Files in one bucket. The keys of the account are where boto looks for them, such as its environment."""

    def __init__(self, place: S3Place) -> None:
        self.place = place
        self._made: Any = None
        self._lock = threading.Lock()

    def put(self, content: bytes | BinaryIO) -> StoredFile:
        """Store a file. One that is there is stored again, which says that it is in use."""
        file, stored = described(content)
        with _told(), closing(_Watched(file, TOTAL_SECONDS)) as body:
            self._client.put_object(
                Bucket=self.place.bucket, Key=self._key(stored.digest), Body=body, ContentLength=stored.size
            )
        return stored

    def open(self, digest: str) -> BinaryIO:
        """Read a file: all of it is fetched first, so that nobody waits for the storage amid an answer."""
        ends = time.monotonic() + TOTAL_SECONDS
        kept: Any = tempfile.SpooledTemporaryFile(MEMORY_BYTES)  # noqa: SIM115  # the caller closes it
        try:
            with _told():
                answer = self._client.get_object(Bucket=self.place.bucket, Key=self._key(digest))
                with closing(answer["Body"]) as body:
                    while chunk := body.read(CHUNK):
                        kept.write(chunk)
                        if time.monotonic() > ends:
                            raise StoreAway("the storage is too slow")
        except BaseException:
            kept.close()
            raise
        kept.seek(0)
        return kept  # type: ignore[no-any-return]

    def delete(self, digest: str, before: datetime | None = None) -> bool:
        """Remove a file."""
        where = {"Bucket": self.place.bucket, "Key": self._key(digest)}
        with _told():
            try:
                found = self._client.head_object(**where)
            except FileNotFoundError:
                return False
            except Exception as error:
                if _code_of(error) in _MISSING:
                    return False
                raise
            if before is not None and found["LastModified"] >= before:
                return False
            self._client.delete_object(**where)
        return True

    def list(self) -> Iterator[tuple[str, datetime]]:
        """All files, a thousand at a time."""
        with _told():
            pages = self._client.get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=self.place.bucket, Prefix=self.place.prefix):
                for each in page.get("Contents", ()):
                    digest = each["Key"].removeprefix(self.place.prefix).replace("/", "")
                    if len(digest) == 64:
                        yield digest, each["LastModified"]

    def _key(self, digest: str) -> str:
        check_digest(digest)
        return f"{self.place.prefix}{digest[:2]}/{digest[2:]}"

    @property
    def _client(self) -> Any:
        """boto's client, made once; it may be used by several threads."""
        with self._lock:
            if self._made is None:
                import boto3
                from botocore.config import Config

                limits = Config(
                    connect_timeout=CONNECT_SECONDS,
                    read_timeout=ANSWER_SECONDS,
                    retries={"total_max_attempts": ATTEMPTS, "mode": "standard"},
                )
                place = {"endpoint_url": self.place.endpoint, "region_name": self.place.region}
                self._made = boto3.session.Session().client("s3", config=limits, **place)
            return self._made


class _Watched:
    """A file that is read for so many seconds at most."""

    def __init__(self, file: BinaryIO, seconds: float) -> None:
        self._file, self._ends = file, time.monotonic() + seconds

    def read(self, size: int = -1) -> bytes:
        """As of any file. Raises StoreAway when the time is over."""
        if time.monotonic() > self._ends:
            raise StoreAway("the storage is too slow")
        return self._file.read(size)

    def seek(self, place: int, whence: int = 0) -> int:
        """As of any file; boto goes back before a further attempt."""
        return self._file.seek(place, whence)

    def tell(self) -> int:
        """As of any file."""
        return self._file.tell()

    def close(self) -> None:
        """The file belongs to the caller."""


@contextmanager
def _told() -> Iterator[None]:
    """What boto raises, as the errors of a FileStore. Its own texts may hold addresses, so only its code is kept."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        code = _code_of(error)
        if not type(error).__module__.startswith(("boto", "urllib3", "s3transfer")):
            raise
        if code in _MISSING:
            raise FileNotFoundError("the storage has no such file") from error
        raise StoreAway(f"the storage of files can't be used ({code or type(error).__name__})") from error


def _code_of(error: Exception) -> str:
    response = getattr(error, "response", None)
    found = response.get("Error", {}).get("Code", "") if isinstance(response, dict) else ""
    return str(found)
