"""A command signs off from the database: MariaDB's log has no “Aborted connection” of it."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, create_engine, text

from tests import forked_programs
from tests.app_fixtures import FIELD_KEY, SECRET_KEY
from tests.servers import MariaDB


def test_a_command_signs_off_from_the_database(lone_mariadb: MariaDB, tmp_path: Path) -> None:
    name = lone_mariadb.create_database()
    url = lone_mariadb.url(name)
    environ = {"CRM_INSTANCE_DIR": str(tmp_path), "CRM_SECRET_KEY": SECRET_KEY, "CRM_FIELD_KEY": FIELD_KEY}
    engine = create_engine(url)
    with engine.connect() as connection:
        before = _aborted(connection)
        forked_programs.run(["-m", "flask", "--app", "run", "audit", "verify"], environ | {"CRM_DATABASE_URL": url})
        assert _aborted(connection) == before
    engine.dispose()


def _aborted(connection: Connection) -> int:
    found = connection.execute(text("SHOW GLOBAL STATUS LIKE 'Aborted_clients'")).one()
    return int(found[1])
