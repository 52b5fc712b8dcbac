"""The SLA policies: targets for first response and resolution of leads and tickets."""

from __future__ import annotations

from typing import Any

from flask import request
from flask_appbuilder.models.sqla.interface import SQLAInterface
from flask_babel import gettext as _
from flask_babel import lazy_gettext, lazy_pgettext
from wtforms import IntegerField
from wtforms.validators import NumberRange, Optional

from app.domain import tickets
from app.domain.base import RuleBroken
from app.extensions import db
from app.models import SlaPolicy, SlaTarget
from app.web.core.localization.default_labels import shown_label
from app.web.core.localization.durations import span
from app.web.pages.hardened_view import HardenedInterface, select_field
from app.web.settings.business_settings import MAX_MINUTES
from app.web.settings.picklists import PicklistScreen

#: Form key -> (stored priority, label).
_PRIORITIES = {
    "any": ("", lazy_gettext("Any")),
    **{each.lower(): (each, lazy_pgettext("label", each)) for each in tickets.PRIORITIES},
}
_KINDS = [("lead", lazy_gettext("Leads")), ("ticket", lazy_gettext("Tickets"))]


def _target_fields() -> dict[str, Any]:
    check = [Optional(), NumberRange(1, MAX_MINUTES)]
    made = {}
    for key, (_priority, word) in _PRIORITIES.items():
        made[f"reply_{key}"] = IntegerField(
            lazy_gettext("%(priority)s: first response", priority=word),
            list(check),
            description=lazy_gettext("Minutes of office time"),
            render_kw={"class": "form-control"},
        )
        made[f"solve_{key}"] = IntegerField(
            lazy_gettext("%(priority)s: resolution", priority=word),
            list(check),
            description=lazy_gettext("Minutes of office time"),
            render_kw={"class": "form-control"},
        )
    return made


class Policies(HardenedInterface):
    """SLA policies with their targets as text."""

    def _get_attr_value(self, item: Any, col: str) -> Any:
        if col != "promises":
            return super()._get_attr_value(item, col)
        return [_target_text(each) for each in sorted(item.targets, key=lambda each: each.first_response_minutes)]


def _target_text(target: SlaTarget) -> str:
    """“High: response in 1h, resolution in 9h”, in office time."""
    text = _(
        "%(priority)s: response in %(time)s",
        priority=shown_label(target.priority) if target.priority else _("Any"),
        time=span(60 * target.first_response_minutes),
    )
    if target.resolution_minutes is None:
        return str(text)
    return str(_("%(response)s, resolution in %(time)s", response=text, time=span(60 * target.resolution_minutes)))


class SlaPolicies(PicklistScreen):
    """Screen of the SLA policies."""

    datamodel = SQLAInterface(SlaPolicy)
    interface = Policies
    route_base = "/settings/sla"
    list_title, show_title = lazy_gettext("SLA policies"), lazy_gettext("SLA policy")
    add_title, edit_title = lazy_gettext("New SLA policy"), lazy_gettext("Edit SLA policy")
    list_columns = ["label", "applies_to", "promises", "is_active"]
    columns = ("label", "applies_to", "position", "is_active")
    search_columns = ["label", "applies_to", "is_active"]
    formatters_columns = {"applies_to": lambda kind: str(dict(_KINDS).get(kind, kind))}
    description_columns = {
        "position": lazy_gettext("If several policies have a target, the first in order applies."),
        "is_active": lazy_gettext("Running SLA clocks keep their targets until the record's priority changes."),
    }
    fields = {"applies_to": select_field(lazy_gettext("For"), _KINDS), **_target_fields()}
    add_fieldsets = edit_fieldsets = [
        (lazy_gettext("Policy"), {"fields": list(columns)}),
        (lazy_gettext("Targets by priority; empty = none"), {"fields": list(_target_fields())}),
    ]
    show_fieldsets = [(lazy_gettext("Policy"), {"fields": [*columns, "promises"]})]

    def prefill_form(self, form: Any, pk: Any) -> None:
        """Fill the stored targets into their fields."""
        keys = {priority: key for key, (priority, _word) in _PRIORITIES.items()}
        for target in db.session.get(SlaPolicy, pk).targets:
            form[f"reply_{keys[target.priority]}"].data = target.first_response_minutes
            form[f"solve_{keys[target.priority]}"].data = target.resolution_minutes

    def refuse_invalid(self, item: Any) -> None:
        """Also: set the targets from the fields, of which at least one is required."""
        super().refuse_invalid(item)
        for key, (priority, _word) in _PRIORITIES.items():
            if request.form.get(f"reply_{key}") is not None:
                _set_target(item, key, priority)
        if item.applies_to == "lead" and any(each.priority for each in item.targets):
            raise RuleBroken(_("A lead has no priority. Please enter its minutes under “Any”."), "reply_any")
        if not item.targets:
            raise RuleBroken(_("Please enter at least one target."), "reply_any")


def _set_target(policy: Any, key: str, priority: str) -> None:
    """Set the target of one priority. Raises RuleBroken if resolution is due before the first response."""
    reply, solve = getattr(policy, f"reply_{key}"), getattr(policy, f"solve_{key}")
    if solve and (not reply or solve < reply):
        raise RuleBroken(
            _("The resolution can't be due before the first response. Please check the minutes."), f"solve_{key}"
        )
    target = next((each for each in policy.targets if each.priority == priority), None)
    if target is not None and not reply:
        policy.targets.remove(target)
    elif target is not None:
        target.first_response_minutes, target.resolution_minutes = reply, solve
    elif reply:
        policy.targets.append(SlaTarget(priority=priority, first_response_minutes=reply, resolution_minutes=solve))
