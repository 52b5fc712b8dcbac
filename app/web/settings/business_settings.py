"""The few values of the business that a manager may turn."""

from __future__ import annotations

from typing import Any

from flask import flash, redirect, request, url_for
from flask_appbuilder import BaseView, expose
from flask_appbuilder.security.decorators import has_access
from flask_babel import gettext as _
from flask_babel import lazy_gettext
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.domain import settings
from app.domain.base import Conflict, RuleBroken
from app.extensions import db
from app.models import BusinessSetting
from app.web.core import gate
from app.web.core.languages import said
from app.web.pages.hardened import protect

#: A year, in minutes or days; longer spans are typing errors.
LONGEST_MINUTES, LONGEST_DAYS, LONGEST_TEXT = 525_600, 3650, 140
#: A warning comes before the end.
LONGEST_PERCENT = 99
#: A text that needs not be there; and what a whole form names, so that a box missing in it is one not ticked.
_MAY_BE_EMPTY, _LAST = ("phone_app_url",), "phone_app_version"
_SAID = {
    "grace_minutes": lazy_gettext("Office minutes a task can be overdue before it is reassigned"),
    "retry_minutes": lazy_gettext("Office minutes until a reassigned task is due"),
    "first_task_minutes": lazy_gettext("Minutes until the first task of a new record is due"),
    "request_expiry_days": lazy_gettext("Working days until a pending assignment request expires"),
    "lead_expiry_days": lazy_gettext("Days without activity until an open lead expires"),
    "opened_expiry_days": lazy_gettext("Days in Account Opened until a lead expires"),
    "sla_warning_percent": lazy_gettext("Percent of the SLA target after which a warning is sent"),
    "sla_escalation_minutes": lazy_gettext("Office minutes until a missed SLA target is escalated to the next manager"),
    "default_referral": lazy_gettext("The company's own referral code"),
    "phone_app_version": lazy_gettext("Latest version of the phone app"),
    "phone_app_build": lazy_gettext("Build number of the phone app"),
    "phone_app_url": lazy_gettext("Download address of the phone app; leave empty for none"),
    "phone_app_force": lazy_gettext("Require users to update older versions"),
}


class Business(BaseView):
    """The few values that a manager may turn."""

    route_base = "/settings/business"
    default_view = "values"
    class_permission_name = "Settings"
    method_permission_name = {"values": "read", "save": "write"}

    @expose("/")
    @has_access
    def values(self) -> Any:
        """The form with what is stored."""
        return self._page({}, {}, "")

    @expose("/", methods=["POST"])
    @has_access
    def save(self) -> Any:
        """Store all of them, or say what is wrong with which."""
        protect()
        session = db.session()
        try:
            if request.form.get("version") != gate.mark_of(_stored_values(session)):
                raise Conflict(_("Someone else changed the settings. Review yours, then save again."))
            _store_values(session, _typed_values(session))
            session.commit()
        except RuleBroken as broken:
            session.rollback()
            return self._page(request.form, broken.errors, said(broken.message)), gate.refusal(broken)[0]
        flash(_("Settings saved."), "success")
        return redirect(url_for("Business.values"))

    def _page(self, typed: Any, errors: dict[str, list[str]], error: str) -> str:
        stored = _stored_values(db.session())
        sections = [_section(key, value, typed, errors) for key, value in stored.items()]
        form = {
            "title": _("Business settings"),
            "action": url_for("Business.save"),
            "sections": sections,
            "version": gate.mark_of(stored),
            "error": error,
            "conflict": None,
        }
        return self.render_template("crm/form.html", title=form["title"], form=form)


def _stored_values(session: Session) -> dict[str, Any]:
    return {key: settings.value_of(session, key) for key in settings.DEFINITIONS}


def _parts(key: str, value: Any) -> dict[str, Any]:
    """Field name -> value: one for a plain setting, one a priority for a table."""
    return {f"{key}.{part}": each for part, each in value.items()} if isinstance(value, dict) else {key: value}


def _section(key: str, value: Any, typed: Any, errors: dict[str, list[str]]) -> dict[str, Any]:
    said = str(_SAID.get(key, settings.DEFINITIONS[key][1]))
    parts = _parts(key, value)
    return {
        "title": said if len(parts) > 1 else "",
        "fields": [
            {
                "name": name,
                "label": name.partition(".")[2] or said,
                "value": typed.get(name, each),
                "required": name not in _MAY_BE_EMPTY and not isinstance(each, bool),
                "kind": _kind(each),
                "maxlength": LONGEST_TEXT,
                "errors": errors.get(name, []),
            }
            for name, each in parts.items()
        ],
    }


def _kind(value: Any) -> str:
    return "flag" if isinstance(value, bool) else "number" if isinstance(value, int) else "text"


def _typed_values(session: Session) -> dict[str, Any]:
    """The settings as typed, in their types; a field that the form does not name stays. Raises RuleBroken."""
    values, errors = _stored_values(session), {}
    for key, value in values.items():
        for name, old in _parts(key, value).items():
            try:
                new = _taken(name, old)
            except ValueError as wrong:
                errors[name] = [str(wrong)]
                continue
            values[key] = {**values[key], name.partition(".")[2]: new} if "." in name else new
    if errors:
        raise RuleBroken(_("Not saved yet. Please check these fields:"), errors=errors)
    return values


def _taken(name: str, old: Any) -> Any:
    typed = request.form.get(name)
    if isinstance(old, bool):  # a box that is not ticked is not sent
        return bool(typed) if typed is not None or request.form.get(_LAST) is not None else old
    if typed is None:
        return old
    typed = typed.strip()
    if name in _MAY_BE_EMPTY:
        return _address(typed) if typed else ""
    if not isinstance(old, int):
        return _line_of_text(typed)
    most = LONGEST_PERCENT if "percent" in name else LONGEST_DAYS if "days" in name else LONGEST_MINUTES
    if not (typed.isascii() and typed.isdigit() and len(typed) < 8 and 1 <= int(typed) <= most):
        raise ValueError(_("Please enter a whole number from 1 to %(most)s.", most=most))
    return int(typed)


def _address(typed: str) -> str:
    line = _line_of_text(typed)
    if not line.startswith("https://") or " " in line:
        raise ValueError(_("Please enter an address that starts with https://, or leave it empty."))
    return line


def _line_of_text(typed: str) -> str:
    if not typed or len(typed) > LONGEST_TEXT or not typed.isprintable():
        raise ValueError(_("Please enter at most %(most)s characters.", most=LONGEST_TEXT))
    return typed


def _store_values(session: Session, values: dict[str, Any]) -> None:
    held = {row.key: row for row in session.scalars(select(BusinessSetting))}
    for key, value in values.items():
        if value == settings.value_of(session, key):
            continue
        row = held.get(key) or BusinessSetting(key=key, value=value)
        row.value, row.changed_on = value, gate.now()
        session.add(row)
