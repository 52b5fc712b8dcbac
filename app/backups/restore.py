"""Restores a backup into a database, and adjusts it so that people can work with it."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy.engine import make_url

from app.backups import after_restore, erasures, files, s3_copy
from app.backups.create import one_at_a_time
from app.backups.database_contents import Database
from app.backups.database_urls import open_database, same_database
from app.backups.errors import BackupError, readable_disk_errors
from app.backups.folder import Backup
from app.backups.installation import Installation
from app.backups.streams import reading_part
from app.backups.verify import VerificationReport, check_content, check_files, check_parts, check_seal
from app.ops.processes.leader import election
from app.ops.storage.erasure_list_file import Entry
from app.ops.storage.file_store import FolderStore

#: How often a server without a connection is looked for.
WATCH_SECONDS = 0.2


@dataclass(frozen=True)
class RestoreRequest:
    """What is to be restored, and where."""

    name: str
    into: str
    is_overwriting: bool = False
    #: Where to put the files; None = into the CRM's store if its own database is restored, else nowhere.
    files_into: Path | None = None


@dataclass
class RestoreResult:
    """What was done, as sentences."""

    lines: list[str] = field(default_factory=list)


def restore(installation: Installation, order: RestoreRequest) -> RestoreResult:
    """Restore a backup. Raises BackupError, if possible before anything was changed."""
    done = RestoreResult()
    target = open_database(order.into)
    is_own = same_database(make_url(installation.database_url), target.url)
    with one_at_a_time(installation, target), readable_disk_errors(installation.folder.path), ExitStack() as held:
        backup = _found(installation, order.name)
        _refuse_unfit(installation, backup, target, is_own)
        had = _refuse_existing(target, order)
        if had and (is_own or target.kind != "sqlite"):
            _refuse_servers(installation, target, held)
        _check(installation, backup)
        counters = after_restore.counters_of(target.url) if had else after_restore.Counters()
        erased = erasures.known(installation, erasures.of_database(target.url) if had else ())
        counters.requests = max(counters.requests, erasures.last_request(erased))
        _load(installation, backup, target)
        done.lines.append(f"Restored {backup.name} into {_shown(target)}.")
        again = _erase_again(installation, backup, target, erased)
        done.lines += [*after_restore.settle(installation, backup, target.url, counters), *again]
        done.lines += _put_files_back(installation, backup, order, is_own)
        target.mark(is_restoring=False)
        if is_own:
            done.lines += after_restore.settle_server(installation, backup, target.url)
    return done


def _found(installation: Installation, name: str) -> Backup:
    """The backup, fetched from S3 if this folder lacks it. Raises BackupError."""
    if installation.s3 and name not in installation.folder.names():
        return s3_copy.fetch(installation, name)
    return installation.folder.find(name)


def _shown(target: Database) -> str:
    """The database without its password."""
    return target.url.render_as_string(hide_password=True)


# --- refusals


def _refuse_unfit(installation: Installation, backup: Backup, target: Database, is_own: bool) -> None:
    part = backup.manifest["parts"]["database"]["file"]
    if not part.startswith(target.dump_name):
        raise BackupError(
            f"{backup.name} is a backup of another kind of database ({part}); it can't be restored into "
            f"{_shown(target)}."
        )
    noted = backup.manifest.get("keys", {}).get("CRM_FIELD_KEY")
    if is_own and noted != installation.keys()["CRM_FIELD_KEY"]:
        raise BackupError(
            "The backup was made with another CRM_FIELD_KEY than this server has, which would refuse to start "
            "and could read no PAN and Aadhaar. Nothing was changed. Put back that key first (fingerprint "
            + str(noted)
            + ")."
        )


def _refuse_existing(target: Database, order: RestoreRequest) -> bool:
    """Whether the target had contents. Raises BackupError unless it may be overwritten."""
    existing = target.tables()
    if existing and not order.is_overwriting:
        raise BackupError(
            f"{_shown(target)} isn't empty: it has {len(existing)} tables. Nothing was changed. Name an empty one, "
            "or add --overwrite to replace all that is in it."
        )
    return bool(existing)


def _refuse_servers(installation: Installation, target: Database, held: ExitStack) -> None:
    """Raise BackupError while somebody uses the target: a running server would continue with its caches."""
    leader = election(target.url.render_as_string(hide_password=False), installation.instance_dir)
    held.callback(leader.release)
    for _try in range(20):
        if not (is_used := bool(target.in_use())):
            break
        time.sleep(0.1)  # connections just closed by this process are still seen for a moment
    end = time.monotonic() + target.seconds_to_watch()
    while not is_used and time.monotonic() < end:
        time.sleep(WATCH_SECONDS)
        is_used = bool(target.in_use())
    if is_used or not leader.acquire():
        raise BackupError(
            f"{_shown(target)} is in use. Stop all servers and workers of the CRM first: they would go on with numbers "
            "and rights that they remember. Nothing was changed."
        )
    leader.hold()


def _check(installation: Installation, backup: Backup) -> None:
    """Raise BackupError unless the backup is complete and intact."""
    report = VerificationReport(backup.name)
    check_seal(installation, backup, report)
    check_parts(installation, backup, report)
    if not report.faults:
        check_content(installation, backup, report)
        check_files(installation, backup, report, is_deep=False)
    path = backup.path / backup.manifest["parts"]["database"]["file"]
    if report.faults or (backup.manifest.get("encryption") and installation.encryption.identity is None):
        why = (
            " ".join(report.faults) or f"{path.name} is encrypted. Give the file with the private key: --identity FILE."
        )
        raise BackupError(f"{backup.name} can't be restored, and nothing was changed. {why}")


# --- restoring


def _load(installation: Installation, backup: Backup, target: Database) -> None:
    path = backup.path / backup.manifest["parts"]["database"]["file"]
    target.prepare()
    target.mark(is_restoring=True)
    target.empty()
    with reading_part(path, installation.encryption.identity) as chunks:
        target.load(installation.beating(chunks), installation.folder.path, installation.beat)


def _erase_again(installation: Installation, backup: Backup, target: Database, erased: list[Entry]) -> list[str]:
    """Erase whom the backup still has; a database of an older schema is erased by the server that starts on it."""
    erasures.keep(installation, erased)
    if after_restore.fits(installation, backup, target.url):
        return erasures.apply(target.url, erased)
    if not erased:
        return []
    return [
        "People who were erased after the backup are in it again, until a server of this version with this key has "
        "run on it for some minutes: let nobody work with it before."
    ]


def _put_files_back(installation: Installation, backup: Backup, order: RestoreRequest, is_own: bool) -> list[str]:
    if order.files_into is None and not is_own:
        return ["The files were not restored: name a folder for them with --files FOLDER."]
    store = FolderStore(order.files_into) if order.files_into else installation.store
    count = files.restore_missing(installation.pool, files.files_of(backup), store, installation.encryption.identity)
    return [f"{count} files were put back; the others were there."]
