"""Everything in open formats: every record and the audit log as JSON lines, every file, and a manifest.

For leaving the product, and for programs of one's own: values encrypted in the database are readable here (PAN,
Aadhaar). Passwords, keys and sessions are left out; the manifest lists them.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import IO, Any, Protocol

import orjson
from flask import current_app
from sqlalchemy import Table, select
from sqlalchemy.orm import Session

from app import access
from app.domain.persistence import file_references
from app.models import Record
from app.ops.storage.file_store import CHUNK, FileStore

#: Rows per statement.
STEP = 2000
#: Tables with only secrets, or with operational data of the CRM itself.
LEFT_OUT = frozenset(
    {
        *(
            "api_key",
            "sign_in",
            "failed_login",
            *("two_factor", "recovery_code", "pending_sign_in", "remembered_browser"),
            "login_name",
            "invitation",
            "kept_key",
            "stored_response",
            "idempotency",
        ),
        *("access_version", "alembic_version", "transfer_part", "export_run", "import_row", "health_sample"),
        *("slow_statement", "failed_call", "crm_schema_change"),
        # Counts of calls, which are exported themselves.
        *("call_rollup_state", "call_rollup_mark", "call_day_count", "call_hour_count", "call_day_numbers"),
        "call_line_count",
        # Counts of records, which are exported themselves.
        *("record_rollup_state", "record_day_sum", "counted_row", "row_mark"),
        # How far the holders that tasks repeat were compared.
        "holder_check",
    }
)
#: Parts of the names of columns with secrets or their fingerprints, such as an add-on's `secret_key`; and ends of names
#: that have none: `token_no` is no token.
_SECRET = ("password", "secret", "token", "_blind", "_hash", "totp", "credentials", "_sealed")
_NO_SECRET = ("_no", "_number")
#: Encrypted column -> its name when readable.
OPENED = {"pan_sealed": "pan", "aadhaar_sealed": "aadhaar"}
_README = """Everything of the CRM, in open formats.

manifest.json    what is here: for each table its file, rows, bytes and SHA-256; the number of files.
records/*.jsonl  one table each, one row a line, as JSON in UTF-8. Moments are in UTC. Columns that end in _id name
                 the id of a row in another file: lead_id in leads.jsonl, user ids in ab_user.jsonl.
files/           attachments, media and recordings. The name of a file is the SHA-256 of what is in it.
files.jsonl      which row of which table refers to which file.
"""

log = logging.getLogger("crm.exports")


Tick = Callable[[int], None]


class ExportTarget(Protocol):
    """The interface of a target: a folder or an archive."""

    def open(self, name: str) -> IO[bytes]:
        """A new part, to be written and closed."""


@dataclass
class FolderTarget:
    """A folder, which must be empty."""

    folder: Path

    def open(self, name: str) -> IO[bytes]:
        """A file of the folder that only its owner can read."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = path.open("xb")
        path.chmod(0o600)
        return file


@dataclass
class ZipTarget:
    """An archive that is being written."""

    archive: zipfile.ZipFile

    def open(self, name: str) -> IO[bytes]:
        """A member of the archive."""
        return self.archive.open(name, "w", force_zip64=True)


@dataclass
class Manifest:
    """The list of what was written."""

    made_on: str
    tables: dict[str, dict[str, Any]] = field(default_factory=dict)
    files: int = 0
    file_bytes: int = 0
    missing_files: list[str] = field(default_factory=list)

    @property
    def rows(self) -> int:
        """The rows of all tables."""
        return sum(each["rows"] for each in self.tables.values())

    def as_json(self) -> bytes:
        """The manifest as JSON."""
        shown = {
            "made_on": self.made_on,
            "tables": self.tables,
            "files": {"count": self.files, "bytes": self.file_bytes, "missing": self.missing_files},
            "left_out": {
                "tables": sorted(LEFT_OUT),
                "columns_with": [*_SECRET],
                "but_not_columns_that_end_in": [*_NO_SECRET],
                "but": "PAN and Aadhaar are readable",
            },
        }
        return orjson.dumps(shown, option=orjson.OPT_INDENT_2)


def write(session: Session, target: ExportTarget, tick: Tick = lambda _rows: None) -> Manifest:
    """Write everything, as of this moment; `tick` is called with the number of rows now and then. Raises OSError.

    The session is the system's, in one transaction, so that the tables are consistent.
    """
    manifest = Manifest(datetime.now(UTC).isoformat(timespec="seconds"))
    with access.as_system(session):
        for table in Record.metadata.sorted_tables:
            if table.name not in LEFT_OUT:
                manifest.tables[str(table.name)] = _write_table(
                    session, table, target, partial(_add, tick, manifest.rows)
                )
        _write_files(session, target, manifest, tick)
    for name, data in (("README.txt", _README.encode()), ("manifest.json", manifest.as_json())):
        with target.open(name) as file:
            file.write(data)
    return manifest


def _add(tick: Tick, before: int, rows: int) -> None:
    tick(before + rows)


def _write_table(session: Session, table: Table, target: ExportTarget, tick: Tick) -> dict[str, Any]:
    name, digest, rows, size = f"records/{table.name}.jsonl", hashlib.sha256(), 0, 0
    with target.open(name) as file:
        for row in _rows(session, table):
            line = orjson.dumps(row, default=_plain, option=orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE)
            file.write(line)
            digest.update(line)
            rows, size = rows + 1, size + len(line)
            if rows % STEP == 0:
                tick(rows)
    return {"file": name, "rows": rows, "bytes": size, "sha256": digest.hexdigest()}


def _plain(value: Any) -> Any:
    return value.hex() if isinstance(value, bytes) else str(value)


def _rows(session: Session, table: Table) -> Iterator[dict[str, Any]]:
    """The rows of a table by id, without secrets, with PAN and Aadhaar readable."""
    columns = [each for each in table.c if each.name in OPENED or not _is_secret(each.name)]
    names = [(each.name, str(OPENED.get(each.name, each.name))) for each in columns]
    key, last = table.c.get("id"), None
    vault = current_app.extensions["vault"]
    while True:
        query = select(*columns)
        if key is not None:
            query = query.order_by(key).limit(STEP)
            query = query if last is None else query.where(key > last)
        found = session.execute(query).mappings().all()
        for row in found:
            yield {shown: _opened(name, row[name], vault) for name, shown in names}
        if key is None or len(found) < STEP:
            return
        last = found[-1]["id"]


def _is_secret(name: str) -> bool:
    return any(part in name for part in _SECRET) and not name.endswith(_NO_SECRET)


def _opened(name: str, value: Any, vault: Any) -> Any:
    return vault.open(value) if name in OPENED and value else value


def _write_files(session: Session, target: ExportTarget, manifest: Manifest, tick: Tick) -> None:
    store: FileStore = current_app.extensions["crm_files"]
    written: set[str] = set()
    with target.open("files.jsonl") as index:
        for column in file_references.digest_columns():
            if column.table.name in LEFT_OUT:
                continue
            for row in _referring(session, column):
                index.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))
                written.add(row["file"])
    session.rollback()  # everything was read, and MariaDB ends idle transactions
    for digest in sorted(written):
        tick(manifest.rows)
        try:
            with store.open(digest) as source, target.open(f"files/{digest}") as file:
                shutil.copyfileobj(source, file, CHUNK)
                manifest.file_bytes += source.tell()
            manifest.files += 1
        except FileNotFoundError:
            manifest.missing_files.append(digest)
            log.warning("the file %s, to which a row refers, is missing", digest)


def _referring(session: Session, column: Any) -> Iterator[dict[str, Any]]:
    table, last = column.table, 0
    while True:
        query = select(table.c.id, column).where(column.is_not(None), table.c.id > last).order_by(table.c.id)
        found = session.execute(query.limit(STEP)).all()
        yield from ({"file": digest, "table": table.name, "column": column.name, "id": key} for key, digest in found)
        if len(found) < STEP:
            return
        last = found[-1][0]
