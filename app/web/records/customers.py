"""Customers on the screen and over REST."""

from __future__ import annotations

from typing import Any

from flask_babel import lazy_gettext as _
from sqlalchemy import select
from sqlalchemy.orm import Session

from app import access
from app.domain import customers
from app.domain.base import RuleBroken
from app.domain.customers import KYC_STATUSES, Customer, CustomerAccount
from app.web.api.resource import Resource
from app.web.core.contact_fields import contact_fields
from app.web.core.date_fields import DateField, DateTimeField
from app.web.core.fields import BooleanField, ChoiceField, Field, NumberField, TextField, Viewer
from app.web.core.record_service import RecordService, refuse_foreign_assignee
from app.web.core.record_table import RecordTable
from app.web.core.reference_fields import PersonField
from app.web.pages.screen import Screen

_both: dict[str, Any] = {"add": True, "edit": True}
FIELDS: list[Field] = [
    TextField("number", _("Number"), (Customer.number,), listed=True, filter=True, sort=True),
    *contact_fields(Customer),
    ChoiceField(
        "status",
        _("Status"),
        (Customer.status,),
        options=("Active", "Inactive"),
        colors={"Active": "green", "Inactive": "gray"},
        listed=True,
        filter=True,
        **_both,
    ),
    ChoiceField(
        "source", _("Source"), (Customer.source,), options=("Lead", "Ticket", "Direct", "Other"), filter=True, **_both
    ),
    TextField("referral_code", _("Client ID"), (Customer.referral_code,), most=40, listed=True, filter=True),
    TextField("referred_by", _("Referred by"), (Customer.referred_by,), most=40, filter=True, **_both),
    ChoiceField(
        "kyc_status",
        _("KYC"),
        (Customer.kyc_status,),
        options=KYC_STATUSES,
        colors={"Pending": "amber", "Verified": "green", "Rejected": "red", "Re-KYC due": "orange"},
        listed=True,
        filter=True,
        **_both,
    ),
    DateField("rekyc_on", _("Re-KYC on"), (Customer.rekyc_on,), filter=True, **_both),
    BooleanField("no_calls", _("No calls"), (Customer.no_calls,), filter=True, **_both),
    BooleanField("no_whatsapp", _("No WhatsApp"), (Customer.no_whatsapp,), **_both),
    BooleanField("no_sms", _("No SMS"), (Customer.no_sms,), **_both),
    BooleanField("no_email", _("No email"), (Customer.no_email,), **_both),
    PersonField("owner", _("Owner"), (Customer.owner_id,), key="owner_id", listed=True, filter=True, edit=True),
    NumberField("version", _("Version"), (Customer.version,)),
    DateTimeField("created_on", _("Created"), (Customer.created_on,), listed=True, filter=True, sort=True),
    DateTimeField("changed_on", _("Updated"), (Customer.changed_on,), filter=True, sort=True),
]


def _accounts(session: Session, ids: list[int], viewer: Viewer) -> dict[int, dict[str, Any]]:
    """The accounts of these customers, one statement."""
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
    record_table = RecordTable(Customer, FIELDS, many=_accounts)

    def create(self, session: Session, values: dict[str, Any], viewer: Viewer) -> Customer:
        """Owned by its creator."""
        refuse_foreign_assignee(values, "Customers", viewer)
        with access.as_system(session):  # whether the number is taken, is asked of all customers
            return customers.create(session, values, viewer.change_context(vault=self.vault()))

    def change(self, session: Session, row: Customer, values: dict[str, Any], viewer: Viewer) -> None:
        """The owner only by those who may assign."""
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
    module = "Customers"
    service = CustomerService()
    extra_schema = {"accounts": {"type": "array", "items": {"type": "object"}}}


class CustomerScreen(Screen):
    """/customers/"""

    route_base = "/customers"
    module = "Customers"
    service = CustomerService()
    title, singular = _("Customers"), _("Customer")
    columns = ("name", "mobile", "referral_code", "kyc_status", "status", "owner", "number", "created_on")
    quick = ("status", "kyc_status", "owner")
    strip = ("referral_code", "pan", "mobile", "kyc_status", "rekyc_on")
    own_timeline = "customer_id"
    input_names = (
        "first_name",
        "last_name",
        "mobile",
        "alternative_mobile",
        "email",
        "pan",
        "aadhaar",
        "address",
        "status",
        "source",
        "referred_by",
        "kyc_status",
        "rekyc_on",
        "owner",
        "no_calls",
        "no_whatsapp",
        "no_sms",
        "no_email",
    )
