"""Our parser of MariaDB's results returns the same as PyMySQL's, for all types, sizes and numbers of columns."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pymysql
import pytest
from pymysql.connections import Connection

from app.lib import deadline
from app.ops.database.connections import MariaDBConnection
from app.ops.statements import fast_results
from tests.servers import Databases

TYPES = """SELECT 1, -5, 18446744073709551615, NULL, 1.5, CAST(2.25 AS DECIMAL(8,3)), 1e300, TRUE, '', 'é😀''x',
    x'00ff', DATE '2024-02-29', TIMESTAMP '2024-02-29 23:59:59', CAST('2024-01-02 03:04:05.000006' AS DATETIME(6)),
    CAST('-12:34:56.5' AS TIME(1)), CAST('0000-00-00' AS DATE), CAST('0000-00-00 00:00:00' AS DATETIME),
    YEAR(NOW()), b'101', JSON_OBJECT('a', 1), CAST('x' AS BINARY(3)), USER()"""


@pytest.fixture
def both(mariadb_server: Databases) -> Iterator[tuple[Connection, Connection]]:
    """(ours, PyMySQL's own)"""
    options: dict[str, Any] = {"host": "127.0.0.1", "port": mariadb_server.port, "user": "root", "charset": "utf8mb4"}
    options["database"] = "mysql"  # the sequence engine wants one
    ours = MariaDBConnection(**options, cursorclass=fast_results.FastCursor, defer_connect=True)
    ours.connect(deadline.connect("127.0.0.1", mariadb_server.port, 5))
    theirs = pymysql.connect(**options)
    for each in (ours, theirs):
        _ask(each, "SET SESSION sql_mode = ''")
    yield ours, theirs
    ours.close()
    theirs.close()


def _ask(connection: Connection, statement: str, values: Any = None) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return cursor.description, cursor.fetchall(), cursor.rowcount, cursor.warning_count


@pytest.mark.parametrize(
    "statement",
    [
        TYPES,
        "SELECT 1 FROM DUAL WHERE FALSE",
        "SELECT REPEAT('a', 250), REPEAT('b', 251), REPEAT('c', 70000), REPEAT('d', 9000000), REPEAT('e', 9000000), 7",
        "SELECT " + ", ".join(f"{n} AS `a column with a long name {n}`" for n in range(400)),
        "SELECT seq, NULLIF(seq % 3, 0), CONCAT('row ', seq) FROM seq_1_to_3000",
        "SELECT seq, seq % 97 FROM seq_1_to_700",
        "SELECT seq, 12345678901, 48 FROM seq_40_to_60",
        "SELECT seq, IF(seq < 30, seq, -seq) FROM seq_1_to_50",
        "SELECT seq, IF(seq < 30, seq, 123456789012) FROM seq_1_to_50",
        "SELECT seq, NULLIF(seq % 30, 0) FROM seq_1_to_50",
        "SELECT seq, 1 FROM seq_1_to_50 WHERE FALSE",
        "SELECT seq % 7, seq, NULLIF(seq * 4111, 8222) FROM seq_1_to_700",
        "SELECT 1, seq, IF(seq < 30, NULL, -seq) FROM seq_1_to_50",
        "SELECT NULLIF(seq, 7), seq, seq FROM seq_1_to_50",
        "(SELECT 0 AS n, seq, NULL AS other FROM seq_1_to_9) UNION ALL (SELECT 1, 2, seq FROM seq_40_to_60)",
        "SELECT CAST('abc' AS SIGNED), 1",
        "SHOW GLOBAL STATUS LIKE 'Uptime_since%'",
    ],
)
def test_the_same_is_read(both: tuple[Connection, Connection], statement: str) -> None:
    ours, theirs = both
    expected = _ask(theirs, statement)
    for _ in range(3):  # the second time by what is kept of the first
        assert _ask(ours, statement) == expected


def test_what_begins_alike_is_told_apart(both: tuple[Connection, Connection]) -> None:
    ours, theirs = both
    statements = [f"SELECT 1 AS n, {second} AS m" for second in ("2", "'x'", "NULL", "DATE '2024-01-01'", "2.5")]
    for statement in statements * 3:
        assert _ask(ours, statement) == _ask(theirs, statement)


def test_descriptions_are_kept_and_few(both: tuple[Connection, Connection], monkeypatch: pytest.MonkeyPatch) -> None:
    ours, _theirs = both
    monkeypatch.setattr(fast_results, "_kept", {})
    monkeypatch.setattr(fast_results, "MAX_KEPT", 3)
    for n in range(8):
        _ask(ours, f"SELECT 1 AS column_{n}")
        _ask(ours, f"SELECT 1 AS column_{n}")
    assert 0 < sum(map(len, fast_results._kept.values())) <= 3


def test_an_error_amid_the_rows_is_raised(both: tuple[Connection, Connection]) -> None:
    ours, _theirs = both
    failing = "SELECT (SELECT seq FROM seq_1_to_2 WHERE seq >= s.seq - 1) FROM seq_1_to_5 AS s"
    with pytest.raises(pymysql.err.OperationalError, match="more than 1 row"):
        _ask(ours, failing)
    assert _ask(ours, "SELECT 5")[1] == ((5,),)


@pytest.mark.parametrize(
    "value",
    [
        *("", "it's", 'a "b" \\ \n\r\0\x1a', "é😀", "%s %(x)s", "12"),
        *(datetime(2024, 2, 29, 1, 2, 3), datetime(999, 1, 1), datetime(2024, 1, 1, 0, 0, 0, 60)),
        *(None, True, 7, 1.5, b"\x00'", ("a", 1)),
    ],
)
def test_values_are_sent_alike(both: tuple[Connection, Connection], value: Any) -> None:
    ours, theirs = both
    assert ours.escape(value) == theirs.escape(value)
    if not isinstance(value, tuple):
        assert _ask(ours, "SELECT %s", (value,))[1] == _ask(theirs, "SELECT %s", (value,))[1]
        named = "SELECT %(one)s, %(other)s, '100 %%'", {"one": value, "other": 7}
        assert _ask(ours, *named) == _ask(theirs, *named)


def test_quotes_are_doubled_where_backslashes_are_plain(both: tuple[Connection, Connection]) -> None:
    ours, _theirs = both
    _ask(ours, "SET SESSION sql_mode = 'NO_BACKSLASH_ESCAPES'")
    assert _ask(ours, "SELECT %s", ("it's a \\",))[1] == (("it's a \\",),)


def test_a_cursor_is_used_again_and_refuses_what_does_not_fit(both: tuple[Connection, Connection]) -> None:
    for each in both:
        with each.cursor() as cursor:
            with pytest.raises(pymysql.err.ProgrammingError):
                cursor.execute("SELECT %s %(one)s", {"one": 1})
            assert cursor.execute("SELECT %(one)s AS n UNION SELECT 2", {"one": 1}) == 2
            assert cursor.fetchone() == (1,) and cursor.execute("SELECT %(one)s", {"one": "x"}) == 1
            assert cursor.fetchall() == (("x",),)
        with pytest.raises(pymysql.err.ProgrammingError, match="Cursor closed"):
            cursor.execute("SELECT %(one)s", {"one": 1})


@pytest.mark.parametrize("size", [1, 7, 60, 10_000])
def test_a_result_that_arrives_in_pieces_is_the_same(
    both: tuple[Connection, Connection], monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    ours, theirs = both
    statements = (
        "SELECT seq, REPEAT('x', seq), NULLIF(seq, 3) FROM seq_1_to_6",
        "SELECT seq, 48 FROM seq_1_to_60",
        "SELECT seq, 48, NULLIF(seq, 3) FROM seq_1_to_60",
    )
    expected = [_ask(theirs, each) for each in statements]
    read = deadline.DeadlineSocket.recv_into
    monkeypatch.setattr(
        deadline.DeadlineSocket, "recv_into", lambda line, buffer: read(line, memoryview(buffer)[:size])
    )
    assert [[_ask(ours, each) for each in statements] for _ in range(3)] == [expected] * 3


def test_values_are_written_as_by_pymysql(both: tuple[Connection, Connection]) -> None:
    ours, theirs = both
    hostile = "".join(map(chr, range(0x250))) + "😀%s %(a)s -- /* \\' \""
    moment = datetime(2026, 2, 3, 4, 5, 6, 7)
    values = {"a": hostile, "b": 7, "c": None, "d": moment, "e": 1.5, "f": b"\x00'", "g": True, "h": "", "i": -1}
    for mode in ("", "NO_BACKSLASH_ESCAPES"):
        for each in both:
            _ask(each, f"SET SESSION sql_mode = '{mode}'")
            _ask(each, "SELECT 1")  # whose end tells the mode
        literals = {name: str(value) for name, value in ours.literals_of(values).items()}
        assert literals == {name: str(theirs.escape(value)) for name, value in values.items()}
        assert _ask(ours, "SELECT %(a)s, %(d)s", values)[1][0][0] == hostile
