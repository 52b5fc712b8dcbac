"""The product in a test: a migrated database, users of every role, factories for records, and clients for requests.

    def test_ben_does_not_see_anas_lead(people, make, client):
        lead = make.lead("ana")
        assert client("ben").rest("GET", f"lead/{lead.id}").status_code == 404

The users: ana reports to mia, ben to max (sales); cleo reports to sam (support); rhea is Compliance, root is Admin.
`crm` bundles everything for one application; `maria` is the same on MariaDB.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property, partial
from pathlib import Path
from typing import Any, cast

import flask_migrate
import prison
import pytest
from flask import Flask
from flask.sessions import SecureCookieSessionInterface
from itsdangerous import URLSafeTimedSerializer
from sqlalchemy import inspect, select
from sqlalchemy.orm import Session
from werkzeug.security import generate_password_hash

import config
from app import access, create_app, models
from app.domain import assignment, assignment_requests, customers, leads, tasks, tickets
from app.domain.base import Stamp
from app.domain.change_context import ChangeContext
from app.domain.customer_rights import ALL_RIGHTS
from app.domain.messaging import messages
from app.domain.persistence import numbering
from app.domain.picklists import LeadStatus, TicketStatus, TicketSubject
from app.domain.telephony import calls
from app.extensions import db
from app.lib.token_hash import hash_token
from app.web.security import fab_permissions
from tests.app_pool import AppMaker, AppPool, copy_folder, dispose
from tests.factories import NOW, database
from tests.kept_database import KeptFolder
from tests.servers import Databases, locked

PASSWORD = "correct horse 9"
#: One round only: hashing is slow by design.
PASSWORD_HASH = generate_password_hash(PASSWORD, "pbkdf2:sha256:1")
SECRET_KEY = "s" * 40
FIELD_KEY = "YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXoxMjM0NTY="
#: name -> (role, manager); managers first.
PEOPLE = {
    "mia": ("Sales Manager", None),
    "max": ("Sales Manager", None),
    "sam": ("Support Manager", None),
    "ana": ("Sales User", "mia"),
    "ben": ("Sales User", "max"),
    "cleo": ("Support User", "sam"),
    "rhea": ("Compliance", None),
    "root": ("Admin", None),
}
#: The value that CSRF tokens sign; the same for all users.
_CSRF = "c" * 40


def settings_for(folder: Path, **environ: str) -> config.Settings:
    """Settings for tests, with everything in the folder."""
    known = {
        "CRM_INSTANCE_DIR": str(folder),
        "CRM_SECRET_KEY": SECRET_KEY,
        "CRM_FIELD_KEY": FIELD_KEY,
        "CRM_SCHEDULER": "off",
        "CRM_API_LIMIT": "off",
        "CRM_API_WRITE_LIMIT": "off",
    }
    return config.load(known | environ)


def migrate(app: Flask) -> None:
    """Migrate the application's database, with the permissions of the default roles."""
    with app.app_context():
        flask_migrate.upgrade()
    fab_permissions.sync_permissions(app)
    dispose(app)


def settle(app: Flask) -> None:
    """Migrate the application's database and add the users of PEOPLE."""
    migrate(app)
    add_users(app)


def add_users(app: Flask) -> None:
    """Add the users of PEOPLE."""
    with app.app_context(), Session(db.engine) as session, access.as_system(session):
        _add_users(session)
        session.commit()
        session.close()
        db.engine.dispose()


def _add_users(session: Session) -> None:
    roles = {role.name: role for role in session.scalars(select(models.Role))}
    ahead = datetime.now(UTC) + timedelta(days=1)  # last used "tomorrow", so that requests do not update it
    known: dict[str, Any] = {}
    for name, (role, manager) in PEOPLE.items():
        user = models.User(
            first_name=name.title(),
            last_name="Shah",
            username=name,
            email=f"{name}@eshin.test",
            active=True,
            password=PASSWORD_HASH,
            roles=[roles[role]],
            manager_id=known[manager].id if manager else None,
        )
        session.add(user)
        session.flush()
        known[name] = user
        session.add(
            models.ApiKey(
                key=f"key{name}",
                secret_hash=hash_token(f"secret-{name}"),
                name="tests",
                user_id=user.id,
                scope=[],
                created_on=NOW,
                last_used_on=ahead,
            )
        )
        session.add(
            models.SignIn(
                token_hash=hash_token(f"cookie-{name}"), user_id=user.id, method="form", started_on=NOW, seen_on=ahead
            )
        )


@dataclass(frozen=True)
class Colleague:
    """A user, with their id."""

    id: int
    username: str


class UserClient:
    """A client for one user: REST with an API key, pages with a session cookie."""

    def __init__(self, app: Flask, who: Colleague | None) -> None:
        self.app, self.who = app, who
        self.browser, self.machine = app.test_client(), app.test_client()
        interface = cast(SecureCookieSessionInterface, app.session_interface)
        signed = interface.get_signing_serializer(app)
        assert signed is not None
        held: dict[str, Any] = {"csrf_token": _CSRF}
        if who is not None:
            held |= {"sid": f"cookie-{who.username}", "_user_id": str(who.id), "_fresh": True, "_permanent": True}
        self.browser.set_cookie(app.config["SESSION_COOKIE_NAME"], signed.dumps(held))

    @property
    def token(self) -> str:
        """The CSRF token that matches the cookie."""
        return str(URLSafeTimedSerializer(SECRET_KEY, salt="wtf-csrf-token").dumps(_CSRF))

    @property
    def headers(self) -> dict[str, str]:
        """The header with the user's API key."""
        name = self.who.username if self.who else ""
        return {"Authorization": f"token key{name}:secret-{name}"} if name else {}

    def rest(self, method: str, path: str, json: Any = None, q: Any = None, **more: Any) -> Any:
        """Request /api/v1/<path>; `q` is encoded as Rison."""
        url = path if path.startswith("/") else f"/api/v1/{path}"
        more.setdefault("headers", {})
        more["headers"] = self.headers | more["headers"]
        if q is not None:
            more["query_string"] = {"q": prison.dumps(q)}
        if json is not None:
            more["json"] = json
        return self.machine.open(url, method=method, **more)

    def cookie(self, name: str) -> str:
        """The value of a cookie in the browser."""
        cookie = self.browser.get_cookie(name)
        assert cookie is not None, name
        return cookie.value

    def screen(self, path: str, **more: Any) -> Any:
        """Request a page."""
        return self.browser.get(path, **more)

    def form(self, path: str, data: dict[str, Any] | None = None, **more: Any) -> Any:
        """Submit a form, with its CSRF token."""
        return self.browser.post(path, data={"csrf_token": self.token, **(data or {})}, **more)

    def sees(self, row: Any) -> bool:
        """Whether the user sees the record over REST; asserts that the page agrees."""
        kind, base = KINDS[row.__tablename__]
        code = self.rest("GET", f"{kind}/{row.id}").status_code
        page = self.screen(f"{base}/show/{row.id}").status_code
        assert (code, page) in ((200, 200), (404, 404), (403, 403), (404, 403), (403, 404)), (code, page)
        return bool(code == 200)


#: table -> (REST resource, root of the screens).
KINDS = {
    "leads": ("lead", "/leads"),
    "ticket": ("ticket", "/tickets"),
    "customer": ("customer", "/customers"),
    "task": ("task", "/tasks"),
    "call_log": ("call_log", "/calls"),
    "message": ("message", "/messages"),
    "assignment_request": ("assignment_request", "/requests"),
}


class Make:
    """Creates records with the domain's functions at NOW and commits; `who`: a name of PEOPLE or a user id."""

    _serial = itertools.count(1)

    def __init__(self, crm: Crm) -> None:
        self.crm = crm

    def _as(self, who: Any, at: datetime) -> ChangeContext:
        """A change by this user, who may do everything with customers."""
        return ChangeContext(self.crm.id_of(who), at, vault=self.crm.vault, customer_rights=ALL_RIGHTS)

    def _committed(self, row: Any) -> Any:
        self.crm.session.commit()
        return row

    def mobile(self) -> str:
        """An unused mobile number."""
        return f"98{next(self._serial):08d}"

    def lead(self, who: Any = "ana", at: datetime = NOW, **values: Any) -> Any:
        """A lead of this user, with a first task unless task={}; `status` by label."""
        _status(self.crm.session, LeadStatus, values)
        contact = {"first_name": "Ravi", "last_name": "Kumar", "mobile": self.mobile()}
        return self._committed(
            leads.create(
                self.crm.session,
                contact | values,
                self._as(who, at),
            )
        )

    def ticket(self, who: Any = "cleo", at: datetime = NOW, **values: Any) -> Any:
        """A ticket of this user, with a first task unless task={}; `status` by label."""
        session = self.crm.session
        _status(session, TicketStatus, values)
        subject = session.scalars(select(TicketSubject.id).order_by(TicketSubject.id)).first()
        return self._committed(tickets.create(session, {"subject_ids": [subject], **values}, self._as(who, at)))

    def customer(self, who: Any = "ana", at: datetime = NOW, **values: Any) -> Any:
        """A customer owned by this user."""
        contact = {"first_name": "Asha", "last_name": "Patel", "mobile": self.mobile()}
        return self._committed(
            customers.create(
                self.crm.session,
                contact | values,
                self._as(who, at),
            )
        )

    def task(self, about: Any, who: Any = "ana", at: datetime = NOW, **values: Any) -> Any:
        """An open task of a lead or ticket, due in a day."""
        parent = {"lead_id": about.id} if about.__tablename__ == "leads" else {"ticket_id": about.id}
        given = {"title": "Call back", "due_on": at + timedelta(days=1), **parent, **values}
        return self._committed(tasks.create(self.crm.session, given, ChangeContext(self.crm.id_of(who), at)))

    def call(self, who: Any = "ana", at: datetime = NOW, **values: Any) -> Any:
        """An outgoing call of this user, a month earlier, so that it is in the past on any clock."""
        given = {
            "direction": "Outgoing",
            "status": "Completed",
            "to_number": "9820012345",
            "started_on": at - timedelta(days=30),
            "duration_seconds": 60,
            **values,
        }
        return self._committed(calls.create(self.crm.session, given, Stamp(self.crm.id_of(who), at)))

    def message(self, who: Any = "ana", at: datetime = NOW, **values: Any) -> Any:
        """An SMS in the outbox."""
        given = {"channel": "sms", "peer": "9820012345", "body": "Namaste", **values}
        return self._committed(messages.enqueue(self.crm.session, given, Stamp(self.crm.id_of(who), at)))

    def request(self, about: Any, wanted: Any, who: Any = "ana", at: datetime = NOW, reason: str = "I know him") -> Any:
        """`who` requests that the record be assigned to `wanted`."""
        row = self.crm.session.merge(about)
        ids = self.crm.user_id(wanted), self.crm.id_of(who)
        return self._committed(assignment_requests.create(self.crm.session, row, ids[0], reason, Stamp(ids[1], at)))

    def give(self, about: Any, who: Any, by: Any = "root", at: datetime = NOW) -> Any:
        """Assign a lead or ticket to this user."""
        row = self.crm.session.merge(about)
        assignment.assign(
            self.crm.session,
            row,
            assignment.NewAssignee(self.crm.user_id(who), "direct"),
            Stamp(self.crm.id_of(by), at),
        )
        return self._committed(row)

    def mask(self, role: str, **levels: str) -> None:
        """Set the role's field masks: mask("Sales User", mobile="last4", pan="full")."""
        session = self.crm.session
        role_id = session.scalars(select(models.Role.id).where(models.Role.name == role)).one()
        for field, level in levels.items():
            same = (models.FieldMask.role_id == role_id, models.FieldMask.field == field)
            session.scalars(select(models.FieldMask).where(*same)).one().level = level
        session.commit()

    def cell(self, role: str, module: str, verb: str, level: str) -> None:
        """Set one cell of the role matrix; FAB's permissions are synced from it."""
        session = self.crm.session
        held = session.scalars(select(models.Role).where(models.Role.name == role)).one()
        same = (
            models.ModulePermission.role_id == held.id,
            models.ModulePermission.module == module,
            models.ModulePermission.verb == verb,
        )
        row = session.scalars(select(models.ModulePermission).where(*same)).first()
        row = row or models.ModulePermission(role_id=held.id, module=module, verb=verb)
        row.level = level
        session.add(row)
        session.commit()

    def user(self, name: str, role: str, manager: Any = None, **columns: Any) -> Colleague:
        """Add a user, with an API key and a session cookie."""
        session = self.crm.session
        held = session.scalars(select(models.Role).where(models.Role.name == role)).one()
        row = models.User(
            first_name=name.title(),
            last_name="Shah",
            username=name,
            email=f"{name}@eshin.test",
            active=True,
            password=PASSWORD_HASH,
            roles=[held],
            manager_id=self.crm.id_of(manager) if manager else None,
            **columns,
        )
        session.add(row)
        session.flush()
        ahead = datetime.now(UTC) + timedelta(days=1)
        session.add(
            models.ApiKey(
                key=f"key{name}",
                secret_hash=hash_token(f"secret-{name}"),
                name="tests",
                user_id=row.id,
                scope=[],
                created_on=NOW,
                last_used_on=ahead,
            )
        )
        session.add(
            models.SignIn(
                token_hash=hash_token(f"cookie-{name}"), user_id=row.id, method="form", started_on=NOW, seen_on=ahead
            )
        )
        session.commit()
        made = self.crm.people[name] = Colleague(row.id, name)
        return made


def _status(session: Session, picklist: Any, values: dict[str, Any]) -> None:
    if "status" in values:
        values["status_id"] = session.scalars(select(picklist.id).where(picklist.label == values.pop("status"))).one()


class Crm:
    """One application with its users: sessions, makers and clients."""

    def __init__(self, app: Flask) -> None:
        self.app = app
        with app.app_context():
            self.engine = db.engine
        self.vault = app.extensions["vault"]
        self._open: list[Any] = []
        self.session = self.new_session()
        with self.engine.connect() as connection:  # a statement of SQLAlchemy takes longer than the rest of this
            named = connection.exec_driver_sql("SELECT username, id FROM ab_user").all()
        self.people = {name: Colleague(key, name) for name, key in named}
        self.make = Make(self)

    def new_session(self, **options: Any) -> Session:
        """A session that sees everything, as jobs do."""
        session = Session(self.engine, expire_on_commit=False, **options)
        access.act_as(session, access.SYSTEM)
        self.until_closed(session)
        return session

    def until_closed(self, opened: Any) -> Any:
        """The same, to be closed with this CRM."""
        self._open.append(opened)
        return opened

    @contextmanager
    def as_person(self, name: str | None) -> Iterator[Session]:
        """A session that acts as the user (None: as nobody), with the access rules applied."""
        with Session(self.engine, expire_on_commit=False) as session:
            who = None
            if name is not None:
                with access.as_system(session):
                    who = access.load_person(session, self.people[name].id, NOW)
            access.act_as(session, who)
            yield session

    def id_of(self, who: Any) -> int | None:
        """The user id of a name, a colleague, an id; None for the system."""
        if isinstance(who, str):
            return self.people[who].id
        return who if who is None or isinstance(who, int) else int(who.id)

    def user_id(self, who: Any) -> int:
        """`id_of` of a user."""
        key = self.id_of(who)
        assert key is not None
        return key

    def client(self, who: str | Colleague | None) -> UserClient:
        """A client for the user; None: not signed in."""
        return UserClient(self.app, self.people[who] if isinstance(who, str) else who)

    def rows(self, query: Any) -> list[Any]:
        """The query's current result, as the system; rows of one column as plain values."""
        with Session(self.engine, expire_on_commit=False) as session, access.as_system(session):
            found = session.execute(query).unique().all()
        return [row[0] if len(row) == 1 else tuple(row) for row in found]

    def fresh(self, row: Any) -> Any:
        """The row's current state in the database; None if it was deleted."""
        found = self.rows(select(type(row)).where(type(row).id == row.id))
        return found[0] if found else None

    def stored(self, row: Any) -> dict[str, Any]:
        """All current column values of the row, to compare before and after; empty if it was deleted."""
        found = self.fresh(row)
        return {c.key: getattr(found, c.key) for c in inspect(type(row)).column_attrs} if found is not None else {}

    def count(self, record: Any, *rules: Any) -> int:
        """How many rows of the record there are."""
        return len(self.rows(select(record.id).where(*rules)))

    @cached_property
    def lead_status(self) -> dict[str, int]:
        """label -> id."""
        return dict(self.rows(select(LeadStatus.label, LeadStatus.id)))

    @cached_property
    def ticket_status(self) -> dict[str, int]:
        """label -> id."""
        return dict(self.rows(select(TicketStatus.label, TicketStatus.id)))

    def close_sessions(self) -> None:
        """Close what was opened with it; the connections stay for the next test, if its application is a pool's."""
        for session in self._open:
            session.close()

    def close(self) -> None:
        """Close all sessions and connections."""
        self.close_sessions()
        self.engine.dispose()


# --- fixtures


@contextmanager
def made_once(shared: Path, name: str) -> Iterator[bool]:
    """Let one worker at a time in; yields whether it is the first, which makes what the others find."""
    ready = shared / f"{name}.ready"
    with (shared / f"{name}.lock").open("w") as lock, locked(lock):
        yield not ready.exists()
        ready.touch()


@pytest.fixture(scope="session")
def migrated_folder(shared: Path) -> Path:
    """An instance folder with a migrated SQLite database without users; for all workers, to be copied."""
    folder = shared / "migrated-sqlite"
    with made_once(shared, folder.name) as is_first:
        if is_first:
            migrate(create_app(settings_for(folder), TESTING=True))
    return folder


@pytest.fixture(scope="session")
def settled(shared: Path, migrated_folder: Path) -> Path:
    """An instance folder with a migrated SQLite database and its users; for all workers, copied for each test."""
    folder = shared / "settled-sqlite"
    with made_once(shared, folder.name) as is_first:
        if is_first:
            copy_folder(migrated_folder, folder)
            add_users(create_app(settings_for(folder), TESTING=True))
    return folder


@pytest.fixture(scope="session")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The instance folder of `app`; each test finds a fresh copy of the settled database there."""
    return tmp_path_factory.mktemp("reused") / "instance"


@pytest.fixture(scope="session")
def app_pool(settled: Path, instance: Path) -> AppPool:
    """The applications of this process on SQLite."""
    return AppPool(KeptFolder(settled, instance), partial(settings_for, instance))


@pytest.fixture
def app_with(app_pool: AppPool) -> Iterator[AppMaker]:
    """app_with(CRM_API_LIMIT="3 per hour"): the product with these settings, on the database of `app`."""
    with app_pool.fresh() as made:
        yield made


@pytest.fixture
def app(app_with: AppMaker) -> Flask:
    """The product on a fresh copy of the settled database; reused by many tests, reset for each."""
    return app_with()


@pytest.fixture
def crm(app: Flask) -> Iterator[Crm]:
    """Everything about the application in one place."""
    crm = Crm(app)
    yield crm
    crm.close_sessions()


@pytest.fixture
def people(crm: Crm) -> dict[str, Colleague]:
    """Name -> colleague, for ids."""
    return crm.people


@pytest.fixture
def session(crm: Crm) -> Session:
    """A session as the system; the same that `make` commits."""
    return crm.session


@pytest.fixture
def make(crm: Crm) -> Make:
    """Makers of records."""
    return crm.make


@pytest.fixture
def client(crm: Crm) -> Callable[[str | None], UserClient]:
    """client("ana") is a client for Ana; client(None) is not signed in."""
    return crm.client


@pytest.fixture
def stored(crm: Crm) -> Callable[[Any], dict[str, Any]]:
    """stored(row): its columns as they are now."""
    return crm.stored


@pytest.fixture(scope="session")
def migrated_mariadb(mariadb_server: Databases, shared: Path) -> str:
    """The name of a migrated MariaDB database without users, to be copied; all workers share it."""
    name = "crm_migrated"
    with made_once(shared, name) as is_first:
        if is_first:
            mariadb_server.create_database(name)
            url = mariadb_server.url(name)
            migrate(create_app(settings_for(shared / "instance", CRM_DATABASE_URL=url), TESTING=True))
    return name


@pytest.fixture(scope="session")
def settled_mariadb(mariadb_server: Databases, migrated_mariadb: str, shared: Path) -> str:
    """The name of a migrated MariaDB database with its users, to be copied; all workers share it."""
    name = "crm_settled"
    with made_once(shared, name) as is_first:
        if is_first:
            mariadb_server.create_database(name)
            mariadb_server.copy_database(migrated_mariadb, name)
            url = mariadb_server.url(name)
            add_users(create_app(settings_for(shared / "instance", CRM_DATABASE_URL=url), TESTING=True))
    return name


@pytest.fixture(scope="session")
def reused_mariadb(mariadb_server: Databases, shared: Path) -> Iterator[tuple[str, str]]:
    """The names of a MariaDB database with all tables and picklists, for all workers, and of this worker's copy."""
    source = "crm_picklists"
    with made_once(shared, source) as is_first:
        if is_first:
            mariadb_server.create_database(source)
            database(mariadb_server.url(source)).dispose()
    name = mariadb_server.create_database()
    yield source, name
    mariadb_server.drop_database(name)


@pytest.fixture
def picklists_url(mariadb_server: Databases, reused_mariadb: tuple[str, str]) -> str:
    """The URL of a MariaDB database with all tables, picklists and roles, put back before each test.

    Its ids go on where the last test ended.
    """
    mariadb_server.copy_database(*reused_mariadb)
    return mariadb_server.url(reused_mariadb[1])


@pytest.fixture(scope="session")
def maria_pool(
    mariadb_server: Databases, settled_mariadb: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[AppPool]:
    """The applications of this process on MariaDB."""
    name, folder = mariadb_server.create_database(), tmp_path_factory.mktemp("maria")
    settings = partial(
        settings_for,
        folder / "instance",
        CRM_DATABASE_URL=mariadb_server.url(name),
        CRM_DATABASE_CONNECTIONS="30",  # threads of tests race against each other, each with a connection
    )
    yield AppPool(partial(mariadb_server.copy_database, settled_mariadb, name), settings)
    mariadb_server.drop_database(name)


@pytest.fixture
def maria_app(maria_pool: AppPool) -> Iterator[Flask]:
    """The product on MariaDB, with the same users."""
    numbering.forget_all()  # the database goes back
    with maria_pool.fresh() as made:
        yield made()


@pytest.fixture
def maria(maria_app: Flask) -> Iterator[Crm]:
    """Everything about the application on MariaDB."""
    crm = Crm(maria_app)
    yield crm
    crm.close()


@pytest.fixture(params=["sqlite", "mariadb"])
def crm_on_both(request: pytest.FixtureRequest) -> Crm:
    """The product on SQLite, and on MariaDB."""
    crm: Crm = request.getfixturevalue("crm" if request.param == "sqlite" else "maria")
    return crm
