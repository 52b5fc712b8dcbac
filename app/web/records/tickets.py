"""Tickets: pages and REST resource."""

from __future__ import annotations

from typing import Any

from flask import request
from flask_appbuilder import expose
from flask_appbuilder.api import protect
from flask_appbuilder.models.sqla.interface import SQLAInterface
from flask_appbuilder.security.decorators import has_access, permission_name
from flask_babel import gettext as _g
from flask_babel import lazy_gettext as _
from sqlalchemy import select
from sqlalchemy.orm import Session

from app import access
from app.domain import tickets
from app.domain.assignment import Assignment
from app.domain.tickets import ENDED, Ticket, ticket_subjects
from app.models import TicketSubject
from app.web.api.resource import request_json
from app.web.core.fab_access import current_viewer, json_answer, refuse_as_json
from app.web.core.viewer import Viewer
from app.web.core.views import save_warnings
from app.web.core.views.record_service import RecordService, pop_assignment, refuse_foreign_assignee, refuse_new_owner
from app.web.records import caller_lookup, complaint_parts, related_lists
from app.web.records.assignment import MultiAssigneeResource, MultiAssigneeScreen
from app.web.records.merging import merge_actions
from app.web.records.merging.merge_rest import MergeableResource
from app.web.records.reveals import REVEAL_DOCUMENTATION, REVEAL_VERBS, RevealActions, RevealApi
from app.web.records.sla_fields import CLOCK
from app.web.records.ticket_fields import LABELS, SPECIAL_FIELDS


def _lists(session: Session, ids: list[int], viewer: Viewer) -> dict[int, dict[str, Any]]:
    """Subjects and current assignees of these tickets, one statement each."""
    found: dict[int, dict[str, Any]] = {key: {"subjects": [], "assignees": []} for key in ids}
    link = ticket_subjects.c
    query = select(link.ticket_id, link.subject_id).join(TicketSubject, TicketSubject.id == link.subject_id)
    for ticket, subject in session.execute(query.where(link.ticket_id.in_(ids)).order_by(TicketSubject.position)):
        found[ticket]["subjects"].append(viewer.lookups.card("ticket_subject", subject))
    present = select(Assignment.ticket_id, Assignment.user_id).where(
        Assignment.ticket_id.in_(ids), Assignment.ended_on.is_(None)
    )
    for ticket_id, user in session.execute(present.order_by(Assignment.id)):
        found[int(ticket_id or 0)]["assignees"].append(viewer.lookups.person(user))
    return found


class TicketService(RecordService):
    """Tickets: create, change (with the requirements of the status)."""

    record = Ticket
    module = "Tickets"
    fields = SPECIAL_FIELDS
    label_columns = LABELS
    load_children = staticmethod(_lists)

    def create(self, session: Session, values: dict[str, Any], viewer: Viewer) -> Ticket:
        """Create a ticket in one transaction; its customer is given, found by mobile, or created."""
        pop_assignment(values)
        refuse_foreign_assignee(values, "Tickets", viewer)
        values = {name: given for name, given in values.items() if given is not None}
        terms, minutes = viewer.lookups.terms, viewer.lookups.business["first_task_minutes"]
        context = viewer.change_context(vault=self.vault(), sla_terms=terms, first_task_minutes=minutes)
        values["status_id"] = values.get("status_id") or viewer.lookups.of_meaning("ticket_status", "new")
        viewer.objects |= viewer.lookups.introduce(session, "ticket_status", values["status_id"])
        with access.as_system(session):  # a number is matched against all customers
            ticket = tickets.create(session, values, context)
        save_warnings.warn_of_kept_customer(ticket)
        save_warnings.warn_of_unlinked_number(ticket, values)
        return ticket

    def change(self, session: Session, row: Ticket, values: dict[str, Any], viewer: Viewer) -> None:
        """Change fields and status; the owner only with permission to assign."""
        refuse_new_owner(values, row, "Tickets", viewer)
        context = viewer.change_context(vault=self.vault(), sla_terms=viewer.lookups.terms)
        viewer.objects |= viewer.lookups.introduce(session, "ticket_status", row.status_id, values.get("status_id"))
        with access.as_system(session):  # a chosen customer may be one of the limited look-up
            tickets.change(session, row, values, context)
        save_warnings.warn_of_kept_customer(row)

    def remove(self, session: Session, row: Ticket, viewer: Viewer) -> None:
        """Delete it, unless it is in the register of complaints."""
        tickets.refuse_registered(row)
        super().remove(session, row, viewer)


class TicketResource(RevealApi, MergeableResource, MultiAssigneeResource):
    """/api/v1/ticket/"""

    resource_name = "ticket"
    datamodel = SQLAInterface(Ticket)
    module = "Tickets"
    service = TicketService()
    show_columns = [
        "number",
        "title",
        "summary",
        "priority",
        "status",
        "source",
        "description",
        "resolution",
        "customer",
        "caller",
        "mobile",
        "lead",
        "assignee",
        "owner",
        *CLOCK,
        "resolved_on",
        "complaint_state",
        "version",
        "created_on",
        "changed_on",
    ]
    add_columns = [
        "subjects",
        "summary",
        "priority",
        "status",
        "source",
        "description",
        "resolution",
        "customer",
        "mobile",
        "lead",
        "first_name",
        "last_name",
        "assign_to",
        "assign_to_role",
        "task",
    ]
    edit_columns = [
        "subjects",
        "summary",
        "priority",
        "status",
        "source",
        "description",
        "resolution",
        "customer",
        "lead",
        "owner",
        "task",
        "close_tasks",
    ]
    search_columns = [
        "number",
        "title",
        "subjects",
        "priority",
        "status",
        "source",
        "customer",
        "lead",
        "assignee",
        "owner",
        *CLOCK[1:],
        "resolved_on",
        "complaint_state",
        "created_on",
        "changed_on",
    ]
    order_columns = [
        "number",
        "priority",
        "status",
        "sla",
        "reply_due_on",
        "resolve_due_on",
        "created_on",
        "changed_on",
    ]
    VERBS = MultiAssigneeResource.VERBS | MergeableResource.VERBS | REVEAL_VERBS | {"callers": "create"}
    documentation = MergeableResource.documentation | REVEAL_DOCUMENTATION | {"callers": caller_lookup.OPERATION}

    @expose("/callers", methods=["POST"])
    @protect()
    @refuse_as_json
    @permission_name("callers")
    def callers(self) -> Any:
        """Customers by {text}: number, client id or name; limited, counted and audited."""
        return json_answer(200, {"result": caller_lookup.look_up(request_json().get("text"), current_viewer())})

    extra_schema = {
        name: {"type": "array", "items": {"$ref": f"#/components/schemas/{card}"}}
        for name, card in (("subjects", "Card"), ("assignees", "UserCard"))
    }


#: Of the customer.
_FACTS = ("client_id", "kyc_status", "refused_channels")


class TicketScreen(RevealActions, MultiAssigneeScreen):
    """/tickets/"""

    route_base = "/tickets"
    datamodel = SQLAInterface(Ticket)
    module = "Tickets"
    service = TicketService()
    list_title, record_name = _("Tickets"), _("Ticket")
    empty_text = _("No tickets yet. Add one with “New” when a customer asks for something.")
    list_columns = ["title", "status", "priority", "customer", "assignee", "sla", "number"]
    search_columns = TicketResource.search_columns
    order_columns = TicketResource.order_columns
    show_columns = [*TicketResource.show_columns, "subject_labels", "email", *_FACTS]
    show_fieldsets = [
        (
            _("Details"),
            {
                "fields": [
                    "subject_labels",
                    "priority",
                    "status",
                    "source",
                    "description",
                    "resolution",
                    "customer",
                    "caller",
                    "mobile",
                    "email",
                    "lead",
                    "assignee",
                    "resolved_on",
                ]
            },
        ),
        (_("SLA"), {"fields": ["reply_due_on", "resolve_due_on", "replied_on"]}),
        (_("Record"), {"fields": ["owner", "created_on", "changed_on"]}),
    ]
    add_columns = [
        "subjects",
        "summary",
        "priority",
        "status",
        "source",
        "customer",
        "mobile",
        "first_name",
        "last_name",
        "lead",
        "assign_to",
        "assign_to_role",
        "description",
        "resolution",
    ]
    edit_columns = [
        "subjects",
        "summary",
        "priority",
        "status",
        "source",
        "customer",
        "lead",
        "owner",
        "description",
        "resolution",
    ]
    quick_filters = ("status", "priority", "assignee")
    summary_columns = ("priority", "reply_due_on", "resolve_due_on", "customer", "mobile")
    summary_if_any = _FACTS
    text_columns = ("description", "resolution")
    timeline_column = "ticket_id"
    status_requirements = {"resolved": "resolution", "closed": "resolution"}
    status_picklist = "ticket_status"
    title_column = "title"
    quick_fields = (
        *("subjects", "priority", "customer", "mobile"),
        *("first_name", "last_name", "assign_to", "description"),
    )
    card_columns = ("caller", "priority", "sla", "assignee")
    bulk_edit_columns = ("priority", "source")
    default_role = "Support User"
    #: Only a ticket that is logged as resolved has one.
    hidden_unless_needed = ("resolution",)

    VERBS = MultiAssigneeScreen.VERBS | REVEAL_VERBS | {"callers": "create"}

    @expose("/callers", methods=["GET"])
    @has_access
    @refuse_as_json
    @permission_name("callers")
    def callers(self) -> Any:
        """Customers for the picklist of a ticket's form: {results: [{value, label, hint}]}."""
        typed = request.args.get("q", "").strip()
        return json_answer(200, {"results": caller_lookup.hits(typed, current_viewer())})

    def main_action(self, row: dict[str, Any], viewer: Viewer) -> dict[str, Any] | None:
        """Resolve, through the dialog that asks for the resolution; without JavaScript, it is a page.

        Before that, the outcome of its complaint.
        """
        meanings, now = viewer.lookups.meanings["ticket_status"], (row.get("status") or {}).get("id", 0)
        target = viewer.lookups.of_meaning("ticket_status", "resolved")
        if meanings.get(now) in ENDED or target is None or not viewer.person.may("Tickets", "write"):
            return None
        if row.get("complaint_state") == "pending" and viewer.person.may("Complaints", "write"):
            return {
                "label": _g("Enter the outcome"),
                "icon": "scale",
                "url": f"/complaints/of/{row['id']}",
                "method": "get",
            }
        url = f"/tickets/move/{row['id']}?status={target}&version={row['version']}"
        return {"label": _g("Resolve"), "icon": "circle-check", "url": url, "dialog": f"move-{target}"}

    def more_actions(self, row: dict[str, Any], viewer: Viewer) -> list[dict[str, Any]]:
        """Merge it with another ticket of the same person; register it as a complaint."""
        return [
            *merge_actions.action("ticket", row, self.module, viewer),
            *complaint_parts.register_action(row, viewer),
        ]

    def related_parts(self, row: dict[str, Any], viewer: Viewer) -> list[dict[str, Any]]:
        """The ticket's complaint, its open tasks, and its customer's other records."""
        return [
            *complaint_parts.of_ticket(row, viewer),
            related_lists.open_tasks("ticket", row["id"], viewer),
            *related_lists.of_customer(row, viewer),
        ]
