"""What the rows of My day say: tasks, leads, tickets, requests."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, NamedTuple

from flask_babel import gettext as _

from app.generated_titles import shown_title
from app.lib import phone
from app.web.core.fields.date_fields import moment_cell
from app.web.core.viewer import Viewer
from app.web.records import dial_targets

#: Work due within this time is "soon".
SOON = timedelta(hours=2)


class RowAction(NamedTuple):
    """A step that a row offers besides those of tasks."""

    label: str
    icon: str
    url: str
    #: Whether it changes something, so that it is a form instead of a link.
    is_post: bool = False


class RowContent(NamedTuple):
    """All that a row shows but its time: equal rows look the same, whoever sees them."""

    key: str
    url: str
    title: str
    number: str | None = None
    person: str = ""
    note: str | None = ""
    #: For whom the viewer covers.
    mark: str = ""
    #: Where a click on Call leads; "" = nowhere. The number, if the viewer sees it.
    call_url: str = ""
    call_text: str = ""
    #: The text for a customer who wants no calls.
    never: str = ""
    #: The id of a task that the viewer may finish; whether they may also create the next one.
    task: int | None = None
    has_next: bool = False
    actions: tuple[RowAction, ...] = ()


class DayRow(NamedTuple):
    """A row and the cell of its time."""

    content: RowContent
    due: dict[str, Any]


class RowMaker:
    """Makes the rows for a viewer from those of the statements (my_day_queries)."""

    def __init__(self, viewer: Viewer) -> None:
        person = viewer.person
        self.viewer = viewer
        self.sees_numbers = person.mask("mobile") == "full"
        self.may_dial = dial_targets.may_call(viewer)
        self.may_write = person.may("Tasks", "write")
        self.may_follow_up = self.may_write and person.may("Tasks", "create")
        #: The viewer's own date, beginning of what is "later today".
        self.soon = viewer.now + SOON

    def lead(self, row: Any, section: str) -> RowContent:
        """A lead, titled by its person."""
        title = _person_name(row) or self._shown_phone(row) or row.number
        call_url, call_text, never = self._call(row, "lead", row.number)
        return RowContent(
            key=f"{section}-{row.number}",
            url=f"/leads/{row.number}",
            title=title,
            number=row.number if row.number != title else None,
            mark=self._mark(row.assignee_id),
            call_url=call_url,
            call_text=call_text,
            never=never,
        )

    def ticket(self, row: Any, section: str) -> RowContent:
        """A ticket with its person."""
        call_url, call_text, never = self._call(row, "ticket", row.number)
        return RowContent(
            key=f"{section}-{row.number}",
            url=f"/tickets/{row.number}",
            title=shown_title(row.title) if row.title else row.number,
            number=row.number,
            person=_person_name(row),
            mark=self._mark(row.assignee_id),
            call_url=call_url,
            call_text=call_text,
            never=never,
        )

    def new(self, row: Any, content: RowContent) -> DayRow:
        """A new record with the time since which it waits."""
        return DayRow(content, moment_cell(row.created_on, self.viewer))

    def owed(self, row: Any, content: RowContent) -> DayRow:
        """A record with the time by which a response is due, and which one."""
        is_reply = row.reply_due_on is not None and row.owed_on == row.reply_due_on
        note = _("first response") if is_reply else _("resolution")
        return DayRow(content._replace(note=note), moment_cell(row.owed_on, self.viewer, True))

    def task(self, row: Any) -> DayRow:
        """A task, with the link to its record."""
        return DayRow(self._task(row, row.id if self.may_write else None), self._due_cell(row))

    def exhausted_task(self, row: Any) -> DayRow:
        """A task for which nobody is available, with a link to assign its record."""
        assign_url = (
            f"/leads/assign/{row.lead_id}" if row.lead else f"/tickets/assign/{row.ticket_id}" if row.ticket else None
        )
        card = self.viewer.lookups.person(row.assignee_id)
        content = self._task(row, None)._replace(
            key=f"nobody-task-{row.id}",
            note=_("with %(name)s", name=card["full_name"]) if card else "",
            mark="",
            actions=(RowAction(_("Assign"), "user-plus", assign_url),) if assign_url else (),
        )
        return DayRow(content, self._due_cell(row))

    def _task(self, row: Any, key: int | None) -> RowContent:
        number = row.lead or row.ticket
        name = _person_name(row) or self._shown_phone(row)
        call_url, call_text, never = self._call(row, "lead" if row.lead else "ticket", number)
        return RowContent(
            key=f"task-{row.id}",
            url=f"/leads/{row.lead}"
            if row.lead
            else f"/tickets/{row.ticket}"
            if row.ticket
            else f"/tasks/show/{row.id}",
            title=shown_title(row.title),
            number=number,
            person="" if name and name in row.title else name,
            note="" if number else _("Its lead or ticket is with somebody else now."),
            mark=self._mark(row.assignee_id),
            call_url=call_url,
            call_text=call_text,
            never=never,
            task=key,
            has_next=self.may_follow_up,
        )

    def request(self, row: Any) -> DayRow:
        """An assignment request, with approve and reject."""
        lookups = self.viewer.lookups
        requester, target = lookups.person(row.created_by_id), lookups.person(row.requested_user_id)
        names = {"by": requester["full_name"] if requester else "–", "to": target["full_name"] if target else "–"}
        record = _person_name(row) or row.lead or row.ticket or _("a record")
        content = RowContent(
            key=f"requests-{row.id}",
            url=f"/requests/{row.number}",
            title=_("%(by)s requests %(record)s for %(to)s", record=record, **names),
            number=row.lead or row.ticket or row.number,
            note=row.reason,
            actions=(
                RowAction(_("Approve"), "check", f"/requests/decide/{row.id}?approve=1", True),
                RowAction(_("Reject"), "x", f"/requests/reject/{row.id}"),
            ),
        )
        return DayRow(content, moment_cell(row.created_on, self.viewer))

    def _shown_phone(self, row: Any) -> str:
        """The phone number of somebody without a name, if the viewer sees it in full."""
        return phone.display(row.phone) if row.phone and self.sees_numbers else ""

    def _call(self, row: Any, kind: str, number: str | None) -> tuple[str, str, str]:
        """(URL of a click on Call or "", the number if the viewer sees it, the text for who wants no calls)."""
        if row.no_calls:
            return "", "", _("Do not call")
        if not row.phone:
            return "", "", ""
        url = dial_targets.url_of(kind, number, self.viewer) if self.may_dial and number else None
        if not self.sees_numbers:
            return url or "", "", ""
        return url or f"tel:{row.phone}", phone.display(row.phone), ""

    def _mark(self, user_id: int | None) -> str:
        """Whom the viewer covers for; empty for their own work."""
        if user_id == self.viewer.person.id or (card := self.viewer.lookups.person(user_id)) is None:
            return ""
        return _("for %(name)s", name=card["full_name"].split()[0] if card["full_name"] else card["username"])

    def _due_cell(self, row: Any) -> dict[str, Any]:
        """Relative time of the due date; the time of day for later today."""
        shown = moment_cell(row.due_on, self.viewer, True)
        if row.due_on >= self.soon:
            local = row.due_on.astimezone(self.viewer.zone)
            if local.date() == self.viewer.today:
                shown["text"] = f"{local:%H:%M}"
        return shown


def _person_name(row: Any) -> str:
    if row.first and row.last:
        return f"{row.first} {row.last}"
    return row.first or row.last or ""
