"""The bell: what a person must know, as sentences, grouped by record; read, or hidden for a while."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, time, timedelta
from typing import Any

from flask import Response, redirect, request
from flask_appbuilder import BaseView, expose
from flask_babel import gettext as _
from flask_babel import ngettext
from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from app.domain import notices
from app.domain.base import RuleBroken
from app.extensions import db
from app.models import Customer, Lead, Notification, Ticket
from app.ops.database import WRITES
from app.web.gate import glass, json_answer, refuse_as_json
from app.web.moments import moment_cell
from app.web.sessions import signed_in

#: How many the panel shows, newest first; the page of all notices shows ten times as many.
PANEL = 30
MORNING = time(9)
#: column of the notification -> record, root of its pages.
_HOMES: dict[str, tuple[Any, str]] = {
    "lead_id": (Lead, "/leads/"), "ticket_id": (Ticket, "/tickets/"), "customer_id": (Customer, "/customers/"),
}  # fmt: skip

# --- sentences ---------------------------------------------------------------------------------------------------


def text_of(notification: Any) -> str:
    """What happened, as one translated sentence. Raises KeyError for a kind without one."""
    return str(SENTENCES[notification.kind](dict(notification.payload or {})))


def _number(says: dict[str, Any]) -> str:
    return str(says.get("number") or _("A record"))


def _title(says: dict[str, Any]) -> str:
    return str(says.get("title") or _("Task"))


def _due(says: dict[str, Any]) -> str:
    minutes = int(says.get("minutes", 0))
    if minutes > 0:
        return str(ngettext("“%(title)s” is due in %(num)s minute.", "“%(title)s” is due in %(num)s minutes.",
                            minutes, title=_title(says)))  # fmt: skip
    if minutes == 0:
        return _("“%(title)s” is due now.", title=_title(says))
    return _late(says)


def _late(says: dict[str, Any]) -> str:
    late = -int(says.get("minutes", 0))
    if late < 60:
        return str(ngettext("“%(title)s” was due %(num)s minute ago.", "“%(title)s” was due %(num)s minutes ago.",
                            late, title=_title(says)))  # fmt: skip
    hours = late // 60
    if hours < 48:
        return str(ngettext("“%(title)s” is overdue by %(num)s hour.", "“%(title)s” is overdue by %(num)s hours.",
                            hours, title=_title(says)))  # fmt: skip
    return _("“%(title)s” is overdue by %(num)s days.", title=_title(says), num=hours // 24)


def _tasks(says: dict[str, Any], one: str, many: str) -> str:
    count = int(says.get("tasks", 1))
    return one if count == 1 else many


SENTENCES: dict[str, Callable[[dict[str, Any]], str]] = {
    "assigned": lambda s: _("%(number)s is yours now.", number=_number(s)),
    "unassigned": lambda s: _("%(number)s was given to somebody else.", number=_number(s)),
    "task_assigned": lambda s: _tasks(
        s,
        _("“%(title)s” of %(number)s is yours now.", title=_title(s), number=_number(s)),
        _("%(num)s overdue tasks of %(number)s are yours now.", num=s.get("tasks"), number=_number(s)),
    ),
    "task_taken": lambda s: _tasks(
        s,
        _("“%(title)s” of %(number)s was overdue and went to a colleague.", title=_title(s), number=_number(s)),
        _("%(num)s tasks of %(number)s were overdue and went to a colleague.", num=s.get("tasks"), number=_number(s)),
    ),
    "task_due": _due,
    "task_overdue": _late,
    "exhausted": lambda s: _(
        "Nobody is left for the overdue task “%(title)s” of %(number)s. Please decide who does it.",
        title=_title(s), number=_number(s),
    ),
    "mention": lambda s: _("You were mentioned on %(number)s.", number=_number(s)),
    "comment": lambda s: _("There is a new comment on %(number)s.", number=_number(s)),
    "request": lambda s: _("Somebody asks to have %(number)s assigned. Please decide.", number=_number(s)),
    "request_approved": lambda s: _("The request for %(number)s was approved.", number=_number(s)),
    "request_rejected": lambda s: _("The request for %(number)s was rejected.", number=_number(s)),
    "request_expired": lambda s: _("Nobody decided your request for %(number)s in time. You may ask again.",
                                   number=_number(s)),
    "sla_warning": lambda s: _("%(number)s should be answered soon.", number=_number(s)),
    "sla_breach": lambda s: _("%(number)s was not answered in time.", number=_number(s)),
    "missed_call": lambda s: _("You missed a call. See %(number)s.", number=_number(s)),
    "status": lambda s: _("%(number)s has a new status.", number=_number(s)),
    "job_lag": lambda s: _("The jobs of the system are late. An admin should look at the list of jobs."),
}  # fmt: skip

# --- what it stands on --------------------------------------------------------------------------------------------


def cards_of(session: Session, rows: Iterable[Any]) -> dict[tuple[str, int], str]:
    """(column, id) -> number of the records that the law shows; one statement a kind at most."""
    rows = list(rows)
    found: dict[tuple[str, int], str] = {}
    for column, (record, _root) in _HOMES.items():
        ids = {getattr(row, column) for row in rows if getattr(row, column) is not None}
        if ids:
            named = session.execute(select(record.id, record.number).where(record.id.in_(ids)))
            found |= {(column, key): number for key, number in named}
    return found


def _home(row: Any, cards: dict[tuple[str, int], str]) -> tuple[str, str] | None:
    """(url, number) of the first of its records that the person sees."""
    for column, (_record, root) in _HOMES.items():
        number = cards.get((column, getattr(row, column)))
        if number:
            return f"{root}{number}", number
    return None


def url_of(row: Any, cards: dict[tuple[str, int], str]) -> str:
    """Where a click leads."""
    home = _home(row, cards)
    return home[0] if home else "/bell/"


def grouped(session: Session, rows: list[Any], eyes: Any) -> list[dict[str, Any]]:
    """As crm/bell.html wants them: groups by record, newest first in the order of their newest notice."""
    cards = cards_of(session, rows)
    groups: dict[Any, dict[str, Any]] = {}
    for row in rows:
        home = _home(row, cards)
        record = {"url": home[0], "label": home[1]} if home else None
        group = groups.setdefault(home, {"record": record, "items": []})
        group["items"].append(
            {"id": row.id, "text": text_of(row), "at": moment_cell(row.at, eyes), "read": row.read_on is not None,
             "url": url_of(row, cards)}
        )  # fmt: skip
    return list(groups.values())


# --- doors --------------------------------------------------------------------------------------------------------


class BellView(BaseView):
    """Everybody's own bell. The law shows own rows only; each statement names the person as well."""

    route_base = "/bell"
    default_view = "index"

    @expose("/")
    @signed_in
    def index(self) -> Any:
        """All notices, as a page."""
        return self.render_template("crm/notices.html", **_panel(PANEL * 10))

    @expose("/panel")
    @signed_in
    def panel(self) -> Any:
        """The newest ones, as a fragment."""
        return self.render_template("crm/bell.html", **_panel(PANEL))

    @expose("/count")
    @signed_in
    def count(self) -> Response:
        """{unread}, for pages whose socket is down."""
        eyes = glass()
        return json_answer(200, {"unread": notices.unread(db.session(), eyes.who.id, eyes.now)})

    @expose("/read", methods=["POST"])
    @expose("/read/<int:one>", methods=["POST"])
    @signed_in
    @refuse_as_json
    def read(self, one: int | None = None) -> Any:
        """Mark one, the `ids` given, or all as read."""
        ids = [one] if one is not None else _ids()
        return self._answer(_written(lambda held: notices.mark_read(held, glass().who.id, glass().now, ids)))

    @expose("/snooze", methods=["POST"])
    @signed_in
    @refuse_as_json
    def snooze(self) -> Any:
        """Hide the `ids` until 15m, 1h or tomorrow (9:00)."""
        moment = until(str(_sent().get("until") or ""), glass().now, glass().zone)
        mine = (Notification.user_id == glass().who.id, Notification.id.in_(_ids() or []))
        step = update(Notification).where(*mine).values(snoozed_until=moment, read_on=None)
        return self._answer(_written(lambda held: _changed(held, step)))

    def _answer(self, changed: int) -> Any:
        """The panel anew for the page, the count for a script, the page of all for a browser without scripts."""
        if request.headers.get("HX-Request"):
            return self.render_template("crm/bell.html", **_panel(PANEL))
        if request.is_json:
            unread = notices.unread(db.session(), glass().who.id, glass().now)
            return json_answer(200, {"changed": changed, "unread": unread})
        return redirect("/bell/")


def until(said: str, now: datetime, zone: Any) -> datetime:
    """When a snoozed notice comes back. Raises RuleBroken for anything but 15m, 1h and tomorrow."""
    spans = {"15m": timedelta(minutes=15), "1h": timedelta(hours=1)}
    if said in spans:
        return now + spans[said]
    if said == "tomorrow":
        return datetime.combine(now.astimezone(zone).date() + timedelta(days=1), MORNING, tzinfo=zone)
    raise RuleBroken(_("Please choose 15 minutes, an hour, or tomorrow at nine."), "until")


def _panel(most: int) -> dict[str, Any]:
    eyes, held = glass(), db.session()
    awake = or_(Notification.snoozed_until.is_(None), Notification.snoozed_until <= eyes.now)
    mine = select(Notification).where(Notification.user_id == eyes.who.id, awake)
    rows = list(held.scalars(mine.order_by(Notification.id.desc()).limit(most)))
    return {"groups": grouped(held, rows, eyes), "unread": notices.unread(held, eyes.who.id, eyes.now)}


def _sent() -> dict[str, Any]:
    """What was posted, as a form or as JSON."""
    sent = request.get_json(silent=True) if request.is_json else request.form.to_dict(flat=True)
    return sent if isinstance(sent, dict) else {}


def _ids() -> list[int] | None:
    """The ids posted (`ids`, or one `id`); None = all. Raises RuleBroken for what is no id."""
    sent = _sent()
    raw = sent.get("ids", sent.get("id")) if request.is_json else request.form.getlist("ids") or sent.get("id")
    if raw in (None, "all"):
        return None
    texts = [str(each) for each in (raw if isinstance(raw, list) else [raw])][:1000]
    if not all(text.isascii() and text.isdigit() and len(text) < 10 for text in texts):
        raise RuleBroken(_("These are no notices."), "ids")
    return [int(text) for text in texts]


def _written(change: Callable[[Session], int]) -> int:
    """Write and commit in a transaction of its own; how many rows changed."""
    held = db.session()
    held.commit()  # end the reading transaction: on SQLite a reader cannot always become a writer
    token = WRITES.set(True)
    try:
        changed = change(held)
        held.commit()
    finally:
        WRITES.reset(token)
    return changed


def _changed(held: Session, step: Any) -> int:
    return int(held.execute(step, execution_options={"synchronize_session": False}).rowcount)  # type: ignore[attr-defined]
