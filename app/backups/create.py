"""Makes a backup: first the files, then the database at one moment, then the files that were added meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from app.backups import erasures, files, retention
from app.backups.database_contents import Database, DatabaseContents, DatabaseFacts
from app.backups.database_urls import open_database
from app.backups.encryption import Encryption
from app.backups.errors import BackupError, readable_disk_errors
from app.backups.folder import Backup
from app.backups.installation import Installation
from app.backups.streams import BackupFile, PartWriter, write_part

FORMAT = 1


@contextmanager
def one_at_a_time(installation: Installation, database: Database | None = None) -> Iterator[Database]:
    """Lock the CRM's database, or this one, against other backups, restores and drills.

    Raises BackupBusy, BackupError.
    """
    database = database or open_database(installation.database_url)
    with ExitStack() as held:
        with readable_disk_errors(installation.folder.path):
            held.enter_context(installation.folder.locked())
        held.enter_context(database.locked())
        with readable_disk_errors(installation.folder.path):
            installation.folder.clear()
        yield database


@dataclass
class _BackupInProgress:
    """A backup in progress."""

    installation: Installation
    name: str
    half: Path
    #: What started it: schedule, person or upgrade.
    cause: str
    #: UTC; None = the current time.
    now: datetime | None

    def run(self, database: Database) -> dict[str, Any]:
        """Write all parts. Returns the manifest."""
        source = open_database(self.installation.source_url) if self.installation.source_url else database
        facts = source.facts()
        pool = files.FilePool(self.installation.pool, self.installation.encryption)
        found = pool.add_all(self.installation.store, self.installation.beat)
        began = self.now or datetime.now(UTC)
        dumped, contents = self._dump(source)
        found |= pool.add_all(self.installation.store, self.installation.beat)
        listed = self._list(found)
        erased = erasures.of_database(source.url)
        manifest = self._manifest(facts, contents, {"database": dumped, "files": listed})
        manifest |= {"made_on": began.isoformat(), "ended_on": datetime.now(UTC).isoformat()}
        missing = contents.references - {bytes.fromhex(digest) for digest in found}
        manifest["files"] = {"count": len(found), "size": sum(each.size for each in found.values())}
        manifest["files"]["missing"] = sorted(digest.hex() for digest in missing)[:100]
        manifest[erasures.MANIFEST_KEY] = erased
        manifest["remarks"] = [*facts.remarks, *_missing_sentence(len(missing))]
        return manifest | {"seal": self.installation.seal(manifest)}

    def _dump(self, source: Database) -> tuple[BackupFile, DatabaseContents]:
        found: list[DatabaseContents] = []

        def fill(writer: PartWriter) -> None:
            def write(chunk: bytes) -> None:
                writer.write(chunk)
                self.installation.beat()

            found.append(source.dump(write, self.half))

        return write_part(self.half / source.dump_name, self.installation.encryption, fill), found[0]

    def _list(self, found: dict[str, files.PoolFile]) -> BackupFile:
        ordered = [found[digest] for digest in sorted(found)]
        # Not encrypted: it contains only checksums, and is needed to find files that can be removed
        return write_part(self.half / files.LIST, Encryption(), lambda writer: files.write_list(writer, ordered))

    def _manifest(
        self, facts: DatabaseFacts, contents: DatabaseContents, parts: dict[str, BackupFile]
    ) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "name": self.name,
            "cause": self.cause,
            "version": self.installation.version,
            "schema": list(facts.schema),
            "server": facts.server,
            "program": facts.program,
            "source": facts.source,
            "audit_head": facts.audit_head,
            "keys": self.installation.keys(),
            "encryption": self.installation.encryption.kind,
            "recipients": [_public(each) for each in self.installation.encryption.recipients],
            "parts": {name: part.as_json() for name, part in parts.items()},
            "contents": contents.as_json(),
        }


def _public(recipient: str) -> str:
    """A public key, or the name of its file without the path."""
    return Path(recipient).name


def _missing_sentence(count: int) -> list[str]:
    if not count:
        return []
    return [f"{count} files to which messages refer were not in the store, so they aren't in the backup either."]


@dataclass(frozen=True)
class CreatedBackup:
    """A new backup, and the names of the backups deleted by retention."""

    backup: Backup
    deleted: list[str]


def make(installation: Installation, cause: str = "person", now: datetime | None = None) -> CreatedBackup:
    """Make a backup, then delete those that retention doesn't keep. Raises BackupError; then nothing has changed."""
    with one_at_a_time(installation) as database, readable_disk_errors(installation.folder.path):
        name = installation.folder.new_name(now or datetime.now(UTC))
        try:
            making = _BackupInProgress(installation, name, installation.folder.begin(name), cause, now)
            backup = installation.folder.complete(name, making.run(database))
        except BaseException:
            installation.folder.clear()
            raise
        return CreatedBackup(backup, retention.apply(installation, backup))


def exists(installation: Installation) -> bool:
    """Whether there is a database to back up."""
    try:
        return bool(open_database(installation.database_url).tables())
    except BackupError:
        return True  # making the backup reports what is wrong
