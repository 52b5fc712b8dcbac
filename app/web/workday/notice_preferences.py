"""How a person wants to be told of what: a table of kinds and channels, kept as what differs from the default."""

from __future__ import annotations

from typing import Any

from flask import flash, redirect, request
from flask_appbuilder import BaseView, expose
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.domain import notices
from app.domain.base import Conflict, RuleBroken
from app.extensions import db
from app.models import User
from app.web.core import gate
from app.web.core.gate import current_viewer
from app.web.security.sessions import signed_in

#: kind -> what a person calls it.
NAMES = {
    "assigned": _l("A lead or ticket is assigned to me"),
    "unassigned": _l("One of my leads or tickets is reassigned"),
    "task_assigned": _l("A task is assigned to me"),
    "task_taken": _l("One of my overdue tasks is reassigned"),
    "task_due": _l("One of my tasks is due soon"),
    "task_overdue": _l("One of my tasks is overdue"),
    "status": _l("The status of one of my records changes"),
    "missed_call": _l("I missed a call"),
    "request": _l("A request is waiting for my decision"),
    "request_approved": _l("A request is approved"),
    "request_rejected": _l("A request is rejected"),
    "request_expired": _l("One of my requests expires"),
    "request_withdrawn": _l("A request is withdrawn"),
    "sla_warning": _l("A response or resolution is due soon"),
    "sla_breach": _l("A response or resolution is overdue"),
    "sla_escalated": _l("An overdue record in my team is escalated to me"),
    "mention": _l("Someone mentions me in a note"),
    "comment": _l("Someone adds a note to one of my records"),
    "exhausted": _l("No one is available for an overdue task"),
    "job_lag": _l("Background jobs are delayed"),
    "webhook": _l("A webhook was paused or turned off"),
}
#: (title, kinds), as the page shows them; a kind that is in none stands last.
GROUPS = (
    (
        _l("My work"),
        ("assigned", "unassigned", "task_assigned", "task_taken", "task_due", "task_overdue", "status", "missed_call"),
    ),
    (_l("Requests"), ("request", "request_approved", "request_rejected", "request_expired", "request_withdrawn")),
    (_l("Service levels"), ("sla_warning", "sla_breach", "sla_escalated")),
    (_l("Notes"), ("mention", "comment")),
    (_l("System"), ("exhausted", "job_lag", "webhook")),
)
#: channel -> (label, icon, what it is).
CHANNELS = {
    "bell": (_l("Bell"), "bell", _l("counted as unread")),
    "screen": (_l("On screen"), "device-desktop", _l("pops up")),
    "email": (_l("Email"), "mail", _l("sent to my address")),
}
Table = dict[str, dict[str, bool]]


class ChoicesView(BaseView):
    """/bell/choices: everybody's own."""

    route_base = "/bell/choices"
    default_view = "index"

    @expose("/")
    @signed_in
    def index(self) -> Any:
        """The table."""
        return self._page(table_of(mine(db.session())), mark(mine(db.session())))

    @expose("/", methods=["POST"])
    @signed_in
    def save(self) -> Any:
        """Keep the table, or go back to how everything was shipped."""
        typed = _typed()
        try:
            store(db.session(), {} if request.form.get("reset") else typed, request.form.get("mark", ""))
        except RuleBroken as broken:
            db.session.rollback()
            status, sentence, _errors = gate.refusal(broken)
            return self._page(typed, mark(mine(db.session())), sentence), status
        flash(_("Preferences saved."), "success")
        return redirect("/bell/choices/")

    def _page(self, table: Table, seen: str, error: str = "") -> Any:
        channels = [
            {"name": name, "label": label, "icon": icon, "what": what} for name, (label, icon, what) in CHANNELS.items()
        ]
        is_default = (
            notices.non_default_choices({kind: row for kind, row in table.items() if kind in notices.KINDS}) is None
        )
        return self.render_template(
            "crm/choices.html",
            title=_("Notification preferences"),
            groups=_groups(table),
            mark=seen,
            channels=channels,
            error=error,
            is_default=is_default,
        )


def _groups(table: Table) -> list[dict[str, Any]]:
    placed = {kind for _title, kinds in GROUPS for kind in kinds}
    rest = (_l("Others"), tuple(kind for kind in notices.KINDS if kind not in placed))
    made = [
        {
            "title": title,
            "rows": [
                {"kind": kind, "name": NAMES.get(kind, kind), "on": table[kind]} for kind in kinds if kind in table
            ],
        }
        for title, kinds in (*GROUPS, rest)
    ]
    return [group for group in made if group["rows"]]


def _typed() -> Table:
    """The table as the form's checkboxes say: what is not ticked is not wanted."""
    ticked = set(request.form.getlist("on"))
    return {kind: {channel: f"{kind}:{channel}" in ticked for channel in CHANNELS} for kind in notices.KINDS}


# --- stored ------------------------------------------------------------------------------------------------------


def mine(session: Session, lock: bool = False) -> Any:
    """The signed-in person's own row of users."""
    query = select(User).where(User.id == current_viewer().person.id)
    # Two tabs that save at once meet at the row's lock, and the second one sees what the first one stored.
    locked = query.with_for_update() if lock else query
    return session.scalars(locked, execution_options={"populate_existing": True}).one()


def table_of(user: Any) -> Table:
    """kind -> channel -> wanted, for every kind and channel that there is."""
    chosen = {user.id: user.notice_choices or {}}
    return {
        kind: {channel: notices.wants(chosen, user.id, kind, channel) for channel in CHANNELS} for kind in notices.KINDS
    }


def mark(user: Any) -> str:
    """What a page showed; who saves must have seen this."""
    return gate.mark_of(table_of(user))


def store(session: Session, table: Table, seen: str | None) -> None:
    """Keep what differs from the default, and commit; kinds that are not in the table go back to it.

    Through the ORM, so that the version of access counts up and every process learns of it. `seen`: the mark of the
    page or answer on which the person chose; None = whatever stands there. Raises Conflict, RuleBroken.
    """
    user = mine(session, lock=True)
    if seen is not None and seen != mark(user):
        raise Conflict(_("Your preferences were changed in another window. Review them, then save again."))
    user.notice_choices = notices.non_default_choices(table)
    session.commit()
