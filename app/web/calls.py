"""Call logs on the screen and over REST."""

from __future__ import annotations

from typing import Any

from flask_babel import lazy_gettext as _
from sqlalchemy.orm import Session

from app.domain import calls
from app.domain.calls import DIRECTIONS, STATUSES, CallLog
from app.lib import phone
from app.models import Customer, Lead, Ticket
from app.web.desk import Desk
from app.web.fields import Choice, Duration, Field, Flag, Glass, Text
from app.web.moments import When
from app.web.personal import Phone
from app.web.plan import Plan
from app.web.references import Reference, Someone
from app.web.resource import Resource
from app.web.screen import Screen

_both: dict[str, Any] = {"add": True, "edit": True}
COLORS = {
    "Completed": "green", "Missed Call": "red", "Did Not Picked": "red", "Failed": "red", "No Answer": "red",
    "Busy": "orange", "In Progress": "blue",
}  # fmt: skip


class CallNumber(Phone):
    """One side's number of a call, masked like a mobile."""

    def value(self, values: tuple[Any, ...], glass: Glass) -> Any:
        """As the telephone gave it, or normalised; masked like a mobile, or like an e-mail address if it is one."""
        return glass.who.shown("email" if "@" in str(values[0]) else "mobile", values[0])

    def is_hidden(self, glass: Glass) -> bool:
        """From whoever does not see mobiles and e-mail addresses whole: a column may hold either."""
        return {glass.who.mask("mobile"), glass.who.mask("email")} != {"full"}

    def cell(self, values: tuple[Any, ...], glass: Glass) -> dict[str, Any]:
        """With a link unless masked."""
        shown = self.value(values, glass)
        if not shown:
            return {"kind": "missing"}
        kind = "phone" if glass.who.mask("mobile") == "full" else "text"
        return {"kind": kind, "text": phone.shown(shown) if kind == "phone" else shown, "tel": shown}

    def asked_columns(self) -> tuple[Any, ...]:
        """The normalised other side where there is one."""
        return self.columns[-1:]


FIELDS: list[Field] = [
    When("started_on", _("Started"), (CallLog.started_on,), listed=True, filter=True, sort=True, required=True,
         **_both),
    Choice("direction", _("Direction"), (CallLog.direction,), options=DIRECTIONS, listed=True, filter=True,
           required=True,
           colors={"Incoming": "blue", "Outgoing": "teal", "Unknown": "gray"}, **_both),
    Choice("status", _("Status"), (CallLog.status,), options=STATUSES, colors=COLORS, listed=True, filter=True,
           required=True, **_both),
    CallNumber("from_number", _("From"), (CallLog.from_number,), listed=True, **_both),
    CallNumber("to_number", _("To"), (CallLog.to_number,), listed=True, **_both),
    CallNumber("other_number", _("Other side"), (CallLog.other_e164,), filter=True),
    Duration("duration_seconds", _("Duration"), (CallLog.duration_seconds,), listed=True, filter=True, sort=True,
             **_both),
    When("ended_on", _("Ended"), (CallLog.ended_on,), **_both),
    Someone("employee", _("Employee"), (CallLog.employee_id,), key="employee_id", listed=True, filter=True),
    Reference("customer", _("Customer"), (CallLog.customer_id, Customer.number, Customer.first_name,
              Customer.last_name),
              key="customer_id", record=Customer, url="/customers/", listed=True, filter=True, **_both),
    Reference("lead", _("Lead"), (CallLog.lead_id, Lead.number), key="lead_id", record=Lead, url="/leads/", filter=True,
              **_both),
    Reference("ticket", _("Ticket"), (CallLog.ticket_id, Ticket.number), key="ticket_id", record=Ticket,
              url="/tickets/",
              filter=True, **_both),
    Flag("cold", _("Cold call"), (CallLog.cold,), filter=True, **_both),
    Text("outcome", _("Outcome"), (CallLog.outcome,), most=500, **_both),
    Text("device_call_id", _("Device call id"), (CallLog.device_call_id,), most=120, filter=True, add=True),
    Text("medium", _("Medium"), (CallLog.medium,), filter=True),
    When("created_on", _("Created"), (CallLog.created_on,), filter=True, sort=True),
    When("changed_on", _("Changed"), (CallLog.changed_on,), filter=True),
]  # fmt: skip


class CallDesk(Desk):
    """Calls; made by hand here, by telephones at the compatibility door."""

    record = CallLog
    module = "Call Logs"
    plan = Plan(CallLog, FIELDS, joins=((Customer, Customer.id == CallLog.customer_id), (Lead,
        Lead.id == CallLog.lead_id),
                                        (Ticket, Ticket.id == CallLog.ticket_id)))  # fmt: skip

    def create(self, session: Session, values: dict[str, Any], glass: Glass) -> CallLog:
        """One's own call."""
        return calls.create(session, values, glass.who.id, glass.now)

    def change(self, session: Session, row: CallLog, values: dict[str, Any], glass: Glass) -> None:
        """Outcome, links, corrections."""
        calls.change(session, row, values, glass.who.id, glass.now)


class CallResource(Resource):
    """/api/v1/call_log/"""

    resource_name = "call_log"
    module = "Call Logs"
    desk = CallDesk()


class CallScreen(Screen):
    """/calls/"""

    route_base = "/calls"
    module = "Call Logs"
    desk = CallDesk()
    title, singular = _("Calls"), _("Call")
    columns = (
        "other_number",
        "direction",
        "status",
        "started_on",
        "duration_seconds",
        "employee",
        "customer",
        "outcome",
    )
    quick = ("direction", "status", "employee")
    strip = ("direction", "status", "duration_seconds", "other_number")
    input_names = ("direction", "status", "from_number", "to_number", "started_on", "ended_on", "duration_seconds",
                   "customer", "lead", "ticket", "cold", "outcome")  # fmt: skip
    headline = "other_number"
