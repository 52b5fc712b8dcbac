"""Leads: pages and REST resource."""

from __future__ import annotations

from typing import Any

from flask import redirect
from flask_appbuilder.models.sqla.interface import SQLAInterface
from flask_babel import gettext as _g
from flask_babel import lazy_gettext as _
from sqlalchemy.orm import Session

from app import access
from app.domain import customers, lead_conversion, lead_requirements, leads
from app.domain.leads import CATEGORIES, Lead
from app.domain.persistence import numbering
from app.extensions import db
from app.models import Customer
from app.web.core.fab_access import current_viewer
from app.web.core.fields.base import ChoiceField, Field, TextField
from app.web.core.fields.contact_fields import CONTACT, contact_fields
from app.web.core.fields.date_fields import BirthDateField
from app.web.core.fields.reference_fields import PersonField
from app.web.core.viewer import Viewer
from app.web.core.views import save_warnings
from app.web.core.views.record_service import RecordService, pop_assignment, refuse_foreign_assignee, refuse_new_owner
from app.web.pages.routes import page_route
from app.web.records import customer_facts, customer_link_actions, identity_guesses, related_lists
from app.web.records.assignment import AssignableResource, AssignableScreen
from app.web.records.close_tasks_field import TaskIdsField
from app.web.records.consent_ledger_link import consents_action
from app.web.records.merging import merge_actions
from app.web.records.merging.merge_rest import MergeableResource
from app.web.records.related_person_field import OpenDueField, is_open_lead
from app.web.records.reveals import REVEAL_DOCUMENTATION, REVEAL_VERBS, RevealActions, RevealApi
from app.web.records.sla_fields import CLOCK, CLOCK_LABELS, clock_fields
from app.web.records.tasks import FirstTaskField

#: Fields that cannot be derived from the model's columns alone.
SPECIAL_FIELDS: tuple[Field, ...] = (
    *contact_fields(Lead, Customer),
    ChoiceField("category", options=CATEGORIES),
    OpenDueField("next_follow_up_on", (Lead.next_follow_up_on, Lead.status_id), is_open_lead, only_open=True),
    BirthDateField("date_of_birth"),
    *customer_facts.facts("kyc_status", "refused_channels"),
    *clock_fields(Lead, Lead.opened_on),
    PersonField("assign_to", receives="leads"),
    TextField("assign_to_role", max_length=64),
    FirstTaskField("task"),
    TaskIdsField("close_tasks"),
)
LABELS = CLOCK_LABELS | {
    **customer_facts.LABELS,
    "number": _("Number"),
    "status": _("Status"),
    "source": _("Source"),
    "category": _("Category"),
    "account_type": _("Account type"),
    "referral": _("Referral code"),
    "client_id": _("Client ID"),
    "pod_id": _("POD ID"),
    "rejection_reason": _("Rejection reason"),
    "next_follow_up_on": _("Next follow-up"),
    "assignee": _("Assignee"),
    "owner": _("Owner"),
    "customer": _("Customer"),
    "description": _("Description"),
    "date_of_birth": _("Date of birth"),
    "version": _("Version"),
    "converted_on": _("Converted"),
    "created_on": _("Created"),
    "changed_on": _("Updated"),
    "assign_to": _("Assign to"),
    "assign_to_role": _("Assign to role"),
    "task": _("First task"),
    "close_tasks": _("Tasks to close"),
}


_CONTACT_INPUTS = [*CONTACT[:-1], "date_of_birth", "address"]
_DETAILS = ["status", "source", "category", "account_type", "referral"]
#: Fields that later statuses require.
_OUTCOME = ["client_id", "pod_id", "rejection_reason"]
_STAMPS = ["version", "created_on", "changed_on"]


class LeadService(RecordService):
    """Leads: create, change (with the requirements of the status), convert."""

    record = Lead
    module = "Leads"
    fields = SPECIAL_FIELDS
    label_columns = LABELS

    def create(self, session: Session, values: dict[str, Any], viewer: Viewer) -> Lead:
        """Create a lead in one transaction, assigned to its creator by default."""
        pop_assignment(values)
        refuse_foreign_assignee(values, "Leads", viewer)
        terms, minutes = viewer.lookups.terms, viewer.lookups.business["first_task_minutes"]
        context = viewer.change_context(vault=self.vault(), sla_terms=terms, first_task_minutes=minutes)
        values["status_id"] = values.get("status_id") or viewer.lookups.of_meaning("lead_status", "new")
        viewer.objects |= viewer.lookups.introduce(session, "lead_status", values["status_id"])
        with access.as_system(session):  # a number is matched against all customers
            lead = leads.create(session, values, context)
        save_warnings.warn_of_kept_customer(lead)
        save_warnings.warn_of_unlinked_number(lead, values)
        return lead

    def create_many(self, session: Session, many: list[dict[str, Any]], viewer: Viewer) -> list[Lead]:
        """Create leads together, for imports. Raises RuleBroken for the first that can't be created."""
        terms, minutes = viewer.lookups.terms, viewer.lookups.business["first_task_minutes"]
        new = viewer.lookups.of_meaning("lead_status", "new")
        for values in many:
            pop_assignment(values)
            refuse_foreign_assignee(values, "Leads", viewer)
            values["status_id"] = values.get("status_id") or new
            viewer.objects |= viewer.lookups.introduce(session, "lead_status", values["status_id"])
        with access.as_system(session):
            free = customers.free_numbers(session, [str(values.get("mobile") or "") for values in many])
            context = viewer.change_context(
                vault=self.vault(), sla_terms=terms, first_task_minutes=minutes, free_numbers=free
            )
            numbering.reserve(session, "LEAD", viewer.now.year, len(many))
            return leads.create_many(session, many, context)

    def change(self, session: Session, row: Lead, values: dict[str, Any], viewer: Viewer) -> None:
        """Change fields and status; the owner only with permission to assign."""
        refuse_new_owner(values, row, "Leads", viewer)
        if row.customer_id is not None or "status_id" in values:
            identity_guesses.count(values, viewer)
        context = viewer.change_context(
            vault=self.vault(),
            may_reopen=viewer.person.is_manager or viewer.is_undoing,
            sla_terms=viewer.lookups.terms,
        )
        viewer.objects |= viewer.lookups.introduce(session, "lead_status", row.status_id, values.get("status_id"))
        with access.as_system(session), customer_link_actions.asking_before(row, viewer):
            is_written = leads.change(session, row, values, context)
        save_warnings.warn_of_kept_customer(row) if is_written else save_warnings.warn_of_proposal()
        save_warnings.warn_of_unlinked_number(row, values)


class LeadResource(RevealApi, MergeableResource, AssignableResource):
    """/api/v1/lead/"""

    VERBS = AssignableResource.VERBS | MergeableResource.VERBS | REVEAL_VERBS
    documentation = MergeableResource.documentation | REVEAL_DOCUMENTATION

    resource_name = "lead"
    datamodel = SQLAInterface(Lead)
    module = "Leads"
    service = LeadService()
    list_select_columns = [
        "number",
        "first_name",
        "last_name",
        "mobile",
        "alternative_mobile",
        "email",
        *_DETAILS,
        *_OUTCOME,
        "next_follow_up_on",
        "assignee",
        "owner",
        "customer",
        *_STAMPS,
    ]
    show_columns = [
        "number",
        "name",
        *CONTACT,
        *_DETAILS,
        *_OUTCOME,
        "next_follow_up_on",
        "assignee",
        "owner",
        "customer",
        "description",
        "date_of_birth",
        *CLOCK,
        "version",
        "converted_on",
        "created_on",
        "changed_on",
    ]
    add_columns = [
        *CONTACT,
        *_DETAILS,
        "next_follow_up_on",
        "description",
        "date_of_birth",
        "assign_to",
        "assign_to_role",
        "task",
    ]
    edit_columns = [
        *CONTACT,
        *_DETAILS,
        *_OUTCOME,
        "next_follow_up_on",
        "owner",
        "description",
        "date_of_birth",
        "task",
        "close_tasks",
    ]
    search_exclude_columns = ["name", "address", "rejection_reason", "description", "date_of_birth", "sla", "version"]
    order_columns = ["number", "status", "next_follow_up_on", *CLOCK[:3], "created_on", "changed_on"]


class LeadScreen(RevealActions, AssignableScreen):
    """/leads/"""

    route_base = "/leads"
    datamodel = SQLAInterface(Lead)
    module = "Leads"
    service = LeadService()
    list_title, record_name = _("Leads"), _("Lead")
    empty_text = _("No leads yet. Add one with “New”, or import a file under “…”.")
    list_columns = ["name", "status", "mobile", "next_follow_up_on", "sla", "assignee", "number", "created_on"]
    search_exclude_columns = [*LeadResource.search_exclude_columns, "kyc_status", "refused_channels"]
    order_columns = LeadResource.order_columns
    show_columns = [*LeadResource.show_columns, "kyc_status", "refused_channels"]
    show_fieldsets = [
        (_("Contact"), {"fields": [*CONTACT, "date_of_birth"]}),
        (
            _("Details"),
            {
                "fields": [
                    *_DETAILS,
                    *_OUTCOME,
                    "next_follow_up_on",
                    "assignee",
                    "customer",
                    "description",
                    "converted_on",
                ]
            },
        ),
        (_("SLA"), {"fields": ["reply_due_on", "resolve_due_on", "replied_on"]}),
        (_("Record"), {"fields": ["owner", "created_on", "changed_on"]}),
    ]
    add_fieldsets = [
        (_("Contact"), {"fields": _CONTACT_INPUTS}),
        (
            _("Details"),
            {"fields": [*_DETAILS, "next_follow_up_on", "assign_to", "assign_to_role", "description"]},
        ),
    ]
    edit_fieldsets = [
        (_("Contact"), {"fields": _CONTACT_INPUTS}),
        (
            _("Details"),
            {"fields": [*_DETAILS, "next_follow_up_on", "owner", *_OUTCOME[:2], "description"]},
        ),
    ]
    quick_filters = ("status", "assignee", "source")
    summary_columns = ("client_id", "pan", "mobile", "next_follow_up_on", "reply_due_on")
    summary_if_any = ("kyc_status", "refused_channels")
    text_columns = ("description",)
    timeline_column = "lead_id"
    status_requirements = lead_requirements.REQUIRED_FIELDS
    status_picklist = "lead_status"
    title_column = "name"
    quick_fields = ("first_name", "last_name", "mobile", "email", "pan", "source", "assign_to", "description")
    card_columns = ("mobile", "source", "next_follow_up_on", "sla", "assignee")
    bulk_edit_columns = ("source", "category", "account_type", "next_follow_up_on", "pod_id")
    VERBS = AssignableScreen.VERBS | REVEAL_VERBS

    def related_parts(self, row: dict[str, Any], viewer: Viewer) -> list[dict[str, Any]]:
        """The lead's open tasks, and its customer's other records."""
        return [related_lists.open_tasks("lead", row["id"], viewer), *related_lists.of_customer(row, viewer)]

    def more_actions(self, row: dict[str, Any], viewer: Viewer) -> list[dict[str, Any]]:
        """Undo the conversion, for managers; consents; merge."""
        return [*self._conversion(row, viewer), *merge_actions.action("lead", row, self.module, viewer)]

    @staticmethod
    def _conversion(row: dict[str, Any], viewer: Viewer) -> list[dict[str, Any]]:
        if row.get("converted_on"):
            undo = {
                "label": _g("Undo the conversion"),
                "url": f"/leads/unconvert/{row['id']}",
                "method": "post",
                "icon": "arrow-back-up",
                "confirm": _g("Undo the conversion to a customer?"),
            }
            return [*([undo] if viewer.person.is_manager else []), *consents_action("lead", row, viewer)]
        return consents_action("lead", row, viewer)

    def may_leave_status(self, meaning: str, viewer: Viewer) -> bool:
        """A closed lead is reopened by managers only."""
        return meaning not in leads.TERMINAL or viewer.person.is_manager

    def main_action(self, row: dict[str, Any], viewer: Viewer) -> dict[str, Any] | None:
        """Convert, once the account is activated."""
        meaning = viewer.lookups.meanings["lead_status"].get((row.get("status") or {}).get("id", 0), "")
        if meaning != "activated" or row.get("converted_on") or not viewer.person.may("Leads", "write"):
            return None
        return {
            "label": _g("Convert to customer"),
            "url": f"/leads/convert/{row['id']}",
            "method": "post",
            "icon": "user-check",
            "confirm": None,
        }

    @page_route("/convert/<pk>", methods=["POST"], permission="edit")
    def convert(self, pk: str) -> Any:
        """Create or link the customer of an activated lead."""
        lead, viewer = self.row_for(pk, "write"), current_viewer()
        with access.as_system(db.session()), customer_link_actions.asking_before(lead, viewer):  # matched against all
            customer = lead_conversion.convert(db.session(), lead, viewer.change_context())
        db.session.commit()
        return redirect(f"/customers/{customer.number}")

    @page_route("/unconvert/<pk>", methods=["POST"], permission="edit")
    def unconvert(self, pk: str) -> Any:
        """Undo a conversion: within a day, by a manager."""
        lead = self.row_for(pk, "write")
        if not current_viewer().person.is_manager:
            raise access.Denied(_g("Only a manager can undo a conversion."))
        with access.as_system(db.session()):  # all that the conversion moved
            lead_conversion.undo(db.session(), lead, current_viewer().stamp)
        db.session.commit()
        return redirect(self.url_of(lead))
