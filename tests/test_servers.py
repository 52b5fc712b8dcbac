"""The servers and network guard of the test suite work as documented."""

import ast
import asyncio
import socket
import traceback
import urllib.request
from contextlib import closing

import pymysql
import pytest
import redis
from sqlalchemy import create_engine, text

from tests.conftest import NetworkIsOff


def ask(server, database, *statements):
    """Run the statements; return the last one's rows."""
    with closing(server.connect(database)) as connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
        connection.commit()
        return cursor.fetchall()


def test_mariadb_answers_under_its_url(mariadb_url):
    engine = create_engine(mariadb_url)
    with engine.connect() as connection:
        assert "MariaDB" in connection.execute(text("SELECT VERSION()")).scalar_one()
    engine.dispose()


def test_two_databases_are_separate(mariadb_server):
    one, other = mariadb_server.create_database(), mariadb_server.create_database()
    ask(mariadb_server, one, "CREATE TABLE leads (id INT PRIMARY KEY)")
    assert ask(mariadb_server, one, "SHOW TABLES") == (("leads",),)
    assert ask(mariadb_server, other, "SHOW TABLES") == ()


def test_mariadb_keeps_every_script(mariadb_server):
    name = mariadb_server.create_database()
    ask(mariadb_server, name, "CREATE TABLE names (name VARCHAR(40))", "INSERT INTO names VALUES ('अना 🙂 અના')")
    assert ask(mariadb_server, name, "SELECT name FROM names") == (("अना 🙂 અના",),)


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_restarted_mariadb_keeps_its_data(lone_mariadb, end):
    name = lone_mariadb.create_database()
    ask(lone_mariadb, name, "CREATE TABLE leads (id INT PRIMARY KEY)", "INSERT INTO leads VALUES (7)")
    getattr(lone_mariadb, end)()
    with pytest.raises(pymysql.err.OperationalError):
        lone_mariadb.connect()
    lone_mariadb.start()
    assert ask(lone_mariadb, name, "SELECT id FROM leads") == ((7,),)


def test_redis_keeps_a_value(redis_server):
    with closing(redis.Redis.from_url(redis_server.url)) as client:
        client.set("lead", "7")
        assert client.get("lead") == b"7"


def test_redis_is_empty_for_each_test_even_after_one_that_stopped_it(redis_server):
    with closing(redis.Redis.from_url(redis_server.url)) as client:
        assert client.dbsize() == 0
        redis_server.stop()
        with pytest.raises(redis.ConnectionError):
            client.ping()


def test_redis_is_there_again_for_the_next_test(redis_server):
    with closing(redis.Redis.from_url(redis_server.url)) as client:
        assert client.ping()


def test_chromium_opens_a_page(page):
    page.goto("data:text/html,<h1>Good morning</h1>")
    assert page.inner_text("h1") == "Good morning"


def test_chromium_reaches_nothing_outside(page):
    with pytest.raises(Exception, match="ERR_NAME_NOT_RESOLVED"):
        page.goto("http://crm.example.com/")


@pytest.mark.xdist_group("browser")  # in the worker where Chromium was opened, after it was
def test_an_event_loop_runs_beside_the_browser():
    assert asyncio.run(asyncio.sleep(0, "done")) == "done"


@pytest.mark.parametrize("address", [("192.0.2.1", 80), ("crm.example.com", 80)])
def test_the_network_is_off(address):
    with pytest.raises(NetworkIsOff):
        socket.create_connection(address, timeout=1)


def test_the_network_is_off_for_libraries_too():
    with pytest.raises(NetworkIsOff):
        urllib.request.urlopen("http://192.0.2.1/", timeout=1)


def test_a_traceback_is_written_without_parsing_python(monkeypatch):
    parsed = []
    monkeypatch.setattr(ast, "parse", parsed.append)
    try:
        1 + len(b"")[0]
    except TypeError:
        assert "in test_a_traceback_is_written" in traceback.format_exc()
    assert parsed == []
