"""Finds the columns that refer to stored files (`app/ops/storage/file_store.py`), so that none is missed by backups.

A column with the digest of a stored file is declared with `info=STORED_FILE`, in add-ons too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from flask_appbuilder import Model
from sqlalchemy import Column, select
from sqlalchemy.orm import Session

#: For `mapped_column(String(64), info=STORED_FILE)`.
STORED_FILE = {"stored_file": True}


def digest_columns() -> list[Column[str]]:
    """All columns that hold digests of stored files."""
    return [column for table in Model.metadata.sorted_tables for column in table.c if column.info.get("stored_file")]


def names_by_table() -> dict[str, list[str]]:
    """Table -> its columns that hold digests of stored files."""
    found: dict[str, list[str]] = {}
    for column in digest_columns():
        found.setdefault(column.table.name, []).append(column.name)
    return found


def referenced(session: Session, digests: Iterable[str]) -> set[str]:
    """Those of the digests that a row refers to; one statement per column."""
    wanted, found = list(digests), set[str]()
    for column in digest_columns():
        found |= set(session.scalars(select(column).where(column.in_(wanted)).distinct()))
    return found


def used_digests(session: Session) -> Iterator[tuple[str, str]]:
    """(digest, the column that refers to it) of all files in use, read in chunks; one may occur several times."""
    for column in digest_columns():
        query = select(column).where(column.is_not(None)).distinct().execution_options(yield_per=1000)
        name = f"{column.table.name}.{column.name}"
        for digest in session.scalars(query):
            yield digest, name
