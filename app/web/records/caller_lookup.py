"""The limited look-up of any customer by number, client id or name, for people who raise tickets.

It returns name, client ids, last four digits and account state, nothing else; each look-up is counted and audited.
"""

from __future__ import annotations

import time
from typing import Any

from flask import Response, after_this_request, current_app
from flask_babel import gettext as _
from sqlalchemy import and_, or_, select
from sqlalchemy.orm import Session

from app import access
from app.domain.audit_log import audit
from app.domain.base import RuleBroken, kind_of_number, translatable
from app.domain.erasure.erasures import is_marker
from app.extensions import db
from app.lib import phone
from app.lib.ids import parse_id
from app.models import Customer, CustomerAccount
from app.ops.redis.rate_counter import Rate
from app.web.api.operations import OperationSpec
from app.web.api.schemas import ID, STRING, shape
from app.web.core.fields.base import clean_text
from app.web.core.fields.reference_fields import RecordField, find_record
from app.web.core.request_transaction import request_transaction
from app.web.core.viewer import Viewer
from app.web.security.rate_limits import TooManyRequests

_TEXT = {"type": "string", "maxLength": 100, "description": "A number, a client ID, or the beginning of a name."}
_CARD = shape(
    {
        "id": ID,
        "number": STRING,
        "name": STRING,
        "accounts": {"type": "array", "items": shape({"client_id": STRING, "state": STRING}, "client_id", "state")},
        "last4": {**STRING, "description": "The last four digits of the mobile number."},
        "status": STRING,
    },
    "id",
    "number",
    "name",
)
#: The documentation of the REST endpoint.
OPERATION = OperationSpec(
    "Look up any customer in a limited way, to raise a ticket for them",
    (413, 422),
    (),
    shape({"text": _TEXT}, "text"),
    shape({"result": {"type": "array", "items": _CARD}}, "result"),
)
#: Look-ups per person.
RATES = (Rate(60, 60), Rate(600, 3600))
#: The most customers in one response, and the fewest letters of a name.
MAX_FOUND, MIN_LETTERS = 10, 3


def may_look_up(viewer: Viewer) -> bool:
    """Whether the person may look up customers that they don't see: people who raise tickets."""
    return viewer.person.may("Tickets", "create")


def look_up(typed: Any, viewer: Viewer) -> list[dict[str, Any]]:
    """Cards of up to MAX_FOUND customers: {id, number, name, accounts: [{client_id, state}], last4, status}.

    Raises Denied, RuleBroken for too short a text, TooManyRequests.
    """
    viewer.person.refuse_unless("Tickets", "create")
    text = clean_text(typed, "text", 100) or ""
    rules = _rules(text, viewer)
    if not rules:
        least = translatable("Please enter a number, a client ID, or at least %(least)s letters.", least=MIN_LETTERS)
        raise RuleBroken(least, "text")
    _count(viewer)
    with access.as_system(db.session()):
        cards = _cards(db.session(), rules, viewer)
    _audit_afterwards([card["number"] for card in cards], viewer)
    return cards


def hits(typed: str, viewer: Viewer) -> list[dict[str, Any]]:
    """The same for a picklist: {value, label, hint}; empty while the text is too short."""
    if not _rules(typed, viewer):
        return []
    return [{"value": card["id"], "label": card["name"], "hint": _hint(card)} for card in look_up(typed, viewer)]


def _hint(card: dict[str, Any]) -> str:
    digits = f"······{card['last4']}" if card["last4"] else ""
    parts = [*(each["client_id"] for each in card["accounts"]), digits, card["status"], card["number"]]
    return " · ".join(part for part in parts if part)


def _rules(text: str, viewer: Viewer) -> list[Any]:
    """One condition for each way in which the text may identify a customer; a masked number isn't compared."""
    if not text:
        return []
    if kind_of_number(text):
        return [Customer.number == text.upper()]
    e164, rules = phone.normalize(text), []
    numbers = {"mobile": Customer.mobile_e164, "alternative_mobile": Customer.alternative_e164}
    if e164:
        rules += [column == e164 for name, column in numbers.items() if viewer.person.mask(name) == "full"]
    client = select(CustomerAccount.customer_id).where(CustomerAccount.client_id == text.upper())
    rules.append(Customer.id.in_(client))
    letters = sum(char.isalpha() for char in text)
    if letters >= MIN_LETTERS:
        rules += _named(text)
    return rules if e164 or letters >= MIN_LETTERS or (any(char.isdigit() for char in text) and len(text) > 1) else []


def _named(text: str) -> list[Any]:
    """By the beginning of first or last name; several words are a first and a last name, split at any space."""
    words = text.split()
    begins = lambda column, part: column.startswith(part, autoescape=True)  # noqa: E731
    found = [begins(Customer.first_name, text), begins(Customer.last_name, text)]
    for cut in range(1, len(words)):
        head, tail = " ".join(words[:cut]), " ".join(words[cut:])
        found.append(and_(begins(Customer.first_name, head), begins(Customer.last_name, tail)))
    return found


def _cards(session: Session, rules: list[Any], viewer: Viewer) -> list[dict[str, Any]]:
    rows = list(session.scalars(select(Customer).where(or_(*rules)).order_by(Customer.id).limit(MAX_FOUND)))
    accounts: dict[int, list[dict[str, Any]]] = {row.id: [] for row in rows}
    query = select(CustomerAccount).where(CustomerAccount.customer_id.in_(accounts))
    for account in session.scalars(query.order_by(CustomerAccount.id)):
        state = "Activated" if account.activated_on else "Opened"
        accounts[account.customer_id].append({"client_id": account.client_id, "state": state})
    shows_digits = viewer.person.mask("mobile") != "hidden"
    return [
        {
            "id": row.id,
            "number": row.number,
            "name": " ".join(filter(None, (row.first_name, row.last_name))) or row.number,
            "accounts": accounts[row.id],
            "last4": phone.last_four(row.mobile_e164) if shows_digits else "",
            "status": row.status,
        }
        for row in rows
    ]


def _count(viewer: Viewer) -> None:
    """Count a look-up of this person. Raises TooManyRequests."""
    counter, now = current_app.extensions["crm_limits"].counter, time.time()
    for rate in RATES:
        count = counter.add(f"look-up {rate.seconds} {viewer.person.id}", rate, now)
        if count.is_exceeded:
            wait = max(1, count.ends - int(now))
            raise TooManyRequests(translatable("Too many look-ups. Please wait %(seconds)s seconds.", seconds=wait))


def _audit_afterwards(numbers: list[str], viewer: Viewer) -> None:
    """Audit the found customers, in a transaction of its own: also if the request itself is refused."""

    @after_this_request
    def write(response: Response) -> Response:
        with request_transaction() as session:
            about = ", ".join(numbers)[:190] or "nobody"
            audit.write(session, "look-up", viewer.person.id, viewer.now, about=about)
        return response


class CallerField(RecordField):
    """The customer of a ticket: one that the person sees, or finds by the limited look-up.

    Selects (id, number, first, last, whether the ticket opens it, and the ticket's own first, last, email).
    """

    def parse(self, raw: Any, viewer: Viewer) -> Any:
        """The customer's id. Raises RuleBroken if nobody or several are found."""
        raw = raw.get("id", raw.get("number")) if isinstance(raw, dict) else raw
        if raw is None or raw == "" or not may_look_up(viewer):
            return super().parse(raw, viewer)
        seen = find_record(Customer, raw)
        if seen is not None:
            return seen
        return self._looked_up(raw, viewer)

    def _looked_up(self, raw: Any, viewer: Viewer) -> int:
        key = parse_id(raw)
        if key is not None:
            with access.as_system(db.session()):
                number = db.session.execute(select(Customer.number).where(Customer.id == key)).scalar()
            raw = number or raw
        try:
            cards = look_up(str(raw), viewer)
        except TooManyRequests:
            raise
        except RuleBroken:
            cards = []
        if len(cards) > 1:
            text = _("Several customers match “%(value)s”. Please choose one from the list.", value=str(raw)[:60])
            raise RuleBroken(text, self.name)
        if not cards:
            raise RuleBroken(_("There is no such record: %(value)s.", value=str(raw)[:60]), self.name)
        return int(cards[0]["id"])

    def empty_columns(self) -> tuple[Any, ...]:
        """Those of the customer, ignoring whether the ticket gives access to them."""
        return super().empty_columns()[:4]

    def serialize(self, values: tuple[Any, ...], viewer: Viewer) -> Any:
        """The card; None if the record is not visible."""
        return super().serialize(values[:4], viewer)

    def cell(self, values: tuple[Any, ...], viewer: Viewer) -> dict[str, Any]:
        """A link; who has to approve a customer who was only looked up; without a customer, whoever wrote."""
        made = super().cell(values, viewer)
        if values[0] is None:
            sender = _sender(values[5:8], viewer)
            return {"kind": "text", "text": sender} if sender else made
        if is_marker(made.get("number")) and (name := " ".join(filter(None, values[5:7]))):
            return made | {"number": name}  # who complained, on the ticket of a complaint that is kept
        if values[4] is not False:
            return made
        text = _("Waits for %(name)s to confirm the link", name=_decider_name(values[0], viewer))
        return made | {"label": text} if made["kind"] == "record" else {"kind": "text", "text": text}

    def form_input(self, raw: Any, errors: list[str], viewer: Viewer) -> dict[str, Any]:
        """A type-ahead over all customers, for those who may look them up."""
        made = super().form_input(raw, errors, viewer)
        return made | ({"lookup_url": "/tickets/callers"} if may_look_up(viewer) else {})


def _sender(values: tuple[Any, ...], viewer: Viewer) -> str:
    """The name of whoever a ticket without a customer came from, else their email address as far as it is shown."""
    first, last, email = values
    return " ".join(filter(None, (first, last))) or str(viewer.person.mask_value("email", email) or "")


def _decider_name(customer_id: int, viewer: Viewer) -> str:
    """Who decides about a customer that the person may not see: the owner, or their substitute."""
    with access.as_system(db.session()):
        owner = db.session.execute(select(Customer.owner_id).where(Customer.id == customer_id)).scalar()
    person = viewer.lookups.person(owner) if owner in viewer.lookups.active else None
    return person["full_name"] if person else str(_("a manager"))
