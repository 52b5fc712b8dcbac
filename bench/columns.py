"""The columns of the benchmark data, by table, in the order of the rows of bench/rows.py."""

from __future__ import annotations

_CONTACT = "first_name last_name mobile mobile_e164 email address"
_STAMPS = "created_on changed_on created_by_id changed_by_id"

_LISTED = {
    "customer": (
        f"id number version status source kyc_status no_calls no_whatsapp no_sms no_email owner_id {_CONTACT} {_STAMPS}"
    ),
    "leads": (
        "id number version status_id status_on source_id category account_type_id client_id pod_id "
        "rejection_reason assignee_id owner_id assigned_role customer_id next_follow_up_on "
        f"replied_on opened_on activated_on {_CONTACT} {_STAMPS}"
    ),
    "customer_account": f"customer_id client_id account_type_id lead_id opened_on activated_on {_STAMPS}",
    "ticket": (
        "id number title version priority status_id status_on source description resolution "
        f"resolved_on customer_id assignee_id owner_id replied_on resolve_due_on {_STAMPS}"
    ),
    "ticket_subjects": "ticket_id subject_id",
    "task": (
        "id title status version priority due_on assignee_id owner_id lead_id ticket_id exhausted "
        f"tried remind_on done_on {_STAMPS}"
    ),
    "call_log": (
        "id device_call_id direction status from_number to_number other_e164 started_on ended_on "
        f"duration_seconds native employee_id customer_id lead_id cold medium {_STAMPS}"
    ),
    "assignment": "lead_id ticket_id user_id started_on reason by_id decision role open_key",
    "status_change": "lead_id ticket_id from_id to_id at by_id seconds",
    "activity": "kind at actor_id lead_id ticket_id customer_id task_id payload",
    "notification": "event_key kind user_id actor_id at lead_id payload read_on",
}

#: Table -> its columns.
COLUMNS = {table: tuple(listed.split()) for table, listed in _LISTED.items()}
