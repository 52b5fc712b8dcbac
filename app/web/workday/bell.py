"""The notifications panel and page: notices as sentences, grouped by record; marking read and snoozing."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode, urlsplit

from flask import Response, redirect, request
from flask_appbuilder import BaseView, expose
from flask_babel import gettext as _
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.domain.base import RuleBroken
from app.domain.notifications import notices
from app.domain.snooze import snoozed_until
from app.extensions import db
from app.lib.ids import parse_id
from app.models import Notification
from app.notice_links import RecordCards, link_of, names_of, record_cards, record_link
from app.notice_texts import text_of
from app.ops.database.connections import WRITES
from app.web.core.fab_access import current_viewer, json_answer, parse_integer, refuse_as_json
from app.web.core.fields.date_fields import moment_cell
from app.web.core.localization.day_and_month_names import format_local_date
from app.web.core.urls.local_links import local_path
from app.web.core.viewer import Viewer
from app.web.pages import page_frame
from app.web.pages.routes import signed_in_route
from app.web.security.sessions import signed_in
from app.web.workday import notice_deliveries
from app.web.workday.notice_kinds import KINDS

#: Notices in the panel, and per page of all notices.
PANEL_ROWS, PAGE_ROWS = 30, 50
#: Columns of the records whose notices can be marked read or snoozed together.
_RECORD_COLUMNS = ("lead_id", "ticket_id", "customer_id")


class BellView(BaseView):
    """The person's own notices. Access rules show only own rows; each statement also filters by the person."""

    route_base = "/bell"
    default_view = "index"

    @signed_in_route("/")
    def index(self) -> Any:
        """All notices, by page, each with its delivery log."""
        return self.render_template("workday/notices.html", **_page())

    @expose("/panel")
    @signed_in
    def panel(self) -> Any:
        """The newest notices, as an HTML fragment."""
        return self.render_template("workday/bell.html", **_panel())

    @expose("/count")
    @signed_in
    def count(self) -> Response:
        """{unread}, for pages without a socket."""
        viewer = current_viewer()
        return json_answer(200, {"unread": notices.count_unread(db.session(), viewer.person.id, viewer.now)})

    @expose("/read", methods=["POST"])
    @expose("/read/<int:one>", methods=["POST"])
    @signed_in
    @refuse_as_json
    def read(self, one: int | None = None) -> Any:
        """Mark as read: one, the posted `ids`, those `about` a record, or all."""
        conditions = [Notification.id == one] if one is not None else _conditions()
        step = update(Notification).where(*conditions, Notification.read_on.is_(None))
        return self._answer(_execute(step.values(read_on=current_viewer().now)))

    @expose("/snooze", methods=["POST"])
    @signed_in
    @refuse_as_json
    def snooze(self) -> Any:
        """Snooze the posted `ids`, or the unread notices `about` a record: 15m, 1h, 3h, tomorrow (9:00), or now."""
        payload, viewer = _payload(), current_viewer()
        moment = snooze_end(str(payload.get("until") or ""), viewer.now, viewer.zone)
        conditions = _conditions()
        if not conditions:
            return self._answer(0)
        if payload.get("about"):
            conditions.append(Notification.read_on.is_(None))
        step = update(Notification).where(*conditions)
        return self._answer(_execute(step.values(notices.snooze_values(moment))))

    def _answer(self, changed: int) -> Any:
        """The response: the panel for htmx, the count for JSON, else a redirect to the page of all notices."""
        if request.headers.get("HX-Target") == "bell-panel":
            return self.render_template("workday/bell.html", **_panel())
        if request.is_json:
            unread = notices.count_unread(db.session(), current_viewer().person.id, current_viewer().now)
            return json_answer(200, {"changed": changed, "unread": unread})
        referrer = urlsplit(local_path(request.referrer) or "")
        return redirect(f"/bell/?{referrer.query}" if referrer.path == "/bell/" and referrer.query else "/bell/")


def snooze_end(choice: str, now: datetime, zone: Any) -> datetime:
    """The time at which a snoozed notice comes back. Raises RuleBroken for an unknown choice."""
    return now if choice == "now" else snoozed_until(choice, now, zone)


# --- display


def _panel() -> dict[str, Any]:
    """The newest notices, and those whose snooze has ended, however old."""
    viewer, session = current_viewer(), db.session()
    mine = select(Notification).where(Notification.user_id == viewer.person.id)
    back = (Notification.read_on.is_(None), Notification.snoozed_until <= viewer.now)
    awake = mine.where(notices.not_snoozed(viewer.now))
    rows = set(session.scalars(awake.order_by(Notification.id.desc()).limit(PANEL_ROWS)))
    rows |= set(session.scalars(mine.where(*back).order_by(Notification.snoozed_until.desc()).limit(PANEL_ROWS)))
    shown = sorted(rows, key=lambda row: (_shown_on(row, viewer.now), row.id), reverse=True)[:PANEL_ROWS]
    return {"groups": group_by_record(session, shown, viewer), "unread": _unread(viewer)}


def _shown_on(row: Any, now: datetime) -> datetime:
    """When a notice was last shown as new: when created, or when its snooze ended."""
    is_back = row.snoozed_until is not None and row.read_on is None and not notices.is_snoozed(row, now)
    return row.snoozed_until if is_back else row.at


def group_by_record(session: Session, rows: list[Any], viewer: Any) -> list[dict[str, Any]]:
    """Groups by record for workday/bell.html, in the order of the rows."""
    cards = record_cards(session, rows)
    groups: dict[Any, dict[str, Any]] = {}
    for row in rows:
        home, item = record_link(row, cards), _item(row, cards, viewer)
        group = groups.setdefault(home, {"record": item["record"], "about": item["about"], "items": [], "unread": 0})
        group["items"].append(item)
        group["unread"] += not item["read"]
    return list(groups.values())


def _item(row: Any, cards: RecordCards, viewer: Viewer) -> dict[str, Any]:
    """One notice for the templates."""
    home = record_link(row, cards)
    is_away = notices.is_snoozed(row, viewer.now) and row.read_on is None
    return {
        "id": row.id,
        "text": text_of(row, **notice_deliveries.text_values(row, viewer), **names_of(row, cards)),
        "at": moment_cell(row.at, viewer),
        "read": row.read_on is not None,
        "url": link_of(row, cards),
        "about": _about(row, cards),
        "record": {"url": home[0], "label": home[1]} if home else None,
        "snoozed": moment_cell(row.snoozed_until, viewer) if is_away else None,
        "is_back": _shown_on(row, viewer.now) != row.at,
    } | notice_deliveries.icon_of(row)


def _about(row: Any, cards: RecordCards) -> str | None:
    """The column:id with which the group can be marked as a whole."""
    for column in _RECORD_COLUMNS:
        if (column, getattr(row, column)) in cards:
            return f"{column}:{getattr(row, column)}"
    return None


def _page() -> dict[str, Any]:
    """One page of all notices, and the URL of older ones."""
    viewer, session = current_viewer(), db.session()
    show, kind = request.args.get("show", ""), request.args.get("kind", "")
    before = parse_integer(request.args.get("before"), 0, 0, 2**31 - 1)
    query = select(Notification).where(Notification.user_id == viewer.person.id, *_filters(show, kind, viewer.now))
    query = query.where(Notification.id < before) if before else query
    rows = list(session.scalars(query.order_by(Notification.id.desc()).limit(PAGE_ROWS + 1)))
    more, rows = len(rows) > PAGE_ROWS, rows[:PAGE_ROWS]
    filters = {name: value for name, value in (("show", show), ("kind", kind)) if value}
    older = "/bell/?" + urlencode(filters | {"before": rows[-1].id}) if more else None
    kinds = [(each, KINDS[each].label) for each in notices.KINDS if each in KINDS]
    return {
        "days": _days(session, rows, viewer),
        "show": show,
        "kind": kind,
        "kinds": kinds,
        "older_url": older,
        "unread": _unread(viewer),
    }


def _filters(show: str, kind: str, now: datetime) -> list[Any]:
    """The conditions of the page's filters. Raises RuleBroken for an unknown filter."""
    if show not in ("", "unread", "snoozed") or (kind and kind not in notices.KINDS):
        raise RuleBroken(_("There is no such filter. Please choose one from the list."))
    rules = [Notification.kind == kind] if kind else []
    if show == "unread":
        rules.append(notices.counts_as_unread(now))
    if show == "snoozed":
        rules += [Notification.read_on.is_(None), Notification.snoozed_until > now]
    return rules


def _days(session: Session, rows: list[Any], viewer: Viewer) -> list[dict[str, Any]]:
    """[{title, items}] by day in the viewer's zone, each item with its delivery log."""
    cards, deliveries = record_cards(session, rows), notice_deliveries.deliveries_of(session, [row.id for row in rows])
    days: dict[Any, list[dict[str, Any]]] = {}
    for row in rows:
        log = notice_deliveries.delivery_lines(row, deliveries.get(row.id, {}), viewer)
        days.setdefault(row.at.astimezone(viewer.zone).date(), []).append(_item(row, cards, viewer) | {"ledger": log})
    today = viewer.today
    near = {today: _("Today"), today - timedelta(days=1): _("Yesterday")}
    return [
        {"title": near.get(day) or format_local_date(day, "%A, %-d %b %Y"), "items": items}
        for day, items in days.items()
    ]


def _unread(viewer: Viewer) -> int:
    """The unread count; also kept for the badge of the page."""
    return page_frame.count_unread(viewer.person.id)


# --- changes


def _payload() -> dict[str, Any]:
    """The posted form or JSON."""
    payload = request.get_json(silent=True) if request.is_json else request.form.to_dict(flat=True)
    return payload if isinstance(payload, dict) else {}


def _conditions() -> list[Any]:
    """The conditions of the posted `ids` (or one `id`), or `about` a record; none = all. Raises RuleBroken."""
    payload = _payload()
    if payload.get("about"):
        column, _sep, key = str(payload["about"]).partition(":")
        record_id = parse_id(key)
        if column not in _RECORD_COLUMNS or record_id is None:
            raise RuleBroken(_("These aren't valid notifications."), "about")
        return [getattr(Notification, column) == record_id]
    raw = payload.get("ids", payload.get("id")) if request.is_json else request.form.getlist("ids") or payload.get("id")
    if raw in (None, "all"):
        return []
    ids = [parse_id(each) for each in (raw if isinstance(raw, list) else [raw])][:1000]
    if None in ids:
        raise RuleBroken(_("These aren't valid notifications."), "ids")
    return [Notification.id.in_(ids)]


def _execute(step: Any) -> int:
    """Run the update on own notices only, in its own transaction. Returns how many rows changed."""
    own = step.where(Notification.user_id == current_viewer().person.id)
    session = db.session()
    session.commit()  # on SQLite a read transaction cannot always become a write: end it first
    token = WRITES.set(True)
    try:
        done = session.execute(own, execution_options={"synchronize_session": False})
        notices.note_count_changed(session, current_viewer().person.id)
        session.commit()
    finally:
        WRITES.reset(token)
    return int(done.rowcount)
