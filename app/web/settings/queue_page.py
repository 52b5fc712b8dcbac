"""The queue page: depth and workers, and the calls that failed permanently, to be retried or dismissed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from flask import flash, redirect
from flask_appbuilder import expose
from flask_babel import gettext as _
from flask_babel import lazy_gettext, ngettext

from app import access
from app.access import get_visible
from app.domain.base import NotFound, RuleBroken, Stamp
from app.domain.maintenance import dead_letters
from app.extensions import db
from app.lib.digit_grouping import GroupedInt
from app.models import FailedCall
from app.ops.queues import queue
from app.ops.queues.queue import Call, QueueDepth, QueueFailure
from app.web.core.fab_access import current_viewer
from app.web.core.fields.date_fields import moment_cell
from app.web.core.request_transaction import request_transaction
from app.web.core.viewer import Viewer
from app.web.pages.routes import page_route
from app.web.pages.settings_page import SettingsPage

#: Queue -> its purpose.
QUEUE_LABELS = {
    "short": lazy_gettext("Seconds each: notification emails"),
    "default": lazy_gettext("Up to five minutes each: webhooks"),
    "long": lazy_gettext("Up to an hour each"),
}


class QueueView(SettingsPage):
    """/queue/"""

    route_base = "/queue"
    VERBS = {"index": "read", "retry": "write", "dismiss": "write"}

    @page_route("/")
    def index(self) -> Any:
        """Backend, depth and workers; the calls that failed permanently."""
        viewer, session, depths = current_viewer(), db.session(), queue.depths()
        rows = dead_letters.unresolved(session)
        count = len(rows) if len(rows) < dead_letters.MAX_AT_ONCE else dead_letters.count_unresolved(session)
        return self.render_template(
            "settings/queue.html",
            backend=_backend(depths),
            queues=[_queue_row(each) for each in depths or ()],
            count=count,
            failed=[_failed_row(row, viewer) for row in rows],
            acts=viewer.person.is_admin,
        )

    @expose("/again", methods=["POST"])
    @page_route("/again/<int:key>", methods=["POST"])
    def retry(self, key: int | None = None) -> Any:
        """Put one call, or all that are shown, back into the queue."""
        rows = _selected(key)
        with request_transaction() as session:
            dead_letters.resolve(
                session, rows, dead_letters.RETRIED, Stamp(current_viewer().person.id, current_viewer().now)
            )
            enqueued = [queue.enqueue_call(Call(row.queue, row.function, tuple(row.arguments))) for row in rows]
            if not all(enqueued):
                raise RuleBroken(_("The queue isn't responding. Nothing was changed. Please try again in a minute."))
        flash(
            ngettext("%(num)s item will be retried.", "%(num)s items will be retried.", GroupedInt(len(rows))),
            "success",
        )
        return redirect("/queue/")

    @expose("/rest", methods=["POST"])
    @page_route("/rest/<int:key>", methods=["POST"])
    def dismiss(self, key: int | None = None) -> Any:
        """Remove one call, or all that are shown, from the list."""
        rows = _selected(key)
        with request_transaction() as session:
            dead_letters.resolve(
                session, rows, dead_letters.DROPPED, Stamp(current_viewer().person.id, current_viewer().now)
            )
        flash(ngettext("%(num)s item dismissed.", "%(num)s items dismissed.", GroupedInt(len(rows))), "success")
        return redirect("/queue/")


def _selected(key: int | None) -> list[FailedCall]:
    """The selected rows. Raises Denied for anyone but an admin, NotFound for an unknown id."""
    if not current_viewer().person.is_admin:
        raise access.Denied(_("Only an admin can handle failed items."))
    if key is None:
        return dead_letters.unresolved(db.session())
    row = get_visible(db.session(), FailedCall, key)
    if row is None:
        raise NotFound(_("There is no such item."))
    return [row]


def _backend(depths: list[QueueDepth] | None) -> dict[str, Any]:
    """The chip beside the title."""
    if depths is None:
        return {"kind": "status", "label": _("Redis isn't responding"), "color": "red"}
    if queue.backend_kind() == "redis":
        return {"kind": "status", "label": _("Redis"), "color": "green"}
    return {"kind": "status", "label": _("In this process"), "color": "blue"}


def _queue_row(depth: QueueDepth) -> dict[str, Any]:
    return {
        "name": depth.name,
        "what": QUEUE_LABELS[depth.name],
        "waiting": depth.waiting,
        "later": depth.later,
        "workers": depth.workers,
        "is_stuck": bool(depth.waiting and not depth.workers),
    }


def _failed_row(row: FailedCall, viewer: Viewer) -> dict[str, Any]:
    name = row.function.removeprefix("app.").replace(":", ".")
    return {
        "id": row.id,
        "function": f"{name}({', '.join(str(each) for each in row.arguments)})",
        "queue": row.queue,
        "tries": row.tries,
        "error": row.error,
        "at": moment_cell(row.failed_on, viewer),
    }


def store(failure: QueueFailure) -> None:
    """Store a call that failed permanently; the queue calls this inside an app context."""
    call = failure.call
    with request_transaction() as session:
        session.add(
            FailedCall(
                queue=call.queue,
                function=call.function[:120],
                arguments=list(call.arguments),
                tries=failure.tries,
                error=failure.error,
                failed_on=datetime.now(UTC),
            )
        )
