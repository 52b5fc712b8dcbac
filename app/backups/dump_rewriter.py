"""Takes the secondary indexes and foreign keys of large tables out of a dump while it is loaded.

An index that is filled row by row is read and written in random places as soon as it is larger than the memory of the
server; one that is added to a full table is sorted and written once. So a large table is created with its primary key
only, and whoever loads the dump adds the rest. The dump itself stays as mariadb-dump wrote it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

#: Bytes of rows up to which a table is created with all its indexes: adding them later would take longer.
SMALL = 4 * 1024 * 1024
#: Before each CREATE TABLE of mariadb-dump; no row and no definition contains a line break.
_BEGIN = b"*/;\nCREATE TABLE `"
_BEGIN_COMMENT = len(b"*/;\n")
#: After the rows of each table, by the option --no-autocommit.
_ENDS = (b"\nCOMMIT;\n", b"\ncommit;\n")
_LONGEST = len(_BEGIN)
#: Between the columns and keys of a table and its options.
_CLOSED = b"\n) "
_NAME = re.compile(rb"CREATE TABLE (`(?:[^`]|``)+`) \(")
_KEY = re.compile(rb"  (?:UNIQUE |FULLTEXT |SPATIAL |)KEY `")
_FOREIGN = re.compile(rb"  CONSTRAINT `(?:[^`]|``)+` FOREIGN KEY ")
_REFERENCED = re.compile(rb" REFERENCES (`(?:[^`]|``)+`) ")
_PRIMARY = re.compile(rb"\n  PRIMARY KEY \((`(?:[^`]|``)+`)")
_COUNTED = re.compile(rb"\n  (`(?:[^`]|``)+`) [^\n]* AUTO_INCREMENT")
#: Rows that MariaDB inserts in bulk (unique_checks = 0) go through files of sorted pieces, of 1 MB by default: twice
#: the work for rows that are sorted already.
_NO_BULK = b"SET unique_checks = 1;\n"
_TELL = b"SELECT 'rows loaded';\n"


@dataclass(frozen=True)
class TableDefinition:
    """A CREATE TABLE, taken apart."""

    #: With its quotes.
    name: str
    #: The statement with and without secondary indexes and foreign keys.
    whole: bytes
    bare: bytes
    #: The statement without foreign keys only.
    unbound: bytes
    indexes: tuple[str, ...]
    foreign_keys: tuple[str, ...]
    #: The names of the tables to which it refers, with their quotes.
    parents: frozenset[str]
    #: Whether it can be filled without its indexes, in the order of its primary key.
    is_fit: bool

    def index_statements(self) -> Iterator[str]:
        """The statements that add the indexes: one for all, as InnoDB then reads the rows once.

        A further FULLTEXT index needs a statement of its own.
        """
        words = [each for each in self.indexes if each.startswith("FULLTEXT")]
        others = [each for each in self.indexes if not each.startswith("FULLTEXT")]
        for together in (others + words[:1], *([each] for each in words[1:])):
            if together:
                yield self._adding(together)

    def foreign_key_statement(self) -> str:
        """The statement that adds the foreign keys."""
        return self._adding(self.foreign_keys)

    def _adding(self, what: list[str] | tuple[str, ...]) -> str:
        return f"ALTER TABLE {self.name} " + ", ".join(f"ADD {each}" for each in what)


def parse(statement: bytes) -> TableDefinition:
    """Take a CREATE TABLE of mariadb-dump apart."""
    body, mark, options = statement.partition(_CLOSED)
    first, *lines = body.split(b"\n")
    lines = [line.removesuffix(b",") for line in lines]
    foreign = [line for line in lines if _FOREIGN.match(line)]
    keys = [line for line in lines if _KEY.match(line)]

    def without(*left_out: list[bytes]) -> bytes:
        out = {line for each in left_out for line in each}
        return first + b"\n" + b",\n".join(line for line in lines if line not in out) + mark + options

    name = _NAME.match(first)
    return TableDefinition(
        name=name[1].decode() if name else "",
        whole=statement,
        bare=without(keys, foreign),
        unbound=without(foreign),
        indexes=tuple(line.strip().decode() for line in keys),
        foreign_keys=tuple(line.strip().decode() for line in foreign),
        parents=frozenset(found[1].decode() for line in foreign if (found := _REFERENCED.search(line))),
        is_fit=name is not None and _is_fit(statement, options),
    )


def _is_fit(statement: bytes, options: bytes) -> bool:
    """Not without a primary key, or if another key than the primary one begins with the column that counts up."""
    primary, counted = _PRIMARY.search(statement), _COUNTED.search(statement)
    if primary is None or (counted and counted[1] != primary[1]):
        return False
    return b"ENGINE=InnoDB" in options and b"PARTITION BY" not in options


class DumpRewriter:
    """Rewrites a dump in chunks, in bounded memory."""

    def __init__(self, small: int = SMALL) -> None:
        self._small = small
        #: What was fed and not yet returned.
        self._rest = b""
        self._table: TableDefinition | None = None
        #: Whether the table's definition has been returned, so that its rows need not be kept.
        self._is_open = False
        #: Tables that were created without indexes.
        self.bare: list[TableDefinition] = []
        self._loaded = 0
        #: Tables that were created without foreign keys.
        self.unbound: list[TableDefinition] = []

    def feed(self, chunk: bytes) -> bytes:
        """The next bytes for the client of the database.

        After the rows of a table without indexes comes a SELECT, which prints a line; see `loaded`.
        """
        self._rest += chunk
        return b"".join(self._steps(is_end=False))

    def finish(self) -> bytes:
        """The last bytes."""
        return b"".join(self._steps(is_end=True)) + self._taken(len(self._rest))

    def loaded(self, printed: bytes) -> list[TableDefinition]:
        """The tables without indexes whose rows are there, by what the client has printed meanwhile."""
        before, self._loaded = self._loaded, self._loaded + printed.count(b"\n")
        return self.bare[before : self._loaded]

    def loaded_in_the_end(self) -> list[TableDefinition]:
        """Those of which `loaded` hasn't told yet, when the client has ended."""
        return self.bare[self._loaded :]

    def _steps(self, is_end: bool) -> Iterator[bytes]:
        while True:
            if self._table is None:
                done = self._before_table()
            elif self._is_open:
                done = self._rows(self._table)
            else:
                done = self._first_rows(self._table, is_end)
            if done is None:
                return
            yield done

    def _taken(self, count: int) -> bytes:
        taken, self._rest = self._rest[:count], self._rest[count:]
        return taken

    def _before_table(self) -> bytes | None:
        """What precedes a CREATE TABLE, and in the end its comment; None when more is needed."""
        begin = self._rest.find(_BEGIN)
        if begin:
            return self._taken(begin) if begin > 0 else self._all_but_a_begin()
        closed = self._rest.find(_CLOSED)
        end = self._rest.find(b";\n", closed)
        if closed < 0 or end < 0:
            return None
        comment = self._taken(_BEGIN_COMMENT)
        self._table, self._is_open = parse(self._taken(end + 2 - _BEGIN_COMMENT)), False
        return comment + _NO_BULK

    def _first_rows(self, table: TableDefinition, is_end: bool) -> bytes | None:
        """The definition, once it is known whether the table is large; None when more is needed."""
        is_large = _end_of_rows(self._rest) < 0 and not is_end
        if is_large and len(self._rest) <= self._small:
            return None
        self._is_open = True
        if is_large and table.is_fit:
            self.bare.append(table)
        elif table.parents.isdisjoint(each.name for each in self.bare):
            return table.whole
        # MariaDB refuses a foreign key to a column whose index is still missing
        if table.foreign_keys:
            self.unbound.append(table)
        return table.bare if is_large and table.is_fit else table.unbound

    def _rows(self, table: TableDefinition) -> bytes | None:
        """Rows up to the end of the table; None when more is needed."""
        end = _end_of_rows(self._rest)
        if end < 0:
            return self._all_but_a_begin()
        self._table = None
        rows = self._taken(end)
        if not self.bare or table is not self.bare[-1]:
            return rows
        return rows + _TELL

    def _all_but_a_begin(self) -> bytes | None:
        """All but what may be the beginning of a mark; None if that is all."""
        return self._taken(len(self._rest) - _LONGEST) if len(self._rest) > _LONGEST else None


def _end_of_rows(rest: bytes) -> int:
    """Where the section of a table ends; -1 = not here."""
    found = [at + len(end) for end in _ENDS if (at := rest.find(end)) >= 0]
    following = rest.find(_BEGIN)
    return min([*found, following] if following >= 0 else found, default=-1)
