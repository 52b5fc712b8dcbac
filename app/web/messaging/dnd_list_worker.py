"""Reads uploaded do-not-disturb lists, a thousand lines per transaction; an interrupted one continues where it was."""

from __future__ import annotations

import csv
import gzip
import logging
import time
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import BinaryIO, cast

from sqlalchemy import select
from sqlalchemy.orm import Session

from app import access
from app.domain.base import RuleBroken, translatable
from app.domain.messaging import dnd_uploads
from app.domain.messaging.dnd_uploads import DndUpload
from app.file_store_and_vault import file_store
from app.lib.digit_grouping import grouped
from app.ops.queues import queue
from app.ops.storage.file_store import TooLarge
from app.outbox.delivery_engine import SKIPPED

QUEUE = "long"
#: Seconds that one call reads; then others have their turn.
MAX_SECONDS = 120.0
#: Bytes of an uncompressed file, of one line, and of one step of decompression.
MAX_BYTES, MAX_LINE, BLOCK = 100_000_000, 1000, 1 << 20
GZIP = b"\x1f\x8b"
_GONE = translatable("The file is no longer in the storage. Please upload it again.")

log = logging.getLogger("crm.files")


def store_file(file: BinaryIO) -> tuple[str, int]:
    """Store an uploaded file, compressed as it came. Returns (digest, uncompressed bytes).

    Raises RuleBroken for one that is too large or damaged, OSError if the storage can't be reached.
    """
    size = 0
    for block in _blocks(file):
        size += len(block)
        if size > MAX_BYTES:
            raise RuleBroken("This file is too large: at most 100 MB and 1,000,000 lines are read.", "file")
    if not size:
        raise RuleBroken("This file is empty.", "file")
    try:
        return file_store().put(file).digest, size
    except TooLarge as error:
        raise RuleBroken("This file is too large: at most 100 MB and 1,000,000 lines are read.", "file") from error


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    try:
        source = _unpacked(file)
        while block := source.read(BLOCK):
            yield block
    except (OSError, EOFError, zlib.error) as error:
        raise RuleBroken("This file is damaged: it can't be unpacked. Please upload it again.", "file") from error


def _unpacked(file: BinaryIO) -> BinaryIO:
    """The content of a file that may be compressed, from its beginning."""
    file.seek(0)
    begins = file.read(2)
    file.seek(0)
    return cast(BinaryIO, gzip.GzipFile(fileobj=file)) if begins == GZIP else file


class _Source:
    """The file of an upload, opened once for all steps of a call."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack, self._open = stack, dict[str, BinaryIO]()

    def at(self, upload: DndUpload) -> BinaryIO:
        """The uncompressed file, at the position to continue. Raises FileNotFoundError, OSError."""
        digest = upload.digest or ""
        if digest not in self._open:
            self._open[digest] = _unpacked(self._stack.enter_context(file_store().open(digest)))
        file = self._open[digest]
        file.seek(upload.position)
        return file


def read(upload_id: int) -> None:
    """Import the next lines of an uploaded list. The function's path is stored in queues."""
    ends = time.monotonic() + MAX_SECONDS
    with ExitStack() as stack:
        source = _Source(stack)
        try:
            while time.monotonic() < ends:
                if not _step(upload_id, source, datetime.now(UTC)):
                    return
        except OSError as error:  # the minutely job resumes it
            log.warning("do-not-disturb list %s waits for the storage: %s", upload_id, type(error).__name__)
            return
    queue.enqueue(QUEUE, read, upload_id)


def _step(upload_id: int, source: _Source, now: datetime) -> bool:
    """Read the next lines, in one transaction. Returns whether there are more.

    Raises OSError if the storage is unavailable.
    """
    with access.system_transaction() as session:
        query = select(DndUpload).where(DndUpload.id == upload_id, DndUpload.state == "reading")
        upload = session.scalars(query.with_for_update()).first()
        if upload is None:
            return False
        try:
            return _read_some(session, upload, source.at(upload), now)
        except FileNotFoundError:
            upload.state, upload.error, upload.digest = "failed", _GONE, None
            return False


def _read_some(session: Session, upload: DndUpload, file: BinaryIO, now: datetime) -> bool:
    room = min(dnd_uploads.CHUNK, dnd_uploads.MAX_LINES - upload.lines)
    raw = [line for _n in range(room) if (line := file.readline(MAX_LINE))]
    position = file.tell()
    is_end = position >= upload.size or not raw
    good, wrong = [], []
    for n, line in enumerate(raw, upload.lines + 1):
        cells = _cells(line)
        if (n == 1 and dnd_uploads.is_heading(cells)) or not any(cells):
            continue
        found = dnd_uploads.parse(cells, upload.checked_on, now)
        if isinstance(found, str):
            wrong.append((n, line.decode("utf-8", "replace").strip()[: dnd_uploads.MAX_TEXT], found))
        else:
            good.append(found)
    upload.stored += dnd_uploads.store(session, good, "scrub file", now)
    dnd_uploads.note_wrong(session, upload, wrong)
    upload.lines, upload.position, upload.changed_on = upload.lines + len(raw), position, now
    if is_end or upload.lines >= dnd_uploads.MAX_LINES:
        upload.state, upload.digest = "done", None  # the file is no longer needed
        if not is_end:
            upload.error = translatable(
                "Only the first %(most)s lines were read. Please upload the others as another file.",
                most=grouped(dnd_uploads.MAX_LINES),
            )
        return False
    return True


def _cells(line: bytes) -> list[str]:
    text = line.decode("utf-8-sig", "replace").replace("\0", "").strip()
    separator = ";" if ";" in text and "," not in text else "\t" if "\t" in text else ","
    return next(csv.reader([text], delimiter=separator), [])


def find_due(session: Session, limit: int) -> list[int]:
    """The files that are not completely read."""
    return dnd_uploads.unfinished(session, limit)


def enqueue(upload_id: int) -> str:
    """Read a file soon."""
    return "queued" if queue.enqueue(QUEUE, read, upload_id) else SKIPPED
