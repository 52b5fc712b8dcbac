"""CRM Task."""

from __future__ import annotations

from app.models import Task
from app.web.compat.doctypes.base import REFERENCE, STAMPS, DocType, changed_by, reference_fields
from app.web.compat.references import (
    LEAD_TARGET,
    TICKET_TARGET,
)
from app.web.records.tasks import TaskResource

TASK = DocType(
    "CRM Task",
    TaskResource,
    STAMPS
    | REFERENCE
    | {
        "title": "title",
        "priority": "priority",
        "status": "status",
        "assigned_to": "assignee",
        "due_date": "due_on",
        "description": "description",
        "final_overdue": "exhausted",
        "lead": "lead",
        "ticket": "ticket",
        "owner": "assignee",
    },
    name_field=None,
    extra_fields=(changed_by(Task), *reference_fields(Task, LEAD_TARGET, TICKET_TARGET)),
)
