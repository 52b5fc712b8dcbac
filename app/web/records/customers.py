"""Customers: pages and REST resource."""

from __future__ import annotations

from typing import Any

from flask_appbuilder.models.sqla.interface import SQLAInterface
from flask_babel import lazy_gettext as _
from sqlalchemy import select
from sqlalchemy.orm import Session

from app import access
from app.domain import customers
from app.domain.base import RuleBroken
from app.domain.customers import KYC_STATUSES, Customer, CustomerAccount
from app.web.api.resource import Resource
from app.web.core.contact_fields import CONTACT, contact_fields
from app.web.core.fields import ChoiceField, Field, Viewer
from app.web.core.record_service import RecordService, refuse_foreign_assignee
from app.web.records import related_lists
from app.web.records.screen import Screen

SPECIAL_FIELDS: tuple[Field, ...] = (
    *contact_fields(Customer),
    ChoiceField("status", options=("Active", "Inactive"), colors={"Active": "green", "Inactive": "gray"}),
    ChoiceField("source", options=("Lead", "Ticket", "Direct", "Other")),
    ChoiceField(
        "kyc_status",
        options=KYC_STATUSES,
        colors={"Pending": "amber", "Verified": "green", "Rejected": "red", "Re-KYC due": "orange"},
    ),
)
LABELS = {
    "number": _("Number"),
    "status": _("Status"),
    "source": _("Source"),
    "referral_code": _("Client ID"),
    "referred_by": _("Referred by"),
    "kyc_status": _("KYC"),
    "rekyc_on": _("Re-KYC on"),
    "no_calls": _("No calls"),
    "no_whatsapp": _("No WhatsApp"),
    "no_sms": _("No SMS"),
    "no_email": _("No email"),
    "owner": _("Owner"),
    "version": _("Version"),
    "created_on": _("Created"),
    "changed_on": _("Updated"),
}
_KYC = ["status", "source", "referral_code", "referred_by", "kyc_status", "rekyc_on"]
_CONSENT = ["no_calls", "no_whatsapp", "no_sms", "no_email"]


def _accounts(session: Session, ids: list[int], viewer: Viewer) -> dict[int, dict[str, Any]]:
    """The accounts of these customers, in one statement."""
    found: dict[int, dict[str, Any]] = {key: {"accounts": []} for key in ids}
    table = CustomerAccount
    query = select(table.customer_id, table.client_id, table.account_type_id, table.opened_on, table.activated_on)
    for customer, client_id, kind, opened, activated in session.execute(query.where(table.customer_id.in_(ids))):
        found[customer]["accounts"].append(
            {
                "client_id": client_id,
                "account_type": viewer.lookups.card("account_type", kind),
                "opened_on": opened.isoformat() if opened else None,
                "activated_on": activated.isoformat() if activated else None,
            }
        )
    return found


class CustomerService(RecordService):
    """Customers."""

    record = Customer
    module = "Customers"
    fields = SPECIAL_FIELDS
    label_columns = LABELS
    load_children = staticmethod(_accounts)

    def create(self, session: Session, values: dict[str, Any], viewer: Viewer) -> Customer:
        """Create a customer owned by its creator."""
        refuse_foreign_assignee(values, "Customers", viewer)
        with access.as_system(session):  # duplicates are looked for among all customers
            return customers.create(session, values, viewer.change_context(vault=self.vault()))

    def change(self, session: Session, row: Customer, values: dict[str, Any], viewer: Viewer) -> None:
        """Change fields; the owner only with permission to assign."""
        if values.get("owner_id") not in (None, row.owner_id):
            viewer.person.refuse_unless("Customers", "assign")
        for name in ("status", "source", "kyc_status"):
            if name in values and values[name] is None:
                raise RuleBroken(_("Please choose one."), name)
        with access.as_system(session):
            customers.change(session, row, values, viewer.change_context(vault=self.vault()))


class CustomerResource(Resource):
    """/api/v1/customer/"""

    resource_name = "customer"
    datamodel = SQLAInterface(Customer)
    module = "Customers"
    service = CustomerService()
    show_columns = ["number", "name", *CONTACT, *_KYC, *_CONSENT, "owner", "version", "created_on", "changed_on"]
    add_columns = [*CONTACT, *(name for name in _KYC if name != "referral_code"), *_CONSENT]
    edit_columns = [*add_columns, "owner"]
    search_exclude_columns = ["name", "address", "no_whatsapp", "no_sms", "no_email", "version"]
    order_columns = ["number", "created_on", "changed_on"]
    extra_schema = {"accounts": {"type": "array", "items": {"type": "object"}}}


class CustomerScreen(Screen):
    """/customers/"""

    route_base = "/customers"
    datamodel = SQLAInterface(Customer)
    module = "Customers"
    service = CustomerService()
    list_title, record_name = _("Customers"), _("Customer")
    list_columns = ["name", "mobile", "referral_code", "kyc_status", "status", "owner", "number", "created_on"]
    search_exclude_columns = CustomerResource.search_exclude_columns
    order_columns = CustomerResource.order_columns
    show_columns = CustomerResource.show_columns
    show_fieldsets = [
        (_("Contact"), {"fields": CONTACT}),
        (_("Details"), {"fields": [*_KYC, *_CONSENT]}),
        (_("Record"), {"fields": ["owner", "created_on", "changed_on"]}),
    ]
    add_fieldsets = [
        (_("Contact"), {"fields": CONTACT}),
        (_("Details"), {"fields": ["status", "source", "referred_by", "kyc_status", "rekyc_on", *_CONSENT]}),
    ]
    edit_fieldsets = [
        (_("Contact"), {"fields": CONTACT}),
        (_("Details"), {"fields": ["status", "source", "referred_by", "kyc_status", "rekyc_on", "owner", *_CONSENT]}),
    ]
    title_column = "name"
    quick_filters = ("status", "kyc_status", "owner")
    summary_columns = ("referral_code", "pan", "mobile", "kyc_status", "rekyc_on")
    timeline_column = "customer_id"

    def related_parts(self, row: dict[str, Any], viewer: Viewer) -> list[dict[str, Any]]:
        """The customer's leads, tickets and accounts."""
        return [*related_lists.leads_and_tickets(row["id"], viewer), related_lists.accounts(row)]
