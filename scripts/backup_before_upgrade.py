"""Back up the database into the instance folder's `backups` before a migration changes it.

SQLite uses its own backup (a consistent copy while others write), MariaDB mariadb-dump in one transaction. Prints the
path of the backup. Exits with 1 and one sentence when there is none, so that `make upgrade` stops.
"""

from __future__ import annotations

import gzip
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy.engine import URL, make_url

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import config  # noqa: E402  # importable only from here on


class BackupFailed(Exception):
    """No backup was made. The message says why and what to do."""


def back_up(url: URL, folder: Path) -> Path | None:
    """Make the backup in the folder and return its path; None when there is no database yet."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%fZ")
    if url.get_backend_name() == "sqlite":
        return back_up_sqlite(url, folder / f"before-upgrade-{stamp}.sqlite3")
    return back_up_mariadb(url, folder / f"before-upgrade-{stamp}.sql.gz")


def back_up_sqlite(url: URL, target: Path) -> Path | None:
    """Copy the file page by page under SQLite's own locks, then check the copy."""
    source = Path(url.database or "")
    if not url.database or not source.exists():
        return None
    partial = create_partial(target)
    try:
        with closing(sqlite3.connect(source)) as original, closing(sqlite3.connect(partial)) as copy:
            original.backup(copy)
            verdict = copy.execute("PRAGMA quick_check").fetchone()[0]
    except sqlite3.Error as error:
        raise BackupFailed(f"SQLite could not copy {source}: {error}.") from error
    if verdict != "ok":
        raise BackupFailed(f"The copy of {source} is damaged ({verdict}), so the database itself may be.")
    partial.rename(target)
    return target


def back_up_mariadb(url: URL, target: Path) -> Path:
    """Dump a consistent snapshot of the database. Others can go on writing."""
    dump = shutil.which("mariadb-dump") or shutil.which("mysqldump")
    if dump is None:
        raise BackupFailed("mariadb-dump is missing; install the package mariadb-client.")
    partial = create_partial(target)
    # --defaults-extra-file must come first; a password on the command line would show in `ps`
    with tempfile.NamedTemporaryFile("w", suffix=".cnf") as credentials, partial.open("wb") as raw:
        credentials.write(client_settings(url))
        credentials.flush()
        command = [dump, f"--defaults-extra-file={credentials.name}", *DUMP_OPTIONS, str(url.database)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as dumping:  # noqa: S603  # no shell, no outside input
            with gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=6) as packed:
                shutil.copyfileobj(dumping.stdout, packed, 1024 * 1024)  # type: ignore[arg-type]
            status = dumping.wait()
    if status:
        partial.unlink()
        raise BackupFailed(f"mariadb-dump ended with status {status}; see its messages above.")
    partial.rename(target)
    return target


DUMP_OPTIONS = (
    *("--single-transaction", "--quick", "--routines", "--triggers", "--events", "--hex-blob"),
    "--default-character-set=utf8mb4",
)


def client_settings(url: URL) -> str:
    """The client's option file. Values are quoted, so that a password may contain any character."""
    settings = {
        "user": url.username,
        "password": url.password,
        "host": url.host,
        "port": url.port and str(url.port),
        "socket": url.query.get("unix_socket"),
    }
    lines = [f'{name}="{escaped(str(value))}"' for name, value in settings.items() if value]
    return "\n".join(["[client]", *lines, ""])


def escaped(text: str) -> str:
    """The text escaped for double quotes in an option file."""
    return text.replace("\\", "\\\\").replace('"', '\\"')


def create_partial(target: Path) -> Path:
    """Create an empty file beside the target, readable by this user only. It is renamed when it is complete."""
    partial = target.with_name(target.name + ".half")
    os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    return partial


def main() -> int:
    """Back up the configured database; the exit status."""
    try:
        settings = config.load()
        made = back_up(make_url(settings.database_url), settings.instance_dir / "backups")
    except (BackupFailed, config.WrongSetting, OSError) as error:
        print(f"Backup failed, so the upgrade was stopped: {error}", file=sys.stderr)
        return 1
    print(f"Backup: {made}" if made else "No database yet, so nothing to back up.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
