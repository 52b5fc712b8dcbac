"""The audit, for those who must answer for it: read, narrowed down, and checked for gaps."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from functools import wraps
from typing import Any

from flask import abort, flash, g, redirect, request, url_for
from flask_appbuilder import BaseView, expose
from flask_babel import gettext as _
from sqlalchemy import Select, func, select

from app import access
from app.domain import audit
from app.extensions import db
from app.lib.ids import parse_id
from app.models import AuditEntry, User
from app.web.core.gate import zone
from app.web.pages.hardened import protect
from app.web.security.sessions import signed_in

PAGE = 50


def readers_only(function: Callable[..., Any]) -> Callable[..., Any]:
    """For administrators and Compliance."""

    @wraps(function)
    def guarded(self: Any, *args: Any, **kwargs: Any) -> Any:
        if not may_read(g.person):
            abort(403)
        return function(self, *args, **kwargs)

    return guarded


def may_read(who: access.Person) -> bool:
    """Whether the person sees the audit at all; the law says the same of its rows."""
    return who.is_admin or "Compliance" in who.roles


class Audit(BaseView):
    """What happened that must be answerable for years."""

    route_base = "/audit"
    default_view = "entries"

    @expose("/")
    @signed_in
    @readers_only
    def entries(self) -> Any:
        """A page of entries, the latest first."""
        rows = db.session.execute(_narrowed(_page_query())).all()
        more = len(rows) > PAGE
        asked: dict[str, Any] = {name: value for name, value in request.args.items() if name != "before" and value}
        older = url_for("Audit.entries", **asked, before=rows[PAGE - 1][0].id) if more else ""
        return self.render_template(
            "settings/audit.html",
            title=_("Audit"),
            rows=[_line(*row) for row in rows[:PAGE]],
            older=older,
            first=url_for("Audit.entries", **asked) if request.args.get("before") else "",
            events=audit.EVENTS,
            people=_people(),
            asked=request.args,
        )

    @expose("/check", methods=["POST"])
    @signed_in
    @readers_only
    def check(self) -> Any:
        """Whether every entry follows from the one before."""
        protect()
        broken = audit.first_invalid_entry(db.session())
        count = db.session.scalar(select(func.count()).select_from(AuditEntry))
        if broken is None:
            flash(_("The log is intact: %(count)s entries.", count=count), "success")
        else:
            flash(_("The log was altered: entry %(id)s doesn't match the previous one.", id=broken), "danger")
        return redirect(url_for("Audit.entries"))


def _page_query() -> Select[Any]:
    query = select(AuditEntry, User.first_name, User.last_name).outerjoin(User, User.id == AuditEntry.user_id)
    return query.order_by(AuditEntry.id.desc()).limit(PAGE + 1)


def _narrowed(query: Select[Any]) -> Select[Any]:
    """The query with what the address asks for; what it cannot mean is left out with a note."""
    asked = request.args
    for name, narrow in _FILTERS.items():
        raw = asked.get(name, "").strip()
        condition = narrow(raw) if raw else None
        if condition is not None:
            query = query.where(condition)
        elif raw:
            flash(_("“%(value)s” wasn't understood and was ignored.", value=raw[:20]), "warning")
    return query


def _day(raw: str, days: int = 0) -> datetime | None:
    """The beginning of the person's day, UTC, so many days later; None for what is no usable date."""
    try:
        day = date.fromisoformat(raw)
        return datetime.combine(day + timedelta(days=days), time.min, tzinfo=zone()).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _at(raw: str, days: int, later: bool) -> Any:
    moment = _day(raw, days)
    if moment is None:
        return None
    return AuditEntry.at >= moment if later else AuditEntry.at < moment


_FILTERS: dict[str, Callable[[str], Any]] = {
    "event": lambda raw: AuditEntry.event == raw if raw in audit.EVENTS else None,
    "person": lambda raw: AuditEntry.user_id == parse_id(raw) if parse_id(raw) else None,
    "since": lambda raw: _at(raw, 0, later=True),
    "until": lambda raw: _at(raw, 1, later=False),
    "before": lambda raw: AuditEntry.id < parse_id(raw) if parse_id(raw) else None,
}


def _people() -> list[tuple[int, str]]:
    rows = db.session.execute(select(User.id, User.first_name, User.last_name).order_by(User.first_name, User.id))
    return [(key, f"{first} {last}".strip()) for key, first, last in rows]


def _line(entry: AuditEntry, first: str | None, last: str | None) -> dict[str, Any]:
    details = [(key, _said(value)) for key, value in (entry.payload or {}).items()]
    return {
        "id": entry.id,
        "at": entry.at.astimezone(zone()),
        "event": entry.event,
        "about": entry.about,
        "person": f"{first or ''} {last or ''}".strip(),
        "address": entry.address,
        "details": details,
    }


def _said(value: Any) -> str:
    if isinstance(value, dict):
        return "; ".join(f"{key} {_said(each)}" for key, each in value.items() if each not in ([], None, ""))
    return ", ".join(str(each) for each in value) if isinstance(value, list) else str(value)
