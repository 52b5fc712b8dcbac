"""A large dataset on MariaDB, made by the generator of the benchmarks, in which a scan is clearly visible.

    def test_a_list_reads_little(dataset):
        assert dataset.rows_read("sales", "/leads/") < 3000

20,000 leads (of which the Sales User has one in forty: 500), 5,000 customers, 5,000 tickets, 30,000 tasks, 50,000
calls, 100,000 timeline entries and 40 users; the manager sees all of them. The users of `app_fixtures.PEOPLE` exist
too, without rows. `dataset` is shared by the tests of a module and only read.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.orm import Session

from app import access, create_app, models
from app.extensions import db
from app.lib.token_hash import hash_token
from app.web.security import fab_permissions
from bench import generate
from tests.app_fixtures import PEOPLE as NAMES
from tests.app_fixtures import Crm, UserClient, settings_for
from tests.servers import Databases

SIZES = generate.Sizes.of(20_000)
#: Short name -> user of the generator.
PEOPLE = {"sales": generate.SALES, "manager": generate.MANAGER, "support": generate.SUPPORT}
_READS = "SHOW SESSION STATUS LIKE 'Handler_read%'"


@dataclass
class RowsRead:
    """What the statements of some time read: rows by MariaDB's counters, and the statements, dearest first."""

    by_statement: list[tuple[int, str]] = field(default_factory=list)

    @property
    def total(self) -> int:
        """The rows of all statements."""
        return sum(rows for rows, _text in self.by_statement)

    @property
    def dearest(self) -> str:
        """The statements by rows, for the message of a test that fails."""
        return "\n".join(f"{rows:>8,}  {text[:6000]}" for rows, text in sorted(self.by_statement, reverse=True)[:4])


class Dataset:
    """The product on the generated data."""

    def __init__(self, crm: Crm) -> None:
        self.crm = crm
        self._doors: dict[str, UserClient] = {}

    def client(self, who: str) -> UserClient:
        """A client for "sales", "manager" or "support", or for any user name of the generator."""
        if who not in self._doors:
            name = PEOPLE.get(who, who)
            self._doors[who] = GeneratedDoor(self.crm.app, self.crm.people[name])
        return self._doors[who]

    @contextmanager
    def counting(self) -> Iterator[RowsRead]:
        """Count the rows that this application's statements read inside."""
        found = RowsRead()
        before, after = partial(_before), partial(_after, found=found)
        event.listen(self.crm.engine, "before_cursor_execute", before)
        event.listen(self.crm.engine, "after_cursor_execute", after)
        try:
            yield found
        finally:
            event.remove(self.crm.engine, "before_cursor_execute", before)
            event.remove(self.crm.engine, "after_cursor_execute", after)

    def cost(self, who: str, path: str, **more: Any) -> RowsRead:
        """The rows read by the second of two equal requests for a page or, under /api/, for REST."""
        client = self.client(who)
        ask = partial(client.rest, "GET") if path.startswith("/api/") else client.screen
        ask(path, **more)  # fills the caches
        with self.counting() as found:
            answer = ask(path, **more)
        assert answer.status_code == 200, answer.text[:500]
        return found

    def rows_read(self, who: str, path: str, **more: Any) -> int:
        """The same as one number."""
        return self.cost(who, path, **more).total


class GeneratedDoor(UserClient):
    """A client for a user of the generator, whose API key has the generator's name and secret."""

    @property
    def headers(self) -> dict[str, str]:
        name = self.who.username if self.who else ""
        return {"Authorization": f"token {generate.key_of(name)}:{generate.secret_of(name)}"}


def _reads(connection: Any) -> int:
    with connection.connection.cursor() as cursor:
        cursor.execute(_READS)
        return sum(int(value) for _name, value in cursor.fetchall())


def _before(connection: Any, *_: Any) -> None:
    start = _reads(connection)
    connection.info["own reads"] = _reads(connection) - start  # of the question itself
    connection.info["reads"] = start + connection.info["own reads"]


def _after(connection: Any, _cursor: Any, statement: str, *_: Any, found: RowsRead) -> None:
    rows = _reads(connection) - connection.info["reads"] - connection.info["own reads"]
    found.by_statement.append((rows, " ".join(statement.split())))


@pytest.fixture(scope="module")
def dataset(
    mariadb_server: Databases, settled_mariadb: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Dataset]:
    """The generated dataset; the caches of access do not expire meanwhile."""
    name = mariadb_server.create_database()
    mariadb_server.copy_database(settled_mariadb, name)
    folder = tmp_path_factory.mktemp("house")
    app = create_app(settings_for(folder, CRM_DATABASE_URL=mariadb_server.url(name)), TESTING=True)
    with app.app_context():
        generate.fill(db.engine, SIZES)
    fab_permissions.sync_permissions(app)
    crm = Crm(app)
    _sign_in(crm)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(access.rights_cache, "CACHE_SECONDS", 3600)
        yield Dataset(crm)
    crm.close()
    mariadb_server.drop_database(name)


def _sign_in(crm: Crm) -> None:
    """Give each user the session cookie of a `UserClient`, last seen "tomorrow", so that requests do not update it."""
    now = datetime.now(UTC)
    with Session(crm.engine) as session, access.as_system(session):
        for name, who in crm.people.items():
            if name in NAMES:
                continue
            signed = models.SignIn(token_hash=hash_token(f"cookie-{name}"), user_id=who.id, method="form")
            signed.started_on, signed.seen_on = now, now + timedelta(days=1)
            session.add(signed)
        session.query(models.ApiKey).update({"last_used_on": now + timedelta(days=1)})
        session.commit()
