"""Tickets on the screen and over REST."""

from __future__ import annotations

from typing import Any

from flask_babel import gettext as _g
from flask_babel import lazy_gettext as _
from sqlalchemy import exists, func, select
from sqlalchemy.orm import Session

from app import access
from app.domain import tickets
from app.domain.assignment import Assignment
from app.domain.base import RuleBroken
from app.domain.tickets import PRIORITIES, SOURCES, Ticket, ticket_subjects
from app.lib.ids import parse_id
from app.models import Customer, Lead, TicketSubject
from app.web.core.date_fields import DateTimeField
from app.web.core.fields import ChoiceField, Field, LongTextField, NumberField, TextField, Viewer
from app.web.core.personal_fields import PhoneField
from app.web.core.record_service import RecordService, pop_assignment, refuse_foreign_assignee
from app.web.core.record_table import RecordTable
from app.web.core.reference_fields import MasterField, PersonField, RecordField, person_card
from app.web.records.assignment import Shared, SharedResource
from app.web.records.sla_fields import clock_fields
from app.web.records.tasks import PRIORITY_COLORS, FirstTaskField, TaskIdsField

_both: dict[str, Any] = {"add": True, "edit": True}


class SubjectsField(Field):
    """The subjects of a ticket, by ids or labels; shown by their joined title."""

    kind = "many"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.ops = ("eq",)
        self.schema = {"type": "array", "items": {"$ref": "#/components/schemas/Card"}}

    def parse(self, raw: Any, viewer: Viewer) -> Any:
        """Ids of subjects. Raises RuleBroken for an unknown one."""
        parts = raw if isinstance(raw, list) else [part for part in str(raw or "").split(",") if part.strip()]
        ids = [viewer.lookups.find("ticket_subject", part) for part in parts[:40]]
        if None in ids:
            raise RuleBroken(_g("One of these subjects does not exist."), self.name)
        return ids

    def where(self, op: str, raw: Any, viewer: Viewer) -> Any:
        """Tickets that have the subject."""
        key = viewer.lookups.find("ticket_subject", raw) or -1
        link = ticket_subjects.c
        return exists().where(link.ticket_id == Ticket.id, link.subject_id == key)

    def form_input(self, raw: Any, errors: list[str], viewer: Viewer) -> dict[str, Any]:
        """A multi-select."""
        options = [
            (key, viewer.lookups.cards["ticket_subject"][key]["label"])
            for key in viewer.lookups.offered["ticket_subject"]
        ]
        ids = {parse_id(part) for part in raw} if isinstance(raw, list) else set()
        chosen = [(key, label) for key, label in options if key in ids]
        return super().form_input(raw, errors, viewer) | {
            "options": options,
            "selected": chosen,
            "multiple": True,
            "value": ids,
        }


#: Ids of all present assignees, joined by comma: read with the row, so that a list needs no further statement.
_PRESENT = (
    select(func.group_concat(Assignment.user_id))
    .where(Assignment.ticket_id == Ticket.id, Assignment.ended_on.is_(None))
    .correlate(Ticket)
    .scalar_subquery()
)


class AssigneesField(PersonField):
    """The current assignee, by whom one filters; a cell shows those who help as well."""

    def cell(self, values: tuple[Any, ...], viewer: Viewer) -> dict[str, Any]:
        """Avatar and name, or the avatars of all."""
        keys = dict.fromkeys([values[0], *(int(key) for key in str(values[1] or "").split(",") if key)])
        people = [person_card(card) for key in keys if (card := viewer.lookups.person(key))]
        return {"kind": "people", "people": people} if len(people) > 1 else super().cell(values, viewer)

    def where(self, op: str, raw: Any, viewer: Viewer) -> Any:
        """By the current one."""
        return PersonField(self.name, self.label, self.columns[:1]).where(op, raw, viewer)


FIELDS: list[Field] = [
    TextField("number", _("Number"), (Ticket.number,), listed=True, filter=True, sort=True),
    TextField("title", _("Title"), (Ticket.title,), listed=True, filter=True),
    SubjectsField("subjects", _("Subjects"), key="subject_ids", filter=True, required=True, **_both),
    ChoiceField(
        "priority",
        _("Priority"),
        (Ticket.priority,),
        options=PRIORITIES,
        colors=PRIORITY_COLORS,
        listed=True,
        filter=True,
        sort=True,
        **_both,
    ),
    MasterField(
        "status",
        _("Status"),
        (Ticket.status_id,),
        key="status_id",
        master="ticket_status",
        status=True,
        listed=True,
        filter=True,
        sort=True,
        **_both,
    ),
    ChoiceField("source", _("Source"), (Ticket.source,), options=SOURCES, filter=True, **_both),
    LongTextField("description", _("Description"), (Ticket.description,), **_both),
    LongTextField("resolution", _("Resolution"), (Ticket.resolution,), **_both),
    RecordField(
        "customer",
        _("Customer"),
        (Ticket.customer_id, Customer.number, Customer.first_name, Customer.last_name),
        key="customer_id",
        record=Customer,
        url="/customers/",
        listed=True,
        filter=True,
        **_both,
    ),
    PhoneField("mobile", _("Mobile"), (Customer.mobile, Customer.mobile_e164), add=True),
    RecordField(
        "lead",
        _("Lead"),
        (Ticket.lead_id, Lead.number),
        key="lead_id",
        record=Lead,
        url="/leads/",
        filter=True,
        **_both,
    ),
    AssigneesField(
        "assignee", _("Assignee"), (Ticket.assignee_id, _PRESENT), key="assignee_id", listed=True, filter=True
    ),
    PersonField("owner", _("Owner"), (Ticket.owner_id,), key="owner_id", filter=True, edit=True),
    *clock_fields(Ticket, Ticket.resolved_on),
    DateTimeField("resolved_on", _("Resolved"), (Ticket.resolved_on,), filter=True),
    NumberField("version", _("Version"), (Ticket.version,)),
    DateTimeField("created_on", _("Created"), (Ticket.created_on,), listed=True, filter=True, sort=True),
    DateTimeField("changed_on", _("Updated"), (Ticket.changed_on,), filter=True, sort=True),
    TextField("first_name", _("First name"), key="first_name", add=True, most=80),
    TextField("last_name", _("Last name"), key="last_name", add=True, most=80),
    PersonField("assign_to", _("Assign to"), key="assign_to", add=True),
    TextField("assign_to_role", _("Assign to role"), key="assign_to_role", add=True, most=64),
    FirstTaskField("task", _("First task"), add=True, edit=True),
    TaskIdsField("close_tasks", _("Tasks to close"), edit=True),
]


def _lists(session: Session, ids: list[int], viewer: Viewer) -> dict[int, dict[str, Any]]:
    """Subjects and present assignees of these tickets, a statement each."""
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
    """Tickets: create, change (the status through its gate)."""

    record = Ticket
    module = "Tickets"
    record_table = RecordTable(
        Ticket,
        FIELDS,
        many=_lists,
        joins=((Customer, Customer.id == Ticket.customer_id), (Lead, Lead.id == Ticket.lead_id)),
    )

    def create(self, session: Session, values: dict[str, Any], viewer: Viewer) -> Ticket:
        """In one transaction; the customer named, found by mobile or made."""
        pop_assignment(values)
        refuse_foreign_assignee(values, "Tickets", viewer)
        with access.as_system(session):  # whose number it is, is asked of all customers
            values["customer_id"] = tickets.customer_for(session, values, viewer.change_context(vault=self.vault()))
        values = {name: given for name, given in values.items() if given is not None}
        minutes = viewer.lookups.business["first_task_minutes"]
        return tickets.create(
            session, values, viewer.change_context(sla_terms=viewer.lookups.terms, first_task_minutes=minutes)
        )

    def change(self, session: Session, row: Ticket, values: dict[str, Any], viewer: Viewer) -> None:
        """The owner only by those who may assign."""
        if values.get("owner_id") not in (None, row.owner_id):
            viewer.person.refuse_unless("Tickets", "assign")
        tickets.change(session, row, values, viewer.change_context(sla_terms=viewer.lookups.terms))


class TicketResource(SharedResource):
    """/api/v1/ticket/"""

    resource_name = "ticket"
    module = "Tickets"
    service = TicketService()
    extra_schema = {
        name: {"type": "array", "items": {"$ref": f"#/components/schemas/{card}"}}
        for name, card in (("subjects", "Card"), ("assignees", "UserCard"))
    }


class TicketScreen(Shared):
    """/tickets/"""

    route_base = "/tickets"
    module = "Tickets"
    service = TicketService()
    title, singular = _("Tickets"), _("Ticket")
    columns = ("title", "status", "priority", "customer", "assignee", "sla", "number", "created_on")
    quick = ("status", "priority", "assignee")
    strip = ("priority", "reply_due_on", "resolve_due_on", "customer", "mobile")
    own_timeline = "ticket_id"
    needs = {"resolved": "resolution", "closed": "resolution"}
    status_master = "ticket_status"
    headline = "title"
    served_by = "Support User"
    input_names = (
        "subjects",
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
        "owner",
        "description",
        "resolution",
    )
