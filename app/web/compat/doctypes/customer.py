"""CRM Customer."""

from __future__ import annotations

from app.models import Customer
from app.web.compat import child_rows
from app.web.compat.doctypes.base import PERSONAL_FIELDS, STAMPS, DocType, changed_by
from app.web.records.customers import CustomerResource

CUSTOMER = DocType(
    "CRM Customer",
    CustomerResource,
    STAMPS
    | PERSONAL_FIELDS
    | {
        "customer_name": "name",
        "status": "status",
        "customer_source": "source",
        "referral_code": "referral_code",
        "referral_through": "referred_by",
        "address_line_1": "address",
        "owner": "owner",
    },
    extra_fields=(changed_by(Customer),),
    children=child_rows.customer_children,
)
