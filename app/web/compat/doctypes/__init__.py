"""Table of contents of the predecessor's DocTypes: one module per noun, one line per field."""

from __future__ import annotations

from app.web.compat.doctypes.assignment_request import ASSIGNMENT_REQUEST
from app.web.compat.doctypes.base import DocType
from app.web.compat.doctypes.call_log import CALL_LOG
from app.web.compat.doctypes.customer import CUSTOMER
from app.web.compat.doctypes.lead import LEAD
from app.web.compat.doctypes.note import NOTE
from app.web.compat.doctypes.notification import NOTIFICATION, TASK_NOTIFICATION
from app.web.compat.doctypes.task import TASK
from app.web.compat.doctypes.ticket import TICKET

_ALL = (
    LEAD,
    TICKET,
    CUSTOMER,
    TASK,
    CALL_LOG,
    ASSIGNMENT_REQUEST,
    NOTE,
    TASK_NOTIFICATION,
    NOTIFICATION,
)
#: DocType name -> DocType; a DocType that is not in it cannot be reached.
DOCTYPES: dict[str, DocType] = {doctype.name: doctype for doctype in _ALL}
#: Never written here, whatever our own REST API allows.
READ_ONLY = frozenset({TASK_NOTIFICATION.name, NOTIFICATION.name})

__all__ = [
    "ASSIGNMENT_REQUEST",
    "CALL_LOG",
    "CUSTOMER",
    "DOCTYPES",
    "LEAD",
    "NOTE",
    "NOTIFICATION",
    "READ_ONLY",
    "TASK",
    "TASK_NOTIFICATION",
    "TICKET",
    "DocType",
]
