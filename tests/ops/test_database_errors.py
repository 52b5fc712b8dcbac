"""Database errors: classified by cause, and answered with 503 and a message in the format of each endpoint."""

from __future__ import annotations

import logging
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import click
import pymysql
import pytest
from flask import Flask
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

import run
from app import access, cli, create_app
from app.extensions import db
from app.ops.database.database_errors import Cause, cause_of
from app.ops.monitoring import log_redaction
from app.web.core.fab_access import database_sentence
from tests import forked_programs
from tests.app_fixtures import Crm, settings_for
from tests.servers import LiveServer

MARIADB = {
    2002: Cause.AWAY,
    2003: Cause.AWAY,
    2006: Cause.AWAY,
    2013: Cause.AWAY,
    1317: Cause.AWAY,
    1927: Cause.AWAY,
    1969: Cause.SLOW,
    1040: Cause.CROWDED,
    1203: Cause.CROWDED,
    1226: Cause.CROWDED,
    1205: Cause.LOCKED,
    1213: Cause.COLLIDED,
    1020: Cause.COLLIDED,
    1305: Cause.COLLIDED,
    1021: Cause.FULL,
    1114: Cause.FULL,
    1290: Cause.READ_ONLY,
    1836: Cause.READ_ONLY,
    1792: Cause.READ_ONLY,
    1034: Cause.DAMAGED,
    1194: Cause.DAMAGED,
    1045: Cause.CLOSED,
    1142: Cause.CLOSED,
    1062: None,
    1054: None,
    1064: None,
}


def mariadb_error(number: int, words: str = "secret words") -> DBAPIError:
    kind = IntegrityError if number == 1062 else OperationalError
    return kind("UPDATE leads SET mobile = %s", {"mobile": "9820012345"}, pymysql.err.OperationalError(number, words))


@pytest.mark.parametrize(("number", "cause"), MARIADB.items())
def test_mariadb_errors_are_sorted_by_cause(number: int, cause: Cause | None) -> None:
    assert cause_of(mariadb_error(number)) == cause


def test_the_storage_engine_says_that_the_disk_is_full() -> None:
    assert cause_of(mariadb_error(1030, 'Got error 28 "No space left on device" from storage engine')) == Cause.FULL
    assert cause_of(mariadb_error(1030, 'Got error 190 "x" from storage engine')) == Cause.DAMAGED


def test_files_and_the_pool_are_sorted_too() -> None:
    assert cause_of(OSError(28, "No space left on device")) == Cause.FULL
    assert cause_of(OSError(2, "No such file")) is None
    assert cause_of(PoolTimeout()) == Cause.CROWDED
    assert cause_of(ValueError()) is None


# --- each endpoint's answer


@pytest.fixture(scope="module")
def broken(settled: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crm]:
    """An application with views that meet each error."""
    folder = tmp_path_factory.mktemp("broken")
    shutil.copytree(settled, folder / "instance")
    access.clear_cache()
    app = create_app(settings_for(folder / "instance"), TESTING=True)
    for number in MARIADB:
        for place in ("/try", "/api/try", "/api/method/try"):
            app.add_url_rule(f"{place}/{number}", f"{place}{number}", _raising(number), methods=["GET", "POST"])
    yield Crm(app)
    with app.app_context():
        db.engine.dispose()


def _raising(number: int) -> Any:
    def view() -> Any:
        raise mariadb_error(number)

    return view


TROUBLE = [(number, cause) for number, cause in MARIADB.items() if cause is not None]


@pytest.mark.parametrize(("number", "cause"), TROUBLE)
def test_every_endpoint_answers_with_503_a_sentence_and_when_to_try_again(
    broken: Crm, number: int, cause: Cause, caplog: pytest.LogCaptureFixture
) -> None:
    client = broken.client("ana")
    with broken.app.test_request_context():
        sentence = database_sentence(cause)
    page = client.screen(f"/try/{number}")
    assert "<h1>" in page.text and sentence in page.text.replace("&#39;", "'")
    fragment = client.browser.get(f"/try/{number}", headers={"HX-Request": "true"})
    assert fragment.headers["X-Sentence"] == sentence
    rest = client.rest("GET", f"/api/try/{number}")
    assert rest.json == {"message": sentence, "errors": {}}
    old = client.browser.get(f"/api/method/try/{number}")
    assert sentence in old.json["_server_messages"] and old.json["exc_type"]
    for answer in (page, fragment, rest, old):
        assert answer.status_code == 503 and int(answer.headers["Retry-After"]) > 0
    assert "Traceback" not in caplog.text and "9820012345" not in caplog.text and "secret" not in caplog.text


def test_a_crowd_in_trouble_writes_one_line(broken: Crm, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR, "crm.errors"):
        for _ in range(50):
            broken.client("ana").rest("GET", "/api/try/1114")
    assert len([each for each in caplog.records if each.name == "crm.errors"]) <= 1


# --- SQLite itself


@pytest.fixture
def crm(settled: Path, tmp_path: Path) -> Iterator[Crm]:
    """An application on a SQLite file of its own that waits a moment only for a lock."""
    shutil.copytree(settled, tmp_path / "instance")
    access.clear_cache()
    app = create_app(settings_for(tmp_path / "instance"), TESTING=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("app.ops.database.connections.SQLITE_LOCK_SECONDS", 0.1)
        yield Crm(app)
    with app.app_context():
        db.engine.dispose()


def file_of(app: Flask) -> Path:
    return Path(app.config["SQLALCHEMY_DATABASE_URI"].removeprefix("sqlite:///"))


@contextmanager
def write_lock(path: Path) -> Iterator[None]:
    """The write lock, held by another program."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


@contextmanager
def full_disk(app: Flask) -> Iterator[None]:
    """No page can be added: what SQLite reports as a full disk."""

    def limit(connection: Any, _record: Any, _proxy: Any) -> None:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages}")

    from sqlalchemy import event

    with app.app_context():
        db.engine.dispose()
        event.listen(db.engine, "checkout", limit)
        yield
        event.remove(db.engine, "checkout", limit)
        db.engine.dispose()


@contextmanager
def read_only(app: Flask) -> Iterator[None]:
    """The database takes no changes."""

    def limit(connection: Any, _record: Any, _proxy: Any) -> None:
        connection.execute("PRAGMA query_only = 1")

    from sqlalchemy import event

    with app.app_context():
        db.engine.dispose()
        event.listen(db.engine, "checkout", limit)
        yield
        event.remove(db.engine, "checkout", limit)
        db.engine.dispose()


def signs_in(crm: Crm) -> dict[str, Any]:
    """What each endpoint of sign-in answers: the JWT's, the old one's, the form."""
    client, stranger = crm.app.test_client(), crm.client(None)
    who = {"username": "ana", "password": "wrong", "provider": "db"}
    form = {"username": "ana", "password": "wrong", "csrf_token": stranger.token}
    return {
        "jwt": client.post("/api/v1/security/login", json=who),
        "old": client.post("/api/method/login", data={"usr": "ana", "pwd": "wrong"}),
        "form": stranger.browser.post("/login/", data=form),
    }


def saves(crm: Crm) -> dict[str, Any]:
    """What each endpoint answers to a save."""
    client, lead = crm.client("ana"), {"first_name": "Asha", "mobile": "9820012345", "category": "Direct"}
    return {
        "rest": client.rest("POST", "lead/", lead),
        "old": client.browser.post("/api/resource/CRM Lead", json=lead, headers=client.headers),
        "form": client.form("/leads/add", lead),
    }


def assert_refused(answers: dict[str, Any], *sentences: str) -> None:
    for client, answer in answers.items():
        shown = answer.text.replace("&#39;", "'").replace("\\u2019", "’")
        assert (client, answer.status_code) == (client, 503), shown[:300]
        assert any(each in shown for each in sentences), (client, shown[:300])
        assert answer.headers["Retry-After"] and "Traceback" not in shown and "Fatal" not in shown


def test_a_write_lock_that_somebody_else_holds(crm: Crm, caplog: pytest.LogCaptureFixture) -> None:
    client = crm.client("ana")
    with write_lock(file_of(crm.app)):
        assert_refused(signs_in(crm) | saves(crm), "Another save is taking long")
        form = client.form("/leads/add", {"first_name": "Asha", "mobile": "9820012345"})
        assert 'name="first_name" value="Asha"' in form.text, "what was typed is lost"
        assert "wrong" not in signs_in(crm)["form"].text, "a password is shown"
        assert client.screen("/leads/").status_code == 200
    assert "Traceback" not in caplog.text and "9820012345" not in caplog.text


def test_a_disk_that_is_full(crm: Crm, caplog: pytest.LogCaptureFixture) -> None:
    client = crm.client("ana")
    with full_disk(crm.app):
        lead = {"first_name": "Asha", "mobile": "9820012345", "category": "Direct", "description": "x" * 19_000}
        answers = [
            client.rest("POST", "lead/", lead | {"mobile": f"98200123{n}"}) for n in range(10, 40)
        ]  # fill what is free
        answers = {"rest": answers[-1], "form": client.form("/leads/add", lead)}
        assert_refused(answers, "disk is full")
        assert 'value="Asha"' in answers["form"].text, "what was typed is lost"
        assert client.screen("/leads/").status_code == 200
    assert "Traceback" not in caplog.text and "9820012345" not in caplog.text


def test_a_database_that_takes_no_changes(crm: Crm, caplog: pytest.LogCaptureFixture) -> None:
    client = crm.client("ana")
    with read_only(crm.app):
        assert_refused(signs_in(crm) | saves(crm), "takes no changes")
        assert client.screen("/leads/").status_code == client.rest("GET", "lead/").status_code == 200
    assert "Traceback" not in caplog.text and "9820012345" not in caplog.text


def test_a_file_that_is_no_database(crm: Crm, caplog: pytest.LogCaptureFixture) -> None:
    client = crm.client("ana")
    with crm.app.app_context():
        db.engine.dispose()
    for each in file_of(crm.app).parent.glob(file_of(crm.app).name + "*"):
        each.write_bytes(b"this is no database" * 1000)
    assert_refused(signs_in(crm) | saves(crm), "can't read its files")
    assert_refused({"page": client.screen("/leads/")}, "can't read its files")
    assert "Traceback" not in caplog.text


# --- at the start


def start(folder: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    server = LiveServer(folder, **settings)
    return forked_programs.run(server.command()[1:], server.environment())


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("sqlite:////proc/nowhere/crm.sqlite3", "can't be used: No such file or directory"),
        ("sqlite:////etc/hostname", "isn't a database"),
        ("mysql+pymysql://root@127.0.0.1:1/crm", "can't be reached or opened"),
    ],
)
def test_a_database_that_cannot_be_used_is_said_in_a_sentence(tmp_path: Path, url: str, words: str) -> None:
    ended = start(tmp_path, CRM_DATABASE_URL=url)
    assert ended.returncode == 2 and words in ended.stderr and "Traceback" not in ended.stderr, ended.stderr[-500:]


def test_an_instance_folder_that_cannot_be_written_is_said_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "instance" / "start.lock").mkdir(parents=True)
    ended = start(tmp_path)
    assert ended.returncode == 2 and "start.lock can't be used" in ended.stderr, ended.stderr[-500:]
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("command", ["db upgrade", "fab list-users", "fab create-permissions"])
def test_a_command_that_a_package_brings_says_it_in_a_sentence(tmp_path: Path, command: str) -> None:
    environment = LiveServer(tmp_path, CRM_DATABASE_URL="mysql+pymysql://root@127.0.0.1:1/crm").environment()
    ended = forked_programs.run(["-m", "flask", "--app", "run", *command.split()], environment)
    assert ended.returncode == 1 and "can't be reached or opened" in ended.stderr, ended.stderr[-500:]
    assert "Traceback" not in ended.stderr


def test_a_command_says_in_a_sentence_what_keeps_it_from_running(crm: Crm, monkeypatch: pytest.MonkeyPatch) -> None:
    @cli.readable_errors
    def lose_the_database() -> None:
        create_engine("mysql+pymysql://root@127.0.0.1:1/crm").connect()

    with crm.app.app_context(), pytest.raises(click.ClickException, match="Check CRM_DATABASE_URL"):
        lose_the_database()
    monkeypatch.setenv("CRM_WORKERS", "two")
    with click.Context(click.Command("flask")), pytest.raises(click.ClickException, match="CRM_WORKERS must be"):
        run.create_app()
    monkeypatch.delenv("CRM_WORKERS")
    with click.Context(click.Command("flask"), info_name="flask") as context:
        monkeypatch.setenv("CRM_DATABASE_URL", "nonsense")
        with pytest.raises(click.ClickException):
            run.create_app()
    assert context.info_name == "flask"


# --- logs


def test_no_log_holds_what_the_database_repeats(caplog: pytest.LogCaptureFixture) -> None:
    log_redaction.install()
    caplog.clear()
    engine = create_engine("sqlite://", hide_parameters=True)
    typed = "asha@example.in 98200 12345 ABCDE1234F"
    mobile, words = typed[16:27], f"Duplicate entry '{typed}' for key 'email'"
    try:
        try:
            raise pymysql.err.IntegrityError(1062, words)
        except pymysql.err.IntegrityError as error:
            raise IntegrityError("INSERT INTO t VALUES (%s)", [mobile], error) from error
    except IntegrityError as error:
        logging.getLogger("anybody").exception("it failed: %s", error)
        logging.getLogger("anybody").error("it failed: %r", error)
    try:
        engine.connect().execute(text("SELECT * FROM nowhere WHERE mobile = :mobile"), {"mobile": mobile})
    except OperationalError:
        logging.getLogger("anybody").exception("once more")
    try:
        int(typed)
    except ValueError:
        logging.getLogger("anybody").exception("and another bug")
    engine.dispose()
    assert not [each for each in typed.split() if each in caplog.text]
    assert "IntegrityError 1062" in caplog.text and "INSERT INTO t" in caplog.text and "ValueError" in caplog.text
    assert "test_database_errors.py" in caplog.text, "the traceback shows where"
