"""Notification preferences: a table of kinds and channels, stored as differences from the defaults."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from flask import flash, redirect, request
from flask_appbuilder import BaseView, expose
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.domain import business_settings
from app.domain.base import Conflict, RuleBroken
from app.domain.notifications import notices
from app.extensions import db
from app.models import User
from app.web.core import fab_access
from app.web.core.fab_access import current_viewer
from app.web.security.sessions import signed_in

#: kind -> label.
KIND_LABELS = {
    "assigned": _l("A lead or ticket is assigned to me"),
    "unassigned": _l("One of my leads or tickets is reassigned"),
    "task_assigned": _l("A task is assigned to me"),
    "task_taken": _l("One of my overdue tasks is reassigned"),
    "task_due": _l("One of my tasks is due soon"),
    "task_overdue": _l("One of my tasks is overdue"),
    "status": _l("The status of one of my records changes"),
    "missed_call": _l("I missed a call"),
    "message": _l("A customer writes in one of my conversations"),
    "request": _l("A request is waiting for my decision"),
    "request_approved": _l("A request is approved"),
    "request_rejected": _l("A request is rejected"),
    "request_expired": _l("One of my requests expires"),
    "request_withdrawn": _l("A request is withdrawn"),
    "link": _l("A record waits for its link to one of my customers"),
    "link_confirmed": _l("One of my records is linked to its customer"),
    "rekyc": _l("The KYC of one of my customers has to be renewed"),
    "compliance": _l("An order lacks evidence, or a data request or data breach is due"),
    "sla_warning": _l("A response or resolution is due soon"),
    "sla_breach": _l("A response or resolution is overdue"),
    "sla_escalated": _l("An overdue record in my team is escalated to me"),
    "mention": _l("Someone mentions me in a note"),
    "comment": _l("Someone adds a note to one of my records"),
    "exhausted": _l("No one is available for an overdue task"),
    "job_lag": _l("Background jobs are delayed"),
    "audit": _l("The audit log was altered"),
    "backup": _l("A backup or a restore drill failed or is late"),
    "health": _l("A health limit is exceeded, or met again"),
    "webhook": _l("A webhook was paused or turned off"),
    "export": _l("An export of mine is ready, or failed"),
    "report": _l("A report of mine couldn't be sent to somebody, or was paused"),
    "security": _l("My two-factor sign-in changes, or a recovery code is used"),
    "import": _l("An import of mine is finished, or one gives me records"),
}
#: (title, kinds), in display order; kinds in no group come last.
GROUPS = (
    (
        _l("My work"),
        (
            "assigned",
            "unassigned",
            "task_assigned",
            "task_taken",
            "task_due",
            "task_overdue",
            "status",
            "missed_call",
            "message",
            "rekyc",
            "compliance",
            "export",
            "import",
            "report",
        ),
    ),
    (
        _l("Requests"),
        (
            "request",
            "request_approved",
            "request_rejected",
            "request_expired",
            "request_withdrawn",
            "link",
            "link_confirmed",
        ),
    ),
    (_l("Service levels"), ("sla_warning", "sla_breach", "sla_escalated")),
    (_l("Notes"), ("mention", "comment")),
    (_l("System"), ("security", "exhausted", "job_lag", "backup", "audit", "health", "webhook")),
)
#: channel -> (label, icon, description).
CHANNELS = {
    "bell": (_l("Bell"), "bell", _l("counted as unread")),
    "screen": (_l("On screen"), "device-desktop", _l("pops up")),
    "email": (_l("Email"), "mail", _l("sent to my address")),
    "sms": ("SMS", "message", _l("sent to my mobile")),
    "whatsapp": ("WhatsApp", "brand-whatsapp", _l("sent to my mobile")),
}
Table = dict[str, dict[str, bool]]


class NoticePreferencesView(BaseView):
    """/bell/choices: the person's own preferences."""

    route_base = "/bell/choices"
    default_view = "index"

    @expose("/")
    @signed_in
    def index(self) -> Any:
        """The table of kinds and channels."""
        return self._page(table_of(own_user(db.session())), etag_of(own_user(db.session())))

    @expose("/", methods=["POST"])
    @signed_in
    def save(self) -> Any:
        """Save the table, or reset it to the defaults."""
        posted = _posted()
        try:
            save_table(db.session(), {} if request.form.get("reset") else posted, request.form.get("mark", ""))
        except RuleBroken as broken:
            db.session.rollback()
            status, sentence, _errors = fab_access.refusal(broken)
            return self._page(posted, etag_of(own_user(db.session())), sentence), status
        flash(_("Preferences saved."), "success")
        return redirect("/bell/choices/")

    def _page(self, table: Table, etag: str, error: str = "") -> Any:
        user = own_user(db.session())
        offered = notices.channels_for(user, set_up_channels())
        channels = [
            {"name": name, "label": label, "icon": icon, "what": what}
            for name, (label, icon, what) in CHANNELS.items()
            if name in offered
        ]
        is_default = (
            notices.non_default_choices({kind: row for kind, row in table.items() if kind in notices.KINDS}) is None
        )
        return self.render_template(
            "workday/notice_preferences.html",
            title=_("Notification preferences"),
            groups=_groups(table),
            mark=etag,
            channels=channels,
            error=error,
            is_default=is_default,
            needs_number=bool(set_up_channels()) and not user.mobile_e164,
        )


def _groups(table: Table) -> list[dict[str, Any]]:
    placed = {kind for _title, kinds in GROUPS for kind in kinds}
    rest = (_l("Others"), tuple(kind for kind in notices.KINDS if kind not in placed))
    made = [
        {
            "title": title,
            "rows": [
                {"kind": kind, "name": KIND_LABELS.get(kind, kind), "on": table[kind]}
                for kind in kinds
                if kind in table
            ],
        }
        for title, kinds in (*GROUPS, rest)
    ]
    return [group for group in made if group["rows"]]


def _posted() -> Table:
    """The table of the posted checkboxes; unchecked means not wanted."""
    ticked = set(request.form.getlist("on"))
    return {kind: {channel: f"{kind}:{channel}" in ticked for channel in CHANNELS} for kind in notices.KINDS}


# --- storage


def own_user(session: Session, lock: bool = False) -> Any:
    """The user row of the signed-in person; `lock`: for update."""
    query = select(User).where(User.id == current_viewer().person.id)
    # Two tabs that save at once wait for each other at the row's lock; the second one sees what the first stored.
    locked = query.with_for_update() if lock else query
    return session.scalars(locked, execution_options={"populate_existing": True}).one()


def set_up_channels() -> Mapping[str, Any]:
    """Those of SMS and WhatsApp by which notifications are sent here."""
    found: Mapping[str, Any] = current_viewer().lookups.business[business_settings.NOTICE_CHANNELS]
    return found


def table_of(user: Any) -> Table:
    """kind -> channel -> wanted, for all kinds and the channels that the user can choose."""
    return _table(user, notices.channels_for(user, set_up_channels()))


def _table(user: Any, channels: Iterable[str]) -> Table:
    chosen, names = {user.id: user.notice_choices or {}}, list(channels)
    return {
        kind: {channel: notices.wants(chosen, user.id, kind, channel) for channel in names} for kind in notices.KINDS
    }


def etag_of(user: Any) -> str:
    """A hash of the stored table; a save must contain the one that it is based on."""
    return fab_access.content_hash(_table(user, CHANNELS))


def save_table(session: Session, table: Table, etag: str | None) -> None:
    """Store the differences from the defaults, and commit; kinds that are missing in the table get the default.

    Choices for channels that the user can't choose now stay as they are. Through the ORM, so that the access version is
    incremented and every process reloads the person. `etag`: that of the page or response on which the input is based;
    None = overwrite. Raises Conflict, RuleBroken.
    """
    user = own_user(session, lock=True)
    if etag is not None and etag != etag_of(user):
        raise Conflict(_("Your preferences were changed in another window. Review them, then save again."))
    user.notice_choices = notices.merge_choices(user, table, notices.channels_for(user, set_up_channels()))
    session.commit()
