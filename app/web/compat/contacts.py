"""Methods for the customer of a lead or ticket: find or create, read, update, change history, accounts."""

from __future__ import annotations

from typing import Any

from flask_babel import gettext as _

from app.domain.base import RuleBroken
from app.domain.timeline import Activity
from app.web.compat import client
from app.web.compat.arguments import Arguments
from app.web.compat.customers import find_by_mobile
from app.web.compat.doctypes import CUSTOMER, LEAD, TICKET
from app.web.compat.leads import NAME_ARGUMENTS as LEAD_ARGUMENTS
from app.web.compat.leads import customer_fields
from app.web.compat.responses import CompatError
from app.web.compat.timeline import fetch_activities
from app.web.compat.timestamps import local_timestamp
from app.web.compat.users import name_of
from app.web.core.fab_access import current_viewer
from app.web.core.viewer import Viewer
from app.web.records.timelines import entry_texts

#: Arguments that can name a ticket; likewise a customer.
TICKET_ARGUMENTS = ("ticket_name", "ticket", "name", "docname")
CUSTOMER_ARGUMENTS = ("customer_name", "customer_id", "name", "docname")
#: Personal fields on the predecessor's forms.
PERSONAL_FIELDS = (
    "first_name",
    "last_name",
    "mobile_no",
    "alternative_mobile_no",
    "email",
    "pan_card_number",
    "aadhaar_card_number",
)
#: Changes in one response.
MAX_CHANGES = 100
#: Our field of a customer -> the predecessor's.
_FIELD_NAMES = {field: name for name, field in reversed(CUSTOMER.fields.items())}
#: Arguments that are part of the request's format.
_TRANSPORT_ARGUMENTS = frozenset({"cmd", "csrf_token", "doctype"})


# --- find or create


def create_or_update(arguments: Arguments) -> dict[str, Any]:
    """A customer's fields -> the stored document: the customer named, or with this mobile, is updated; else created."""
    doc = _customer_values(arguments)
    name = doc.pop("customer_id", None) or doc.pop("name", None)
    if name is None and doc.get("mobile_no"):
        customer = find_by_mobile(Arguments({"mobile_no": doc["mobile_no"]}))
        name = customer["name"] if customer else None
    if name is None:
        stored = client.insert_document(doc | {"doctype": CUSTOMER.name})
    else:
        stored = client.update_document(CUSTOMER, str(name), doc)
    return stored | {"success": True, "customer_id": stored["name"], "is_new": name is None}


def find_or_create(arguments: Arguments) -> dict[str, Any]:
    """lead_name, mobile_no, customer_name, email -> the lead's customer, the one with this mobile, or a new one.

    It does not link the lead: that happens by mobile number when the lead is created, changed or opened.
    """
    lead = client.read_document(LEAD, arguments.text("lead_name")) if "lead_name" in arguments else {}
    if lead.get("customer_id"):
        return _customer_result(lead["customer_id"], lead["lead_name"], False)
    mobile = arguments.first_text("mobile_no", "mobile")
    customer = find_by_mobile(Arguments({"mobile_no": mobile}))
    if customer is not None:
        return _customer_result(customer["name"], customer["customer_name"], False)
    doc = {"doctype": CUSTOMER.name, "mobile_no": mobile, "customer_source": "Lead" if lead else "Direct"}
    doc |= {name: arguments.raw(name) for name in ("customer_name", "email") if name in arguments}
    stored = client.insert_document(_split_full_name(doc))
    return _customer_result(stored["name"], stored["customer_name"], True)


def _customer_result(number: str, name: str | None, is_new: bool) -> dict[str, Any]:
    return {"success": True, "customer_id": number, "name": number, "customer_name": name, "is_new": is_new}


def autofill(arguments: Arguments) -> dict[str, Any]:
    """mobile_no, in any format -> {found, customer_id, customer_name, first_name …}, to fill in a form."""
    mobile = arguments.first_text("mobile_no", "customer_mobile", "mobile")
    customer = find_by_mobile(Arguments({"mobile_no": mobile})) or {}
    names = ("customer_name", "referral_code", "address_line_1", *PERSONAL_FIELDS)
    fields = {name: customer.get(name) for name in names}
    return {"found": bool(customer), "customer_id": customer.get("name")} | fields


# --- read


def lead_customer(arguments: Arguments) -> dict[str, Any]:
    """lead_name -> {customer_id, customer_name, first_name …, accounts}: its customer's, else the lead's own."""
    return _customer_data(client.read_document(LEAD, arguments.first_text(*LEAD_ARGUMENTS)))


def ticket_customer(arguments: Arguments) -> dict[str, Any]:
    """ticket_name -> the same fields of its customer."""
    return _customer_data(client.read_document(TICKET, arguments.first_text(*TICKET_ARGUMENTS)))


def lead_with_customer(arguments: Arguments) -> dict[str, Any]:
    """lead_name -> the lead with its customer's fields."""
    lead = client.read_document(LEAD, arguments.first_text(*LEAD_ARGUMENTS))
    return lead | _customer_data(lead)


def ticket_with_customer(arguments: Arguments) -> dict[str, Any]:
    """ticket_name -> the ticket with its customer's fields."""
    ticket = client.read_document(TICKET, arguments.first_text(*TICKET_ARGUMENTS))
    return ticket | _customer_data(ticket)


def _customer_data(doc: dict[str, Any]) -> dict[str, Any]:
    number = doc.get("customer_id")
    name = doc.get("lead_name") or doc.get("customer_name")
    return (
        customer_fields(number)
        | {"customer_id": number, "customer_name": name}
        | {field: doc.get(field) for field in PERSONAL_FIELDS}
    )


# --- update


def update_lead_customer(arguments: Arguments) -> dict[str, Any]:
    """lead_name, and fields or customer_data: {…} -> the stored fields; written to its customer, else to the lead."""
    doc = _customer_values(arguments, *LEAD_ARGUMENTS)
    return _customer_data(client.update_document(LEAD, arguments.first_text(*LEAD_ARGUMENTS), doc)) | {"success": True}


def update_ticket_customer(arguments: Arguments) -> dict[str, Any]:
    """ticket_name, and fields or customer_data: {…} -> the stored customer."""
    doc, name = _customer_values(arguments, *TICKET_ARGUMENTS), arguments.first_text(*TICKET_ARGUMENTS)
    current_viewer().person.refuse_unless(CUSTOMER.module, "write")
    query = {"doctype": TICKET.name, "filters": {"name": name}, "fieldname": ["customer_id", "modified"]}
    ticket = client.get_value(Arguments(query))
    if not ticket:
        raise client.not_found(TICKET.name, name)
    if ticket["customer_id"] is None:
        raise RuleBroken(_("This ticket has no customer. Please choose one on the ticket first."), "customer")
    if doc.get("modified") == ticket["modified"]:  # the ticket's, with which the customer was read
        doc.pop("modified")
    stored = client.update_document(CUSTOMER, ticket["customer_id"], doc)
    return stored | {"success": True, "customer_id": ticket["customer_id"]}


def _customer_values(arguments: Arguments, *name_arguments: str) -> dict[str, Any]:
    """The customer's fields: an object, or all arguments that do not name the record. Raises CompatError (417)."""
    nested = next((name for name in ("customer_data", "data", "updates") if name in arguments), None)
    others = _TRANSPORT_ARGUMENTS | {*name_arguments}
    flat = {name: value for name, value in arguments.values.items() if name not in others}
    doc = arguments.json_object(nested) if nested else flat
    if not doc:
        raise CompatError(417, _("Missing argument: %(name)s", name="customer_data"), "MandatoryError")
    return _split_full_name(doc)


def _split_full_name(doc: dict[str, Any]) -> dict[str, Any]:
    """Split customer_name at its first space, unless its parts were sent too; a single word is the first name."""
    full_name = doc.get("customer_name")
    if not isinstance(full_name, str) or "first_name" in doc or "last_name" in doc:
        return doc
    first, _space, last = full_name.strip().partition(" ")
    rest = {name: value for name, value in doc.items() if name != "customer_name"}
    return rest | {"first_name": first} | ({"last_name": last.strip()} if last else {})


# --- change history


def change_history(arguments: Arguments) -> list[dict[str, Any]]:
    """customer_name (its number) -> [{timestamp, user, changes: [{field, old, new}]}], newest first, masked."""
    row, viewer = client.get_record(CUSTOMER, arguments.first_text(*CUSTOMER_ARGUMENTS), "read"), current_viewer()
    conditions = (
        Activity.customer_id == row.id,
        Activity.kind == "field_change",
        Activity.lead_id.is_(None),
        Activity.ticket_id.is_(None),
    )
    return [
        {
            "timestamp": local_timestamp(activity.at, viewer),
            "user": name_of(activity.actor_id, viewer),
            "changes": _changed_fields(activity, viewer),
        }
        for activity in fetch_activities(*conditions, size=MAX_CHANGES)
    ]


def _changed_fields(activity: Any, viewer: Viewer) -> list[dict[str, Any]]:
    stored = activity.payload.get("changes", [])
    fields = [change[0].removesuffix("_id") for change in stored if len(change) == 3]
    masked = entry_texts.entry(activity, viewer)["changes"]
    return [
        {"field": _FIELD_NAMES.get(field, field), "old": change["old"], "new": change["new"]}
        for field, change in zip(fields, masked, strict=True)
    ]


# --- accounts


def check_accounts(arguments: Arguments) -> dict[str, Any]:
    """customer_name, client_id, accounts_json -> the customer's accounts; only a lead's status opens a new one."""
    row = client.get_record(CUSTOMER, arguments.first_text(*CUSTOMER_ARGUMENTS), "write")
    accounts = client.read_document(CUSTOMER, row.number)["accounts"]
    for client_id in _client_ids(arguments):
        if client_id not in {each["client_id"] for each in accounts}:
            text = _(
                "An account is opened through its lead. Please move the lead to its status with the client ID "
                "%(code)s.",
                code=client_id,
            )
            raise RuleBroken(text, "client_id")
    return {"success": True, "message": _("Saved."), "name": row.number, "accounts": accounts}


def _client_ids(arguments: Arguments) -> list[str]:
    accounts = arguments.json_value("accounts_json", [])
    if not isinstance(accounts, list) or not all(isinstance(each, dict) for each in accounts):
        raise CompatError(417, _("“%(name)s” must be a list of objects.", name="accounts_json"))
    client_ids = [arguments.text("client_id"), *(str(each.get("client_id") or "") for each in accounts)]
    return list(dict.fromkeys(each.strip().upper()[:40] for each in client_ids if each.strip()))
