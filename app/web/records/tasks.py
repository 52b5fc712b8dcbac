"""Tasks on the screen and over REST."""

from __future__ import annotations

import re
from typing import Any

from flask_appbuilder.security.sqla.models import User
from flask_babel import gettext as _g
from flask_babel import lazy_gettext as _
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app import access
from app.domain import assignment, notices, tasks
from app.domain.base import RuleBroken
from app.domain.tasks import PRIORITIES, STATUSES, Task
from app.domain.team import REMINDER_MINUTES
from app.models import Lead, Ticket
from app.web.api.resource import Resource
from app.web.core.date_fields import DateTimeField
from app.web.core.fields import BooleanField, ChoiceField, Field, LongTextField, NumberField, TextField, Viewer
from app.web.core.record_service import RecordService, refuse_foreign_assignee
from app.web.core.record_table import RecordTable
from app.web.core.reference_fields import PersonField, RecordField
from app.web.records.task_actions import TaskActions

_both: dict[str, Any] = {"add": True, "edit": True}
STATUS_COLORS = {"Backlog": "gray", "Todo": "blue", "In Progress": "orange", "Done": "green", "Canceled": "slate"}
PRIORITY_COLORS = {"Low": "slate", "Medium": "amber", "High": "red", "Urgent": "purple"}
FIELDS: list[Field] = [
    TextField("title", _("Title"), (Task.title,), most=200, listed=True, filter=True, required=True, **_both),
    ChoiceField(
        "status",
        _("Status"),
        (Task.status,),
        options=STATUSES,
        colors=STATUS_COLORS,
        listed=True,
        filter=True,
        sort=True,
        **_both,
    ),
    ChoiceField(
        "priority",
        _("Priority"),
        (Task.priority,),
        options=PRIORITIES,
        colors=PRIORITY_COLORS,
        listed=True,
        filter=True,
        sort=True,
        **_both,
    ),
    DateTimeField("due_on", _("Due"), (Task.due_on,), due=True, listed=True, filter=True, sort=True, **_both),
    PersonField("assignee", _("Assignee"), (Task.assignee_id,), key="assignee_id", listed=True, filter=True, **_both),
    RecordField(
        "lead",
        _("Lead"),
        (Task.lead_id, Lead.number),
        key="lead_id",
        record=Lead,
        url="/leads/",
        listed=True,
        filter=True,
        add=True,
    ),
    RecordField(
        "ticket",
        _("Ticket"),
        (Task.ticket_id, Ticket.number),
        key="ticket_id",
        record=Ticket,
        url="/tickets/",
        listed=True,
        filter=True,
        add=True,
    ),
    LongTextField("description", _("Description"), (Task.description,), **_both),
    BooleanField("exhausted", _("No one available"), (Task.exhausted,), filter=True),
    DateTimeField("done_on", _("Completed"), (Task.done_on,)),
    NumberField("version", _("Version"), (Task.version,)),
    DateTimeField("created_on", _("Created"), (Task.created_on,), filter=True, sort=True),
    DateTimeField("changed_on", _("Updated"), (Task.changed_on,), filter=True, sort=True),
]


class FirstTaskField(Field):
    """The task that comes with a new record: {title, priority, due_on}."""

    kind = "task"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.schema = {
            "type": "object",
            "nullable": True,
            "additionalProperties": False,
            "properties": {
                "title": {"type": "string", "maxLength": 200},
                "priority": {"type": "string", "enum": [*PRIORITIES]},
                "due_on": {"type": "string", "format": "date-time"},
            },
        }

    def parse(self, raw: Any, viewer: Viewer) -> Any:
        """The taken values of title, priority and due_on. Raises RuleBroken for anything else."""
        if raw is None:
            return None
        if not isinstance(raw, dict) or set(raw) - {"title", "priority", "due_on"}:
            raise RuleBroken(_g("A task takes title, priority and due_on."), self.name)
        named = {each.name: each for each in FIELDS}
        return {name: named[name].parse(given, viewer) for name, given in raw.items()}


class TaskIdsField(Field):
    """Ids of tasks to close with a status."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.schema = {"type": "array", "items": {"type": "integer"}}

    def parse(self, raw: Any, viewer: Viewer) -> Any:
        """A list of ids."""
        parts = raw if isinstance(raw, list) else str(raw or "").split(",")
        ids = [int(str(part)) for part in parts if re.fullmatch(r"\s*[0-9]{1,9}\s*", str(part))]
        if len(ids) != len([part for part in parts if str(part).strip()]):
            raise RuleBroken(_g("“close_tasks” must be a list of task IDs."), self.name)
        return ids


class TaskService(RecordService):
    """Tasks of leads and tickets that the person sees."""

    record = Task
    module = "Tasks"
    record_table = RecordTable(
        Task, FIELDS, joins=((Lead, Lead.id == Task.lead_id), (Ticket, Ticket.id == Task.ticket_id))
    )

    def create(self, session: Session, values: dict[str, Any], viewer: Viewer) -> Task:
        """For oneself, or for a colleague within reach; he is told."""
        self._refuse_assignee(session, values, viewer)
        values.setdefault("assignee_id", viewer.person.id)
        offsets = offsets_of(session, values["assignee_id"])
        task = tasks.create(session, values, viewer.change_context(reminder_minutes=offsets))
        self._tell(session, task, viewer)
        if task.lead_id and task.due_on:
            earlier = Lead.next_follow_up_on.is_(None) | (Lead.next_follow_up_on > task.due_on)
            step = update(Lead).where(Lead.id == task.lead_id, earlier).values(next_follow_up_on=task.due_on)
            session.execute(step, execution_options={"synchronize_session": False})
        return task

    def change(self, session: Session, row: Task, values: dict[str, Any], viewer: Viewer) -> None:
        """Through the domain's one door."""
        before = row.assignee_id
        if values.get("assignee_id") != before:
            self._refuse_assignee(session, values, viewer)
        tasks.change(session, row, values, viewer.change_context(reminder_minutes=offsets_of(session, row.assignee_id)))
        if row.assignee_id != before:
            self._tell(session, row, viewer)

    @staticmethod
    def _refuse_assignee(session: Session, values: dict[str, Any], viewer: Viewer) -> None:
        chosen = values.get("assignee_id")
        if chosen is not None and chosen != viewer.person.id:
            refuse_foreign_assignee(values, "Tasks", viewer)
            assignment.refuse_absent(session, chosen, viewer.now)

    @staticmethod
    def _tell(session: Session, task: Task, viewer: Viewer) -> None:
        if task.assignee_id:
            key = f"task_assigned:{task.id}:{viewer.now.isoformat()}"
            people = [task.assignee_id]
            notices.notify(session, people, "task_assigned", key, task, viewer.person.id, viewer.now, title=task.title)


def offsets_of(session: Session, user_id: int | None) -> tuple[int, ...]:
    """The person's reminder offsets, minutes before due."""
    if user_id is None:
        return REMINDER_MINUTES
    with access.as_system(session):
        chosen = session.execute(select(User.reminder_minutes).where(User.id == user_id)).scalar()
    return tuple(chosen) if chosen else REMINDER_MINUTES


class TaskResource(Resource):
    """/api/v1/task/"""

    resource_name = "task"
    module = "Tasks"
    service = TaskService()


class TaskScreen(TaskActions):
    """/tasks/"""

    route_base = "/tasks"
    module = "Tasks"
    service = TaskService()
    title, singular = _("Tasks"), _("Task")
    quick = ("status", "assignee", "priority")
    strip = ("status", "due_on", "assignee")
    own_timeline = "task_id"
    input_names = ("title", "lead", "ticket", "status", "priority", "due_on", "assignee", "description")
    headline = "title"
