"""The restore drill: restores the newest backup into a temporary database."""

from __future__ import annotations

from app.backups import after_restore, erasures
from app.backups.create import one_at_a_time
from app.backups.database_contents import Database
from app.backups.errors import BackupError, readable_disk_errors
from app.backups.files import files_of
from app.backups.folder import Backup
from app.backups.installation import Installation
from app.backups.streams import reading_part
from app.backups.verify import VerificationReport, check_files, check_parts, check_seal, locked_sentence


def drill(installation: Installation, name: str | None = None) -> VerificationReport:
    """Restore a backup, by default the newest, and compare all tables with its manifest. Raises BackupError."""
    with one_at_a_time(installation) as database, readable_disk_errors(installation.folder.path):
        backup = installation.folder.find(name) if name else _newest(installation)
        report = VerificationReport(backup.name)
        check_seal(installation, backup, report)
        check_parts(installation, backup, report)
        if not report.faults:
            _restore(installation, backup, database, report)
            check_files(installation, backup, report, is_deep=False)
    return report


def _newest(installation: Installation) -> Backup:
    found = installation.folder.all()
    if not found:
        raise BackupError(f"There is no backup in {installation.folder.path} that could be restored. Make one first.")
    return found[-1]


def _restore(installation: Installation, backup: Backup, database: Database, report: VerificationReport) -> None:
    path = backup.path / backup.manifest["parts"]["database"]["file"]
    if sentence := locked_sentence(installation, path):
        report.unchecked.append(sentence)
        return
    if not path.name.startswith(database.dump_name):
        report.unchecked.append(
            f"The backup is of another kind of database ({path.name}), so it can't be tried here. Make a new one."
        )
        return
    try:
        with (
            database.scratch(installation.folder.path) as scratch,
            reading_part(path, installation.encryption.identity) as chunks,
        ):
            scratch.load(installation.beating(chunks), installation.folder.path, installation.beat)
            installation.beat()
            _compare(installation, backup, scratch, report)
            if not report.faults and after_restore.fits(installation, backup, scratch.url):
                report.checked += erasures.apply(scratch.url, erasures.of_database(database.url))
    except BackupError as trouble:
        report.faults.append(str(trouble))


def _compare(installation: Installation, backup: Backup, scratch: Database, report: VerificationReport) -> None:
    noted, contents = backup.manifest["contents"], scratch.contents(installation.folder.path, installation.beat)
    differences = contents.differences(noted)
    report.faults += differences[:20]
    if not differences:
        report.checked.append(
            f"The database was restored: {len(contents.tables)} tables, {contents.rows} rows, the same values and "
            "the same definitions."
        )
    there = {bytes.fromhex(each.digest) for each in files_of(backup)}
    known = {bytes.fromhex(digest) for digest in backup.manifest.get("files", {}).get("missing", ())}
    if lacking := contents.references - there - known:
        report.faults.append(f"{len(lacking)} files to which messages refer are not in the backup.")
