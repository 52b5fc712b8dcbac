"""One's own notifications over REST."""

from __future__ import annotations

from typing import Any

from flask_babel import gettext as _
from sqlalchemy.orm import Session

from app.domain import notices
from app.domain.base import RuleBroken
from app.domain.notices import KINDS, Notification
from app.models import Lead, Ticket
from app.web.desk import Desk
from app.web.fields import Choice, Field, Flag, Glass, Number
from app.web.moments import When
from app.web.plan import Plan
from app.web.references import Reference, Someone
from app.web.resource import Resource


class IsRead(Flag):
    """Whether it was read."""

    def value(self, values: tuple[Any, ...], glass: Glass) -> Any:
        """By the stamp."""
        return values[0] is not None

    def wire(self, values: tuple[Any, ...], glass: Glass) -> Any:
        """True or False."""
        return values[0] is not None

    def where(self, op: str, raw: Any, glass: Glass) -> Any:
        """By the stamp."""
        read = self.take(raw, glass) == (op != "neq")
        return self.columns[0].is_not(None) if read else self.columns[0].is_(None)


FIELDS: list[Field] = [
    Choice("kind", "Kind", (Notification.kind,), options=KINDS, filter=True),
    When("at", "At", (Notification.at,), filter=True, sort=True),
    Someone("actor", "Actor", (Notification.actor_id,)),
    Reference("lead", "Lead", (Notification.lead_id, Lead.number), record=Lead, url="/leads/"),
    Reference("ticket", "Ticket", (Notification.ticket_id, Ticket.number), record=Ticket, url="/tickets/"),
    Number("task_id", "Task", (Notification.task_id,)),
    IsRead("read", "Read", (Notification.read_on,), filter=True, edit=True),
    When("snoozed_until", "Snoozed until", (Notification.snoozed_until,), edit=True),
]  # fmt: skip


class NoticeDesk(Desk):
    """Notifications of the person himself: read, mark read, snooze."""

    record = Notification
    module = "Dashboard"
    plan = Plan(Notification, FIELDS, joins=((Lead, Lead.id == Notification.lead_id),
                                             (Ticket, Ticket.id == Notification.ticket_id)))  # fmt: skip

    def change(self, session: Session, row: Notification, values: dict[str, Any], glass: Glass) -> None:
        """Mark read or unread, snooze."""
        if "read" in values:
            row.read_on = glass.now if values["read"] else None
        if "snoozed_until" in values:
            row.snoozed_until = values["snoozed_until"]
        if not values:
            raise RuleBroken(_("Please say what to change: read or snoozed_until."))


class NoticeResource(Resource):
    """/api/v1/notification/"""

    resource_name = "notification"
    module = "Dashboard"
    desk = NoticeDesk()
    VERBS = Resource.VERBS | {"put": "read"}
    exclude_route_methods = {"post", "delete"}

    def refuse_unless_reached(self, row: Any, verb: str) -> None:
        """One's own, which the law has seen to."""


__all__ = ["NoticeDesk", "NoticeResource", "notices"]
