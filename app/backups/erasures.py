"""Who was erased after a backup is erased again in what is restored from it.

Three places know of erasures, since each may be lost: the database that is replaced, the list in this server's instance
folder, and the manifests of newer backups, in the folder and on S3. None of them holds personal data.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import NullPool, create_engine, inspect, select
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from app import access
from app.backups import s3_copy
from app.backups.installation import Installation
from app.domain import data_requests
from app.domain.erasure import erasing, erasure_list
from app.domain.erasure.erasures import DataErasure
from app.ops.storage.erasure_list_file import Entry, ErasureListFile, by_number

#: The key of a manifest.
MANIFEST_KEY = "erasures"
_ROWS = DataErasure.__table__
#: What says which record was erased; an entry needs no more, and all versions of the table have it.
_COLUMNS = ("number", "record_table", "record_id", "request_number", "confirmed_on", "accounts_ended_on")


def of_database(url: URL) -> list[Entry]:
    """The erasures of a database; none if it has no such table or can't be read."""
    engine = create_engine(url, poolclass=NullPool, hide_parameters=True)
    try:
        with engine.connect() as connection:
            if _ROWS.name not in inspect(connection).get_table_names():
                return []
            rows = connection.execute(select(*(_ROWS.c[name] for name in _COLUMNS)).order_by(_ROWS.c.id))
            return erasure_list.entries_of(dict(row) for row in rows.mappings())
    except DBAPIError:
        return []


def known(installation: Installation, replaced: Iterable[Entry]) -> list[Entry]:
    """All erasures of which somebody knows; `replaced`: those of the database that is replaced."""
    found: list[Entry] = []
    for manifest in [*(each.manifest for each in installation.folder.all()), *s3_copy.newest_manifest(installation)]:
        if manifest.get("seal") == installation.seal(manifest):
            found += _entries(manifest)
    found += ErasureListFile(installation.instance_dir).entries().values()
    return list(by_number([*found, *replaced]).values())


def _entries(manifest: dict[str, Any]) -> list[Entry]:
    listed = manifest.get(MANIFEST_KEY)
    return [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []


def last_request(entries: Iterable[Entry]) -> int:
    """The id of the last data request for which somebody was erased; 0 without any."""
    return max((data_requests.id_of_number(str(each.get("request"))) or 0 for each in entries), default=0)


def keep(installation: Installation, entries: Iterable[Entry]) -> None:
    """Add them to this server's list, by which a server that starts later goes on."""
    ErasureListFile(installation.instance_dir).add(entries)


def apply(url: URL, entries: Iterable[Entry]) -> list[str]:
    """Erase again in a restored database, as far as duties allow. Returns what was done, as sentences.

    The database has the schema of this version, and nobody uses it.
    """
    now = datetime.now(UTC)
    engine = create_engine(url, poolclass=NullPool, hide_parameters=True)
    with Session(engine) as session, access.as_system(session):
        begun = erasure_list.begin_missing(session, entries, now)
        session.commit()
        rows = 0
        for key in session.scalars(select(DataErasure.id).where(DataErasure.state == "running")).all() if begun else ():
            while _goes_on(session, key, now):
                rows += erasing.step(session, key, now, timedelta(0))
                session.commit()
    people = "1 person who was" if begun == 1 else f"{begun} people who were"
    return [f"Erased again, {people} erased after the backup: {rows} rows."] if begun else []


def _goes_on(session: Session, key: int, now: datetime) -> bool:
    row = session.execute(select(_ROWS.c.state, _ROWS.c.next_on).where(_ROWS.c.id == key)).one()
    return row.state == "running" and (row.next_on is None or row.next_on <= now)
