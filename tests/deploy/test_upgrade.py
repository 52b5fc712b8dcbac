"""`make upgrade` on a MariaDB with an older schema and data: complete, and with a failing backup or migration."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import flask_migrate
import pytest
from sqlalchemy import Engine, create_engine, text

import run
from app.lib.product_version import product_version
from tests import forked_programs
from tests.app_fixtures import FIELD_KEY, SECRET_KEY, settings_for
from tests.servers import Databases
from tests.test_migrations import REVISIONS, fill

#: The schema of the former version.
OLDER = "0021"


@dataclass
class Installation:
    """An installation of an older schema, with rows."""

    folder: Path
    url: str
    engine: Engine
    #: What holds the scripts.
    checkout: Path

    def upgrade(self) -> subprocess.CompletedProcess[str]:
        """scripts/upgrade.sh, as `make upgrade` runs it."""
        return self._run("upgrade.sh")

    def restore(self, name: str) -> subprocess.CompletedProcess[str]:
        """scripts/restore.sh, as `make restore` runs it."""
        return self._run("restore.sh", name, "--overwrite")

    def _run(self, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(self.checkout / "scripts" / script), *arguments]
        return subprocess.run(command, env=self.environment(), capture_output=True, text=True, check=False)

    def environment(self) -> dict[str, str]:
        """The settings of the operator's shell."""
        outside = {name: value for name, value in os.environ.items() if not name.startswith(("CRM_", "ESHIN_"))}
        own = {"CRM_DATABASE_URL": self.url, "CRM_INSTANCE_DIR": str(self.folder), "CRM_SCHEDULER": "off"}
        own |= {"CRM_SECRET_KEY": SECRET_KEY, "CRM_FIELD_KEY": FIELD_KEY}
        return outside | own | {"ESHIN_RESTART": f"echo restarted >> {self.folder}/restarts"}

    @property
    def revision(self) -> str:
        with self.engine.connect() as connection:
            return str(connection.execute(text("SELECT version_num FROM alembic_version")).scalar())

    @property
    def restarts(self) -> int:
        file = self.folder / "restarts"
        return len(file.read_text().splitlines()) if file.exists() else 0

    def count(self, table: str) -> int:
        with self.engine.connect() as connection:
            return int(connection.execute(text(f"SELECT COUNT(*) FROM {table}")).scalar() or 0)  # noqa: S608  # a name of ours

    @property
    def backups(self) -> list[str]:
        folder = self.folder / "backups"
        return [path.name for path in folder.glob("2*")] if folder.exists() else []


@pytest.fixture
def installation(
    mariadb_server: Databases, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    name = mariadb_server.create_database()
    url = mariadb_server.url(name)
    settings = settings_for(tmp_path, CRM_DATABASE_URL=url)
    app = run._schema_app(settings)
    with app.app_context():
        flask_migrate.upgrade(revision=OLDER)
    engine = create_engine(url)
    with engine.begin() as connection:
        fill(connection)
    checkout = forked_programs.checkout(tmp_path_factory.mktemp("checkout"))
    yield Installation(Path(settings.instance_dir), url, engine, checkout)
    engine.dispose()
    mariadb_server.drop_database(name)


def test_an_upgrade_that_fails_says_what_is_as_it_was_and_how_to_go_back_and_then_succeeds(
    installation: Installation,
) -> None:
    # Without a backup nothing is changed.
    (installation.folder / "backups").write_text("no folder")
    done = installation.upgrade()
    assert done.returncode == 1
    assert "there is no backup" in done.stderr and "Nothing was changed" in done.stderr
    assert (installation.revision, installation.restarts) == (OLDER, 0)
    (installation.folder / "backups").unlink()

    # A migration that fails names the backup and both ways out.
    with installation.engine.begin() as connection:
        connection.execute(text("CREATE TABLE kept_key (id INTEGER PRIMARY KEY)"))  # in the way of 0023
    done = installation.upgrade()
    assert done.returncode == 1 and installation.restarts == 0
    (name,) = installation.backups
    assert f"make restore NAME={name} ARGS=--overwrite" in done.stderr and "Stop all servers" in done.stderr
    installation.engine.dispose()
    restored = installation.restore(name)
    assert restored.returncode == 0, restored.stderr[-2000:]
    assert (installation.revision, installation.count("leads")) == (OLDER, 1)

    # The cause is mended: all four steps.
    with installation.engine.begin() as connection:
        connection.execute(text("DROP TABLE kept_key"))
    done = installation.upgrade()
    assert done.returncode == 0, done.stderr[-2000:]
    assert f"Upgraded to version {product_version()}." in done.stdout
    assert max(installation.backups) + " is a good backup." in done.stdout
    assert (installation.revision, installation.restarts, len(installation.backups)) == (REVISIONS[-1], 1, 2)
    assert (installation.count("leads"), installation.count("activity")) == (1, 1)


def test_a_restore_uses_the_settings_that_the_installer_has_written(tmp_path: Path) -> None:
    settings = tmp_path / "env"
    settings.write_text(f"CRM_INSTANCE_DIR='{tmp_path / 'instance'}'\nCRM_BACKUP_DIR='{tmp_path / 'elsewhere'}'\n")
    outside = {name: value for name, value in os.environ.items() if not name.startswith(("CRM_", "ESHIN_"))}
    checkout = forked_programs.checkout(tmp_path / "checkout")
    command = [str(checkout / "scripts" / "restore.sh"), "20261126T203000Z", "--overwrite"]
    environ = outside | {"ESHIN_ENV": str(settings)}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and str(tmp_path / "elsewhere") in done.stderr
