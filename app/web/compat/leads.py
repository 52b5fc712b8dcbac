"""The predecessor's methods for leads: read whole, moved through their gates, what a gate asks for written before."""

from __future__ import annotations

import contextlib
from typing import Any

from flask_babel import gettext as _

from app.domain import tasks
from app.domain.base import NotFound
from app.domain.leads import REQUIRED_FIELDS, TERMINAL
from app.extensions import db
from app.web.compat import bulk_actions, client
from app.web.compat.arguments import Arguments
from app.web.compat.doctypes import DOCTYPES
from app.web.compat.lists import describe_fields
from app.web.compat.responses import CompatError
from app.web.core.gate import current_viewer

LEAD, CUSTOMER = DOCTYPES["CRM Lead"], DOCTYPES["CRM Customer"]
NAME_ARGUMENTS = ("lead_name", "lead", "name", "docname")


def get_lead(arguments: Arguments) -> dict[str, Any]:
    """name -> the lead, what is known of its customer, and fields_meta."""
    lead = client.read_document(LEAD, arguments.text("name"))
    return lead | customer_fields(lead["customer_id"]) | {"fields_meta": describe_fields(LEAD, current_viewer())}


def customer_fields(number: str | None) -> dict[str, Any]:
    """What only the customer knows; nulls without one, or where it is not the person's to see."""
    wanted = {
        "customer_name": "customer_name",
        "accounts": "accounts",
        "referral_code": "referral_code",
        "address_line_1": "address_line_1",
        "customer_status": "status",
    }
    found: dict[str, Any] = {"accounts": []}
    if number and current_viewer().person.may("Customers", "read"):
        with contextlib.suppress(NotFound):
            found = client.read_document(CUSTOMER, number)
    return {name: found.get(theirs) for name, theirs in wanted.items()}


# --- what a gate will ask for, written before; the status stays


def save_client_id(arguments: Arguments) -> dict[str, Any]:
    """lead_name, client_id: stands on the lead until its gate opens the account; another's is refused with 409."""
    return _save_field(arguments, "client_id")


def save_rejection_reason(arguments: Arguments) -> dict[str, Any]:
    """lead_name, rejection_reason."""
    return _save_field(arguments, "rejection_reason")


def save_pod_id(arguments: Arguments) -> dict[str, Any]:
    """lead_name, pod_id."""
    return _save_field(arguments, "pod_id")


def _save_field(arguments: Arguments, field: str) -> dict[str, Any]:
    """Write the field as the desk takes it. Raises Refused (417) for blanks."""
    row, viewer = client.get_record(LEAD, arguments.first_text(*NAME_ARGUMENTS), "write"), current_viewer()
    taken = LEAD.record_table.parse({field: arguments.text(field)}, "edit", viewer)
    if not taken.get(field):
        raise CompatError(417, _("Missing argument: %(name)s", name=field), "MandatoryError")
    bulk_actions.update_record(LEAD, row, taken, viewer)
    return {"success": True, "message": _("Saved."), "name": row.number, field: getattr(row, field)}


# --- moved through the gates


def set_status_with_client_id(arguments: Arguments) -> dict[str, Any]:
    """lead_name, client_id, status (Account Opened unless told otherwise)."""
    return _set_status(arguments, "client_id", "opened")


def set_status_with_rejection_reason(arguments: Arguments) -> dict[str, Any]:
    """lead_name, rejection_reason, status."""
    return _set_status(arguments, "rejection_reason", "rejected")


def set_status_with_pod_id(arguments: Arguments) -> dict[str, Any]:
    """lead_name, pod_id, status."""
    return _set_status(arguments, "pod_id", "sent")


def _set_status(arguments: Arguments, needed: str, meaning: str) -> dict[str, Any]:
    row, viewer = client.get_record(LEAD, arguments.first_text(*NAME_ARGUMENTS), "write"), current_viewer()
    label = _requested_status(arguments, meaning)
    given = LEAD.record_table.parse({needed: arguments.text(needed)}, "edit", viewer)
    bulk_actions.update_record(LEAD, row, given | {"status_id": bulk_actions.find_status_id(LEAD, label)}, viewer)
    text = _("Status changed to %(status)s", status=label)
    return {"success": True, "message": text, "name": row.number, "status": label, needed: getattr(row, needed)}


def _requested_status(arguments: Arguments, meaning: str) -> str:
    """The status named, else the first one with this meaning."""
    names = ("status", "new_status", "target_status")
    if any(name in arguments for name in names):
        return arguments.first_text(*names)
    cards = current_viewer().lookups
    fit = [key for key in cards.offered["lead_status"] if cards.meanings["lead_status"][key] == meaning]
    return str(cards.cards["lead_status"][fit[0]]["label"]) if fit else meaning


def validate_status_change(arguments: Arguments) -> dict[str, Any]:
    """lead_name, target_status -> {errors, can_proceed}: what its gate would ask for; changes nothing."""
    row, viewer = client.get_record(LEAD, arguments.first_text(*NAME_ARGUMENTS), "write"), current_viewer()
    new = bulk_actions.find_status_id(LEAD, arguments.first_text("target_status", "status"))
    old, meaning = (viewer.lookups.meanings["lead_status"].get(key, "") for key in (row.status_id, new))
    errors = []
    needed = REQUIRED_FIELDS.get(meaning)
    if needed and not getattr(row, needed):
        label = LEAD.record_table.by_name[needed].label
        errors.append(
            _("“%(status)s” needs: %(field)s.", status=viewer.lookups.cards["lead_status"][new]["label"], field=label)
        )
    if old in TERMINAL and new != row.status_id and not viewer.person.is_manager:
        errors.append(_("This lead is closed. Only a manager can reopen it."))
    if meaning == "scheduled" and not tasks.open_tasks(db.session(), lead_id=row.id):
        errors.append(_("This status needs an open task. Please add one with a due time."))
    return {"errors": errors, "can_proceed": not errors}


def bulk_set_pod_id(arguments: Arguments) -> dict[str, Any]:
    """doctype, docnames, pod_id: those without one get it, and go to the head office."""
    client.record_doctype(arguments.text("doctype", "CRM Lead"), "CRM Lead")
    viewer = current_viewer()
    given = LEAD.record_table.parse({"pod_id": arguments.text("pod_id")}, "edit", viewer)
    sent = bulk_actions.find_status_id(LEAD, _requested_status(Arguments({}), "sent"))

    def step(row: Any) -> bool:
        if row.pod_id:
            return False
        bulk_actions.update_record(LEAD, row, given | {"status_id": sent}, viewer)
        return True

    return bulk_actions.apply_to_each(LEAD, arguments.record_names("docnames", "names"), "write", step)
