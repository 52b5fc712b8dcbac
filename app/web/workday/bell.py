"""The bell: what a person must know, as sentences, grouped by record; read, or hidden for a while."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode, urlsplit

from flask import Response, g, redirect, request
from flask_appbuilder import BaseView, expose
from flask_babel import gettext as _
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.domain import notices
from app.domain.base import RuleBroken
from app.domain.snooze import snoozed_until
from app.extensions import db
from app.lib.ids import parse_id
from app.models import Notification
from app.ops.database import WRITES
from app.web.core.date_fields import moment_cell
from app.web.core.fields import Viewer
from app.web.core.gate import current_viewer, json_answer, refuse_as_json, whole
from app.web.pages.refusals import refuse_as_page
from app.web.security.sessions import signed_in
from app.web.workday import delivery_log
from app.web.workday.notice_preferences import NAMES
from app.wording import link_of, record_link, record_numbers, text_of

#: How many the panel shows, newest first, and a page of all notices.
PANEL, PAGE = 30, 50
#: What may be marked or snoozed at once: all notices of one record.
_PLACES = ("lead_id", "ticket_id", "customer_id")


class BellView(BaseView):
    """Everybody's own bell. The law shows own rows only; each statement names the person as well."""

    route_base = "/bell"
    default_view = "index"

    @expose("/")
    @signed_in
    @refuse_as_page
    def index(self) -> Any:
        """All notices, page by page, each with what became of it."""
        return self.render_template("crm/notices.html", **_page())

    @expose("/panel")
    @signed_in
    def panel(self) -> Any:
        """The newest ones, as a fragment."""
        return self.render_template("crm/bell.html", **_panel())

    @expose("/count")
    @signed_in
    def count(self) -> Response:
        """{unread}, for pages whose socket is down."""
        viewer = current_viewer()
        return json_answer(200, {"unread": notices.count_unread(db.session(), viewer.person.id, viewer.now)})

    @expose("/read", methods=["POST"])
    @expose("/read/<int:one>", methods=["POST"])
    @signed_in
    @refuse_as_json
    def read(self, one: int | None = None) -> Any:
        """Mark one, the `ids` given, those `about` a record, or all as read."""
        chosen = [Notification.id == one] if one is not None else _chosen()
        step = update(Notification).where(*chosen, Notification.read_on.is_(None))
        return self._answer(_changed(step.values(read_on=current_viewer().now)))

    @expose("/snooze", methods=["POST"])
    @signed_in
    @refuse_as_json
    def snooze(self) -> Any:
        """Hide the `ids`, or what is unread `about` a record, until 15m, 1h or tomorrow (9:00); now = show again."""
        sent = _sent()
        moment, chosen = until(str(sent.get("until") or ""), current_viewer().now, current_viewer().zone), _chosen()
        if not chosen:
            return self._answer(0)
        if sent.get("about"):
            chosen.append(Notification.read_on.is_(None))
        step = update(Notification).where(*chosen)
        return self._answer(_changed(step.values(notices.snooze_values(moment))))

    def _answer(self, changed: int) -> Any:
        """The panel anew for the page, the count for a script, the page of all where one came from there."""
        if request.headers.get("HX-Target") == "bell-panel":
            return self.render_template("crm/bell.html", **_panel())
        if request.is_json:
            unread = notices.count_unread(db.session(), current_viewer().person.id, current_viewer().now)
            return json_answer(200, {"changed": changed, "unread": unread})
        came = urlsplit(request.referrer or "")
        return redirect(f"/bell/?{came.query}" if came.path == "/bell/" and came.query else "/bell/")


def until(said: str, now: datetime, zone: Any) -> datetime:
    """When a snoozed notice comes back. Raises RuleBroken for anything but 15m, 1h, tomorrow and now."""
    return now if said == "now" else snoozed_until(said, now, zone)


# --- what is shown -----------------------------------------------------------------------------------------------


def _panel() -> dict[str, Any]:
    """The newest, and what has come back from its snooze however old it is."""
    viewer, held = current_viewer(), db.session()
    mine = select(Notification).where(Notification.user_id == viewer.person.id)
    back = (Notification.read_on.is_(None), Notification.snoozed_until <= viewer.now)
    rows = set(held.scalars(mine.where(notices.not_snoozed(viewer.now)).order_by(Notification.id.desc()).limit(PANEL)))
    rows |= set(held.scalars(mine.where(*back).order_by(Notification.snoozed_until.desc()).limit(PANEL)))
    shown = sorted(rows, key=lambda row: (_moment(row, viewer.now), row.id), reverse=True)[:PANEL]
    return {"groups": grouped(held, shown, viewer), "unread": _unread(held, viewer)}


def _moment(row: Any, now: datetime) -> datetime:
    """When a notice last came to the person's eyes."""
    is_back = row.snoozed_until is not None and row.read_on is None and not notices.is_snoozed(row, now)
    return row.snoozed_until if is_back else row.at


def grouped(session: Session, rows: list[Any], viewer: Any) -> list[dict[str, Any]]:
    """As crm/bell.html wants them: groups by record, in the order of the rows."""
    cards = record_numbers(session, rows)
    groups: dict[Any, dict[str, Any]] = {}
    for row in rows:
        home, item = record_link(row, cards), _item(row, cards, viewer)
        group = groups.setdefault(home, {"record": item["record"], "about": item["about"], "items": [], "unread": 0})
        group["items"].append(item)
        group["unread"] += not item["read"]
    return list(groups.values())


def _item(row: Any, cards: dict[tuple[str, int], str], viewer: Viewer) -> dict[str, Any]:
    """One notice for the templates."""
    home = record_link(row, cards)
    is_away = notices.is_snoozed(row, viewer.now) and row.read_on is None
    return {
        "id": row.id,
        "text": text_of(row, **delivery_log.names_of(row, viewer)),
        "at": moment_cell(row.at, viewer),
        "read": row.read_on is not None,
        "url": link_of(row, cards),
        "about": _about(row, cards),
        "record": {"url": home[0], "label": home[1]} if home else None,
        "snoozed": moment_cell(row.snoozed_until, viewer) if is_away else None,
        "is_back": _moment(row, viewer.now) != row.at,
    } | delivery_log.look_of(row)


def _about(row: Any, cards: dict[tuple[str, int], str]) -> str | None:
    """The column and id under which the group can be marked as a whole."""
    for column in _PLACES:
        if (column, getattr(row, column)) in cards:
            return f"{column}:{getattr(row, column)}"
    return None


def _page() -> dict[str, Any]:
    """One page of all notices, and the address of the older ones."""
    viewer, held, show, kind = (
        current_viewer(),
        db.session(),
        request.args.get("show", ""),
        request.args.get("kind", ""),
    )
    before = whole(request.args.get("before"), 0, 0, 2**31 - 1)
    query = select(Notification).where(Notification.user_id == viewer.person.id, *_filters(show, kind, viewer.now))
    query = query.where(Notification.id < before) if before else query
    rows = list(held.scalars(query.order_by(Notification.id.desc()).limit(PAGE + 1)))
    more, rows = len(rows) > PAGE, rows[:PAGE]
    chosen = {name: given for name, given in (("show", show), ("kind", kind)) if given}
    older = "/bell/?" + urlencode(chosen | {"before": rows[-1].id}) if more else None
    kinds = [(each, NAMES[each]) for each in notices.KINDS if each in NAMES]
    return {
        "days": _days(held, rows, viewer),
        "show": show,
        "kind": kind,
        "kinds": kinds,
        "older_url": older,
        "unread": _unread(held, viewer),
    }


def _filters(show: str, kind: str, now: datetime) -> list[Any]:
    """The WHERE of the page's filters. Raises RuleBroken for those that there are not."""
    if show not in ("", "unread", "snoozed") or (kind and kind not in notices.KINDS):
        raise RuleBroken(_("There is no such filter. Please choose one from the list."))
    rules = [Notification.kind == kind] if kind else []
    if show:
        rules.append(Notification.read_on.is_(None))
    if show == "snoozed":
        rules.append(Notification.snoozed_until > now)
    return rules


def _days(held: Session, rows: list[Any], viewer: Viewer) -> list[dict[str, Any]]:
    """[{title, items}], a day each in the person's zone, every item with its ledger."""
    cards, deliveries = record_numbers(held, rows), delivery_log.deliveries_of(held, [row.id for row in rows])
    days: dict[Any, list[dict[str, Any]]] = {}
    for row in rows:
        told = delivery_log.ledger_of(row, deliveries.get(row.id, {}), viewer)
        days.setdefault(row.at.astimezone(viewer.zone).date(), []).append(_item(row, cards, viewer) | {"ledger": told})
    today = viewer.now.astimezone(viewer.zone).date()
    near = {today: _("Today"), today - timedelta(days=1): _("Yesterday")}
    return [{"title": near.get(day) or f"{day:%A, %-d %b %Y}", "items": items} for day, items in days.items()]


def _unread(held: Session, viewer: Viewer) -> int:
    """The count, also for the badge of the page around it."""
    g.unread = notices.count_unread(held, viewer.person.id, viewer.now)
    return int(g.unread)


# --- what is changed ---------------------------------------------------------------------------------------------


def _sent() -> dict[str, Any]:
    """What was posted, as a form or as JSON."""
    sent = request.get_json(silent=True) if request.is_json else request.form.to_dict(flat=True)
    return sent if isinstance(sent, dict) else {}


def _chosen() -> list[Any]:
    """The WHERE of what was posted: `ids` (or one `id`), or `about` a record; nothing = all. Raises RuleBroken."""
    sent = _sent()
    if sent.get("about"):
        column, _sep, key = str(sent["about"]).partition(":")
        record_id = parse_id(key)
        if column not in _PLACES or record_id is None:
            raise RuleBroken(_("These aren't valid notifications."), "about")
        return [getattr(Notification, column) == record_id]
    raw = sent.get("ids", sent.get("id")) if request.is_json else request.form.getlist("ids") or sent.get("id")
    if raw in (None, "all"):
        return []
    ids = [parse_id(each) for each in (raw if isinstance(raw, list) else [raw])][:1000]
    if None in ids:
        raise RuleBroken(_("These aren't valid notifications."), "ids")
    return [Notification.id.in_(ids)]


def _changed(step: Any) -> int:
    """Change one's own notices only, in a transaction of its own; how many rows changed."""
    own = step.where(Notification.user_id == current_viewer().person.id)
    held = db.session()
    held.commit()  # end the reading transaction: on SQLite a reader cannot always become a writer
    token = WRITES.set(True)
    try:
        done = held.execute(own, execution_options={"synchronize_session": False})
        notices.note_count_changed(held, current_viewer().person.id)
        held.commit()
    finally:
        WRITES.reset(token)
    return int(done.rowcount)
