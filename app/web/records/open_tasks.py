"""The open tasks of a lead or ticket, shown above its timeline: its next steps."""

from __future__ import annotations

from typing import Any

from app.domain.leads import TERMINAL
from app.domain.tickets import ENDED
from app.generated_titles import shown_title
from app.models import Lead, Ticket
from app.web.core.fields.date_fields import moment_cell
from app.web.core.fields.reference_fields import person_card
from app.web.core.viewer import Viewer

#: Record -> meanings of the statuses in which it needs no next step.
OVER = {Lead: TERMINAL, Ticket: ENDED}
#: Tasks that are shown; the others are in the tab of tasks.
MOST = 4


def context(
    screen: Any, serialized: dict[str, Any], related: list[dict[str, Any]], viewer: Viewer
) -> dict[str, Any] | None:
    """{tasks, has_more, is_missing} for records/_open_tasks.html; None for records that have no open tasks.

    `is_missing`: whether an open record has none, and the viewer could add one.
    """
    part = next((each for each in related if "open_tasks" in each), None)
    over = OVER.get(screen.service.record)
    if part is None or over is None or not viewer.person.may("Tasks", "read"):
        return None
    meaning = viewer.lookups.meanings[screen.status_picklist].get((serialized.get("status") or {}).get("id", 0), "")
    tasks = [_task(each, viewer) for each in part["open_tasks"]]
    may_plan = viewer.person.may("Tasks", "create") and meaning not in over
    return {"tasks": tasks[:MOST], "has_more": len(tasks) > MOST, "is_missing": may_plan and not tasks}


def _task(row: tuple[Any, ...], viewer: Viewer) -> dict[str, Any]:
    key, title, due, who = row
    card = viewer.lookups.person(who)
    return {
        "title": shown_title(title),
        "url": f"/tasks/show/{key}",
        "when": moment_cell(due, viewer, True),
        "assignee": person_card(card) if card else None,
        "done_url": f"/tasks/done/{key}" if viewer.person.may("Tasks", "write") else None,
    }
