"""The predecessor's methods for the person behind a lead or ticket: found, made, read, changed, and what changed."""

from __future__ import annotations

from typing import Any

from flask_babel import gettext as _

from app.domain.base import NotFound, RuleBroken
from app.domain.timeline import Activity
from app.web.compat import client
from app.web.compat.arguments import Arguments
from app.web.compat.assignment import username_of
from app.web.compat.child_rows import local_timestamp
from app.web.compat.customers import find_by_mobile
from app.web.compat.leads import CUSTOMER, LEAD, customer_fields
from app.web.compat.leads import NAME_ARGUMENTS as LEAD_ARGUMENTS
from app.web.compat.responses import CompatError
from app.web.compat.tickets import TICKET
from app.web.compat.timeline import activity_rows
from app.web.core.fields import Viewer
from app.web.core.gate import current_viewer
from app.web.records import timeline

TICKET_ARGUMENTS = ("ticket_name", "ticket", "name", "docname")
CUSTOMER_ARGUMENTS = ("customer_name", "customer_id", "name", "docname")
#: What the old forms filled in of a person.
PERSONAL_FIELDS = (
    "first_name",
    "last_name",
    "mobile_no",
    "alternative_mobile_no",
    "email",
    "pan_card_number",
    "aadhaar_card_number",
)
#: Changes of one customer.
MAX_CHANGES = 100
#: Our fields of a customer -> theirs.
_FIELD_NAMES = {ours: name for name, ours in reversed(CUSTOMER.fields.items())}
#: How a call is sent, not what it says.
_TRANSPORT_ARGUMENTS = frozenset({"cmd", "csrf_token", "doctype"})


# --- found or made


def create_or_update(arguments: Arguments) -> dict[str, Any]:
    """The fields of a customer: who is named, or has this mobile, is changed, else one is made -> the document."""
    doc = _customer_values(arguments)
    key = doc.pop("customer_id", None) or doc.pop("name", None)
    if key is None and doc.get("mobile_no"):
        found = find_by_mobile(Arguments({"mobile_no": doc["mobile_no"]}))
        key = found["name"] if found else None
    if key is None:
        stored = client.insert_document(doc | {"doctype": CUSTOMER.name})
    else:
        stored = client.update_document(CUSTOMER, str(key), doc)
    return stored | {"success": True, "customer_id": stored["name"], "is_new": key is None}


def find_or_create(arguments: Arguments) -> dict[str, Any]:
    """lead_name, mobile_no, customer_name, email -> the lead's customer, who has this mobile, or a new one.

    A lead is linked by its number when it is made, changed or opened, here by nobody.
    """
    lead = client.read_document(LEAD, arguments.text("lead_name")) if "lead_name" in arguments else {}
    if lead.get("customer_id"):
        return _customer_result(lead["customer_id"], lead["lead_name"], False)
    mobile = arguments.first_text("mobile_no", "mobile")
    found = find_by_mobile(Arguments({"mobile_no": mobile}))
    if found is not None:
        return _customer_result(found["name"], found["customer_name"], False)
    doc = {"doctype": CUSTOMER.name, "mobile_no": mobile, "customer_source": "Lead" if lead else "Direct"}
    doc |= {name: arguments.raw(name) for name in ("customer_name", "email") if name in arguments}
    made = client.insert_document(_split_full_name(doc))
    return _customer_result(made["name"], made["customer_name"], True)


def _customer_result(number: str, name: str | None, is_new: bool) -> dict[str, Any]:
    return {"success": True, "customer_id": number, "name": number, "customer_name": name, "is_new": is_new}


def autofill(arguments: Arguments) -> dict[str, Any]:
    """mobile_no, in any spelling -> {found, customer_id, customer_name, first_name …}, for a form."""
    customer = (
        find_by_mobile(Arguments({"mobile_no": arguments.first_text("mobile_no", "customer_mobile", "mobile")})) or {}
    )
    told = {name: customer.get(name) for name in ("customer_name", "referral_code", "address_line_1", *PERSONAL_FIELDS)}
    return {"found": bool(customer), "customer_id": customer.get("name")} | told


# --- read with the record


def lead_customer(arguments: Arguments) -> dict[str, Any]:
    """lead_name -> {customer_id, customer_name, first_name …, accounts}: its customer, else what it knows itself."""
    return _customer_data(client.read_document(LEAD, arguments.first_text(*LEAD_ARGUMENTS)))


def ticket_customer(arguments: Arguments) -> dict[str, Any]:
    """ticket_name -> the same."""
    return _customer_data(client.read_document(TICKET, arguments.first_text(*TICKET_ARGUMENTS)))


def lead_with_customer(arguments: Arguments) -> dict[str, Any]:
    """lead_name -> the lead, and what is known of its customer."""
    return _with_customer_data(client.read_document(LEAD, arguments.first_text(*LEAD_ARGUMENTS)))


def ticket_with_customer(arguments: Arguments) -> dict[str, Any]:
    """ticket_name -> the ticket, and what is known of its customer."""
    return _with_customer_data(client.read_document(TICKET, arguments.first_text(*TICKET_ARGUMENTS)))


def _with_customer_data(doc: dict[str, Any]) -> dict[str, Any]:
    return doc | _customer_data(doc)


def _customer_data(doc: dict[str, Any]) -> dict[str, Any]:
    number = doc.get("customer_id")
    name = doc.get("lead_name") or doc.get("customer_name")
    return (
        customer_fields(number)
        | {"customer_id": number, "customer_name": name}
        | {field: doc.get(field) for field in PERSONAL_FIELDS}
    )


# --- changed through the record


def update_lead_customer(arguments: Arguments) -> dict[str, Any]:
    """lead_name and fields (or customer_data: {…}): written on its customer, else on the lead."""
    doc = _customer_values(arguments, *LEAD_ARGUMENTS)
    return _customer_data(client.update_document(LEAD, arguments.first_text(*LEAD_ARGUMENTS), doc)) | {"success": True}


def update_ticket_customer(arguments: Arguments) -> dict[str, Any]:
    """ticket_name and fields (or customer_data: {…}): written on its customer."""
    doc, name = _customer_values(arguments, *TICKET_ARGUMENTS), arguments.first_text(*TICKET_ARGUMENTS)
    current_viewer().person.refuse_unless(CUSTOMER.module, "write")
    wanted = {"doctype": TICKET.name, "filters": {"name": name}, "fieldname": "customer_id"}
    ticket = client.get_value(Arguments(wanted))
    if not ticket:
        raise NotFound(_("%(kind)s %(name)s was not found.", kind=TICKET.name, name=name[:40]))
    if ticket["customer_id"] is None:
        raise RuleBroken(_("This ticket has no customer. Please choose one on the ticket first."), "customer")
    stored = client.update_document(CUSTOMER, ticket["customer_id"], doc)
    return stored | {"success": True, "customer_id": ticket["customer_id"]}


def _customer_values(arguments: Arguments, *frame: str) -> dict[str, Any]:
    """What is said of the person: an object, or the arguments but those that name the record. Raises Refused (417)."""
    nested = next((name for name in ("customer_data", "data", "updates") if name in arguments), None)
    doc = (
        arguments.json_object(nested)
        if nested
        else {
            name: value
            for name, value in arguments.values.items()
            if name not in frame and name not in _TRANSPORT_ARGUMENTS
        }
    )
    if not doc:
        raise CompatError(417, _("Missing argument: %(name)s", name="customer_data"), "MandatoryError")
    return _split_full_name(doc)


def _split_full_name(doc: dict[str, Any]) -> dict[str, Any]:
    """A whole name, where its parts were not sent, is cut at its first space; one word leaves the last name."""
    whole = doc.get("customer_name")
    if not isinstance(whole, str) or "first_name" in doc or "last_name" in doc:
        return doc
    first, _space, last = whole.strip().partition(" ")
    rest = {name: value for name, value in doc.items() if name != "customer_name"}
    return rest | {"first_name": first} | ({"last_name": last.strip()} if last else {})


# --- what changed


def change_history(arguments: Arguments) -> list[dict[str, Any]]:
    """customer_name (its number) -> [{timestamp, user, changes: [{field, old, new}]}], newest first, masked."""
    row, viewer = client.get_record(CUSTOMER, arguments.first_text(*CUSTOMER_ARGUMENTS), "read"), current_viewer()
    own = (Activity.kind == "field_change", Activity.lead_id.is_(None), Activity.ticket_id.is_(None))
    return [
        {
            "timestamp": local_timestamp(line.at, viewer),
            "user": username_of(line.actor_id, viewer),
            "changes": _changed_fields(line, viewer),
        }
        for line in activity_rows("customer_id", row.id, MAX_CHANGES, 0, *own)
    ]


def _changed_fields(line: Any, viewer: Viewer) -> list[dict[str, Any]]:
    named = [change[0].removesuffix("_id") for change in line.payload.get("changes", []) if len(change) == 3]
    told = timeline.entry(line, viewer)["changes"]
    return [
        {"field": _FIELD_NAMES.get(name, name), "old": each["old"], "new": each["new"]}
        for name, each in zip(named, told, strict=True)
    ]


# --- accounts


def check_accounts(arguments: Arguments) -> dict[str, Any]:
    """customer_name, client_id, accounts_json: says whether he has them; an account is opened by its lead alone."""
    row = client.get_record(CUSTOMER, arguments.first_text(*CUSTOMER_ARGUMENTS), "write")
    accounts = client.read_document(CUSTOMER, row.number)["accounts"]
    for code in _client_ids(arguments):
        if code not in {each["client_id"] for each in accounts}:
            text = _(
                "An account is opened through its lead. Please move the lead to its status with the client ID "
                "%(code)s.",
                code=code,
            )
            raise RuleBroken(text, "client_id")
    return {"success": True, "message": _("Saved."), "name": row.number, "accounts": accounts}


def _client_ids(arguments: Arguments) -> list[str]:
    given = arguments.json_value("accounts_json", [])
    if not isinstance(given, list) or not all(isinstance(each, dict) for each in given):
        raise CompatError(417, _("“%(name)s” must be a list of objects.", name="accounts_json"))
    codes = [arguments.text("client_id"), *(str(each.get("client_id") or "") for each in given)]
    return list(dict.fromkeys(code.strip().upper()[:40] for code in codes if code.strip()))
