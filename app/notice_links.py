"""The records of a notification: their names and the page that a click opens. Pages and emails share them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from sqlalchemy import null, select
from sqlalchemy.orm import Session

from app import access
from app.access.compiled_statements import listed, padded
from app.models import Customer, Lead, Ticket

#: Column of the notification -> record, root of its pages.
_RECORDS: dict[str, tuple[Any, str]] = {
    "lead_id": (Lead, "/leads/"),
    "ticket_id": (Ticket, "/tickets/"),
    "customer_id": (Customer, "/customers/"),
}


class RecordCard(NamedTuple):
    """A record as notices name it."""

    number: str
    #: First and last name of the person whom it is about; "" = unknown.
    name: str
    #: The summary of a ticket; "" = none.
    summary: str = ""


#: (column of the notification, id) -> card.
RecordCards = Mapping[tuple[str, int], RecordCard]


def record_cards(session: Session, rows: Iterable[Any]) -> RecordCards:
    """The cards of the records that the session may see; at most one statement per kind."""
    rows = list(rows)
    found: dict[tuple[str, int], RecordCard] = {}
    for column, (record, _root) in _RECORDS.items():
        ids = {getattr(row, column) for row in rows if getattr(row, column) is not None}
        if ids:
            for key, number, summary, *names in _read(session, record, sorted(ids)):
                found[column, key] = RecordCard(str(number), _name(names), summary or "")
    return found


def _read(session: Session, record: Any, ids: list[int]) -> list[tuple[Any, ...]]:
    wanted = padded(ids)
    question = access.CachedStatement(
        ("cards", record, len(wanted)),
        lambda: _named(record).where(record.id.in_(listed(wanted, "row"))),
        frozenset({record.__tablename__, Customer.__tablename__}),
    )
    return access.answer(session, question, {f"row_{place}": key for place, key in enumerate(wanted)})


def _named(record: Any) -> Any:
    """SELECT by ids: id, number, summary of a ticket, and pairs of first and last name, the customer's first."""
    own = (record.first_name, record.last_name)
    summary = Ticket.summary if record is Ticket else null().label("summary")
    if record is Customer:
        return select(Customer.id, Customer.number, summary, *own)
    columns = (record.id, record.number, summary, Customer.first_name, Customer.last_name, *own)
    named = select(*columns).outerjoin(Customer, Customer.id == record.customer_id)
    return named.with_hint(record, "FORCE INDEX (PRIMARY)", "mysql")  # the rules name many other indexes


def _name(names: list[str | None]) -> str:
    """The first pair of which anything is known."""
    for place in range(0, len(names), 2):
        first, last = names[place : place + 2]
        if first or last:
            return f"{first} {last}" if first and last else first or last or ""
    return ""


def _card_of(row: Any, cards: RecordCards) -> tuple[str, RecordCard] | None:
    """(root of its pages, card) of the first of its records that the person can see."""
    for column, (_record, root) in _RECORDS.items():
        card = cards.get((column, getattr(row, column)))
        if card:
            return root, card
    return None


def record_link(row: Any, cards: RecordCards) -> tuple[str, str] | None:
    """(url, number) of the first of its records that the person can see."""
    found = _card_of(row, cards)
    return (f"{found[0]}{found[1].number}", found[1].number) if found else None


def names_of(row: Any, cards: RecordCards) -> dict[str, str]:
    """{who, summary} for `text_of`: the person whom the notice's record is about, and what they ask in a ticket.

    Without those that are unknown; {} if the record is not visible.
    """
    found = _card_of(row, cards)
    named = {"who": found[1].name, "summary": found[1].summary} if found else {}
    return {key: text for key, text in named.items() if text}


#: Record of a merged notice -> the list of its pages.
_LISTS = {"leads": "/leads/", "ticket": "/tickets/"}


#: What a notice of compliance is about -> its page; the id of a row follows.
_REGISTERS = {"orders": "/calls/?tab=orders", "request": "/data-requests/show/", "breach": "/breaches/show/"}
#: Kind of notice → where it leads, by its payload.
_PAGES: dict[str, Callable[[dict[str, Any]], str]] = {
    "job_lag": lambda _payload: "/jobs/",
    "audit": lambda _payload: "/audit/",
    "backup": lambda _payload: "/backups/",
    "health": lambda _payload: "/health/",
    "security": lambda _payload: "/two-factor/",
    "complaint": lambda payload: f"/complaints/{payload.get('number', '')}",
    "complaint_list": lambda _payload: "/complaints/?tab=pending",
    "webhook": lambda payload: f"/webhooks/{payload.get('webhook', '')}/",
    "compliance": lambda payload: _REGISTERS.get(str(payload.get("what")), "/") + str(payload.get("row", "")),
    "export": lambda payload: payload.get("page") or f"/exports/{payload.get('export', '')}/",
    "report": lambda payload: f"/reports/{payload.get('report', '')}/schedules",
    "disclosure": lambda payload: f"/complaints-disclosure/?month={payload.get('month', '')}",
    "import": lambda payload: payload.get("list") or f"/imports/{payload.get('import', '')}/",
}


def link_of(row: Any, cards: RecordCards) -> str:
    """The URL that a click opens."""
    home, payload = record_link(row, cards), row.payload or {}
    if row.kind in _PAGES:
        return _PAGES[row.kind](payload)
    if row.kind == "message" and not home:
        return "/inbox/"
    if payload.get("record") in _LISTS:
        mine = "?_flt_eq_assignee=@me" if row.kind == "assigned" else ""
        return _LISTS[payload["record"]] + mine
    return home[0] if home else "/bell/"
