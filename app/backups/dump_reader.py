"""Parses the output of mariadb-dump: counts and hashes the rows of each table, and hashes the schema.

mariadb-dump writes each row on a line of its own and escapes line breaks in values, so a line that begins with a
bracket is a row. Counts and hashes therefore belong to the dump's own snapshot.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any

from app.backups.database_contents import PASSING_TABLES, DatabaseContents, TableContents, references_in
from app.domain.persistence import file_references

_INSERT = re.compile(rb"INSERT INTO `((?:[^`]|``)+)` (?:\([^)]*\) )?VALUES\n?")
_TABLE = re.compile(rb"(?:CREATE TABLE|DROP TABLE IF EXISTS) `((?:[^`]|``)+)`")
_COLUMN = re.compile(rb"  `((?:[^`]|``)+)` ")
#: A value of a row: a string with its escapes, or something without commas.
_VALUE = re.compile(rb"(?:_binary )?'((?:[^'\\\\]|\\\\.|'')*)'|[^,]+")
_DIGEST = re.compile(rb"[0-9a-f]{64}")
_END = b"-- Dump completed"
#: Lines that name the database, the host or the versions, and comments.
_PASSING = (
    *(b"--", b"/*!40000 ALTER TABLE", b"/*M!", b"/*!40101 SET", b"COMMIT;", b"ALTER DATABASE"),
    *(b"SET @OLD_AUTOCOMMIT", b"SET AUTOCOMMIT"),
)


class DumpReader:
    """Parses a dump in chunks."""

    def __init__(self) -> None:
        self.is_complete = False
        self._rest = b""
        self._schema = hashlib.sha256()
        self._rows: dict[str, int] = {}
        self._hashes: dict[str, Any] = {}
        self._references: set[bytes] = set()
        self._table = ""
        #: Table -> its columns in their order.
        self._columns_of: dict[str, list[str]] = {}
        self._file_columns = file_references.names_by_table()
        #: Whether the last line was an INSERT or a row of one.
        self._is_in_rows = False

    def feed(self, chunk: bytes) -> None:
        """Read the next chunk of the dump."""
        lines = (self._rest + chunk).split(b"\n")
        self._rest = lines.pop()
        rows: list[bytes] = []
        for line in lines:
            if self._is_in_rows and line[:1] == b"(":
                rows.append(line[:-1])  # without the comma or semicolon
            else:
                self._take(rows)
                rows = []
                self._read(line)
        self._take(rows)

    def _take(self, rows: list[bytes]) -> None:
        if rows and self._table not in PASSING_TABLES:
            self._rows[self._table] += len(rows)
            joined = b"\n".join(rows) + b"\n"
            self._hashes[self._table].update(joined)
            if b"file:" in joined:
                self._references |= references_in(joined)
            self._note_files(rows)

    def _note_files(self, rows: list[bytes]) -> None:
        """Collect the digests in the columns that refer to stored files."""
        known = self._columns_of.get(self._table, [])
        places = [known.index(name) for name in self._file_columns.get(self._table, ()) if name in known]
        if not places:
            return
        for row in rows:
            values = [found[1] for found in _VALUE.finditer(row[1:-1])]
            digests = (values[place] for place in places)
            self._references |= {bytes.fromhex(each.decode()) for each in digests if each and _DIGEST.fullmatch(each)}

    def _read(self, line: bytes) -> None:
        found = _INSERT.fullmatch(line)
        self._is_in_rows = found is not None
        if found:
            self._begin(found[1])
        elif found := _TABLE.match(line):
            self._begin(found[1])
            self._columns_of[self._table] = []
            self._note(line)
        elif line.startswith(_END):
            self.is_complete = True
        elif line and not line.startswith(_PASSING):
            if found := _COLUMN.match(line):
                self._columns_of[self._table].append(found[1].decode())
            self._note(line)

    def _note(self, line: bytes) -> None:
        if self._table not in PASSING_TABLES:
            self._schema.update(line + b"\n")

    def _begin(self, name: bytes) -> None:
        self._table = name.replace(b"``", b"`").decode()
        if self._table not in PASSING_TABLES and self._table not in self._rows:
            self._rows[self._table], self._hashes[self._table] = 0, hashlib.sha256()

    def contents(self) -> DatabaseContents:
        """The contents of the dump."""
        tables = {name: TableContents(count, self._hashes[name].hexdigest()) for name, count in self._rows.items()}
        return DatabaseContents(tables, self._schema.hexdigest(), self._references)
