"""The first start and the upgrade: processes killed at any moment start again, and many simultaneous starts succeed."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, NullPool, create_engine, inspect, text

from tests import forked_programs
from tests.app_fixtures import FIELD_KEY, SECRET_KEY
from tests.servers import Databases
from tests.test_migrations import MOMENT, REVISIONS, add

HEAD = REVISIONS[-1]
OLD = REVISIONS[REVISIONS.index("0008") - 1]
PREPARE = "import config, run; run.prepare(config.load())"
UPGRADE = "import sys; from flask.cli import main; sys.argv[1:] = ['--app', 'run', 'db', 'upgrade', {!r}]; main()"


class Program:
    """A process that runs this code, and the file with its output."""

    def __init__(self, code: str, environ: dict[str, str], said: Path) -> None:
        self.said = said
        with said.open("wb") as output:
            self.process = forked_programs.start(("-c", code), environ, output.fileno())

    def end(self) -> tuple[int, str]:
        """Its exit status and output, when it has ended."""
        return self.process.wait(), self.said.read_text()


class Scenario:
    """An empty database, and processes that prepare it, each with an instance folder of its own."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url, self.folder, self.count = url, folder, 0
        options = {} if url.startswith("sqlite") else {"ssl_disabled": True}  # it is asked very often
        self.engine: Engine = create_engine(url, poolclass=NullPool, connect_args=options)

    def start(self, code: str = PREPARE) -> Program:
        """Begin to run the code in a process of its own."""
        self.count += 1
        outside = {name: value for name, value in os.environ.items() if not name.startswith("CRM_")}
        ours = {"CRM_DATABASE_URL": self.url, "CRM_SECRET_KEY": SECRET_KEY, "CRM_FIELD_KEY": FIELD_KEY}
        ours |= {"CRM_INSTANCE_DIR": str(self.folder / f"instance-{self.count}")}
        ours |= {"CRM_ADMIN_PASSWORD": "a long first password"}
        return Program(code, outside | ours, self.folder / f"said-{self.count}")

    def run(self, code: str = PREPARE) -> tuple[int, str]:
        """Run the code to its end: exit status and output."""
        return self.start(code).end()

    def kill_when(self, is_so: Callable[[], bool], code: str = PREPARE) -> bool:
        """Run the code and kill it as soon as it is so; whether it was killed before its end."""
        program = self.start(code)
        while program.process.poll() is None and not is_so():
            time.sleep(0.005)
        program.process.kill()
        return program.end()[0] == -signal.SIGKILL

    def tables(self) -> set[str]:
        with self.engine.connect() as connection:
            return set(inspect(connection).get_table_names())

    def value(self, query: str) -> Any:
        with self.engine.connect() as connection:
            return connection.execute(text(query)).scalar()

    def refuse_unless_ready(self) -> None:
        assert self.value("SELECT version_num FROM alembic_version") == HEAD
        assert self.value("SELECT COUNT(*) FROM ab_user WHERE username = 'admin'") == 1
        assert "crm_schema_change" not in self.tables()


@pytest.fixture
def mariadb(mariadb_server: Databases, tmp_path: Path) -> Iterator[Scenario]:
    name = mariadb_server.create_database()
    yield Scenario(mariadb_server.url(name), tmp_path)
    mariadb_server.drop_database(name)


@pytest.fixture
def sqlite(tmp_path: Path) -> Scenario:
    return Scenario(f"sqlite:///{tmp_path / 'crm.sqlite3'}", tmp_path)


@pytest.fixture(params=["sqlite", "mariadb"])
def scenario(request: pytest.FixtureRequest) -> Scenario:
    made: Scenario = request.getfixturevalue(request.param)
    return made


def test_a_first_start_on_mariadb_that_was_killed_starts_again(mariadb: Scenario) -> None:
    """Killed at five moments, one after the other; somebody else's table beside ours stays."""
    for count in (1, 2, 20, 55):
        assert mariadb.kill_when(lambda least=count: len(mariadb.tables()) >= least)  # type: ignore[misc]
    with mariadb.engine.begin() as connection:
        connection.execute(text("CREATE TABLE somebody_elses (id INTEGER)"))
        connection.execute(text("INSERT INTO somebody_elses VALUES (7)"))
    assert mariadb.kill_when(
        lambda: (
            mariadb.value(
                "SELECT 1 FROM information_schema.tables WHERE table_name = 'audit_head' AND table_schema = DATABASE()"
            )
            == 1
        )
    )
    status, said = mariadb.run()
    assert (status, mariadb.value("SELECT id FROM somebody_elses")) == (0, 7), said
    assert "a first start was cut off" in said
    mariadb.refuse_unless_ready()


def test_a_first_start_on_sqlite_that_was_killed_starts_again(sqlite: Scenario) -> None:
    """Killed at three moments, one after the other: when so much was written."""
    paths = [Path(f"{sqlite.engine.url.database}{end}") for end in ("", "-wal", "-journal")]
    for size in (1, 100_000, 700_000):
        sqlite.kill_when(
            lambda least=size: sum(path.stat().st_size for path in paths if path.exists()) >= least  # type: ignore[misc]
        )
        sqlite.tables()  # opening it takes back what was not committed
    status, said = sqlite.run()
    assert status == 0, said
    sqlite.refuse_unless_ready()


def test_first_starts_at_once_all_come_up(scenario: Scenario) -> None:
    ended = [program.end() for program in [scenario.start() for _ in range(3)]]
    assert [status for status, _said in ended] == [0] * 3, ended
    scenario.refuse_unless_ready()


def test_tables_of_another_program_are_never_cleared(scenario: Scenario) -> None:
    with scenario.engine.begin() as connection:
        connection.execute(text("CREATE TABLE task (id INTEGER)"))
        connection.execute(text("INSERT INTO task VALUES (7)"))
    status, said = scenario.run("import sys, run; sys.exit(run.main())")
    assert status == 2
    assert "Traceback" not in said
    assert "schema" in said
    status, said = scenario.run(UPGRADE.format("heads"))
    assert status == 1
    assert "tables with names of ours (task)" in said
    assert (scenario.tables() - {"alembic_version"}, scenario.value("SELECT id FROM task")) == ({"task"}, 7)


def with_old_rows(scenario: Scenario, count: int) -> None:
    """The schema before 0008, with so many audit entries, so that the step takes a while."""
    assert scenario.run(UPGRADE.format(OLD))[0] == 0
    with scenario.engine.begin() as connection:
        add(connection, "audit_entry", at=MOMENT, event="reveal", payload={}, hash="0" * 64)
        while (rows := connection.execute(text("SELECT COUNT(*) FROM audit_entry")).scalar() or 0) < count:
            columns = "at, event, payload, hash"
            copy = f"INSERT INTO audit_entry ({columns}) SELECT {columns} FROM audit_entry LIMIT {count - rows}"  # noqa: S608
            connection.execute(text(copy))


def test_an_upgrade_on_sqlite_that_was_killed_is_as_if_it_never_began(sqlite: Scenario) -> None:
    with_old_rows(sqlite, 8000)
    wal = Path(f"{sqlite.engine.url.database}-wal")
    assert sqlite.kill_when(lambda: wal.exists() and wal.stat().st_size > 100_000, UPGRADE.format("heads"))
    assert sqlite.value("SELECT version_num FROM alembic_version") == OLD
    assert sqlite.run(UPGRADE.format("heads"))[0] == 0
    assert sqlite.value("SELECT count FROM audit_head") == 8001


def test_an_upgrade_on_mariadb_that_was_killed_within_a_step_goes_on_unless_it_had_stored_rows(
    mariadb: Scenario,
) -> None:
    with_old_rows(mariadb, 300)
    assert mariadb.kill_when(lambda: "audit_head" in mariadb.tables(), UPGRADE.format("heads"))
    with mariadb.engine.begin() as connection:
        assert connection.execute(text("UPDATE crm_schema_change SET has_rows = 1")).rowcount
    status, said = mariadb.run("import sys, run; sys.exit(run.main())")
    assert (status, "Traceback" in said) == (2, False)
    assert "was cut off in the middle of the step after schema" in said
    assert "Restore the backup" in said
    with mariadb.engine.begin() as connection:
        connection.execute(text("UPDATE crm_schema_change SET has_rows = 0"))
    status, said = mariadb.run(UPGRADE.format("0008"))
    assert status == 0, said
    assert mariadb.value("SELECT count FROM audit_head") == 301
    assert "crm_schema_change" not in mariadb.tables()


def test_an_upgrade_of_a_former_version_that_was_killed_between_two_steps_goes_on(mariadb: Scenario) -> None:
    from app.ops.database import migration_guard

    with_old_rows(mariadb, 3)
    with mariadb.engine.connect() as connection:
        migration_guard._mark(connection, migration_guard.UPGRADE_BY_STEPS)
    status, said = mariadb.run(UPGRADE.format("heads"))
    assert status == 0, said
    assert mariadb.value("SELECT count FROM audit_head") == 4
    assert "crm_schema_change" not in mariadb.tables()


def test_a_start_with_another_field_key_is_refused(
    sqlite: Scenario, migrated_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(migrated_folder / "crm.sqlite3", str(sqlite.engine.url.database))
    assert sqlite.run()[0] == 0
    monkeypatch.setattr(sys.modules[__name__], "FIELD_KEY", "eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHg=")
    status, said = sqlite.run("import sys, run; sys.exit(run.main())")
    assert (status, "another CRM_FIELD_KEY" in said) == (2, True)
