"""Reads MariaDB's results with less work than PyMySQL, which took a third of the CPU of a short request.

For each statement the server describes every column: names, types, lengths. PyMySQL parses that each time. Here the
bytes are compared with those of earlier results, and only new ones are parsed. Rows are read in one loop instead of
four calls per value. The values are the same (tests/ops/test_fast_results.py).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from functools import partial
from typing import Any

from pymysql import converters, err
from pymysql.connections import MySQLResult
from pymysql.constants import CR, SERVER_STATUS
from pymysql.cursors import Cursor
from pymysql.protocol import MysqlPacket

#: Cached column descriptions, and how many of them may have the same first packet.
MAX_KEPT, MAX_ALIKE = 300, 16
#: A packet of this size continues in the next one.
_CONTINUED = 0xFFFFFF
#: First bytes of packets: an error, the end of a list.
_ERROR, _END, _LONGEST_END = 0xFF, 0xFE, 8
#: The packet with the number of columns, if that is one byte; the size of the packet at the end of a list.
_COUNT_BEGINS, _END_SIZE = b"\x01\x00\x00\x01", 5
#: Bytes of the shortest result.
_LEAST = 12
#: First bytes of values: null, and lengths of so many bytes.
_NULL, _WIDTHS = 251, {252: 2, 253: 3, 254: 8}

#: The packet of a row of whole numbers of at most eleven digits: two, and a third one or NULL. It is so short that the
#: first byte of one can't be taken for a digit of the one before.
_TWO = re.compile(rb"[\x04-\x2f]\x00\x00[\x00-\xff][\x01-\x0b]([0-9]+)[\x01-\x0b]([0-9]+)")
_ROWS_OF_TWO = re.compile(rb"(?:[\x04-\x2f]\x00\x00[\x00-\xff][\x01-\x0b][0-9]+[\x01-\x0b][0-9]+)*")
_THREE = re.compile(
    rb"[\x04-\x2f]\x00\x00[\x00-\xff][\x01-\x0b]([0-9]+)[\x01-\x0b]([0-9]+)(?:[\x01-\x0b]([0-9]+)|\xfb)"
)
_ROWS_OF_THREE = re.compile(
    rb"(?:[\x04-\x2f]\x00\x00[\x00-\xff][\x01-\x0b][0-9]+[\x01-\x0b][0-9]+(?:[\x01-\x0b][0-9]+|\xfb))*"
)
#: Number of columns -> such a packet, and any number of them.
_NUMBERS = {2: (_TWO, _ROWS_OF_TWO), 3: (_THREE, _ROWS_OF_THREE)}

Reader = Callable[[bytes], Any]


@dataclass(frozen=True)
class _Columns:
    """The server's description of the columns of a result, and how to read their values."""

    told: bytes
    fields: list[Any]
    converters: list[Any]
    description: tuple[Any, ...]
    readers: list[Reader | None]
    #: Whether there are two or three, of whole numbers.
    are_numbers: bool = False


#: (encoding, number of columns, first packet) -> descriptions that begin with it.
_kept: dict[Any, tuple[_Columns, ...]] = {}


class FastResult(MySQLResult):  # type: ignore[misc]
    """The result of one statement."""

    #: PyMySQL's own attributes.
    connection: Any
    converters: list[Any]
    fields: list[Any]
    description: Any
    rows: Any

    _readers: list[Reader | None]

    def read(self) -> None:
        """Read the result: from what was received, if that is all of it."""
        try:
            if not self._read_at_once():
                super().read()
        finally:
            self.connection = None

    def _read_at_once(self) -> bool:
        """Read a result with known columns that has arrived as a whole. Returns False, with nothing read, for others.

        Those are read packet by packet: long ones, errors, results of changes, and columns that are new.
        """
        connection = self.connection
        seen = peek(connection)
        if not seen.startswith(_COUNT_BEGINS) or len(seen) < _LEAST or connection._next_seq_id != 1:
            return False
        count = seen[4]
        key = (connection.encoding, connection.use_unicode, count, seen[5 : 9 + int.from_bytes(seen[5:8], "little")])
        columns = next((each for each in _kept.get(key, ()) if seen.startswith(each.told, 5)), None)
        if columns is None:
            return False
        begin = 5 + len(columns.told)
        read = _numbers_at_once(seen, begin, columns) or _rows_at_once(seen, begin, columns)
        if read is None:
            return False
        self.rows, last, end = read
        connection._read_bytes(end)
        connection._next_seq_id = (count + 4 + len(self.rows)) % 256
        self.fields, self.converters, self.description = columns.fields, columns.converters, columns.description
        self.field_count, self.affected_rows = count, len(self.rows)
        self.warning_count = int.from_bytes(last[1:3], "little")
        self.has_next = int.from_bytes(last[3:5], "little") & SERVER_STATUS.SERVER_MORE_RESULTS_EXISTS
        return True

    def _get_descriptions(self) -> None:
        """Read the server's description of the columns."""
        connection, seen = self.connection, peek(self.connection)
        first = seen[: 4 + int.from_bytes(seen[:3], "little")]
        key = (connection.encoding, connection.use_unicode, self.field_count, first)
        found = next((each for each in _kept.get(key, ()) if seen.startswith(each.told)), None)
        if found is None:
            super()._get_descriptions()
            self._readers = [_reader(*each) for each in self.converters]
            self._keep(key, seen)
            return
        connection._read_bytes(len(found.told))
        connection._next_seq_id = (connection._next_seq_id + self.field_count) % 256
        if not connection._read_packet().is_eof_packet():
            raise err.InternalError("The description of the columns has no end.")
        self.fields, self.converters, self.description = found.fields, found.converters, found.description
        self._readers = found.readers

    def _keep(self, key: Any, seen: bytes) -> None:
        """Cache the description, if all of it had been received."""
        end = 0
        for _ in range(self.field_count):
            end += 4 + int.from_bytes(seen[end : end + 3], "little")
        if end > len(seen):
            return
        if len(_kept) >= MAX_KEPT:
            _kept.clear()
        are_numbers = len(self._readers) in _NUMBERS and set(self._readers) == {int}
        made = _Columns(seen[:end], self.fields, self.converters, self.description, self._readers, are_numbers)
        _kept[key] = (*_kept.get(key, ())[1 - MAX_ALIKE :], made)

    def _read_rowdata_packet(self) -> None:
        """Read all rows."""
        connection, readers, rows = self.connection, self._readers, []
        found = _packets(connection)
        while not _ends(found[-1]):
            rows += [_row(data, readers) for data in found]
            found = _packets(connection)
        rows += [_row(data, readers) for data in found[:-1]]
        data = found[-1]
        packet = MysqlPacket(data, connection.encoding)
        packet.check_error()
        self._check_packet_is_eof(packet)
        self.connection = None
        self.affected_rows, self.rows = len(rows), tuple(rows)


class FastCursor(Cursor):  # type: ignore[misc]
    """PyMySQL's cursor, with less work for its first statement, which is mostly its only one."""

    def execute(self, query: str, args: Any = None) -> int:
        """Send a statement with these values. Returns the number of rows."""
        connection = self.connection
        if self._result is not None or connection is None or type(args) is not dict:
            return int(super().execute(query, args))
        literals = connection.literals_of(args)
        self._clear_result()
        try:
            query %= literals
        except TypeError as error:
            raise err.ProgrammingError(str(error)) from error
        connection.query(query)
        self._do_get_result()
        self._executed = query
        return int(self.rowcount)

    def close(self) -> None:
        """Read what is left, if anything is."""
        if self._result is None or not self._result.has_next:
            self.connection = None
        else:
            super().close()


def peek(connection: Any) -> bytes:
    """The received bytes that are unread, at least one. Raises OperationalError."""
    try:
        seen: bytes = connection._rfile.peek(1)
    except OSError as error:
        connection._force_close()
        raise err.OperationalError(CR.CR_SERVER_LOST, f"Lost connection to MySQL server ({error})") from error
    return seen


#: Rows, the content of the packet at their end, and the place behind it.
_Read = tuple[tuple[Any, ...], bytes, int]


def _rows_at_once(seen: bytes, begin: int, columns: _Columns) -> _Read | None:
    """The rows that follow the columns, which end at `begin`; None unless all of them are there."""
    found = _whole_packets(seen, begin, (len(columns.readers) + 2) % 256)
    if found is None or found[0][0] != _END:
        return None
    end = begin + sum(map(len, found)) + 4 * len(found)
    return tuple([_row(data, columns.readers) for data in found[1:-1]]), found[-1], end


def _numbers_at_once(seen: bytes, begin: int, columns: _Columns) -> _Read | None:
    """The same of rows of two or three whole numbers, as look-ups of ids have many; None for anything else.

    The number of the last packet tells that none is missing.
    """
    if not columns.are_numbers or seen[begin + 4 : begin + 5] != bytes((_END,)):
        return None
    first = begin + 4 + _END_SIZE
    packet, packets = _NUMBERS[len(columns.readers)]
    at = packets.match(seen, first).end()  # type: ignore[union-attr]  # it also matches nothing
    rows, last = packet.findall(seen, first, at), seen[at : at + 4 + _END_SIZE]
    number = (len(columns.readers) + 3 + len(rows)) % 256
    if last[:5] != bytes((_END_SIZE, 0, 0, number, _END)) or len(last) != 4 + _END_SIZE:
        return None
    if len(columns.readers) == 2:
        return tuple([tuple(map(int, values)) for values in rows]), last[4:], at + len(last)
    return tuple([(int(a), int(b), int(c) if c else None) for a, b, c in rows]), last[4:], at + len(last)


def _whole_packets(seen: bytes, begin: int, number: int) -> list[bytes] | None:
    """The end of the columns, the rows and the end of the rows; None unless all of them are there.

    `number`: of the first one, whose place is `begin`.
    """
    found: list[bytes] = []
    while True:
        size = int.from_bytes(seen[begin : begin + 3], "little")
        end = begin + 4 + size
        if not 0 < size < _CONTINUED or end > len(seen) or seen[begin + 3] != number:
            return None
        data = seen[begin + 4 : end]
        first = data[0]
        if first == _ERROR:
            return None
        found.append(data)
        if first == _END and size <= _LONGEST_END and len(found) > 1:
            return found if size == _END_SIZE else None
        begin, number = end, (number + 1) % 256


def _ends(data: bytes) -> bool:
    """Whether no row follows this packet."""
    return data[0] == _ERROR or (data[0] == _END and len(data) <= _LONGEST_END)


def _packets(connection: Any) -> list[bytes]:
    """The contents of the next packets, as many as were received, up to the last one of the result; at least one."""
    seen, number = peek(connection), connection._next_seq_id
    found: list[bytes] = []
    end = 0
    while True:
        begin = end + 4
        size = int.from_bytes(seen[end : end + 3], "little")
        if not 0 < size < _CONTINUED or begin + size > len(seen) or seen[begin - 1] != number:
            break
        end, number = begin + size, (number + 1) % 256
        found.append(seen[begin:end])
        if _ends(found[-1]):
            break
    if not found:
        return [_packet(connection)]
    connection._read_bytes(end)
    connection._next_seq_id = number
    return found


def _packet(connection: Any) -> bytes:
    """The content of the next packet."""
    parts: list[bytes] = []
    while True:
        header: bytes = connection._read_bytes(4)
        if header[3] != connection._next_seq_id:
            connection._force_close()
            raise err.OperationalError(CR.CR_SERVER_LOST, "Lost connection to MySQL server: a packet is missing")
        connection._next_seq_id = (header[3] + 1) % 256
        size = int.from_bytes(header[:3], "little")
        data: bytes = connection._read_bytes(size)
        if size < _CONTINUED and not parts:
            return data
        parts.append(data)
        if size < _CONTINUED:
            return b"".join(parts)


def _row(data: bytes, readers: list[Reader | None]) -> tuple[Any, ...]:
    """The values of a packet, each preceded by its length."""
    row: list[Any] = []
    place = 0
    for read in readers:
        size = data[place]
        place += 1
        if size >= _NULL:
            if size == _NULL:
                row.append(None)
                continue
            width = _WIDTHS[size]
            size = int.from_bytes(data[place : place + width], "little")
            place += width
        value = data[place : place + size]
        place += size
        row.append(value if read is None else read(value))
    return tuple(row)


# --- values


def _datetime(value: bytes) -> Any:
    try:
        return datetime.fromisoformat(value.decode("ascii"))
    except ValueError:
        return converters.convert_datetime(value.decode("ascii"))  # such as 0000-00-00 00:00:00


def _date(value: bytes) -> Any:
    try:
        return date.fromisoformat(value.decode("ascii"))
    except ValueError:
        return converters.convert_date(value.decode("ascii"))


#: PyMySQL's text converter -> our bytes converter.
_QUICK: dict[Any, Reader] = {
    int: int,
    float: float,
    converters.convert_datetime: _datetime,
    converters.convert_date: _date,
}


def _reader(encoding: str | None, convert: Callable[[Any], Any] | None) -> Reader | None:
    """The converter from bytes to a column's value; None = the bytes are the value."""
    if encoding == "ascii" and convert in _QUICK:
        return _QUICK[convert]
    if convert is None:
        return None if encoding is None else bytes.decode if encoding == "utf8" else partial(str, encoding=encoding)
    return partial(_converted, encoding, convert)


def _converted(encoding: str | None, convert: Callable[[Any], Any], value: bytes) -> Any:
    return convert(value if encoding is None else value.decode(encoding))
