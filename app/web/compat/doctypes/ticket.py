"""CRM Ticket: a ticket, and its customer's personal fields."""

from __future__ import annotations

from app.models import Customer, Ticket
from app.web.compat import child_rows
from app.web.compat.doctypes.base import PERSONAL_FIELDS, STAMPS, DocType, changed_by
from app.web.core.fields.base import TextField
from app.web.core.fields.contact_field_types import EmailField, NameField, PhoneField, SecretField
from app.web.records.ticket_fields import SUBJECT_IDS, SubjectLabelsField
from app.web.records.tickets import TicketResource

TICKET = DocType(
    "CRM Ticket",
    TicketResource,
    STAMPS
    | PERSONAL_FIELDS
    | {
        "subject": "title",
        "ticket_subject": "subject_labels",
        "priority": "priority",
        "customer_name": "customer_name",
        "status": "status",
        "ticket_source": "source",
        "description": "description",
        "resolution": "resolution",
        "resolved_on": "resolved_on",
        "customer_id": "customer",
        "lead": "lead",
        "assigned_to": "assignee",
        "ticket_owner": "owner",
        "owner": "owner",
        "response_by": "reply_due_on",
    },
    extra_fields=(
        changed_by(Ticket),
        SubjectLabelsField("subject_labels", "Subjects", (SUBJECT_IDS,), filter=True),
        NameField(
            "customer_name",
            "Customer",
            (Ticket.first_name, Ticket.last_name, Customer.first_name, Customer.last_name),
        ),
        TextField(
            "first_name", "First name", (Ticket.first_name, Customer.first_name), max_length=80, add=True, filter=True
        ),
        TextField(
            "last_name", "Last name", (Ticket.last_name, Customer.last_name), max_length=80, add=True, filter=True
        ),
        PhoneField(
            "mobile",
            "Mobile",
            (Ticket.mobile, Ticket.mobile_e164, Customer.mobile, Customer.mobile_e164),
            add=True,
            filter=True,
        ),
        PhoneField(
            "alternative_mobile",
            "Other mobile",
            (
                Ticket.alternative_mobile,
                Ticket.alternative_e164,
                Customer.alternative_mobile,
                Customer.alternative_e164,
            ),
            add=True,
        ),
        EmailField("email", "E-mail", (Ticket.email, Customer.email), add=True, filter=True),
        SecretField(
            "pan", "PAN", (Ticket.pan_sealed, Ticket.pan_blind, Customer.pan_sealed, Customer.pan_blind), add=True
        ),
        SecretField(
            "aadhaar",
            "Aadhaar",
            (Ticket.aadhaar_sealed, Ticket.aadhaar_blind, Customer.aadhaar_sealed, Customer.aadhaar_blind),
            add=True,
        ),
    ),
    insert_fields={
        "ticket_subjects": "subjects",
        "ticket_subject": "subjects",
        "assigned_to": "assign_to",
        "assigned_role": "assign_to_role",
    },
    children=child_rows.ticket_children,
)
