"""The fields of complaints: what they show of their ticket, and their clocks."""

from __future__ import annotations

from datetime import date
from typing import Any

from flask_babel import gettext as _g
from flask_babel import lazy_gettext as _
from flask_babel import ngettext
from sqlalchemy import Integer, cast, select

from app.domain.complaints.clocks import SOON_DAYS, ComplaintStamp, ComplaintTerms, terms_of
from app.domain.complaints.complaint import (
    EXCHANGES,
    OUTCOMES,
    REVIEW_STAGES,
    SEGMENTS,
    SOURCES,
    WAYS,
    Complaint,
)
from app.domain.complaints.disclosure_counts import DAY_SECONDS
from app.domain.erasure.erasures import is_marker
from app.domain.sql_times import seconds_between
from app.domain.tickets import Ticket
from app.extensions import db
from app.lib import phone
from app.lib.digit_grouping import GroupedInt, grouped
from app.models import Customer
from app.web.core.fields.base import ChoiceField, Field, LongTextField, NumberField, TextField
from app.web.core.fields.date_fields import DateField
from app.web.core.fields.reference_fields import PicklistField, RecordField
from app.web.core.fields.scalar_fields import DecimalField
from app.web.core.localization.day_and_month_names import format_local_date
from app.web.core.localization.default_labels import shown_label
from app.web.core.viewer import Viewer
from app.web.records.caller_lookup import CallerField

OUTCOME_COLORS = dict(zip(OUTCOMES, ("green", "teal", "red", "slate", "gray"), strict=True))
SOURCE_COLORS = {"SEBI SCORES": "red", "Stock exchange": "orange", "Depository": "violet"}


def today_of(viewer: Viewer) -> date:
    """The day of the office."""
    return viewer.now.astimezone(viewer.lookups.office.zone).date()


def terms_for(viewer: Viewer) -> ComplaintTerms:
    """The clocks in force in this request."""
    return terms_of(viewer.lookups.business, viewer.lookups.office, today_of(viewer))


def stamp_for(viewer: Viewer) -> ComplaintStamp:
    """The stamp of a change of a complaint in this request."""
    return terms_for(viewer).stamped(viewer.stamp)


def days_left(due: date, viewer: Viewer) -> dict[str, Any]:
    """The cell of a running clock: how many days are left, or since when it is overdue; colored."""
    left = (due - today_of(viewer)).days
    if left < 0:
        text = ngettext("%(num)s day overdue", "%(num)s days overdue", GroupedInt(-left))
    elif left == 0:
        text = _g("Due today")
    else:
        text = ngettext("%(num)s day left", "%(num)s days left", GroupedInt(left))
    color = "red" if left < 0 else "amber" if left <= SOON_DAYS else "blue"
    return {"kind": "status", "label": text, "color": color, "title": format_local_date(due, "%a %-d %b %Y")}


class ClockField(DateField):
    """The day by which something is due: selects (due, done, outcome, joined); the first of the last three ends it."""

    def value(self, values: tuple[Any, ...], viewer: Viewer) -> Any:
        """The day by which it is due."""
        return values[0]

    def cell(self, values: tuple[Any, ...], viewer: Viewer) -> dict[str, Any]:
        """The days left while the clock runs, else the day on which it was done."""
        due, done, *ended = values
        if due is None:
            return {"kind": "missing"}
        if done is not None:
            day = format_local_date(done, "%-d %b %Y")
            return {"kind": "status", "label": _g("Done on %(day)s", day=day), "color": "green"}
        return {"kind": "missing"} if any(ended) else days_left(due, viewer)

    def filter_columns(self) -> tuple[Any, ...]:
        """The day by which it is due."""
        return self.columns[:1]

    def empty_columns(self) -> tuple[Any, ...]:
        """The day by which it is due."""
        return self.columns[:1]

    def order(self) -> Any:
        """Sort by the day by which it is due."""
        return self.columns[0]


class ReviewClockField(ClockField):
    """The day by which the review ends: selects the due days of the three stages, and when the report was filed."""

    def value(self, values: tuple[Any, ...], viewer: Viewer) -> Any:
        """The due day of the last stage that began."""
        return next((due for due in reversed(values[:3]) if due is not None), None)

    def cell(self, values: tuple[Any, ...], viewer: Viewer) -> dict[str, Any]:
        """The days left; before any review, until when the investor may ask for one."""
        due, filed = self.value(values, viewer), values[3]
        if due is not None:
            return days_left(due, viewer)
        terms = terms_for(viewer)
        until = None if filed is None else terms.after(filed, "review_request")
        if until is None or until < terms.today:
            return {"kind": "missing"}
        day = format_local_date(until, "%-d %b %Y")
        return {"kind": "text", "text": _g("Can be asked for until %(day)s", day=day)}

    def filter_columns(self) -> tuple[Any, ...]:
        """The due days of the three stages."""
        return self.columns[:3]

    def empty_columns(self) -> tuple[Any, ...]:
        """The due days of the three stages."""
        return self.columns[:3]


class AmountField(DecimalField):
    """Rupees."""

    def cell(self, values: tuple[Any, ...], viewer: Viewer) -> dict[str, Any]:
        """Grouped, with paise if there are any."""
        amount = values[0]
        if amount is None:
            return {"kind": "missing"}
        paise = f".{amount % 1 * 100:02.0f}" if amount % 1 else ""
        return {"kind": "text", "text": f"₹ {grouped(int(amount))}{paise}"}


def _of_customer(column: Any) -> Any:
    """A column of the ticket's customer, as far as the person sees them."""
    return select(column).where(Customer.id == Ticket.customer_id).correlate(Ticket).scalar_subquery()


class ComplainantField(CallerField):
    """The customer of the complaint's ticket: selects (id, number, first, last, and the ticket's own first, last)."""

    def serialize(self, values: tuple[Any, ...], viewer: Viewer) -> Any:
        """The card; None if the customer is not visible."""
        return RecordField.serialize(self, values[:4], viewer)

    def cell(self, values: tuple[Any, ...], viewer: Viewer) -> dict[str, Any]:
        """A link to the customer, else the name that the ticket has; of an erased one, the ticket has it, too."""
        card, name = self.serialize(values, viewer), " ".join(filter(None, values[4:6]))
        if card is not None:
            label = name if name and is_marker(card["label"]) else card["label"]
            return {"kind": "record", "url": f"{self.url}{card['number']}", "number": label, "label": ""}
        return {"kind": "text", "text": name} if name else {"kind": "missing"}

    def empty_columns(self) -> tuple[Any, ...]:
        """The customer of the ticket."""
        return self.columns[:1]

    def where(self, op: str, raw: Any, viewer: Viewer) -> Any:
        """By the customer of the ticket; "empty" by what the person sees."""
        return RecordField.where(self, op, raw, viewer)

    def _label(self, value: Any) -> str:
        """The name of a chosen customer whom the person sees; other input is kept as typed."""
        names = (Customer.number, Customer.first_name, Customer.last_name)
        row = db.session.execute(select(*names).where(Customer.id == value)).first() if isinstance(value, int) else None
        return str(value) if row is None else " ".join(filter(None, row[1:])) or row[0]


class MobileField(Field):
    """The mobile number of the investor: selects the ticket's and the customer's, in E.164, and as typed; masked."""

    kind = "phone"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.operators, self.max_length, self.mask = (), 40, True

    def cell(self, values: tuple[Any, ...], viewer: Viewer) -> dict[str, Any]:
        """Formatted for reading, or masked."""
        shown = self.value(values, viewer)
        if not shown:
            return {"kind": "missing"}
        is_full = viewer.person.mask(self.name) == "full"
        return {"kind": "text", "text": phone.display(shown) if is_full else shown}


class CategoryField(PicklistField):
    """A category of the tree; shown with the one above it."""

    def cell(self, values: tuple[Any, ...], viewer: Viewer) -> dict[str, Any]:
        """“Demat: Pledge and unpledge”."""
        return {"kind": "text", "text": self._text(values[0], viewer)} if values[0] else {"kind": "missing"}

    def form_input(self, raw: Any, errors: list[str], viewer: Viewer) -> dict[str, Any]:
        """A select of the active categories, each after the one above it."""
        made = super().form_input(raw, errors, viewer)
        return made | {"options": [(key, self._text(key, viewer)) for key, _label in made["options"]]}

    def _text(self, key: int, viewer: Viewer) -> str:
        rows = viewer.lookups.rows[self.picklist]
        row = rows.get(key, {})
        parent = rows.get(row.get("parent_id") or 0)
        labels = [shown_label(each["label"]) for each in (parent, row) if each]
        return ": ".join(labels)


_END = (Complaint.outcome, Complaint.joined_to_id)
_DAYS_TAKEN = cast(seconds_between(Complaint.received_on, Complaint.disposed_on) // DAY_SECONDS, Integer)
SPECIAL_FIELDS: tuple[Field, ...] = (
    TextField("title", max_length=200, help=_("What the investor complains of, in one line.")),
    ChoiceField("source", options=SOURCES, colors=SOURCE_COLORS, required=True),
    TextField("reference", max_length=60, help=_("The number that the source has given it.")),
    DateField("received_on", help=_("When the source received it. All clocks start on this day.")),
    CategoryField(
        "category", columns=(Complaint.category_id,), key="category_id", picklist="complaint_category", required=True
    ),
    ChoiceField("exchange", options=EXCHANGES),
    ChoiceField("segment", options=SEGMENTS),
    ChoiceField("outcome", options=OUTCOMES, colors=OUTCOME_COLORS),
    ChoiceField("review_stage", options=REVIEW_STAGES),
    DateField("review_on", help=_("When this stage of the review began; today, if you leave it empty.")),
    ChoiceField("way", options=WAYS, help=_("How it reached us.")),
    ClockField("acknowledge_due_on", columns=(Complaint.acknowledge_due_on, Complaint.acknowledged_on, *_END)),
    ClockField("report_due_on", columns=(Complaint.report_due_on, Complaint.report_filed_on, *_END)),
    ReviewClockField(
        "review_due_on",
        columns=(
            *(Complaint.first_review_due_on, Complaint.second_review_due_on, Complaint.dispute_due_on),
            Complaint.report_filed_on,
        ),
    ),
    NumberField("days_taken", columns=(_DAYS_TAKEN,), help=_("From the receipt to the outcome.")),
    AmountField("amount_in_dispute"),
    AmountField("report_amount"),
    RecordField("ticket", columns=(Complaint.ticket_id, Ticket.number, Ticket.number), key="ticket_id", record=Ticket),
    ComplainantField(
        "customer",
        columns=(
            *(Ticket.customer_id, *map(_of_customer, (Customer.number, Customer.first_name, Customer.last_name))),
            *(Ticket.first_name, Ticket.last_name),
        ),
        key="customer_id",
        record=Customer,
    ),
    MobileField("mobile", columns=(Ticket.mobile_e164, _of_customer(Customer.mobile_e164), Ticket.mobile)),
    LongTextField("description", columns=(Ticket.description,)),
    TextField("first_name", columns=(Ticket.first_name,), max_length=80),
    TextField("last_name", columns=(Ticket.last_name,), max_length=80),
    LongTextField("report_facts", help=_("What happened, with days and amounts.")),
    LongTextField("report_findings", help=_("What you found when you looked into it.")),
    LongTextField("report_actions", help=_("An outcome needs it.")),
    LongTextField("report_evidence", help=_("Which documents and recordings show it; attach them to the ticket.")),
)
LABELS = {
    "number": _("Number"),
    "title": _("Complaint"),
    "source": _("Received from"),
    "reference": _("Reference"),
    "received_on": _("Received"),
    "cause_on": _("Day of the cause"),
    "category": _("Category"),
    "amount_in_dispute": _("Amount in dispute (₹)"),
    "exchange": _("Exchange or depository"),
    "segment": _("Segment"),
    "officer": _("Responsible officer"),
    "is_impersonation": _("Impersonation by others"),
    "acknowledge_due_on": _("Acknowledgment due"),
    "acknowledged_on": _("Acknowledged"),
    "report_facts": _("Facts"),
    "report_findings": _("Findings"),
    "report_actions": _("What was done"),
    "report_amount": _("Amount paid (₹)"),
    "report_evidence": _("Evidence"),
    "report_officer": _("Officer of the report"),
    "report_due_on": _("Report due"),
    "report_filed_on": _("Report filed"),
    "outcome": _("Outcome"),
    "disposed_on": _("Disposed of"),
    "days_taken": _("Days taken"),
    "review_stage": _("Review"),
    "review_on": _("Review since"),
    "review_due_on": _("Review due"),
    "first_review_on": _("First review since"),
    "first_review_due_on": _("First review due"),
    "second_review_on": _("Second review since"),
    "second_review_due_on": _("Second review due"),
    "dispute_on": _("Online dispute resolution since"),
    "dispute_due_on": _("Online dispute resolution due"),
    "joined_to": _("Joined to"),
    "way": _("Way"),
    "remark": _("Remark"),
    "ticket": _("Ticket"),
    "customer": _("Customer"),
    "mobile": _("Mobile"),
    "first_name": _("First name"),
    "last_name": _("Last name"),
    "description": _("Description"),
    "version": _("Version"),
    "created_on": _("Created"),
    "changed_on": _("Updated"),
}
