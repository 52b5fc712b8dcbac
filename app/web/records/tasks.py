"""Tasks: pages and REST resource."""

from __future__ import annotations

from functools import partial
from typing import Any

from flask import request
from flask_appbuilder.models.sqla.interface import SQLAInterface
from flask_babel import gettext as _g
from flask_babel import lazy_gettext as _
from sqlalchemy import Integer, bindparam, update
from sqlalchemy.orm import Session

from app import access
from app.domain import assignment, tasks
from app.domain.base import RuleBroken
from app.domain.next_follow_up import PlannedTask, moved
from app.domain.notifications import notices
from app.domain.notifications.reminder_preferences import REMINDER_MINUTES
from app.domain.tasks import OPEN, PRIORITIES, STATUSES, Task
from app.models import Lead
from app.web.api.resource import Resource
from app.web.core.fields.base import ChoiceField, Field
from app.web.core.fields.title_field import TitleField
from app.web.core.queries.list_query import ListQuery
from app.web.core.viewer import Viewer
from app.web.core.views.record_service import RecordService, refuse_foreign_assignee
from app.web.records.bulk_actions import BulkAction, set_column
from app.web.records.calendar_rescheduling import CalendarMoves
from app.web.records.lists.list_tabs import ListTab, shown_tabs
from app.web.records.related_person_field import OpenDueField, RelatedPersonField

STATUS_COLORS = {"Backlog": "gray", "Todo": "blue", "In Progress": "orange", "Done": "green", "Canceled": "slate"}
PRIORITY_COLORS = {"Low": "slate", "Medium": "blue", "High": "orange", "Urgent": "red"}
SPECIAL_FIELDS: tuple[Field, ...] = (
    TitleField("title", max_length=200, required=True),
    ChoiceField("status", options=STATUSES, colors=STATUS_COLORS),
    ChoiceField("priority", options=PRIORITIES, colors=PRIORITY_COLORS),
    OpenDueField("due_on", (Task.due_on, Task.status), lambda _lookups, status: status in OPEN),
    RelatedPersonField("about", _("For"), Task),
)
LABELS = {
    "title": _("Title"),
    "status": _("Status"),
    "priority": _("Priority"),
    "due_on": _("Due"),
    "assignee": _("Assignee"),
    "lead": _("Lead"),
    "ticket": _("Ticket"),
    "about": _("For"),
    "description": _("Description"),
    "exhausted": _("No one available"),
    "done_on": _("Completed"),
    "version": _("Version"),
    "created_on": _("Created"),
    "changed_on": _("Updated"),
}


class FirstTaskField(Field):
    """The first task of a new record: {title, priority, due_on}."""

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
        """The parsed title, priority and due_on. Raises RuleBroken for anything else."""
        if raw is None:
            return None
        if not isinstance(raw, dict) or set(raw) - {"title", "priority", "due_on"}:
            raise RuleBroken(_g("A task takes title, priority and due_on."), self.name)
        named = {each.name: each for each in SPECIAL_FIELDS}
        return {name: named[name].parse(given, viewer) for name, given in raw.items()}


class TaskService(RecordService):
    """Tasks of leads and tickets that the viewer sees."""

    record = Task
    module = "Tasks"
    fields = SPECIAL_FIELDS
    label_columns = LABELS

    def create(self, session: Session, values: dict[str, Any], viewer: Viewer) -> Task:
        """Create a task for the viewer or for a colleague they can assign to, who is notified."""
        self._refuse_assignee(session, values, viewer)
        values.setdefault("assignee_id", viewer.person.id)
        offsets = reminder_offsets(viewer, values["assignee_id"])
        lead, due = values.get("lead_id"), values.get("due_on")
        if lead and due:
            # Before anything refers to the lead: each new row would share a lock of the lead until the commit, so that
            # two people who plan tasks for it would wait for each other.
            _move_follow_up(session, lead, PlannedTask(due, viewer.now), viewer)
        task = tasks.create(session, values, viewer.change_context(reminder_minutes=offsets))
        self._notify_assignee(session, task, viewer)
        return task

    def change(self, session: Session, row: Task, values: dict[str, Any], viewer: Viewer) -> None:
        """Change a task; a new assignee is notified, and the next follow-up of its lead moves with it."""
        before, due = row.assignee_id, row.due_on
        if values.get("assignee_id") != before:
            self._refuse_assignee(session, values, viewer)
        offsets = reminder_offsets(viewer, row.assignee_id)
        tasks.change(session, row, values, viewer.change_context(reminder_minutes=offsets))
        if row.lead_id and row.due_on is not None and row.due_on != due:
            planned = PlannedTask(row.due_on, viewer.now, () if due is None else (due,))
            with session.no_autoflush:  # the lead is locked before its tasks, as by who assigns it
                _move_follow_up(session, row.lead_id, planned, viewer)
        if row.assignee_id != before:
            self._notify_assignee(session, row, viewer)

    @staticmethod
    def _refuse_assignee(session: Session, values: dict[str, Any], viewer: Viewer) -> None:
        chosen = values.get("assignee_id")
        if chosen is not None and chosen != viewer.person.id:
            refuse_foreign_assignee(values, "Tasks", viewer)
            assignment.refuse_absent(session, chosen, viewer.now)

    @staticmethod
    def _notify_assignee(session: Session, task: Task, viewer: Viewer) -> None:
        if task.assignee_id:
            key = f"task_assigned:{task.id}:{viewer.now.isoformat()}"
            people = [task.assignee_id]
            notices.notify(
                session,
                notices.NoticeEvent("task_assigned", key, people, {"title": task.title}, task, viewer.person.id),
                viewer.now,
            )


def reminder_offsets(viewer: Viewer, user_id: int | None) -> tuple[int, ...]:
    """The user's reminder offsets, in minutes before the due time."""
    return REMINDER_MINUTES if user_id is None else viewer.lookups.reminders.get(user_id, REMINDER_MINUTES)


def _move_follow_up(session: Session, lead_id: int, planned: PlannedTask, viewer: Viewer) -> None:
    """As `follow_ups.set_follow_up`, by a statement that is compiled once for the viewer."""
    replaced = len(planned.replaced)
    make = partial(_follow_up_statement, viewer.person, replaced)
    statement = access.CachedStatement(("next follow-up of a lead", replaced), make)
    access.change(session, statement, {"lead": lead_id, **planned.parameters})


def _follow_up_statement(person: access.Person, replaced: int) -> Any:
    """The UPDATE of the next follow-up of a `lead` that the person sees."""
    table = Lead.__table__
    of_lead = table.c.id == bindparam("lead", type_=Integer)
    moved_to = moved(table.c.next_follow_up_on, replaced)
    return update(table).where(of_lead, access.visible(person, Lead)).values(next_follow_up_on=moved_to)


class TaskResource(Resource):
    """/api/v1/task/"""

    resource_name = "task"
    datamodel = SQLAInterface(Task)
    module = "Tasks"
    service = TaskService()
    show_columns = [
        "title",
        "status",
        "priority",
        "due_on",
        "assignee",
        "lead",
        "ticket",
        "description",
        "exhausted",
        "done_on",
        "version",
        "created_on",
        "changed_on",
    ]
    add_columns = ["title", "status", "priority", "due_on", "assignee", "lead", "ticket", "description"]
    edit_columns = ["title", "status", "priority", "due_on", "assignee", "description"]
    search_exclude_columns = ["description", "done_on", "version"]
    order_columns = ["status", "priority", "due_on", "created_on", "changed_on"]


#: One object for all requests: SQLAlchemy remembers its key.
_IS_OPEN = Task.status.in_(OPEN)


class TaskScreen(CalendarMoves):
    """/tasks/"""

    route_base = "/tasks"
    datamodel = SQLAInterface(Task)
    module = "Tasks"
    service = TaskService()
    tab_names = ("open", "all")
    list_title, record_name = _("Tasks"), _("Task")
    empty_text = _("No tasks here. Add one with “New”, or set the next follow-up on a lead or ticket.")
    list_columns = ["title", "about", "status", "priority", "due_on", "assignee"]
    search_exclude_columns = TaskResource.search_exclude_columns
    order_columns = TaskResource.order_columns
    show_columns = TaskResource.show_columns
    add_columns = ["title", "lead", "ticket", "status", "priority", "due_on", "assignee", "description"]
    edit_columns = TaskResource.edit_columns
    quick_filters = ("status", "assignee", "priority")
    summary_columns = ("about", "status", "due_on", "assignee")
    timeline_column = "task_id"
    text_columns = ("description",)
    is_in_new_menu = False
    title_column = "title"
    card_columns = ("about", "priority", "due_on", "assignee")
    bulk_edit_columns = ("priority", "due_on")

    def tabs(self, viewer: Viewer) -> list[dict[str, Any]]:
        """Open tasks, by due time; all tasks."""
        tabs = (ListTab("", _g("Open"), _g("No open tasks.")), ListTab("all", _g("All")))
        return shown_tabs("/tasks", tabs, "" if _tab() == "open" else "all")

    def _list_query(self, viewer: Viewer) -> ListQuery:
        list_query, is_open = super()._list_query(viewer), _tab() == "open"
        if is_open:
            list_query.conditions.append(_IS_OPEN)
        if list_query.newest:
            list_query.newest = False
            list_query.order = self.record_table.order_by("due_on", "asc" if is_open else "desc", viewer)
        return list_query

    def bulk_actions(self, viewer: Viewer) -> list[BulkAction]:
        """Adds: mark as done."""
        shared = super().bulk_actions(viewer)
        if not viewer.person.may("Tasks", "bulk") or not viewer.person.may("Tasks", "write"):
            return shared
        return [
            BulkAction("done", str(_("Done")), "check", set_column(self, "status", "Done"), undo=("status",)),
            *shared,
        ]


def _tab() -> str:
    """The tab of the task list: open, unless a status filter is set."""
    asks_status = any(key.startswith("_flt_") and key.endswith("_status") for key in request.args)
    return "all" if asks_status or request.args.get("tab") == "all" else "open"
