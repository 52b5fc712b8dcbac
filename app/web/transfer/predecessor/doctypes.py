"""CONTENTS: the predecessor's DocTypes that are imported, in order; those that are not, and why."""

from __future__ import annotations

import re
from collections.abc import Iterable

from flask_babel import lazy_gettext as _

from app.web.transfer.column_guesses import normalize_name

#: DocType -> table; records before their history, and referenced ones first.
ORDER = {
    "User": "ab_user",
    "CRM Customer": "customer",
    "CRM Lead": "leads",
    "CRM Ticket": "ticket",
    "CRM Task": "task",
    "CRM Call Log": "call_log",
    "CRM Status Change Log": "status_change",
    "ToDo": "assignment",
    "FCRM Note": "activity",
    "Comment": "activity",
    "Version": "activity",
    "CRM Assignment Request": "activity",
    "Communication": "message",
    "WhatsApp Message": "message",
}
#: DocType -> table of the records that history can belong to.
RECORDS = {name: ORDER[name] for name in ("CRM Customer", "CRM Lead", "CRM Ticket", "CRM Task", "CRM Call Log")}
#: The column of history about a record: table -> column.
COLUMNS = {"leads": "lead_id", "ticket": "ticket_id", "customer": "customer_id", "task": "task_id"}
_SETTINGS = _("It is a setting. Please set it up under Settings.")
_PASSED = _("These are old notifications, which nobody needs any more.")
_FILES = _("Its files are on the old server. Please attach those that you need to their records.")
LEFT = {
    "CRM Notification": _PASSED,
    "CRM Task Notification": _PASSED,
    "Notification Log": _PASSED,
    "CRM Invitation": _PASSED,
    "File": _FILES,
    "CRM View Settings": _SETTINGS,
    "CRM Lead Status": _("Missing statuses are created."),
    "CRM Ticket Status": _("Missing statuses are created."),
    "CRM Lead Source": _("Missing lead sources are created."),
    "CRM Account Type": _("Missing account types are created."),
    "CRM Ticket Subject": _("Missing ticket subjects are created."),
    "CRM Support Page": _SETTINGS,
    "CRM Role Module Permission": _SETTINGS,
    "CRM Service Level Agreement": _SETTINGS,
    "CRM Holiday List": _SETTINGS,
    "FCRM Settings": _SETTINGS,
    "CRM Telephony Agent": _SETTINGS,
    "CRM Role Assignment Tracker": _SETTINGS,
    "Email Template": _SETTINGS,
}
#: Other names used by files and programs.
_ALIASES = {
    "lead": "CRM Lead",
    "leads": "CRM Lead",
    "customer": "CRM Customer",
    "customers": "CRM Customer",
    "ticket": "CRM Ticket",
    "tickets": "CRM Ticket",
    "task": "CRM Task",
    "tasks": "CRM Task",
    "call log": "CRM Call Log",
    "call logs": "CRM Call Log",
    "calls": "CRM Call Log",
    "note": "FCRM Note",
    "notes": "FCRM Note",
    "comments": "Comment",
    "to do": "ToDo",
    "todos": "ToDo",
    "status change log": "CRM Status Change Log",
    "assignment request": "CRM Assignment Request",
    "emails": "Communication",
    "whatsapp messages": "WhatsApp Message",
    "users": "User",
    "versions": "Version",
    "files": "File",
}
#: Labels that differ from their field's name, by DocType; "" = all.
_FIELDS = {
    "": {
        "id": "name",
        "created_on": "creation",
        "created_at": "creation",
        "last_updated_on": "modified",
        "last_modified": "modified",
        "last_modified_on": "modified",
        "created_by": "owner",
        "last_updated_by": "modified_by",
        "last_modified_by": "modified_by",
        "dob": "date_of_birth",
        "mobile": "mobile_no",
        "mobile_number": "mobile_no",
        "alternate_mobile_no": "alternative_mobile_no",
        "alternative_mobile": "alternative_mobile_no",
        "pan": "pan_card_number",
        "pan_card": "pan_card_number",
        "aadhaar": "aadhaar_card_number",
        "aadhar_card_number": "aadhaar_card_number",
        "reference_document_type": "reference_doctype",
        "reference_doc": "reference_docname",
        "reference_document": "reference_docname",
        "reference_name": "reference_docname",
        "reference_type": "reference_doctype",
        "assigned_users": "_assign",
        "status_change_logs": "status_change_log",
        "crm_status_change_log": "status_change_log",
    },
    "CRM Lead": {"full_name": "lead_name", "assigned_to": "assign_to", "customer": "customer_id"},
    "CRM Customer": {"full_name": "customer_name", "client_id": "referral_code", "name1": "customer_name"},
    "CRM Ticket": {
        "assigned_to": "assigned_to",
        "customer": "customer_id",
        "crm_ticket_subject_item": "ticket_subjects",
    },
    "CRM Call Log": {"customer_phone": "customer", "attended_on": "start_time", "is_cold": "is_cold_call"},
    "Version": {"reference_doctype": "ref_doctype", "document_name": "docname", "document_type": "ref_doctype"},
    "Comment": {"comment_by": "comment_by", "comment": "content"},
    "CRM Status Change Log": {"from_status": "from", "to_status": "to"},
}


def doctype_of(name: str) -> str:
    """The DocType that a text names exactly, or "": CRM Lead, crm_lead, Leads."""
    wanted = normalize_name(name)
    for each in (*ORDER, *LEFT):
        if wanted in (normalize_name(each), normalize_name(each).removeprefix("crm ")):
            return each
    return _ALIASES.get(wanted, "")


def doctype_of_file(name: str) -> str:
    """The DocType in a file name: “CRM Lead 2025-11-30.csv”, “crm_call_log (2).json”."""
    words = [each for each in normalize_name(name.rpartition(".")[0]).split() if not re.fullmatch(r"[0-9]+", each)]
    for count in range(len(words), 0, -1):
        for start in range(len(words) - count + 1):
            if found := doctype_of(" ".join(words[start : start + count])):
                return found
    return ""


_SIGNS = (
    ("CRM Call Log", {"device_call_id"}, {"telephony_medium"}),
    ("CRM Status Change Log", {"last_status_change_log"}, {"log_owner"}),
    ("CRM Lead", {"lead_owner"}, {"lead_name"}, {"lead_category"}),
    ("CRM Ticket", {"ticket_owner"}, {"ticket_subject"}, {"ticket_source"}),
    ("CRM Customer", {"customer_source"}, {"referral_count"}),
    ("Comment", {"comment_type"}),
    ("Version", {"ref_doctype", "docname"}),
    ("Communication", {"communication_date"}, {"communication_medium"}),
    ("ToDo", {"allocated_to"}),
    ("CRM Task", {"notification_time"}, {"title", "due_date"}),
    ("CRM Assignment Request", {"requested_user"}),
    ("FCRM Note", {"title", "content"}),
    ("User", {"user_type"}, {"role_profile_name"}),
)


def doctype_of_fields(headers: Iterable[str]) -> str:
    """The DocType with these columns, or ""."""
    there = {normalize_name(each).replace(" ", "_") for each in headers}
    return next((name for name, *signs in _SIGNS if any(sign <= there for sign in signs)), "")


def with_field_names(doctype: str, values: dict[str, object]) -> dict[str, object]:
    """The document with each field under its name in the predecessor."""
    own, of_all = _FIELDS.get(doctype, {}), _FIELDS[""]
    made: dict[str, object] = {}
    for name, value in values.items():
        known = own.get(name) or of_all.get(name) or name
        if known not in made or made[known] in (None, ""):
            made[known] = value
    return made
