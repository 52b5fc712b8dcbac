"""Whom a click on Call reaches: the person of a record, of an earlier call or of a conversation.

The server looks up the number, so that people who see it masked can call without learning it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flask_babel import gettext as _

from app import access
from app.domain.base import NotFound, RuleBroken
from app.domain.messaging.conversations import RECORDS as RECORD_IDS
from app.domain.telephony.call_requests import NewCallRequest
from app.extensions import db
from app.lib import phone
from app.lib.ids import parse_id
from app.models import CallLog, Conversation, Customer, Lead, Ticket
from app.web.core.fields.reference_fields import find_record
from app.web.core.viewer import Viewer

#: Records' numbers are shorter.
MAX_NUMBER_LENGTH = 40
#: Kind in a URL, or name of a REST field -> record.
KINDS: dict[str, Any] = {
    "lead": Lead,
    "ticket": Ticket,
    "customer": Customer,
    "call": CallLog,
    "conversation": Conversation,
}


#: Field of a record with a number -> the number's normalized column.
NUMBERS = {"mobile": "mobile_e164", "alternative_mobile": "alternative_e164"}


@dataclass(frozen=True)
class DialTarget:
    """A person that can be called from a page, and the links to do so."""

    wanted: NewCallRequest
    #: A name or the number of a record; never a phone number.
    label: str


def may_call(viewer: Viewer) -> bool:
    """Whether the CRM can make calls, and this person may."""
    return viewer.lookups.has_voice and viewer.person.may("Call Logs", "create")


def url_of(kind: str, key: int | str, viewer: Viewer, number: str = "mobile") -> str | None:
    """The URL that starts a call; None if the CRM can't call. `number` is one of NUMBERS."""
    which = "" if number == "mobile" else f"?number={number}"
    return f"/calls/dial/{kind}/{key}{which}" if may_call(viewer) else None


def linker(record: Any, viewer: Viewer) -> Callable[[dict[str, dict[str, Any]], int], None] | None:
    """A function that adds call links to a row's cells with numbers; None if the CRM can't call."""
    kind = next((name for name, model in KINDS.items() if model is record and hasattr(model, "mobile_e164")), None)
    if kind is None or not may_call(viewer):
        return None

    def link(cells: dict[str, dict[str, Any]], key: int) -> None:
        for name in NUMBERS.keys() & cells.keys():
            if cells[name].get("text"):
                cells[name] |= {"kind": "phone", "call_url": url_of(kind, key, viewer, name)}

    return link


def find(kind: str, pk: Any, number: str = "mobile") -> DialTarget:
    """The target of a call. Raises NotFound out of reach, RuleBroken without this number (one of NUMBERS)."""
    if number not in NUMBERS:
        raise RuleBroken(_("Please choose which number to call: mobile or alternative_mobile."), "number")
    model = KINDS.get(kind)
    key = (parse_id(pk) or _by_number(model, pk)) if model is not None else None
    row = access.get_visible(db.session(), model, key) if key is not None else None
    if row is None:
        raise NotFound(_("This record doesn't exist, or you don't have access to it."))
    if number != "mobile" and kind in ("call", "conversation"):
        raise RuleBroken(_("A call or conversation has one number. Please leave “number” out."), "number")
    found = _number_of(row, NUMBERS[number])
    if not found:
        raise RuleBroken(_("There is no phone number to call. Please add one to the record first."), "peer")
    return DialTarget(NewCallRequest(found, _records_of(kind, row)), _label(row))


def _by_number(model: Any, pk: Any) -> int | None:
    is_number = isinstance(pk, str) and hasattr(model, "number") and len(pk) < MAX_NUMBER_LENGTH
    return find_record(model, pk.strip().upper()) if is_number else None


def _number_of(row: Any, column: str) -> str | None:
    if isinstance(row, CallLog):
        return row.other_e164
    if isinstance(row, Conversation) and row.channel != "email":
        return phone.normalize(row.peer)
    with access.as_system(db.session()):  # the server looks up the number and shows it to nobody
        customer = db.session.get(Customer, row.customer_id) if getattr(row, "customer_id", None) else None
        lead = db.session.get(Lead, row.lead_id) if isinstance(row, Conversation) and row.lead_id else None
    found = (getattr(each, column, None) for each in (customer, lead, row) if each is not None)
    typed = row.mobile if isinstance(row, Ticket) and column == "mobile_e164" else None
    return next((number for number in found if number), None) or phone.normalize(typed)  # that of a kept complaint


def _records_of(kind: str, row: Any) -> dict[str, int | None]:
    if kind in ("call", "conversation"):
        return {name: getattr(row, name) for name in RECORD_IDS}
    own = {"customer_id": getattr(row, "customer_id", None), f"{kind}_id": row.id}
    return dict.fromkeys(RECORD_IDS) | own


def _label(row: Any) -> str:
    names = [getattr(row, each, None) for each in ("first_name", "last_name")]
    return " ".join(each for each in names if each) or getattr(row, "number", None) or _("this number")
