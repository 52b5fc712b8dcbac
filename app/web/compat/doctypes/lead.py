"""CRM Lead: a lead, and its customer's personal fields."""

from __future__ import annotations

from app.models import Lead
from app.web.compat import child_rows
from app.web.compat.doctypes.base import PERSONAL_FIELDS, STAMPS, DocType, changed_by
from app.web.core.fields.date_fields import DateTimeField
from app.web.records.leads import LeadResource

LEAD = DocType(
    "CRM Lead",
    LeadResource,
    STAMPS
    | PERSONAL_FIELDS
    | {
        "lead_name": "name",
        "status": "status",
        "source": "source",
        "lead_source": "source",
        "lead_category": "category",
        "account_type": "account_type",
        "referral_through": "referral",
        "client_id": "client_id",
        "pod_id": "pod_id",
        "rejection_reason": "rejection_reason",
        "follow_up_date": "next_follow_up_on",
        "description": "description",
        "date_of_birth": "date_of_birth",
        "customer_id": "customer",
        "lead_owner": "owner",
        "owner": "owner",
        "assign_to": "assignee",
        "response_by": "reply_due_on",
        "account_opened_on": "opened_on",
        "account_activated_on": "activated_on",
    },
    extra_fields=(
        changed_by(Lead),
        DateTimeField("opened_on", "Opened", (Lead.opened_on,), filter=True, sort=True),
        DateTimeField("activated_on", "Activated", (Lead.activated_on,), filter=True, sort=True),
    ),
    insert_fields={"assign_to": "assign_to", "assigned_role": "assign_to_role"},
    children=child_rows.lead_children,
)
