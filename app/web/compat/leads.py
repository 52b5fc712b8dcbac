"""Methods for leads: read with the customer, save the fields that a status requires, change the status."""

from __future__ import annotations

import contextlib
from typing import Any

from flask_babel import gettext as _

from app.domain import tasks
from app.domain.base import NotFound
from app.domain.lead_requirements import REQUIRED_FIELDS
from app.domain.leads import TERMINAL
from app.extensions import db
from app.web.compat import bulk_actions, client
from app.web.compat.arguments import Arguments
from app.web.compat.doctypes import CUSTOMER, LEAD
from app.web.compat.field_lists import describe_fields
from app.web.compat.responses import CompatError
from app.web.compat.statuses import find_status_id, first_status_id
from app.web.core.fab_access import current_viewer

#: Arguments that can name a lead.
NAME_ARGUMENTS = ("lead_name", "lead", "name", "docname")


def _requested_lead(arguments: Arguments) -> Any:
    """The lead that the arguments name, for a change. Raises NotFound, Denied."""
    return client.get_record(LEAD, arguments.first_text(*NAME_ARGUMENTS), "write")


def get_lead(arguments: Arguments) -> dict[str, Any]:
    """name -> the lead, its customer's fields, and fields_meta."""
    lead = client.read_document(LEAD, arguments.text("name"))
    return lead | customer_fields(lead["customer_id"]) | {"fields_meta": describe_fields(LEAD, current_viewer())}


def customer_fields(number: str | None) -> dict[str, Any]:
    """Fields that only the customer has; null without one, or if it is not visible to the person."""
    fields = {
        "customer_name": "customer_name",
        "accounts": "accounts",
        "referral_code": "referral_code",
        "address_line_1": "address_line_1",
        "customer_status": "status",
    }
    customer: dict[str, Any] = {"accounts": []}
    if number and current_viewer().person.may("Customers", "read"):
        with contextlib.suppress(NotFound):
            customer = client.read_document(CUSTOMER, number)
    return {name: customer.get(field) for name, field in fields.items()}


# --- save a field that a status requires; the status stays


def save_client_id(arguments: Arguments) -> dict[str, Any]:
    """lead_name, client_id: stored in the lead until the account is opened; refused with 409 if in use elsewhere."""
    return _save_field(arguments, "client_id")


def save_rejection_reason(arguments: Arguments) -> dict[str, Any]:
    """lead_name, rejection_reason."""
    return _save_field(arguments, "rejection_reason")


def save_pod_id(arguments: Arguments) -> dict[str, Any]:
    """lead_name, pod_id."""
    return _save_field(arguments, "pod_id")


def _save_field(arguments: Arguments, field: str) -> dict[str, Any]:
    """Write one field. Raises CompatError (417) for a blank value."""
    row, viewer = _requested_lead(arguments), current_viewer()
    values = LEAD.record_table.parse({field: arguments.text(field)}, "edit", viewer)
    if not values.get(field):
        raise CompatError(417, _("Missing argument: %(name)s", name=field), "MandatoryError")
    bulk_actions.update_record(LEAD, row, values, viewer)
    return {"success": True, "message": _("Saved."), "name": row.number, field: getattr(row, field)}


# --- change the status


def set_status_with_client_id(arguments: Arguments) -> dict[str, Any]:
    """lead_name, client_id, status (default: Account Opened) -> the new status."""
    return _set_status(arguments, "client_id", "opened")


def set_status_with_rejection_reason(arguments: Arguments) -> dict[str, Any]:
    """lead_name, rejection_reason, status -> the new status."""
    return _set_status(arguments, "rejection_reason", "rejected")


def set_status_with_pod_id(arguments: Arguments) -> dict[str, Any]:
    """lead_name, pod_id, status -> the new status."""
    return _set_status(arguments, "pod_id", "sent")


def _set_status(arguments: Arguments, field: str, meaning: str) -> dict[str, Any]:
    """Change the status and write the field that it requires."""
    row, viewer = _requested_lead(arguments), current_viewer()
    label = _requested_status(arguments, meaning)
    values = LEAD.record_table.parse({field: arguments.text(field)}, "edit", viewer)
    values["status_id"] = find_status_id(LEAD, label, viewer)
    bulk_actions.update_record(LEAD, row, values, viewer)
    text = _("Status changed to %(status)s", status=label)
    return {"success": True, "message": text, "name": row.number, "status": label, field: getattr(row, field)}


def _requested_status(arguments: Arguments, meaning: str) -> str:
    """The label of the requested status, by default the first one with this meaning."""
    names = ("status", "new_status", "target_status")
    if any(name in arguments for name in names):
        return arguments.first_text(*names)
    viewer = current_viewer()
    card = viewer.lookups.card("lead_status", first_status_id(LEAD, meaning, viewer))
    return str(card["label"]) if card else meaning


def validate_status_change(arguments: Arguments) -> dict[str, Any]:
    """lead_name, target_status -> {errors, can_proceed}: what the status still requires; changes nothing."""
    row, viewer = _requested_lead(arguments), current_viewer()
    new = find_status_id(LEAD, arguments.first_text("target_status", "status"), viewer)
    old, meaning = (viewer.lookups.meanings["lead_status"].get(key, "") for key in (row.status_id, new))
    errors = []
    required = REQUIRED_FIELDS.get(meaning)
    if required and not getattr(row, required):
        label = LEAD.record_table.by_name[required].label
        errors.append(
            _("“%(status)s” needs: %(field)s.", status=viewer.lookups.cards["lead_status"][new]["label"], field=label)
        )
    if old in TERMINAL and new != row.status_id and not viewer.person.is_manager:
        errors.append(_("This lead is closed. Only a manager can reopen it."))
    if meaning == "scheduled" and not tasks.open_tasks(db.session(), lead_id=row.id):
        errors.append(_("This status needs an open task. Please add one with a due time."))
    return {"errors": errors, "can_proceed": not errors}


def bulk_set_pod_id(arguments: Arguments) -> dict[str, Any]:
    """doctype, docnames, pod_id -> the result of each; leads without a POD id get it and move to Sent to HO."""
    client.record_doctype(arguments.text("doctype", "CRM Lead"), "CRM Lead")
    viewer = current_viewer()
    values = LEAD.record_table.parse({"pod_id": arguments.text("pod_id")}, "edit", viewer)
    values["status_id"] = find_status_id(LEAD, _requested_status(Arguments({}), "sent"), viewer)

    def set_pod_id(row: Any) -> bool:
        if row.pod_id:
            return False
        bulk_actions.update_record(LEAD, row, dict(values), viewer)
        return True

    return bulk_actions.apply_to_each(LEAD, arguments.record_names("docnames", "names"), "write", set_pod_id)
