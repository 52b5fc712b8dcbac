"""The list of erasures outside the database: it is kept up to date, and a restored database is compared with it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.domain.base import Stamp
from app.domain.data_requests import DataRequest
from app.domain.erasure import erasing
from app.domain.erasure.erasures import DataErasure
from app.ops.storage.erasure_list_file import Entry, ErasureListFile, by_number

_ROWS = DataErasure.__table__


def entries_of(rows: Iterable[Any]) -> list[Entry]:
    """The entries of rows of `data_erasure`, as mappings."""
    return [
        {
            "number": row["number"],
            "table": row["record_table"],
            "id": row["record_id"],
            "request": row["request_number"],
            "confirmed_on": row["confirmed_on"].isoformat(timespec="seconds"),
            "accounts_ended_on": row["accounts_ended_on"].isoformat() if row["accounts_ended_on"] else None,
        }
        for row in rows
    ]


def stored(session: Session) -> list[Entry]:
    """The entries of all erasures in the database; of several of a record, the last one, which erased all of it."""
    rows = session.execute(select(_ROWS).order_by(_ROWS.c.id)).mappings().all()
    return list(by_number(entries_of(rows)).values())


def compare(session: Session, file: ErasureListFile, now: datetime) -> int:
    """Add what the file lacks to it, and begin what the database lacks anew. Returns how many were begun."""
    listed = file.entries()
    begun = begin_missing(session, listed.values(), now)
    file.add(by_number([*listed.values(), *stored(session)]).values())
    return begun


def begin_missing(session: Session, entries: Iterable[Entry], now: datetime) -> int:
    """Begin the erasures anew that the database doesn't know, since it was restored from before. Returns how many.

    One that it knows takes the last day of the accounts that it lacks.
    """
    known = by_number(stored(session))
    listed = by_number([*entries, *known.values()])
    changed = [each for number, each in listed.items() if known.get(number) != each]
    missing = [each for each in changed if known.get(each["number"], {}).get("request") != each["request"]]
    for each in missing:
        session.add(_begun(session, each, now))
    for each in changed:
        if each not in missing:
            _take_day(session, each, now)
    session.flush()
    return len(missing)


def _take_day(session: Session, entry: Entry, now: datetime) -> None:
    """Note the last day of the accounts, which was entered after the backup, if the database has none."""
    chosen = (DataErasure.number == entry["number"], DataErasure.request_number == entry["request"])
    query = select(DataErasure).where(*chosen, DataErasure.accounts_ended_on.is_(None)).with_for_update()
    for row in session.scalars(query, execution_options={"populate_existing": True}):
        if row.state != "done" and (day := _day(entry)) is not None:
            row.accounts_ended_on, row.next_on = day, now if row.state == "waiting" else row.next_on
            row.stamp(Stamp(None, now))


def _day(entry: Entry) -> date | None:
    return date.fromisoformat(entry["accounts_ended_on"]) if entry["accounts_ended_on"] else None


def _begun(session: Session, entry: Entry, now: datetime) -> DataErasure:
    """The erasure of an entry. If its id was given anew to somebody else, nothing of theirs is touched."""
    erasure = DataErasure(request_number=entry["request"], number=entry["number"])
    erasure.record_table, erasure.record_id = entry["table"], entry["id"]
    erasure.accounts_ended_on = _day(entry)
    erasure.confirmed_on = datetime.fromisoformat(entry["confirmed_on"])
    erasure.state, erasure.counts, erasure.kept, erasure.next_on = "running", {}, [], now
    erasure.stamp(Stamp(None, now))
    if erasing.is_there(session, erasure):
        erasing.supersede(session, erasure, ("running", "waiting"))
        erasure.active_number = erasure.number
        erasure.request_id = _request_of(session, entry)
        erasing.prepare(session, erasure, Stamp(None, now))
    return erasure


def _request_of(session: Session, entry: Entry) -> int | None:
    """The id of the request, if the restored database has it and it is about this record."""
    key = entry["request"].removeprefix("DR-")
    column = DataRequest.customer_id if entry["table"] == "customer" else DataRequest.lead_id
    same = (DataRequest.id == (int(key) if key.isdigit() else 0), column == entry["id"])
    return session.scalars(select(DataRequest.id).where(*same, DataRequest.kind == "erasure")).first()
