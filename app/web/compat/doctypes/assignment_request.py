"""CRM Assignment Request."""

from __future__ import annotations

from app.models import AssignmentRequest
from app.web.compat.doctypes.base import STAMPS, DocType, changed_by, reference_fields
from app.web.compat.references import (
    LEAD_TARGET,
    TICKET_TARGET,
)
from app.web.core.fields.date_fields import DateTimeField
from app.web.workday.assignment_requests import RequestResource

ASSIGNMENT_REQUEST = DocType(
    "CRM Assignment Request",
    RequestResource,
    STAMPS
    | {
        "requested_user": "requested_user",
        "requested_by": "requester",
        "owner": "requester",
        "reason": "reason",
        "status": "status",
        "approved_by": "decided_by",
        "approved_on": "decided_on",
        "rejection_reason": "decision_note",
        "lead": "lead",
        "ticket": "ticket",
        "reference_doctype": "about_kind",
        "reference_name": "about_number",
        "reference_docname": "about_number",
    },
    extra_fields=(
        changed_by(AssignmentRequest),
        *reference_fields(AssignmentRequest, LEAD_TARGET, TICKET_TARGET),
        DateTimeField("changed_on", "Changed", (AssignmentRequest.changed_on,), filter=True),
    ),
)
