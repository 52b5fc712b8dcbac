"""What all kinds of database have in common: their contents, and the operations on them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy.engine import URL

#: Tables that exist only during a restore or upgrade.
PASSING_TABLES = ("crm_schema_change",)
#: A row's reference to a file (app/ops/storage/file_store.py: PREFIX).
_REFERENCE = re.compile(rb"file:([0-9a-f]{64})")


#: Called often, so that others see that a run goes on.
Beat = Callable[[], None]


def ignore() -> None:
    """The default if nobody waits for a heartbeat."""


@dataclass(frozen=True)
class TableContents:
    """The rows of a table at one moment."""

    rows: int
    #: SHA-256 over all rows in the order of the primary key.
    sha256: str


@dataclass
class DatabaseContents:
    """Everything in a database at one moment."""

    tables: dict[str, TableContents] = field(default_factory=dict)
    #: SHA-256 over the definitions of tables, indexes, views, triggers, routines and events.
    schema_sha256: str = ""
    #: Digests of the stored files to which rows refer.
    references: set[bytes] = field(default_factory=set)

    def as_json(self) -> dict[str, Any]:
        """The contents as JSON for the manifest."""
        tables = {name: {"rows": each.rows, "sha256": each.sha256} for name, each in sorted(self.tables.items())}
        return {"tables": tables, "schema_sha256": self.schema_sha256}

    @property
    def rows(self) -> int:
        """Rows of all tables."""
        return sum(each.rows for each in self.tables.values())

    def differences(self, noted: dict[str, Any]) -> list[str]:
        """How this differs from the manifest, one sentence per table."""
        found = []
        for name in sorted({*noted["tables"], *self.tables}):
            then, now = noted["tables"].get(name), self.tables.get(name)
            if then is None or now is None:
                found.append(f"The table {name} is {'not in the backup' if then is None else 'missing'}.")
            elif then["rows"] != now.rows:
                found.append(f"{name} has {now.rows} rows, the backup had {then['rows']}.")
            elif then["sha256"] != now.sha256:
                found.append(f"{name} has other values than the backup had.")
        if not found and noted["schema_sha256"] != self.schema_sha256:
            found.append("The definitions of tables, indexes, triggers or routines differ.")
        return found


@dataclass(frozen=True)
class DatabaseFacts:
    """The properties of a database before its dump."""

    #: Such as MariaDB 10.11.19, and the program that dumps it.
    server: str
    program: str
    #: The Alembic revisions of its schema.
    schema: tuple[str, ...]
    #: COUNT:HASH, the head of the audit log.
    audit_head: str
    #: primary, or how far the replica was behind.
    source: str = "primary"
    #: What an operator should know, as sentences.
    remarks: tuple[str, ...] = ()


class Database(Protocol):
    """One database, by its URL."""

    #: sqlite or mariadb.
    kind: str
    #: The name of the dump in a backup.
    dump_name: str
    url: URL

    def facts(self) -> DatabaseFacts:
        """The facts before a dump. Raises BackupError if no good dump can be made."""

    def dump(self, write: Callable[[bytes], None], workspace: Path) -> DatabaseContents:
        """Write everything in it as of one moment, while others write. Raises BackupError."""

    def load(self, chunks: Iterable[bytes], workspace: Path, beat: Beat = ignore) -> None:
        """Load a dump; `beat` is called while no chunk is needed.

        The database must be empty, except on SQLite, which replaces it at once at the end.
        """

    def contents(self, workspace: Path, beat: Beat = ignore) -> DatabaseContents:
        """Its current contents; nobody may write meanwhile."""

    def tables(self) -> list[str]:
        """The names of its tables; [] for an empty or missing database."""

    def prepare(self) -> None:
        """Create it unless it exists. Raises BackupError if the user lacks the privilege."""

    def empty(self) -> None:
        """Drop everything in it."""

    def in_use(self) -> int:
        """The number of other connections to it, as far as is known."""

    def seconds_to_watch(self) -> float:
        """For how long a server may be without a connection to it: its schedule rests between two minutes."""

    def mark(self, is_restoring: bool) -> None:
        """Mark the database as being restored, so that no server starts on half of it; or remove the mark."""

    def scratch(self, workspace: Path) -> AbstractContextManager[Database]:
        """An empty temporary database beside it. Raises BackupError if the user lacks the privilege."""

    def locked(self) -> AbstractContextManager[None]:
        """Hold the lock for backups of this database, across servers. Raises BackupBusy."""


def references_in(rows: bytes) -> set[bytes]:
    """The digests of stored files in these rows."""
    return {bytes.fromhex(digest.decode()) for digest in _REFERENCE.findall(rows)}
