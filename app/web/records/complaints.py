"""Complaints: pages and REST resource."""

from __future__ import annotations

from typing import Any

from flask import flash, redirect, request
from flask_appbuilder.models.sqla.interface import SQLAInterface
from flask_babel import gettext as _g
from flask_babel import lazy_gettext as _
from sqlalchemy import select
from sqlalchemy.orm import Session

from app import access
from app.domain.base import NotFound, RuleBroken
from app.domain.complaints import register
from app.domain.complaints.complaint import Complaint
from app.domain.tickets import Ticket
from app.extensions import db
from app.lib.ids import parse_id
from app.web.api.resource import Resource
from app.web.core.fab_access import current_viewer
from app.web.core.queries.list_query import ListQuery
from app.web.core.viewer import Viewer
from app.web.core.views.record_service import RecordService, refuse_recipient
from app.web.pages.routes import page_route
from app.web.records import complaint_parts, complaint_search
from app.web.records.complaint_entries import ComplaintEntries
from app.web.records.complaint_fields import LABELS, SPECIAL_FIELDS, stamp_for, terms_for
from app.web.records.complaint_joins import ComplaintJoins
from app.web.records.complaint_tabs import TABS, tab_condition
from app.web.records.lists.list_tabs import ListTab, shown_tabs
from app.web.records.screen import Screen
from app.web.records.tickets import TicketService

#: Values of the ticket that is made with a complaint.
_OF_TICKET = ("customer_id", "mobile", "first_name", "last_name", "description")


class ComplaintService(RecordService):
    """Complaints: registered for a ticket, or with a new one in the same transaction."""

    record = Complaint
    module = "Complaints"
    fields = SPECIAL_FIELDS
    label_columns = LABELS

    def create(self, session: Session, values: dict[str, Any], viewer: Viewer) -> Complaint:
        """Register the ticket `ticket_id`, or a new one for the given customer or person."""
        if values.get("officer_id") not in (None, *viewer.person.own_ids):
            refuse_recipient(values["officer_id"], self.module, viewer, "officer")
        own = {name: values.pop(name, None) for name in _OF_TICKET}
        ticket_id = values.pop("ticket_id", None)
        ticket = (
            _locked_ticket(session, ticket_id) if ticket_id is not None else _new_ticket(session, own, values, viewer)
        )
        with access.as_system(session):  # a number is given out, and the officer told, whoever registers it
            row = register.register(session, ticket, values, stamp_for(viewer))
        if ticket_id is not None:
            _refuse_foreign(session, row.id, viewer)
        return row

    def change(self, session: Session, row: Complaint, values: dict[str, Any], viewer: Viewer) -> None:
        """Change it; a new officer only with permission to assign."""
        chosen = values.get("officer_id")
        if chosen not in (None, row.officer_id, *viewer.person.own_ids):
            refuse_recipient(chosen, self.module, viewer, "officer")
        with access.as_system(session):  # its ticket follows, whoever may change that
            register.change(session, row, values, stamp_for(viewer))


def _refuse_foreign(session: Session, key: int, viewer: Viewer) -> None:
    """Raise Denied for a new complaint beyond the reach of whoever registers it, such as of a colleague's ticket."""
    is_seen = access.sees_id(session, Complaint, key)
    if not (is_seen and access.reaches_id(session, viewer.person, Complaint, key, "create")):
        text = _g("You can see this ticket but not register it as a complaint. Ask its assignee or your manager.")
        raise access.Denied(text)


def _locked_ticket(session: Session, ticket_id: int) -> Ticket:
    """A ticket that the person sees, under its lock. Raises NotFound."""
    ticket = access.get_visible(session, Ticket, ticket_id)
    if ticket is None:
        raise NotFound(_g("There is no such record."))
    locked = session.get(Ticket, ticket_id, with_for_update=True, populate_existing=True)
    return locked or ticket


def _new_ticket(session: Session, own: dict[str, Any], values: dict[str, Any], viewer: Viewer) -> Ticket:
    """A ticket for the complaint: urgent, under the last of the subjects that fits any request."""
    viewer.person.refuse_unless("Tickets", "create")
    if not (own["customer_id"] or own["mobile"] or own["first_name"] or own["last_name"]):
        sentence = "Please choose the ticket or the customer, or enter who complains."
        raise RuleBroken(sentence, errors={"ticket": [sentence], "customer": [sentence]})
    if not (values.get("title") or "").strip():
        raise RuleBroken("Please write in one line what the investor complains of.", "title")
    subject = viewer.lookups.find("ticket_subject", "General query")
    subjects = [subject] if subject is not None else viewer.lookups.offered["ticket_subject"][-1:]
    made = {"subject_ids": subjects, "summary": values["title"], "priority": "High", "source": "Web"}
    return TicketService().create(session, made | own, viewer)


_SHOWN = [
    *("number", "title", "source", "reference", "received_on", "cause_on", "category", "amount_in_dispute"),
    *("exchange", "segment", "officer", "is_impersonation", "ticket", "customer", "mobile", "description"),
    *("acknowledge_due_on", "acknowledged_on", "report_due_on", "report_filed_on"),
    *("report_facts", "report_findings", "report_actions", "report_amount", "report_evidence", "report_officer"),
    *("outcome", "disposed_on", "days_taken", "review_stage", "review_due_on"),
    *("first_review_on", "first_review_due_on"),
    *("second_review_on", "second_review_due_on", "dispute_on", "dispute_due_on", "joined_to"),
    *("version", "created_on", "changed_on"),
]
_CASE = ["title", "source", "reference", "received_on", "category", "cause_on", "amount_in_dispute"]
_PLACE = ["exchange", "segment", "officer", "is_impersonation"]
_REPORT = [
    *("report_facts", "report_findings", "report_actions", "report_amount", "report_evidence"),
    *("report_officer", "report_filed_on"),
]
_END = ["outcome", "disposed_on", "review_stage", "review_on"]
_ENDED = ["outcome", "disposed_on", "days_taken", "review_stage", "review_due_on", "joined_to"]


class ComplaintResource(Resource):
    """/api/v1/complaint/"""

    resource_name = "complaint"
    datamodel = SQLAInterface(Complaint)
    module = "Complaints"
    service = ComplaintService()
    show_columns = _SHOWN
    add_columns = [
        *("ticket", "customer", "mobile", "first_name", "last_name", "description", "way"),
        *(_CASE + _PLACE + ["acknowledged_on"] + _REPORT + _END[:2]),
    ]
    edit_columns = [*_CASE, *_PLACE, "acknowledged_on", *_REPORT, *_END]
    search_columns = [
        *("number", "title", "source", "reference", "received_on", "category", "exchange", "segment", "officer"),
        *("is_impersonation", "ticket", "customer", "acknowledge_due_on", "acknowledged_on", "report_due_on"),
        *("report_filed_on", "outcome", "disposed_on", "days_taken", "review_stage", "joined_to"),
        *("created_on", "changed_on"),
    ]
    order_columns = ["number", "received_on", "report_due_on", "disposed_on", "created_on", "changed_on"]
    exclude_route_methods = {"delete"}


class ComplaintScreen(ComplaintJoins, ComplaintEntries, Screen):
    """/complaints/"""

    route_base = "/complaints"
    datamodel = SQLAInterface(Complaint)
    module = "Complaints"
    service = ComplaintService()
    list_title, record_name = _("Complaints"), _("Complaint")
    empty_text = _("No complaints yet. Register one with “New”, or from the menu of a ticket.")
    list_columns = ["title", "number", "source", "reference", "customer", "officer", "report_due_on", "outcome"]
    search_columns = ComplaintResource.search_columns
    order_columns = ComplaintResource.order_columns
    show_columns = _SHOWN
    show_fieldsets = [
        (_("Complaint"), {"fields": [*_CASE[1:], *_PLACE, "ticket", "customer", "mobile", "description"]}),
        (_("Clocks"), {"fields": ["acknowledge_due_on", "report_due_on"]}),
        (_("Action taken report"), {"fields": _REPORT}),
        (_("Outcome and review"), {"fields": _ENDED}),
        (_("Record"), {"fields": ["created_on", "changed_on"]}),
    ]
    add_columns = ComplaintResource.add_columns
    add_fieldsets = [
        (_("Who complains"), {"fields": ["ticket", "customer", "mobile", "first_name", "last_name"]}),
        (_("Complaint"), {"fields": [*_CASE, "description", "way", *_PLACE, "acknowledged_on"]}),
    ]
    edit_columns = ComplaintResource.edit_columns
    edit_fieldsets = [
        (_("Complaint"), {"fields": [*_CASE, *_PLACE, "acknowledged_on"]}),
        (_("Action taken report"), {"fields": _REPORT}),
        (_("Outcome and review"), {"fields": _END}),
    ]
    quick_filters = ("source", "category", "officer", "outcome")
    tab_names = tuple(TABS)
    summary_columns = ("source", "received_on", "acknowledge_due_on", "report_due_on", "officer", "customer")
    summary_if_any = ("outcome", "joined_to")
    text_columns = ("description", "report_facts", "report_findings", "report_actions", "report_evidence")
    title_column = "title"
    linked_hits = complaint_search.BY_TICKET
    bulk_edit_columns = ("officer", "category", "acknowledged_on")
    exclude_route_methods = {"delete"}
    VERBS = (
        Screen.VERBS
        | ComplaintJoins.JOIN_VERBS
        | ComplaintEntries.ENTRY_VERBS
        | {"acknowledge": "write", "of_ticket": "read"}
    )

    def tabs(self, viewer: Viewer) -> list[dict[str, Any]]:
        """Pending ones by how urgent they are, and all."""
        tabs = [ListTab(name, tab.label, tab.empty) for name, tab in TABS.items()]
        return shown_tabs(self.route_base, tabs, request.args.get("tab") or "all")

    def opening_tab(self, viewer: Viewer) -> str | None:
        """The pending ones."""
        return "pending"

    def _list_query(self, viewer: Viewer) -> ListQuery:
        list_query, tab = super()._list_query(viewer), request.args.get("tab") or "all"
        condition = tab_condition(tab, viewer)
        if condition is not None:
            list_query.conditions.append(condition)
            if list_query.newest:
                list_query.newest = False
                list_query.order = self.record_table.order_by("report_due_on", "asc", viewer)
        return list_query

    def timeline_records(self, key: int, viewer: Viewer) -> dict[tuple[str, int], str | None]:
        """That of its ticket: what was said and done about the complaint is there."""
        ticket = db.session.execute(select(Complaint.ticket_id).where(Complaint.id == key)).scalar()
        return {("ticket", int(ticket)): None} if ticket is not None else {}

    def main_action(self, row: dict[str, Any], viewer: Viewer) -> dict[str, Any] | None:
        """The next thing to do: acknowledge it, write the report, enter the outcome, resolve the ticket."""
        if row.get("outcome") and row.get("ticket"):
            url = f"/tickets/{row['ticket']['number']}"
            return {"label": _g("Go to the ticket"), "icon": "lifebuoy", "url": url, "method": "get"}
        if not viewer.person.may(self.module, "write") or complaint_parts.is_joined(row):
            return None
        key = row["id"]
        if not row.get("acknowledged_on"):
            url = f"/complaints/acknowledge/{key}"
            return {"label": _g("Acknowledge"), "icon": "check", "url": url, "method": "post"}
        is_written = row.get("report_filed_on") or row.get("report_actions")
        label, name = (_g("Enter the outcome"), "outcome") if is_written else (_g("Write the report"), "report_facts")
        return {"label": label, "icon": "pencil", "url": f"/complaints/edit/{key}#f-{name}", "method": "get"}

    def more_actions(self, row: dict[str, Any], viewer: Viewer) -> list[dict[str, Any]]:
        """Join another complaint, add a way in which it came; part a joined one."""
        return complaint_parts.actions(row)

    @page_route("/of/<pk>")
    def of_ticket(self, pk: str) -> Any:
        """The complaint of the ticket with this id."""
        query = select(Complaint.number).where(Complaint.ticket_id == parse_id(pk))
        number = db.session.execute(query).scalar()
        if number is None:
            raise NotFound(_g("This record doesn't exist, or you don't have access to it."))
        return redirect(f"{self.route_base}/{number}")

    @page_route("/acknowledge/<pk>", methods=["POST"])
    def acknowledge(self, pk: str) -> Any:
        """Note that the investor was told today that the complaint has arrived."""
        row, viewer = self.row_for(pk, "write"), current_viewer()
        if row.acknowledged_on is None:
            today = terms_for(viewer).today
            self.change_row(row, {"acknowledged_on": today}, None, viewer)
            db.session.commit()
            flash(_g("%(number)s is acknowledged.", number=row.number), "success")
        return redirect(self.url_of(row))

    def related_parts(self, row: dict[str, Any], viewer: Viewer) -> list[dict[str, Any]]:
        """The ways in which it came, and other complaints of the same person."""
        return complaint_parts.of_complaint(row, viewer)
