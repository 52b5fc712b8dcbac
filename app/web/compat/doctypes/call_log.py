"""CRM Call Log."""

from __future__ import annotations

from app.models import CallLog, Customer
from app.web.compat.doctypes.base import REFERENCE, STAMPS, DocType, changed_by, reference_fields
from app.web.compat.references import (
    LEAD_TARGET,
    TICKET_TARGET,
)
from app.web.core.fields.contact_field_types import NameField
from app.web.records.telephony.calls import CallResource

CALL_LOG = DocType(
    "CRM Call Log",
    CallResource,
    STAMPS
    | REFERENCE
    | {
        "id": "device_call_id",
        "device_call_id": "device_call_id",
        "from": "from_number",
        "to": "to_number",
        "type": "direction",
        "status": "status",
        "duration": "duration_seconds",
        "start_time": "started_on",
        "end_time": "ended_on",
        "employee": "employee",
        "owner": "employee",
        "customer": "other_number",
        "customer_name": "customer_name",
        "is_cold_call": "cold",
        "medium": "medium",
        "note": "outcome",
        "lead": "lead",
        "ticket": "ticket",
        "customer_id": "customer",
    },
    name_field=None,
    extra_fields=(
        changed_by(CallLog),
        *reference_fields(CallLog, LEAD_TARGET, TICKET_TARGET),
        NameField("customer_name", "Customer", (Customer.first_name, Customer.last_name)),
    ),
)
