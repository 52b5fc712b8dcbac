"""Invented values for the description of the API: examples of fields and bodies."""

from __future__ import annotations

from typing import Any

from app.domain.notifications import notices

_DAY, _MOMENT = "2026-11-24", "2026-11-24T05:30:00+00:00"
_PERSON = {"id": 7, "username": "ana", "full_name": "Ana Shah"}
_LEAD = {"id": 412, "number": "CRM-LEAD-2026-00412", "label": "Kavita Rane"}
_TICKET = {"id": 88, "number": "CRM-TICKET-2026-00088", "label": "Pledge not released"}
_CUSTOMER = {"id": 57, "number": "CRM-CUST-2026-00057", "label": "Asha Patel"}
_TASK = {"title": "First call", "priority": "High", "due_on": _MOMENT}
#: Field -> example value; other fields are documented by their schema alone.
FIELDS: dict[str, Any] = {
    "id": 412,
    "number": "CRM-LEAD-2026-00412",
    "name": "Kavita Rane",
    "first_name": "Kavita",
    "last_name": "Rane",
    "mobile": "98200 12345",
    "alternative_mobile": None,
    "email": "kavita.rane@example.com",
    "pan": "••••••234F",
    "aadhaar": "••••••2346",
    "address": "14 Hill Road, Bandra",
    "date_of_birth": "1988-04-02",
    "description": "Met at the fair.",
    "category": "Direct",
    "client_id": "E10234",
    "pod_id": "POD-77",
    "rejection_reason": None,
    "referral_code": "CAR-2026-00031",
    "title": "Call back",
    "resolution": "The pledge was released.",
    "version": 3,
    "created_on": _MOMENT,
    "changed_on": _MOMENT,
    "assignee": _PERSON,
    "owner": _PERSON,
    "employee": _PERSON,
    "actor": _PERSON,
    "requester": _PERSON,
    "requested_user": _PERSON,
    "recipient": _PERSON,
    "lead": _LEAD,
    "ticket": _TICKET,
    "customer": _CUSTOMER,
    "status": {"id": 2, "label": "New", "color": "blue"},
    "source": {"id": 1, "label": "Walk-in"},
    "due_on": _MOMENT,
    "from_number": "9820012345",
    "to_number": "+912240001234",
    "duration_seconds": 65,
    "started_on": _MOMENT,
    "ended_on": _MOMENT,
    "device_call_id": "A17-000231",
    "outcome": "Wants a call on Friday.",
    "cold": False,
    "is_order": False,
    "text": "Asked for the account form.",
    "reason": "I know the family.",
    "peer": "9820012345",
    "body": "Namaste",
    "subjects": [{"id": 3, "label": "Pledge"}],
    "assignees": [_PERSON],
    "at": _MOMENT,
    "username": "ana",
    "full_name": "Ana Shah",
    "task": _TASK,
    "close_tasks": [31, 32],
    "rekyc_on": _DAY,
    "reason_for_rejection": None,
}
#: Example input where it differs from the masked output.
INPUTS = {"pan": "ABCDE1234F", "aadhaar": "2341 2341 2346"}
#: (resource, function) -> a valid request body.
BODIES: dict[tuple[str, str], Any] = {
    ("report", "export"): {"format": "xlsx"},
    ("export", "post"): {"kind": "lead", "format": "csv", "query": "_flt_eq_status=New", "columns": ["name", "mobile"]},
    ("lead", "post"): {
        "first_name": "Kavita",
        "last_name": "Rane",
        "mobile": "098200 12345",
        "category": "Direct",
        "task": {"title": "First call", "priority": "High"},
    },
    ("lead", "put"): {"status": "Sent to HO", "pod_id": "POD-77", "version": 3},
    ("ticket", "post"): {
        "customer": "CRM-CUST-2026-00057",
        "subjects": ["Pledge"],
        "priority": "High",
        "description": "The pledge was not released.",
    },
    ("ticket", "put"): {"status": "Resolved", "resolution": "The pledge was released.", "version": 2},
    ("complaint", "post"): {
        "ticket": "CRM-TICKET-2026-00088",
        "source": "SEBI SCORES",
        "reference": "SEBIE/MH26/0004840",
        "received_on": _DAY,
        "category": "Pay-out not received",
    },
    ("complaint", "put"): {"outcome": "Resolved", "report_actions": "The pay-out was credited.", "version": 4},
    ("customer", "post"): {"first_name": "Asha", "last_name": "Patel", "mobile": "9820054321"},
    ("customer", "put"): {"email": "asha.patel@example.com", "version": 5},
    ("task", "post"): {
        "title": "Call back",
        "due_on": "2026-11-24T11:00:00+05:30",
        "priority": "Medium",
        "lead": "CRM-LEAD-2026-00412",
    },
    ("task", "put"): {"status": "Done", "version": 1},
    ("call_log", "post"): {
        "direction": "Incoming",
        "status": "Completed",
        "from_number": "9820012345",
        "started_on": "2026-11-23T11:00:00+05:30",
        "duration_seconds": 65,
        "device_call_id": "A17-000231",
    },
    ("call_log", "put"): {"outcome": "Wants a call on Friday.", "lead": "CRM-LEAD-2026-00412"},
    ("activity", "post"): {"lead": "CRM-LEAD-2026-00412", "text": "Asked for the account form."},
    ("activity", "put"): {"text": "Asked for the account form, got it.", "edited_on": None},
    ("message", "post"): {
        "channel": "sms",
        "peer": "9820012345",
        "body": "Your account is open.",
        "lead": "CRM-LEAD-2026-00412",
    },
    ("assignment_request", "post"): {
        "lead": "CRM-LEAD-2026-00412",
        "requested_user": "ana",
        "reason": "I know the family.",
    },
    ("assignment_request", "put"): {"status": "Approved"},
    ("notification", "put"): {"read": True},
    ("notification", "choose"): {"choices": {notices.KINDS[0]: {"screen": True, "email": False}}, "mark": None},
    ("call_log", "bulk"): {
        "call_logs": [
            {
                "direction": "Incoming",
                "status": "Completed",
                "from_number": "9820012345",
                "to_number": "+912240001234",
                "started_on": "2026-11-23 11:00:00",
                "duration_seconds": 65,
                "device_call_id": "A17-000231",
            }
        ]
    },
    ("call_log", "dial"): {"lead": 17},
    ("call_log", "add_evidence"): {"message": 7},
    ("call_log", "outcome"): {
        "outcome": "Interested",
        "follow_up_on": "2026-11-24T11:00:00+05:30",
        "close_tasks": [31],
    },
    ("lead", "assign"): {"assign_to": "ana"},
    **{(kind, "merge"): {"with": [18], "fields": {}, "dry_run": True} for kind in ("lead", "ticket", "customer")},
    **{(kind, "undo_merge"): {"merge": 4} for kind in ("lead", "ticket", "customer")},
    ("ticket", "assign"): {"assign_to_role": "Support User"},
    ("ticket", "join"): {"user": "ben"},
    ("ticket", "callers"): {"text": "9820012345"},
    **{
        (name, "reveal"): {"field": "pan", "reason": "The customer asks which PAN we hold."}
        for name in ("lead", "ticket", "customer")
    },
    ("customer", "decide_link"): {"link": 7, "confirm": True},
    ("message", "react"): {"emoji": "👍"},
    ("conversation", "hand_over"): {"user": 7},
    ("conversation", "link"): {"lead": 412},
    ("conversation", "send"): {"body": "Your account is open."},
    ("conversation", "lead"): {"first_name": "Kavita"},
    ("conversation", "ticket"): {"subjects": ["Pledge"]},
    ("campaign", "post"): {
        "name": "Diwali greetings",
        "channel": "sms",
        "purpose": "promotional",
        "body": "Happy Diwali, {{first_name}}!",
        "variables": {"first_name": {"from": "first_name", "text": "friend"}},
        "per_minute": 60,
        "leads": [412, 413],
    },
    ("campaign", "start"): {"start_on": "2026-11-30T10:00:00+05:30"},
    ("data_request", "erase"): {"confirm": "DR-12", "record": "CUST-2026-7", "version": 3, "accounts_ended_on": None},
    ("consent", "post"): {
        "channel": "sms",
        "action": "given",
        "lead": 412,
        "how": "form",
        "words": "I agree to receive offers by SMS.",
    },
}


def _query(*columns: str, **rule: Any) -> dict[str, Any]:
    filters = [{"col": name, "opr": "eq", "value": value} for name, value in rule.items()]
    return {"columns": list(columns), "page_size": 50, "filters": filters}


#: Resource -> an example list query.
QUERIES: dict[str, Any] = {
    "lead": _query("number", "name", "status", assignee="@me"),
    "ticket": _query("number", "title", "status", priority="High"),
    "complaint": _query("number", "title", "source", "report_due_on", source="SEBI SCORES"),
    "customer": _query("number", "name", "mobile", status="Active"),
    "task": _query("title", "due_on", "lead", status="Todo"),
    "call_log": _query("started_on", "other", "status", direction="Incoming"),
    "activity": _query("at", "kind", "told", kind="note"),
    "message": _query("created_on", "peer", "state", channel="sms"),
    "conversation": _query("peer", "state", channel="whatsapp"),
    "campaign": _query("name", "state", "total", state="running"),
    "consent": _query("address", "action", "happened_on", channel="sms"),
    "assignment_request": _query("number", "reason", "requester", status="Pending"),
    "notification": _query("at", "text", "read", read=False),
}


def body_of(resource: Any, function: str) -> Any:
    """An example body of the operation, derived from the column types if none is defined here."""
    known = BODIES.get((resource.resource_name, function))
    if known is not None or function not in ("post", "put") or not hasattr(resource, "record_table"):
        return known
    flag = "add" if function == "post" else "edit"
    fields = [each for each in resource.record_table.input_fields if getattr(each, flag)]
    chosen = [each for each in fields if each.required] or fields[:2]
    return {each.name: value_of(each) for each in chosen if value_of(each) is not None}


def query_of(resource: Any) -> Any:
    """An example query of the list."""
    known = QUERIES.get(resource.resource_name)
    if known is not None:
        return known
    columns = [each.name for each in resource.record_table.fields[:3]]
    return {"columns": columns, "page_size": 50}


def value_of(field: Any) -> Any:
    """An example value for a field, by its schema; None for a kind without one."""
    schema = field.schema
    if schema.get("enum"):
        return schema["enum"][0]
    if getattr(field, "options", None):
        return field.options[0]
    by_format = {"date": _DAY, "date-time": _MOMENT, "time": "17:30"}
    by_type = {"string": "Fort branch", "integer": 7, "number": 7.5, "boolean": True, "array": []}
    if schema.get("format") in by_format:
        return by_format[schema["format"]]
    return by_type.get(schema.get("type"), 1 if "$ref" in schema or schema.get("type") == "object" else None)
