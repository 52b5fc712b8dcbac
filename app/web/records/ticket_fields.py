"""The fields of tickets."""

from __future__ import annotations

from typing import Any

from flask_babel import gettext as _g
from flask_babel import lazy_gettext as _
from sqlalchemy import exists, func, select

from app.domain.assignment import Assignment
from app.domain.base import RuleBroken
from app.domain.tickets import COMPLAINT_STATES, MAX_SUMMARY, PRIORITIES, SOURCES, Ticket, ticket_subjects
from app.lib.ids import parse_id
from app.models import Customer
from app.web.core.fields.base import ChoiceField, Field, TextField
from app.web.core.fields.contact_field_types import EmailField, NameField, PhoneField
from app.web.core.fields.reference_fields import PersonField, person_card
from app.web.core.fields.title_field import TitleField
from app.web.core.localization.default_labels import shown_label
from app.web.core.viewer import Viewer
from app.web.records import customer_facts
from app.web.records.caller_lookup import CallerField
from app.web.records.close_tasks_field import TaskIdsField
from app.web.records.sla_fields import CLOCK_LABELS, clock_fields
from app.web.records.tasks import PRIORITY_COLORS, FirstTaskField

#: Subjects of one ticket.
MAX_SUBJECTS = 40


COMPLAINT_WORDS = {"pending": _("Pending"), "disposed": _("Disposed of"), "joined": _("Joined to another complaint")}


class SubjectsField(Field):
    """The subjects of a ticket, by ids or labels; shown as one joined title."""

    kind = "many"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.operators = ("eq",)
        self.schema = {"type": "array", "items": {"$ref": "#/components/schemas/Card"}}

    def parse(self, raw: Any, viewer: Viewer) -> Any:
        """Ids of subjects. Raises RuleBroken for an unknown one."""
        parts = raw if isinstance(raw, list) else [part for part in str(raw or "").split(",") if part.strip()]
        if len(parts) > MAX_SUBJECTS:
            raise RuleBroken(_g("Please choose at most %(most)s subjects.", most=MAX_SUBJECTS), self.name)
        ids = [viewer.lookups.find("ticket_subject", part) for part in parts]
        if None in ids:
            raise RuleBroken(_g("One of these subjects does not exist."), self.name)
        return ids

    def where(self, op: str, raw: Any, viewer: Viewer) -> Any:
        """Tickets with the subject."""
        key = viewer.lookups.find("ticket_subject", raw) or -1
        link = ticket_subjects.c
        return exists().where(link.ticket_id == Ticket.id, link.subject_id == key)

    def form_input(self, raw: Any, errors: list[str], viewer: Viewer) -> dict[str, Any]:
        """The input: a multi-select."""
        options = [
            (key, shown_label(viewer.lookups.cards["ticket_subject"][key]["label"]))
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


#: Ids of all current assignees, comma-separated: read with the row, so that a list needs no further statement.
_PRESENT = (
    select(func.group_concat(Assignment.user_id))
    .where(Assignment.ticket_id == Ticket.id, Assignment.ended_on.is_(None))
    .correlate(Ticket)
    .scalar_subquery()
)


#: Ids of all subjects, comma-separated.
SUBJECT_IDS = (
    select(func.group_concat(ticket_subjects.c.subject_id))
    .where(ticket_subjects.c.ticket_id == Ticket.id)
    .correlate(Ticket)
    .scalar_subquery()
)


class SubjectLabelsField(TextField):
    """The labels of all subjects, joined by comma in the order of the picklist; filters compare the title."""

    def value(self, values: tuple[Any, ...], viewer: Viewer) -> Any:
        """The labels as stored."""
        return ", ".join(self._labels(values, viewer)) or None

    def cell(self, values: tuple[Any, ...], viewer: Viewer) -> dict[str, Any]:
        """The labels in the language of the page."""
        return {"kind": "text", "text": ", ".join(str(shown_label(label)) for label in self._labels(values, viewer))}

    @staticmethod
    def _labels(values: tuple[Any, ...], viewer: Viewer) -> list[str]:
        chosen = {int(key) for key in str(values[0] or "").split(",") if key}
        return [card["label"] for key, card in viewer.lookups.cards["ticket_subject"].items() if key in chosen]

    def filter_columns(self) -> tuple[Any, ...]:
        """The title."""
        return (Ticket.title,)

    def empty_columns(self) -> tuple[Any, ...]:
        """The title, too: every ticket has one."""
        return (Ticket.title,)


class AssigneesField(PersonField):
    """The main assignee, for filters; cells also show the additional assignees."""

    def cell(self, values: tuple[Any, ...], viewer: Viewer) -> dict[str, Any]:
        """Avatar and name of one assignee, or the avatars of several."""
        keys = dict.fromkeys([values[0], *(int(key) for key in str(values[1] or "").split(",") if key)])
        people = [person_card(card) for key in keys if (card := viewer.lookups.person(key))]
        return {"kind": "people", "people": people} if len(people) > 1 else super().cell(values, viewer)

    def where(self, op: str, raw: Any, viewer: Viewer) -> Any:
        """Filter by the main assignee."""
        return PersonField(self.name, self.label, self.columns[:1]).where(op, raw, viewer)


SPECIAL_FIELDS: tuple[Field, ...] = (
    SubjectsField("subjects", key="subject_ids", required=True),
    SubjectLabelsField("subject_labels", columns=(SUBJECT_IDS,)),
    TextField(
        "summary",
        max_length=MAX_SUMMARY,
        help=_("What the customer asks, in one line. Lists show it instead of the subjects."),
    ),
    ChoiceField("priority", options=PRIORITIES, colors=PRIORITY_COLORS),
    ChoiceField("source", options=SOURCES, words={"E-mail": _("Email")}),
    CallerField(
        "customer",
        columns=(
            *(Ticket.customer_id, Customer.number, Customer.first_name, Customer.last_name),
            *(Ticket.opens_customer, Ticket.first_name, Ticket.last_name, Ticket.email),
        ),
        key="customer_id",
        record=Customer,
    ),
    PhoneField(
        "mobile",
        columns=(Ticket.mobile, Ticket.mobile_e164, Customer.mobile, Customer.mobile_e164),
        others=(Ticket.alternative_e164, Customer.alternative_e164),
    ),
    EmailField("email", columns=(Ticket.email, Customer.email)),
    NameField("caller", columns=(Ticket.first_name, Ticket.last_name, Customer.first_name, Customer.last_name)),
    *customer_facts.facts("client_id", "kyc_status", "refused_channels"),
    AssigneesField("assignee", columns=(Ticket.assignee_id, _PRESENT), key="assignee_id"),
    *clock_fields(Ticket, Ticket.resolved_on),
    TextField("first_name", columns=(Ticket.first_name, Customer.first_name), max_length=80),
    TextField("last_name", columns=(Ticket.last_name, Customer.last_name), max_length=80),
    TitleField("title", max_length=500),
    PersonField("assign_to", receives="ticket"),
    TextField("assign_to_role", max_length=64),
    ChoiceField("complaint_state", options=COMPLAINT_STATES, words=COMPLAINT_WORDS),
    FirstTaskField("task"),
    TaskIdsField("close_tasks"),
)
LABELS = CLOCK_LABELS | {
    **customer_facts.LABELS,
    "number": _("Number"),
    "title": _("Title"),
    "subjects": _("Subjects"),
    "subject_labels": _("Subjects"),
    "summary": _("Summary"),
    "priority": _("Priority"),
    "status": _("Status"),
    "source": _("Source"),
    "description": _("Description"),
    "resolution": _("Resolution"),
    "customer": _("Customer"),
    "mobile": _("Mobile"),
    "caller": _("Caller"),
    "email": _("Email"),
    "lead": _("Lead"),
    "assignee": _("Assignee"),
    "owner": _("Owner"),
    "resolved_on": _("Resolved"),
    "version": _("Version"),
    "created_on": _("Created"),
    "changed_on": _("Updated"),
    "first_name": _("First name"),
    "last_name": _("Last name"),
    "assign_to": _("Assign to"),
    "assign_to_role": _("Assign to role"),
    "task": _("First task"),
    "close_tasks": _("Tasks to close"),
    "complaint_state": _("Complaint"),
}
