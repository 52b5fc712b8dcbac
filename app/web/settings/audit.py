"""The audit page, for people who may read the audit: filters, pages, and a check that the log is unaltered."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from functools import wraps
from typing import Any

from flask import abort, current_app, flash, g, redirect, request, url_for
from flask_appbuilder import BaseView, expose
from flask_babel import gettext as _
from sqlalchemy import Select, select

from app import access
from app.domain.audit_log import audit, audit_chain
from app.extensions import db
from app.lib.ids import parse_id
from app.models import AuditEntry, User
from app.ops.storage.audit_head_file import AuditHeadFile
from app.web.core.fab_access import zone
from app.web.pages.hardened_view import protect
from app.web.security.sessions import format_moment, signed_in
from app.web.settings import audit_texts

PAGE = 50
#: Lines of a check's result on the page; the command shows all.
MAX_LINES = 10


def auditors_only(function: Callable[..., Any]) -> Callable[..., Any]:
    """Respond with 403 to people without the permission."""

    @wraps(function)
    def guarded(self: Any, *args: Any, **kwargs: Any) -> Any:
        if not can_read_audit(g.person):
            abort(403)
        return function(self, *args, **kwargs)

    return guarded


def can_read_audit(person: access.Person) -> bool:
    """Whether the person can read the audit; the access rules of its rows say the same."""
    return person.may("Audit Log", "read")


class Audit(BaseView):
    """/audit/"""

    route_base = "/audit"
    default_view = "entries"
    class_permission_name = "Audit Log"
    base_permissions = ["can_read"]

    @expose("/")
    @signed_in
    @auditors_only
    def entries(self) -> Any:
        """A page of entries, newest first."""
        rows, people = db.session.execute(_filtered(_page_query())).all(), _people()
        names = dict(people)
        more = len(rows) > PAGE
        filters: dict[str, Any] = {name: value for name, value in request.args.items() if name != "before" and value}
        older = url_for("Audit.entries", **filters, before=rows[PAGE - 1][0].id) if more else ""
        return self.render_template(
            "settings/audit.html",
            title=_("Audit"),
            rows=[_entry_row(names, *row) for row in rows[:PAGE]],
            older=older,
            first=url_for("Audit.entries", **filters) if request.args.get("before") else "",
            events=audit.EVENTS,
            people=people,
            asked=request.args,
        )

    @expose("/check", methods=["POST"])
    @signed_in
    @auditors_only
    def check(self) -> Any:
        """Check the whole chain, and that it contains the heads recorded outside the database."""
        protect()
        record = AuditHeadFile(current_app.config["CRM"].instance_dir)
        report = audit_chain.verify(db.session(), [audit_chain.ChainHead(*head) for head in record.heads()])
        is_intact = report.is_our_key and not report.broken
        for line in audit_texts.report_lines(report)[:MAX_LINES]:
            flash(line, "success" if is_intact else "danger")
        return redirect(url_for("Audit.entries"))


def _page_query() -> Select[Any]:
    query = select(AuditEntry, User.first_name, User.last_name).outerjoin(User, User.id == AuditEntry.user_id)
    return query.order_by(AuditEntry.id.desc()).limit(PAGE + 1)


def _filtered(query: Select[Any]) -> Select[Any]:
    """The query with the filters of the URL; an invalid one is ignored with a message."""
    for name, condition_for in _FILTERS.items():
        raw = request.args.get(name, "").strip()
        condition = condition_for(raw) if raw else None
        if condition is not None:
            query = query.where(condition)
        elif raw:
            flash(_("“%(value)s” wasn't understood and was ignored.", value=raw[:20]), "warning")
    return query


def _start_of_day(raw: str, days: int = 0) -> datetime | None:
    """The start of this day in the viewer's zone, UTC, plus `days`; None for an invalid date."""
    try:
        day = date.fromisoformat(raw)
        return datetime.combine(day + timedelta(days=days), time.min, tzinfo=zone()).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _at_condition(raw: str, days: int, later: bool) -> Any:
    moment = _start_of_day(raw, days)
    if moment is None:
        return None
    return AuditEntry.at >= moment if later else AuditEntry.at < moment


_FILTERS: dict[str, Callable[[str], Any]] = {
    "event": lambda raw: AuditEntry.event == raw if raw in audit.EVENTS else None,
    "person": lambda raw: AuditEntry.user_id == parse_id(raw) if parse_id(raw) else None,
    "since": lambda raw: _at_condition(raw, 0, later=True),
    "until": lambda raw: _at_condition(raw, 1, later=False),
    "before": lambda raw: AuditEntry.id < parse_id(raw) if parse_id(raw) else None,
}


def _people() -> list[tuple[int, str]]:
    rows = db.session.execute(select(User.id, User.first_name, User.last_name).order_by(User.first_name, User.id))
    return [(key, f"{first} {last}".strip()) for key, first, last in rows]


def _entry_row(people: dict[int, str], entry: AuditEntry, first: str | None, last: str | None) -> dict[str, Any]:
    details = [(key, _as_text(value)) for key, value in (entry.payload or {}).items() if value not in _EMPTY]
    return {
        "id": entry.id,
        "at": entry.at.astimezone(zone()),
        "event": entry.event,
        "about": _subject(entry.about, people),
        "person": f"{first or ''} {last or ''}".strip(),
        "address": entry.address,
        "details": details,
    }


def _subject(about: str | None, people: dict[int, str]) -> str | None:
    """What the entry is about; for a user, stored as "user 7", with the name."""
    found = re.fullmatch(r"user ([0-9]{1,9})", about or "")
    name = people.get(int(found[1])) if found else None
    return f"{name} ({about})" if name else about


#: Values that say nothing.
_EMPTY: tuple[Any, ...] = ([], None, "")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d(\.\d+)?)?\+00:00")


def _as_text(value: Any) -> str:
    """A value of the details as people read it; a changed one as “old → new”, times in the viewer's zone."""
    if isinstance(value, dict) and value.keys() == {"added", "removed"}:
        return f"{_as_text(value['removed'])} → {_as_text(value['added'])}"
    if isinstance(value, dict):
        return "; ".join(f"{key} {_as_text(each)}" for key, each in value.items() if each not in _EMPTY)
    if isinstance(value, list):
        return ", ".join(map(_as_text, value)) or "–"
    if value in (None, "", "None"):
        return "–"
    if isinstance(value, str) and _MOMENT.fullmatch(value):
        return format_moment(datetime.fromisoformat(value))
    return str(value)
