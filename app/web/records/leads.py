"""Leads on the screen and over REST."""

from __future__ import annotations

from typing import Any

from flask import redirect
from flask_appbuilder import expose
from flask_appbuilder.security.decorators import has_access, permission_name
from flask_babel import gettext as _g
from flask_babel import lazy_gettext as _
from sqlalchemy.orm import Session

from app import access
from app.domain import conversion, leads
from app.domain.leads import CATEGORIES, Lead
from app.extensions import db
from app.models import Customer
from app.web.core.contact_fields import contact_fields
from app.web.core.date_fields import DateField, DateTimeField
from app.web.core.fields import ChoiceField, Field, LongTextField, NumberField, TextField, Viewer
from app.web.core.gate import current_viewer
from app.web.core.record_service import RecordService, pop_assignment, refuse_foreign_assignee
from app.web.core.record_table import RecordTable
from app.web.core.reference_fields import MasterField, PersonField, RecordField
from app.web.pages.screen import refuse_as_page
from app.web.records.assignment import Assignable, AssignableResource
from app.web.records.sla_fields import clock_fields
from app.web.records.tasks import FirstTaskField, TaskIdsField

_both: dict[str, Any] = {"add": True, "edit": True}
FIELDS: list[Field] = [
    TextField("number", _("Number"), (Lead.number,), listed=True, filter=True, sort=True),
    *contact_fields(Lead, Customer),
    MasterField(
        "status",
        _("Status"),
        (Lead.status_id,),
        key="status_id",
        master="lead_status",
        status=True,
        listed=True,
        filter=True,
        sort=True,
        **_both,
    ),
    MasterField(
        "source",
        _("Source"),
        (Lead.source_id,),
        key="source_id",
        master="lead_source",
        listed=True,
        filter=True,
        **_both,
    ),
    ChoiceField("category", _("Category"), (Lead.category,), options=CATEGORIES, filter=True, **_both),
    MasterField(
        "account_type",
        _("Account type"),
        (Lead.account_type_id,),
        key="account_type_id",
        master="account_type",
        filter=True,
        **_both,
    ),
    TextField("referral", _("Referral code"), (Lead.referral,), most=40, filter=True, **_both),
    TextField("client_id", _("Client ID"), (Lead.client_id,), most=40, filter=True, edit=True),
    TextField("pod_id", _("POD ID"), (Lead.pod_id,), filter=True, edit=True),
    TextField("rejection_reason", _("Rejection reason"), (Lead.rejection_reason,), most=500, edit=True),
    DateTimeField(
        "next_follow_up_on",
        _("Next follow-up"),
        (Lead.next_follow_up_on,),
        due=True,
        listed=True,
        filter=True,
        sort=True,
        **_both,
    ),
    PersonField("assignee", _("Assignee"), (Lead.assignee_id,), key="assignee_id", listed=True, filter=True),
    PersonField("owner", _("Owner"), (Lead.owner_id,), key="owner_id", filter=True, edit=True),
    RecordField(
        "customer",
        _("Customer"),
        (Lead.customer_id, Customer.number, Customer.first_name, Customer.last_name),
        record=Customer,
        url="/customers/",
        filter=True,
    ),
    LongTextField("description", _("Description"), (Lead.description,), **_both),
    DateField("date_of_birth", _("Date of birth"), (Lead.date_of_birth,), section="person", **_both),
    *clock_fields(Lead, Lead.opened_on),
    NumberField("version", _("Version"), (Lead.version,)),
    DateTimeField("converted_on", _("Converted"), (Lead.converted_on,), filter=True),
    DateTimeField("created_on", _("Created"), (Lead.created_on,), listed=True, filter=True, sort=True),
    DateTimeField("changed_on", _("Updated"), (Lead.changed_on,), filter=True, sort=True),
    PersonField("assign_to", _("Assign to"), key="assign_to", add=True),
    TextField("assign_to_role", _("Assign to role"), key="assign_to_role", add=True, most=64),
    FirstTaskField("task", _("First task"), add=True, edit=True),
    TaskIdsField("close_tasks", _("Tasks to close"), edit=True),
]


class LeadService(RecordService):
    """Leads: create, change (the status through its gate), convert."""

    record = Lead
    module = "Leads"
    record_table = RecordTable(Lead, FIELDS, joins=((Customer, Customer.id == Lead.customer_id),))

    def create(self, session: Session, values: dict[str, Any], viewer: Viewer) -> Lead:
        """In one transaction; assigned to the creator unless told otherwise."""
        pop_assignment(values)
        refuse_foreign_assignee(values, "Leads", viewer)
        terms, minutes = viewer.lookups.terms, viewer.lookups.business["first_task_minutes"]
        with access.as_system(session):  # whose number it is, is asked of all customers
            return leads.create(
                session, values, viewer.change_context(vault=self.vault(), sla_terms=terms, first_task_minutes=minutes)
            )

    def change(self, session: Session, row: Lead, values: dict[str, Any], viewer: Viewer) -> None:
        """Fields and status; the owner only by those who may assign."""
        if values.get("owner_id") not in (None, row.owner_id):
            viewer.person.refuse_unless("Leads", "assign")
        with access.as_system(session):
            leads.change(
                session,
                row,
                values,
                viewer.change_context(
                    vault=self.vault(), may_reopen=viewer.person.is_manager, sla_terms=viewer.lookups.terms
                ),
            )


class LeadResource(AssignableResource):
    """/api/v1/lead/"""

    resource_name = "lead"
    module = "Leads"
    service = LeadService()
    brief = (
        "number",
        "first_name",
        "last_name",
        "mobile",
        "alternative_mobile",
        "email",
        "status",
        "source",
        "category",
        "account_type",
        "referral",
        "client_id",
        "pod_id",
        "rejection_reason",
        "next_follow_up_on",
        "assignee",
        "owner",
        "customer",
        "version",
        "created_on",
        "changed_on",
    )


class LeadScreen(Assignable):
    """/leads/"""

    route_base = "/leads"
    module = "Leads"
    service = LeadService()
    title, singular = _("Leads"), _("Lead")
    columns = ("name", "status", "mobile", "next_follow_up_on", "sla", "assignee", "number", "created_on")
    quick = ("status", "assignee", "source")
    strip = ("client_id", "pan", "mobile", "next_follow_up_on", "reply_due_on")
    own_timeline = "lead_id"
    needs = leads.REQUIRED_FIELDS
    status_master = "lead_status"
    input_names = (
        "first_name",
        "last_name",
        "mobile",
        "alternative_mobile",
        "email",
        "pan",
        "aadhaar",
        "date_of_birth",
        "address",
        "status",
        "source",
        "category",
        "account_type",
        "referral",
        "next_follow_up_on",
        "assign_to",
        "assign_to_role",
        "owner",
        "client_id",
        "pod_id",
        "description",
    )

    def more(self, row: dict[str, Any], viewer: Viewer) -> list[dict[str, Any]]:
        """Convert, when the account is activated; undo, for managers."""
        meaning = viewer.lookups.meanings["lead_status"].get((row.get("status") or {}).get("id", 0), "")
        if row.get("converted_on"):
            undo = {
                "label": _g("Undo the conversion"),
                "url": f"/leads/unconvert/{row['id']}",
                "method": "post",
                "icon": "arrow-back-up",
                "confirm": _g("Undo the conversion to a customer?"),
            }
            return [undo] if viewer.person.is_manager else []
        if meaning != "activated":
            return []
        return [
            {
                "label": _g("Convert to customer"),
                "url": f"/leads/convert/{row['id']}",
                "method": "post",
                "icon": "user-check",
                "confirm": None,
            }
        ]

    @expose("/convert/<pk>", methods=["POST"])
    @has_access
    @refuse_as_page
    @permission_name("edit")
    def convert(self, pk: str) -> Any:
        """Make or link the customer of an activated lead."""
        lead = self.row_for(pk, "write")
        with access.as_system(db.session()):  # whose number it is, is asked of all customers
            customer = conversion.convert(db.session(), lead, current_viewer().stamp)
        db.session.commit()
        return redirect(f"/customers/{customer.number}")

    @expose("/unconvert/<pk>", methods=["POST"])
    @has_access
    @refuse_as_page
    @permission_name("edit")
    def unconvert(self, pk: str) -> Any:
        """Take a conversion back, within a day, by a manager."""
        lead = self.row_for(pk, "write")
        if not current_viewer().person.is_manager:
            raise access.Denied(_g("Only a manager can undo a conversion."))
        conversion.undo(db.session(), lead, current_viewer().stamp)
        db.session.commit()
        return redirect(self.url_of(lead))
