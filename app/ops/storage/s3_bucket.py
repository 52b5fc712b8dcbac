"""One S3 bucket, at Amazon, MinIO, Ceph and so on: for files and for backups.

boto3 is imported on the first call: it takes a second and 30 MB, which few processes need. Its own limits apply to each
attempt and each read; here every call has a total deadline, whatever the storage does.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from app.lib import deadline
from app.lib.batches import batched
from app.ops.storage.file_store import CHUNK, StorageUnavailable

#: Seconds for a connection and for each response; attempts per request, with increasing waits by boto.
CONNECT_SECONDS, ANSWER_SECONDS, ATTEMPTS = 3, 10, 3
#: Seconds for a whole call, and for one that transfers a file; bytes of a file for one more second.
CALL_SECONDS, FILE_SECONDS, BYTES_A_SECOND = 15.0, 60.0, 500_000
#: Calls that may be in progress at once in a process. An abandoned one ends when boto abandons it, too.
MAX_CALLS = 64
KEYS_AT_ONCE = 1000
_MISSING = {"404", "NoSuchKey", "NoSuchUpload", "NotFound"}
T = TypeVar("T")
_calls = threading.BoundedSemaphore(MAX_CALLS)
log = logging.getLogger("crm.files")


@dataclass(frozen=True)
class S3Place:
    """The endpoint, bucket and prefix of the objects."""

    bucket: str
    #: Prefix of all keys, "" or such as "crm/".
    prefix: str = ""
    #: The URL of a storage service other than Amazon's.
    endpoint: str | None = None
    region: str | None = None


class Bucket:
    """The objects of one place; keys are relative to its prefix. boto finds the account's keys in its usual places.

    Methods raise FileNotFoundError for a missing object, else StorageUnavailable with a code and no address.
    """

    def __init__(self, place: S3Place) -> None:
        self.place = place
        self._made: Any = None
        self._lock = threading.Lock()

    def put(self, key: str, body: BinaryIO, size: int) -> None:
        """Store an object of this size."""
        self._call(lambda client, where: client.put_object(**where, Body=body, ContentLength=size), key, _room(size))

    def upload(self, key: str, path: Path) -> None:
        """Store a file of any size, in parts if it is large; the storage checks its SHA-256."""
        extra = {"ChecksumAlgorithm": "SHA256"}
        room = _room(path.stat().st_size)
        self._call(lambda client, where: client.upload_file(str(path), *where.values(), ExtraArgs=extra), key, room)

    def read(self, key: str, into: BinaryIO, maximum: int) -> None:
        """Fetch an object of at most `maximum` bytes."""

        def fetch(client: Any, where: dict[str, str]) -> None:
            body = client.get_object(**where)["Body"]
            try:
                while chunk := body.read(CHUNK):
                    into.write(chunk)
            finally:
                body.close()

        self._call(fetch, key, _room(maximum))

    def download(self, key: str, path: Path) -> None:
        """Fetch an object of any size into a file."""
        size = self._call(lambda client, where: int(client.head_object(**where)["ContentLength"]), key)
        self._call(lambda client, where: client.download_file(*where.values(), str(path)), key, _room(size))

    def stored_on(self, key: str) -> datetime:
        """The time an object was last stored, UTC."""
        found: datetime = self._call(lambda client, where: client.head_object(**where)["LastModified"], key)
        return found

    def delete(self, keys: list[str]) -> None:
        """Remove objects; one that is missing is no error."""
        for batch in batched(keys, KEYS_AT_ONCE):
            some = {"Objects": [{"Key": self.place.prefix + key} for key in batch]}
            self._call(lambda client, where, some=some: client.delete_objects(Bucket=where["Bucket"], Delete=some))

    def list(self, below: str = "") -> Iterator[tuple[str, datetime]]:
        """(key, when it was last stored) of all objects below a key, a thousand at a time."""
        more: dict[str, Any] = {"Prefix": self.place.prefix + below}
        while True:
            page = self._call(lambda client, where, m=more: client.list_objects_v2(Bucket=where["Bucket"], **m))
            for each in page.get("Contents", ()):
                yield each["Key"].removeprefix(self.place.prefix), each["LastModified"]
            if not page.get("IsTruncated"):
                return
            more["ContinuationToken"] = page["NextContinuationToken"]

    def abort_uploads(self, before: datetime) -> int:
        """Abort multipart uploads that began before this time, UTC, and free their parts. Returns how many.

        A process killed during `upload` leaves one: its parts are invisible, but stored and paid for.
        """
        more: dict[str, Any] = {"Prefix": self.place.prefix}
        count = 0
        while True:
            page = self._call(lambda client, where, m=more: client.list_multipart_uploads(Bucket=where["Bucket"], **m))
            for each in page.get("Uploads", ()):
                if each["Initiated"] < before:
                    count += self._abort(each["Key"], each["UploadId"])
            if not page.get("IsTruncated"):
                return count
            more |= {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}

    def _abort(self, key: str, upload: str) -> bool:
        try:
            self._call(
                lambda client, where: client.abort_multipart_upload(Bucket=where["Bucket"], Key=key, UploadId=upload)
            )
        except FileNotFoundError:  # it has ended meanwhile
            return False
        return True

    def _call(self, do: Callable[..., T], key: str = "", seconds: float | None = None) -> T:
        """`do`(client, {Bucket, Key}), within `seconds` in all. Raises OSError."""
        where = {"Bucket": self.place.bucket, "Key": self.place.prefix + key}
        try:
            client = self.client
            return deadline.call_with_deadline(
                CALL_SECONDS if seconds is None else seconds, _calls, lambda: do(client, where)
            )
        except TimeoutError as error:
            log.warning("the storage of objects is too slow")
            raise StorageUnavailable("the storage is too slow") from error
        except Exception as error:
            if isinstance(error, OSError) or not type(error).__module__.startswith(("boto", "urllib3", "s3transfer")):
                raise
            converted = _as_os_error(error)
            if isinstance(converted, StorageUnavailable):
                log.warning("%s", converted)
            raise converted from error

    @property
    def client(self) -> Any:
        """boto's client, created once; thread-safe."""
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


def _room(size: int) -> float:
    """Seconds in which a file of this size has to be transferred."""
    return FILE_SECONDS + size / BYTES_A_SECOND


def _as_os_error(error: Exception) -> OSError:
    """An exception of boto as an OSError. Its texts may contain addresses and signatures, so only its code is used."""
    response = getattr(error, "response", None)
    code = str(response.get("Error", {}).get("Code", "")) if isinstance(response, dict) else ""
    if code in _MISSING:
        return FileNotFoundError("the storage has no such file")
    return StorageUnavailable(f"the storage of files can't be used ({code or type(error).__name__})")
