"""CRM Task Notification and CRM Notification: two views of a person's own notices."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, false, not_, or_

from app.models import Notification
from app.web.compat.doctypes.base import REFERENCE, DocType, reference_fields
from app.web.compat.references import CUSTOMER_TARGET, LEAD_TARGET, TICKET_TARGET
from app.web.core.fields.base import Field
from app.web.core.fields.date_fields import DateTimeField
from app.web.core.fields.reference_fields import PersonField
from app.web.core.viewer import Viewer
from app.web.workday.notice_rest import NoticeResource

#: Our kind of notice -> the predecessor's type; other kinds keep our name.
_TYPES = {
    "task_due": "Due Date Reminder",
    "task_overdue": "Overdue Task",
    "task_assigned": "Task Assignment",
    "assigned": "Lead Assignment",
    "exhausted": "Task Reassignment Limit",
    "request": "Assignment Request",
    "request_approved": "Assignment Request Approved",
    "request_rejected": "Assignment Request Rejected",
    "comment": "New Message",
    "mention": "Mention",
}


class _TypeField(Field):
    """notification_type; filters take the predecessor's type or our kind."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.operators = ("eq", "neq", "in")

    def serialize(self, values: tuple[Any, ...], viewer: Viewer) -> Any:
        """The predecessor's type, if it has one."""
        return _TYPES.get(values[0], values[0])

    def parse_filter(self, raw: Any, viewer: Viewer) -> Any:
        """Our kind."""
        return next((kind for kind, name in _TYPES.items() if name == str(raw)), str(raw))


class _StatusField(Field):
    """status: Sent or Read."""

    def serialize(self, values: tuple[Any, ...], viewer: Viewer) -> Any:
        """“Read” if the notice has a time at which it was read, else “Sent”."""
        return "Sent" if values[0] is None else "Read"

    def where(self, op: str, raw: Any, viewer: Viewer) -> ColumnElement[bool]:
        """Pending and Sent match unread notices; another status matches nothing."""
        unread: ColumnElement[bool] = self.columns[0].is_(None)
        conditions = {"Pending": unread, "Sent": unread, "Read": not_(unread)}
        names = {str(each) for each in (raw if isinstance(raw, list) else [raw])}
        matches = or_(false(), *[conditions.get(name, false()) for name in names])
        return not_(matches) if op == "neq" else matches


def _allow(row: Any, viewer: Viewer) -> None:
    """A person's own notice; the access rules have already checked that."""


TASK_NOTIFICATION = DocType(
    "CRM Task Notification",
    NoticeResource,
    REFERENCE
    | {
        "task": "task_id",
        "assigned_to": "recipient",
        "notification_type": "type",
        "status": "state",
        "message": "text",
        "notification_text": "text",
        "sent_at": "at",
        "read_at": "read_on",
        "owner": "recipient",
        "creation": "at",
        "modified": "at",
    },
    name_field=None,
    extra_fields=(
        PersonField("recipient", "To", (Notification.user_id,), filter=True),
        _TypeField("type", "Type", (Notification.kind,), filter=True),
        _StatusField("state", "Status", (Notification.read_on,), filter=True),
        DateTimeField("read_on", "Read", (Notification.read_on,)),
        *reference_fields(Notification, TICKET_TARGET, LEAD_TARGET, CUSTOMER_TARGET),
    ),
    refuse_change=_allow,
)

NOTIFICATION = DocType(
    "CRM Notification",
    NoticeResource,
    {
        "from_user": "actor",
        "to_user": "recipient",
        "type": "type",
        "read": "read",
        "message": "text",
        "notification_text": "text",
        "owner": "actor",
        "creation": "at",
        "modified": "at",
        "reference_doctype": "about_kind",
        "reference_name": "about_number",
        "notification_type_doctype": "about_kind",
        "notification_type_doc": "about_number",
    },
    name_field=None,
    extra_fields=(
        PersonField("recipient", "To", (Notification.user_id,), filter=True),
        _TypeField("type", "Type", (Notification.kind,), filter=True),
        *reference_fields(Notification, TICKET_TARGET, LEAD_TARGET, CUSTOMER_TARGET),
    ),
    refuse_change=_allow,
)
