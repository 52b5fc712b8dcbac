"""Calling through the predecessor's API: the available provider, and make_a_call."""

from __future__ import annotations

from typing import Any

from flask_babel import gettext as _
from sqlalchemy import select

from app import access
from app.domain.base import RuleBroken
from app.domain.messaging import channel_accounts
from app.domain.telephony import call_requests
from app.extensions import db
from app.lib import phone
from app.models import CallLog, Customer, Lead, Ticket
from app.web.compat import client
from app.web.compat.arguments import Arguments
from app.web.compat.doctypes import CALL_LOG, CUSTOMER, LEAD, TICKET
from app.web.core.fab_access import current_viewer
from app.web.core.fields import contact_guesses
from app.web.records import dial_targets
from app.web.records.telephony import call_cards

_RECORDS: tuple[tuple[str, Any], ...] = (("lead", Lead), ("ticket", Ticket), ("customer", Customer))


def integration_status(_arguments: Arguments) -> dict[str, Any]:
    """Which of its providers is used for calls: {twilio_enabled, exotel_enabled, default_calling_medium}."""
    kinds = _kinds()
    media = [each.capitalize() for each in kinds if each in ("twilio", "exotel")]
    status = {f"{each}_enabled": int(each in kinds) for each in ("twilio", "exotel")}
    return status | {"default_calling_medium": media[0] if media else ""}


def is_twilio_enabled(_arguments: Arguments) -> bool:
    """Whether Twilio makes the calls."""
    return "twilio" in _kinds()


def is_exotel_enabled(_arguments: Arguments) -> bool:
    """Whether Exotel makes the calls."""
    return "exotel" in _kinds()


def _kinds() -> list[str]:
    """The kinds of the accounts that can make calls, in order of preference."""
    with access.as_system(db.session()):
        return [each.kind for each in channel_accounts.active(db.session(), "voice")]


def set_medium(arguments: Arguments) -> dict[str, Any]:
    """medium -> {success}; refused unless it is in use already, because an admin chooses it."""
    medium, status = arguments.text("medium", ""), integration_status(arguments)
    if medium and medium != status["default_calling_medium"]:
        raise RuleBroken(_("An admin sets under Settings, Channels by which provider calls are made."), "medium")
    return {"success": True}


def refuse_browser(_arguments: Arguments) -> Any:
    """Twilio's token for a telephone in the browser. Raises RuleBroken: that no longer exists."""
    raise RuleBroken(_("Calls ring your own phone now. Please use make_a_call instead of a phone in the browser."))


def make_call(arguments: Arguments) -> dict[str, Any]:
    """to_number or reference_doctype and reference_name -> the call log; your own phone rings first."""
    viewer = current_viewer()
    viewer.person.refuse_unless("Call Logs", "create")
    _refuse_choices(arguments, viewer)
    started = call_cards.start(_target(arguments, viewer), viewer)
    call = client.read_document(CALL_LOG, str(started.call.id))
    return call | {"success": True, "call_id": call["name"], "warnings": call_cards.warnings(started)}


def _refuse_choices(arguments: Arguments, viewer: Any) -> None:
    """Raise RuleBroken for an own number or caller ID other than those that the CRM uses."""
    own = call_requests.own_number(db.session(), viewer.person.id)
    if "from_number" in arguments and phone.normalize(arguments.text("from_number")) not in (None, own):
        raise RuleBroken(
            _("Your phone rings at the number in your profile. Please leave “from_number” out."), "from_number"
        )
    if arguments.text("caller_id", ""):
        text = _("The CRM chooses which number customers see, as the rules want it. Please leave “caller_id” out.")
        raise RuleBroken(text, "caller_id")


def _target(arguments: Arguments, viewer: Any) -> dial_targets.DialTarget:
    """Whom to call. Raises RuleBroken for a number that belongs to nobody visible to the person."""
    if "reference_name" in arguments or "reference_docname" in arguments:
        named = arguments.first_text("reference_doctype", "doctype")
        doctype = client.record_doctype(named, LEAD.name, TICKET.name, CUSTOMER.name)
        row = client.get_record(doctype, arguments.first_text("reference_name", "reference_docname"), "read")
        kind = next(name for name, model in _RECORDS if isinstance(row, model))
        return dial_targets.find(kind, row.id)
    typed = arguments.first_text("to_number", "number", "mobile_no")
    contact_guesses.refuse("voice", "to_number", viewer)  # an answer would reveal whose number it is
    number = phone.normalize(typed)
    for kind, model in _RECORDS:
        for name, column in dial_targets.NUMBERS.items():
            found = _newest(model, getattr(model, column), number)
            if found is not None:
                return dial_targets.find(kind, found, name)
    found = _newest(CallLog, CallLog.other_e164, number)
    if found is None:
        text = _("No lead, ticket, customer or call of yours has this number. Please create a lead first.")
        raise RuleBroken(text, "to_number")
    return dial_targets.find("call", found)


def _newest(model: Any, column: Any, number: str | None) -> int | None:
    """The newest row with this number that the person sees."""
    if number is None:
        return None
    return db.session.scalars(select(model.id).where(column == number).order_by(model.id.desc()).limit(1)).first()
