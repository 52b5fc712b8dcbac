"""The predecessor's methods for leads: read whole, moved through their gates, what a gate asks for written before."""

from __future__ import annotations

import contextlib
from typing import Any

from flask_babel import gettext as _

from app.domain import tasks
from app.domain.base import NotThere
from app.domain.leads import NEEDS, TERMINAL
from app.extensions import db
from app.web.compat import bulk_actions, client
from app.web.compat.arguments import Arguments
from app.web.compat.doctypes import DOCTYPES
from app.web.compat.lists import meta_of
from app.web.compat.responses import Refused
from app.web.core.gate import glass

LEAD, CUSTOMER = DOCTYPES["CRM Lead"], DOCTYPES["CRM Customer"]
NAMES = ("lead_name", "lead", "name", "docname")


def get_lead(asked: Arguments) -> dict[str, Any]:
    """name -> the lead, what is known of its customer, and fields_meta."""
    lead = client.whole_of(LEAD, asked.text("name"))
    return lead | with_customer(lead["customer_id"]) | {"fields_meta": meta_of(LEAD, glass())}


def with_customer(number: str | None) -> dict[str, Any]:
    """What only the customer knows; nulls without one, or where it is not the person's to see."""
    wanted = {
        "customer_name": "customer_name",
        "accounts": "accounts",
        "referral_code": "referral_code",
        "address_line_1": "address_line_1",
        "customer_status": "status",
    }
    found: dict[str, Any] = {"accounts": []}
    if number and glass().who.may("Customers", "read"):
        with contextlib.suppress(NotThere):
            found = client.whole_of(CUSTOMER, number)
    return {name: found.get(theirs) for name, theirs in wanted.items()}


# --- what a gate will ask for, written before; the status stays


def keep_client_id(asked: Arguments) -> dict[str, Any]:
    """lead_name, client_id: stands on the lead until its gate opens the account; another's is refused with 409."""
    return _keep(asked, "client_id")


def keep_rejection_reason(asked: Arguments) -> dict[str, Any]:
    """lead_name, rejection_reason."""
    return _keep(asked, "rejection_reason")


def keep_pod_id(asked: Arguments) -> dict[str, Any]:
    """lead_name, pod_id."""
    return _keep(asked, "pod_id")


def _keep(asked: Arguments, field: str) -> dict[str, Any]:
    """Write the field as the desk takes it. Raises Refused (417) for blanks."""
    row, seen = client.row_of(LEAD, asked.first(*NAMES), "write"), glass()
    taken = LEAD.plan.take({field: asked.text(field)}, "edit", seen)
    if not taken.get(field):
        raise Refused(417, _("Missing argument: %(name)s", name=field), "MandatoryError")
    bulk_actions.moved(LEAD, row, taken, seen)
    return {"success": True, "message": _("Saved."), "name": row.number, field: getattr(row, field)}


# --- moved through the gates


def with_client_id(asked: Arguments) -> dict[str, Any]:
    """lead_name, client_id, status (Account Opened unless told otherwise)."""
    return _move(asked, "client_id", "opened")


def with_rejection_reason(asked: Arguments) -> dict[str, Any]:
    """lead_name, rejection_reason, status."""
    return _move(asked, "rejection_reason", "rejected")


def with_pod_id(asked: Arguments) -> dict[str, Any]:
    """lead_name, pod_id, status."""
    return _move(asked, "pod_id", "sent")


def _move(asked: Arguments, needed: str, meaning: str) -> dict[str, Any]:
    row, seen = client.row_of(LEAD, asked.first(*NAMES), "write"), glass()
    label = _status(asked, meaning)
    given = LEAD.plan.take({needed: asked.text(needed)}, "edit", seen)
    bulk_actions.moved(LEAD, row, given | {"status_id": bulk_actions.status_of(LEAD, label)}, seen)
    text = _("Status changed to %(status)s", status=label)
    return {"success": True, "message": text, "name": row.number, "status": label, needed: getattr(row, needed)}


def _status(asked: Arguments, meaning: str) -> str:
    """The status named, else the first one with this meaning."""
    names = ("status", "new_status", "target_status")
    if any(name in asked for name in names):
        return asked.first(*names)
    cards = glass().cards
    fit = [key for key in cards.offered["lead_status"] if cards.meanings["lead_status"][key] == meaning]
    return str(cards.cards["lead_status"][fit[0]]["label"]) if fit else meaning


def check_status(asked: Arguments) -> dict[str, Any]:
    """lead_name, target_status -> {errors, can_proceed}: what its gate would ask for; changes nothing."""
    row, seen = client.row_of(LEAD, asked.first(*NAMES), "write"), glass()
    new = bulk_actions.status_of(LEAD, asked.first("target_status", "status"))
    old, meaning = (seen.cards.meanings["lead_status"].get(key, "") for key in (row.status_id, new))
    errors = []
    needed = NEEDS.get(meaning)
    if needed and not getattr(row, needed):
        label = LEAD.plan.by_name[needed].label
        errors.append(
            _("“%(status)s” needs: %(field)s.", status=seen.cards.cards["lead_status"][new]["label"], field=label)
        )
    if old in TERMINAL and new != row.status_id and not seen.who.is_manager:
        errors.append(_("This lead has ended. Only a manager can reopen it."))
    if meaning == "scheduled" and not tasks.open_of(db.session(), lead_id=row.id):
        errors.append(_("This status needs an open task. Please add one with its due time."))
    return {"errors": errors, "can_proceed": not errors}


def give_pod_id(asked: Arguments) -> dict[str, Any]:
    """doctype, docnames, pod_id: those without one get it, and go to the head office."""
    client.record_kind(asked.text("doctype", "CRM Lead"), "CRM Lead")
    seen = glass()
    given = LEAD.plan.take({"pod_id": asked.text("pod_id")}, "edit", seen)
    sent = bulk_actions.status_of(LEAD, _status(Arguments({}), "sent"))

    def step(row: Any) -> bool:
        if row.pod_id:
            return False
        bulk_actions.moved(LEAD, row, given | {"status_id": sent}, seen)
        return True

    return bulk_actions.for_each(LEAD, asked.names("docnames", "names"), "write", step)
