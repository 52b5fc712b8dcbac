"""A small installation with a database of two tables, for tests of the mechanics of backups."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from sqlalchemy import NullPool, create_engine, select, text

from app.backups.encryption import Encryption
from app.backups.folder import BackupFolder
from app.backups.installation import Installation
from app.ops.storage.file_store import FolderStore
from tests.app_fixtures import FIELD_KEY, SECRET_KEY

#: A value with all that a dump must escape.
AWKWARD = "li\nne\n(1,'x'),\t\\ ' \" ` नमस्ते \u2028 %s"
PICTURE = b"a picture"


def installation(folder: Path, url: str = "") -> Installation:
    """An installation on this database, by default SQLite, which is empty."""
    return Installation(
        database_url=url or f"sqlite:///{folder / 'crm.sqlite3'}",
        folder=BackupFolder(folder / "backups"),
        store=FolderStore(folder / "files"),
        encryption=Encryption(),
        keep={"hourly": 24, "daily": 14, "weekly": 8, "monthly": 12},
        source_url=None,
        s3=None,
        secret_key=SECRET_KEY,
        field_key=FIELD_KEY,
        zone="Asia/Kolkata",
        version="1.0.0",
        schema=frozenset({"0022"}),
        instance_dir=folder,
    )


def fill(made: Installation, rows: int = 50) -> str:
    """Two tables that always have the same number of rows, and a file. Returns the file's digest."""
    digest = made.store.put(PICTURE).digest
    is_sqlite = made.database_url.startswith("sqlite")
    statements = [
        "CREATE TABLE one (id INTEGER PRIMARY KEY {auto}, body TEXT{full})",
        "CREATE TABLE two (id INTEGER PRIMARY KEY {auto}, one_id INTEGER NOT NULL, size INTEGER{sum})",
        "CREATE INDEX ix_two ON two (one_id)",
    ]
    if not is_sqlite:
        statements.append("CREATE PROCEDURE nothing() BEGIN\n(SELECT 1);\nSET @a = 1;\nEND")
        statements.append("CREATE TRIGGER noted BEFORE INSERT ON two FOR EACH ROW SET NEW.size = NEW.size + 0")
    extra = (
        {"auto": "", "full": "", "sum": ""}
        if is_sqlite
        else {
            "auto": "AUTO_INCREMENT",
            "full": ", FULLTEXT KEY words (body)",
            "sum": ", twice INTEGER AS (size * 2) STORED",
        }
    )
    with connected(made.database_url) as connection:
        for statement in statements:
            connection.execute(text(statement.format(**extra)))
        for _row in range(rows):
            write_pair(connection, AWKWARD)
        write_pair(connection, f"see file:{digest}")
        connection.commit()
    return digest


def write_pair(connection: Any, body: str) -> None:
    """A row in each table, in the open transaction."""
    connection.execute(text("INSERT INTO one (body) VALUES (:body)"), {"body": body})
    connection.execute(text("INSERT INTO two (one_id, size) SELECT MAX(id), 7 FROM one"))


def connected(url: str) -> Any:
    """A connection of its own."""
    return create_engine(url, poolclass=NullPool).connect()


def rows_of(url: str) -> dict[str, list[Any]]:
    """All rows of both tables."""
    with connected(url) as connection:
        return {
            name: list(connection.execute(select(text("*")).select_from(text(name)).order_by(text("id"))))
            for name in ("one", "two")
        }


def encrypted(made: Installation, kind: str, folder: Path) -> tuple[Installation, Path, Path]:
    """The installation with encryption, the right private key, and another one."""
    makers: dict[str, Callable[[Path], tuple[str, Path]]] = {"age": _age_key, "gpg": _gpg_key}
    (recipient, right), (_other, wrong) = (makers[kind](folder / name) for name in ("right", "wrong"))
    return replace(made, encryption=Encryption(kind, (recipient,))), right, wrong


def _age_key(path: Path) -> tuple[str, Path]:
    done = subprocess.run(["age-keygen", "-o", str(path)], capture_output=True, check=True, text=True)
    return done.stderr.split()[-1], path


def _gpg_key(path: Path) -> tuple[str, Path]:
    path.mkdir(mode=0o700)
    gpg = ["gpg", "--homedir", str(path), "--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", ""]
    name = f"{path.name}@example.in"
    subprocess.run(
        [*gpg, "--quick-generate-key", name, "future-default", "default", "0"], check=True, capture_output=True
    )
    for option, file in (("--export", "public"), ("--export-secret-keys", "secret")):
        done = subprocess.run([*gpg, "--armor", option, name], check=True, capture_output=True)
        (path / file).write_bytes(done.stdout)
    subprocess.run(["gpgconf", "--homedir", str(path), "--kill", "all"], check=False)
    return str(path / "public"), path / "secret"


class FailingStore(FolderStore):
    """A store whose files can't be read."""

    def __init__(self, folder: Path, error: OSError) -> None:
        super().__init__(folder)
        self.error = error

    def open(self, digest: str) -> Any:
        raise self.error


def listed(made: Installation) -> list[str]:
    """The names of the backups."""
    return [each.name for each in made.folder.all()]


def copy_of(made: Installation, folder: Path) -> Installation:
    """The same installation with a copy of its backups, to be damaged."""
    shutil.copytree(made.folder.path, folder / "backups")
    return replace(made, folder=BackupFolder(folder / "backups"))


def contents_of(store: FolderStore) -> list[bytes]:
    """What is in all files of a store."""
    found = []
    for digest, _stored_on in sorted(store.list()):
        with store.open(digest) as file:
            found.append(file.read())
    return found
