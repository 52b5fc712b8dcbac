"""Reads uploaded do-not-disturb lists, a thousand lines in each transaction; what is cut off goes on where it was."""

from __future__ import annotations

import csv
import gzip
import io
import os
import time
import zlib
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from flask import current_app
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.domain import dnd_uploads
from app.domain.base import RuleBroken, translatable
from app.domain.dnd_uploads import DndUpload
from app.ops import queue
from app.outbox import engine
from app.outbox.engine import SKIPPED

QUEUE = "long"
#: Seconds that one call reads; then others have their turn.
MAX_SECONDS = 120.0
#: Bytes of an unpacked file, of one line, and of one step of unpacking.
MAX_BYTES, MAX_LINE, BLOCK = 100_000_000, 1000, 1 << 20
GZIP = b"\x1f\x8b"


def keep(file: BinaryIO, key: int) -> int:
    """Store an uploaded file, unpacked if it is gzip, and return its size. Raises RuleBroken when it is too large."""
    path = _path(key)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    size = 0
    try:
        with path.open("wb") as target:
            for block in _blocks(file):
                size += len(block)
                if size > MAX_BYTES:
                    raise RuleBroken("This file is too large: at most 100 MB and 1,000,000 lines are read.", "file")
                target.write(block)
    except BaseException:
        with suppress(OSError):
            path.unlink()
        raise
    return size


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    begins = file.read(2)
    file.seek(0)
    source: BinaryIO = gzip.GzipFile(fileobj=file) if begins == GZIP else file  # type: ignore[assignment]
    try:
        while block := source.read(BLOCK):
            yield block
    except (OSError, EOFError, zlib.error) as error:
        raise RuleBroken("This file is damaged: it can't be unpacked. Please upload it again.", "file") from error


def wrong_path(key: int) -> Path:
    """The file of the lines that are wrong: line, text, what is wrong."""
    return _path(key).with_suffix(".wrong.csv")


def _path(key: int) -> Path:
    return Path(current_app.config["CRM"].instance_dir) / "dnd-lists" / f"{key}.csv"


def read(upload_id: int) -> None:
    """Read on in a file. The path of this function is stored in queues."""
    ends = time.monotonic() + MAX_SECONDS
    while time.monotonic() < ends:
        if not _step(upload_id, datetime.now(UTC)):
            return
    queue.enqueue(QUEUE, read, upload_id)


def _step(upload_id: int, now: datetime) -> bool:
    """The next lines, in one transaction. Whether there are more."""
    with engine.writing() as session:
        query = select(DndUpload).where(DndUpload.id == upload_id, DndUpload.state == "reading")
        upload = session.scalars(query.with_for_update()).first()
        if upload is None:
            return False
        try:
            return _read_some(session, upload, now)
        except FileNotFoundError:
            upload.state, upload.error = "failed", "The file isn't on this server any more. Please upload it again."
            return False


def _read_some(session: Session, upload: DndUpload, now: datetime) -> bool:
    room = min(dnd_uploads.CHUNK, dnd_uploads.MAX_LINES - upload.lines)
    with _path(upload.id).open("rb") as file:
        file.seek(upload.position)
        raw = [line for _n in range(room) if (line := file.readline(MAX_LINE))]
        position, is_end = file.tell(), not file.read(1)
    good, wrong = [], []
    for n, line in enumerate(raw, upload.lines + 1):
        cells = _cells(line)
        if (n == 1 and dnd_uploads.is_heading(cells)) or not any(cells):
            continue
        found = dnd_uploads.parse(cells, upload.checked_on, now)
        if isinstance(found, str):
            wrong.append([str(n), line.decode("utf-8", "replace").strip()[:200], found])
        else:
            good.append(found)
    upload.stored += dnd_uploads.store(session, good, now)
    upload.wrong_size += _note_wrong(upload, wrong)
    upload.wrong += len(wrong)
    upload.lines, upload.position, upload.changed_on = upload.lines + len(raw), position, now
    if is_end or upload.lines >= dnd_uploads.MAX_LINES:
        upload.state = "done"
        if not is_end:
            upload.error = translatable(
                "Only the first %(most)s lines were read. Please upload the others as another file.",
                most=f"{dnd_uploads.MAX_LINES:,}",
            )
        return False
    return True


def _cells(line: bytes) -> list[str]:
    text = line.decode("utf-8-sig", "replace").replace("\0", "").strip()
    separator = ";" if ";" in text and "," not in text else "\t" if "\t" in text else ","
    return next(csv.reader([text], delimiter=separator), [])


def _note_wrong(upload: DndUpload, rows: list[list[str]]) -> int:
    """Add the wrong lines to their file, at the place that the database knows: a step that was undone left rubbish."""
    path = wrong_path(upload.id)
    text = io.StringIO()
    writer = csv.writer(text)
    if upload.wrong_size == 0 and rows:
        writer.writerow(["line", "text", "problem"])
    writer.writerows([[n, _safe(shown), problem] for n, shown, problem in rows])
    data = text.getvalue().encode()
    if data:
        with path.open("r+b" if path.exists() else "w+b") as file:
            file.truncate(upload.wrong_size)
            file.seek(upload.wrong_size)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    return len(data)


def _safe(text: str) -> str:
    """A cell that no spreadsheet takes for a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") else text


def find_due(session: Session, limit: int) -> list[int]:
    """The files that are not read to their end."""
    return dnd_uploads.due(session, limit)


def enqueue(upload_id: int) -> str:
    """Read a file soon."""
    return "queued" if queue.enqueue(QUEUE, read, upload_id) else SKIPPED
