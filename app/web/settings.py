"""What a manager may turn: the masters, office hours and holidays, SLA policies, business settings."""

from __future__ import annotations

import hashlib
import json
import re
from datetime import time
from typing import Any

from flask import flash, redirect, request, url_for
from flask_appbuilder import BaseView, expose
from flask_appbuilder.models.sqla.interface import SQLAInterface
from flask_appbuilder.security.decorators import has_access
from flask_babel import gettext as _
from flask_babel import lazy_gettext
from sqlalchemy import select
from sqlalchemy.orm import Session
from wtforms import DateField, IntegerField, TimeField
from wtforms.validators import InputRequired, NumberRange, Optional

from app.domain import clock, leads, settings, tickets
from app.domain.base import Conflict, RuleBroken
from app.extensions import db
from app.models import (
    AccountType,
    BusinessSetting,
    Holiday,
    LeadSource,
    LeadStatus,
    MessageTemplate,
    OfficeRange,
    SlaPolicy,
    SlaTarget,
    SupportPage,
    TicketStatus,
    TicketSubject,
)
from app.web import gate
from app.web.sturdy import VERBS, Interface, Sturdy, pick, protect

#: A year, in minutes or days; longer spans are typing errors.
LONGEST_MINUTES, LONGEST_DAYS, LONGEST_TEXT = 525_600, 3650, 140
_ADDRESS = re.compile(r"https?://[^\s/]+\.?[^\s]*", re.IGNORECASE)
_WEEKDAYS = tuple(map(lazy_gettext, clock.WEEKDAYS))
NO_HOURS = lazy_gettext("No office hours: the office counts as always open.")


def _time(label: Any, *checks: Any) -> Any:
    return TimeField(label, validators=list(checks) or [Optional()], format=["%H:%M", "%H:%M:%S"],
                     render_kw={"class": "form-control"})  # fmt: skip


_COLOUR = pick(lazy_gettext("Colour"), [(each, each.title()) for each in settings.COLOURS])
_CLOCK = {"starts": lambda at: f"{at:%H:%M}" if at else "–", "ends": lambda at: f"{at:%H:%M}" if at else "–"}
_LABELS = {
    "label": lazy_gettext("Label"), "position": lazy_gettext("Order"), "is_active": lazy_gettext("On offer"),
    "color": lazy_gettext("Colour"), "meaning": lazy_gettext("Meaning"), "description": lazy_gettext("Description"),
    "url": lazy_gettext("Address"), "channel": lazy_gettext("Channel"), "body": lazy_gettext("Text"),
    "day": lazy_gettext("Day"), "starts": lazy_gettext("From"), "ends": lazy_gettext("To"),
    "weekday": lazy_gettext("Weekday"), "applies_to": lazy_gettext("For"), "promises": lazy_gettext("Targets"),
}  # fmt: skip


# --- masters -----------------------------------------------------------------------------------------------------


class MasterScreen(Sturdy):
    """A pick-list as rows."""

    class_permission_name = "Settings"
    method_permission_name = VERBS
    columns: tuple[str, ...] = ("label", "position", "is_active")
    fields: dict[str, Any] = {}
    base_order = ("position", "asc")
    page_size = 100

    def __init__(self, **kwargs: Any) -> None:
        columns = list(self.columns)
        self.list_columns = self.list_columns or columns
        self.search_columns = self.search_columns or [each for each in columns if each not in self.fields]
        self.show_columns, self.add_columns, self.edit_columns = columns, columns, columns
        self.add_form_extra_fields = self.edit_form_extra_fields = self.fields
        self.label_columns = _LABELS
        super().__init__(**kwargs)

    def pre_add(self, item: Any) -> None:
        """The same check for new and changed rows."""
        self.refuse_bad(item)

    def pre_update(self, item: Any) -> None:
        """The same check for new and changed rows."""
        self.refuse_bad(item)

    def refuse_bad(self, item: Any) -> None:
        """Raise RuleBroken for what the rules of this list do not allow."""
        if not -9999 <= (item.position or 0) <= 9999:
            raise RuleBroken(_("Please choose an order between -9999 and 9999."), "position")
        item.position = item.position or 0


class _Statuses(MasterScreen):
    """Statuses: the code knows them by their meaning, so one of each needed meaning must stay."""

    columns = ("label", "color", "meaning", "position", "is_active")
    needed: tuple[str, ...] = ()

    def refuse_bad(self, item: Any) -> None:
        """Also: the last status of a meaning neither goes, nor is hidden, nor turns into another."""
        super().refuse_bad(item)
        model = type(item)
        kept = item.meaning if item.is_active else None
        with db.session.no_autoflush:
            before = db.session.execute(select(model.meaning).where(model.id == item.id)).scalar() if item.id else None
        if before is not None and kept != before:
            self._refuse_last(item, before)

    def pre_delete(self, item: Any) -> None:
        """Not the last one of a meaning that the code needs."""
        self._refuse_last(item, item.meaning)

    def _refuse_last(self, item: Any, meaning: str) -> None:
        model = type(item)
        others = select(model.id).where(model.meaning == meaning, model.id != item.id, model.is_active.is_(True))
        with db.session.no_autoflush:
            is_last = db.session.execute(others.limit(1)).first() is None
        if meaning in self.needed and is_last:
            text = _("It is the only status for “%(meaning)s”, which the product needs. Make another one first.",
                     meaning=meaning)  # fmt: skip
            raise RuleBroken(text, "meaning")


def _meanings(statuses: Any) -> list[tuple[str, str]]:
    return [(each, each.replace("_", " ").capitalize()) for each in dict.fromkeys(row[0] for row in statuses)]


class LeadStatuses(_Statuses):
    """Where a lead can stand."""

    datamodel = SQLAInterface(LeadStatus)
    route_base = "/settings/lead-statuses"
    list_title, show_title = lazy_gettext("Lead statuses"), lazy_gettext("Lead status")
    add_title, edit_title = lazy_gettext("New lead status"), lazy_gettext("Edit lead status")
    fields = {"color": _COLOUR, "meaning": pick(lazy_gettext("Meaning"), _meanings(leads.STATUSES))}
    needed = tuple(key for key, _label in _meanings(leads.STATUSES))


class TicketStatuses(_Statuses):
    """Where a ticket can stand."""

    datamodel = SQLAInterface(TicketStatus)
    route_base = "/settings/ticket-statuses"
    list_title, show_title = lazy_gettext("Ticket statuses"), lazy_gettext("Ticket status")
    add_title, edit_title = lazy_gettext("New ticket status"), lazy_gettext("Edit ticket status")
    fields = {"color": _COLOUR, "meaning": pick(lazy_gettext("Meaning"), _meanings(tickets.STATUSES))}
    needed = tuple(key for key, _label in _meanings(tickets.STATUSES))


class TicketSubjects(MasterScreen):
    """What a ticket can be about."""

    datamodel = SQLAInterface(TicketSubject)
    route_base = "/settings/ticket-subjects"
    list_title, show_title = lazy_gettext("Ticket subjects"), lazy_gettext("Ticket subject")
    add_title, edit_title = lazy_gettext("New ticket subject"), lazy_gettext("Edit ticket subject")
    columns = ("label", "description", "position", "is_active")


class AccountTypes(MasterScreen):
    """Kinds of brokerage accounts."""

    datamodel = SQLAInterface(AccountType)
    route_base = "/settings/account-types"
    list_title, show_title = lazy_gettext("Account types"), lazy_gettext("Account type")
    add_title, edit_title = lazy_gettext("New account type"), lazy_gettext("Edit account type")


class LeadSources(MasterScreen):
    """Where leads come from."""

    datamodel = SQLAInterface(LeadSource)
    route_base = "/settings/lead-sources"
    list_title, show_title = lazy_gettext("Lead sources"), lazy_gettext("Lead source")
    add_title, edit_title = lazy_gettext("New lead source"), lazy_gettext("Edit lead source")


class SupportPages(MasterScreen):
    """Help pages that can be sent to a customer."""

    datamodel = SQLAInterface(SupportPage)
    route_base = "/settings/support-pages"
    class_permission_name = "Support Pages"
    list_title, show_title = lazy_gettext("Support pages"), lazy_gettext("Support page")
    add_title, edit_title = lazy_gettext("New support page"), lazy_gettext("Edit support page")
    columns = ("label", "url", "description", "position", "is_active")

    def refuse_bad(self, item: Any) -> None:
        """Also: an address that a customer can open."""
        super().refuse_bad(item)
        if not _ADDRESS.fullmatch(item.url or ""):
            raise RuleBroken(_("Please enter an address that begins with http:// or https://."), "url")


class MessageTemplates(MasterScreen):
    """Texts of messages."""

    datamodel = SQLAInterface(MessageTemplate)
    route_base = "/settings/message-templates"
    list_title, show_title = lazy_gettext("Message templates"), lazy_gettext("Message template")
    add_title, edit_title = lazy_gettext("New message template"), lazy_gettext("Edit message template")
    list_columns = ["label", "channel", "position", "is_active"]
    columns = ("label", "channel", "body", "position", "is_active")
    fields = {"channel": pick(lazy_gettext("Channel"), [("whatsapp", "WhatsApp"), ("sms", "SMS"),
                                                           ("email", lazy_gettext("E-mail"))])}  # fmt: skip


# --- office time -------------------------------------------------------------------------------------------------


class Holidays(MasterScreen):
    """Days on which the office is shut, or open for a half day."""

    datamodel = SQLAInterface(Holiday)
    route_base = "/settings/holidays"
    list_title, show_title = lazy_gettext("Holidays"), lazy_gettext("Holiday")
    add_title, edit_title = lazy_gettext("New holiday"), lazy_gettext("Edit holiday")
    columns = ("day", "label", "starts", "ends")
    search_columns = ["day", "label"]
    base_order = ("day", "desc")
    formatters_columns = _CLOCK
    fields = {
        "day": DateField(lazy_gettext("Day"), [InputRequired()], render_kw={"class": "form-control"}),
        "starts": _time(lazy_gettext("Open from (half day)")), "ends": _time(lazy_gettext("Open to")),
    }  # fmt: skip

    def refuse_bad(self, item: Any) -> None:
        """A day once only; a half day from an earlier to a later time."""
        if (item.starts is None) != (item.ends is None):
            raise RuleBroken(_("For a half day please enter both times; for a whole day neither."), "starts")
        if item.starts is not None and item.ends <= item.starts:
            raise RuleBroken(_("The half day must end after it begins."), "ends")
        same = select(Holiday.id).where(Holiday.day == item.day, Holiday.id != (item.id or 0))
        if db.session.execute(same).first() is not None:
            raise RuleBroken(_("This day is on the list already. Please edit it there."), "day")


class OfficeRanges(MasterScreen):
    """Office hours, one stretch a row."""

    datamodel = SQLAInterface(OfficeRange)
    route_base = "/settings/office-ranges"
    list_title, show_title = lazy_gettext("Office hours"), lazy_gettext("Office hours")
    add_title, edit_title = lazy_gettext("New office hours"), lazy_gettext("Edit office hours")
    columns = ("weekday", "starts", "ends")
    search_columns = ["weekday"]
    base_order = ("weekday", "asc")
    formatters_columns = {**_CLOCK, "weekday": lambda day: _WEEKDAYS[day]}
    fields = {
        "weekday": pick(lazy_gettext("Weekday"), list(enumerate(_WEEKDAYS)), coerce=int),
        "starts": _time(lazy_gettext("From"), InputRequired()), "ends": _time(lazy_gettext("To"), InputRequired()),
    }  # fmt: skip

    def refuse_bad(self, item: Any) -> None:
        """No range ends before it starts, none overlaps another."""
        others = db.session.scalars(select(OfficeRange).where(OfficeRange.id != (item.id or 0)))
        refuse_bad_ranges([*others, item])


def refuse_bad_ranges(rows: Any) -> None:
    """Raise RuleBroken, with the clock's sentence, for ranges that cannot stand side by side."""
    try:
        clock.refuse_bad_ranges([clock.Range(row.weekday, row.starts, row.ends) for row in rows])
    except ValueError as wrong:
        raise RuleBroken(str(wrong), "ends") from wrong


# --- service levels ----------------------------------------------------------------------------------------------

#: Form key -> (priority in the row, what people read).
_PRIORITIES = {"any": ("", lazy_gettext("Any")), **{each.lower(): (each, each) for each in tickets.PRIORITIES}}


_KINDS = [("lead", lazy_gettext("Leads")), ("ticket", lazy_gettext("Tickets"))]


def _target_fields() -> dict[str, Any]:
    check = [Optional(), NumberRange(1, LONGEST_MINUTES)]
    made = {}
    for key, (_priority, word) in _PRIORITIES.items():
        made[f"reply_{key}"] = IntegerField(word, list(check), description=lazy_gettext("First reply, office minutes"),
                                            render_kw={"class": "form-control"})  # fmt: skip
        made[f"solve_{key}"] = IntegerField(word, list(check), description=lazy_gettext("Solved, office minutes"),
                                            render_kw={"class": "form-control"})  # fmt: skip
    return made


class Policies(Interface):
    """SLA policies with their targets in words."""

    def _get_attr_value(self, item: Any, col: str) -> Any:
        if col != "promises":
            return super()._get_attr_value(item, col)
        return [_promise(each) for each in sorted(item.targets, key=lambda each: each.first_response_minutes)]


def _promise(target: SlaTarget) -> str:
    return f"{target.priority or _('Any')}: {target.first_response_minutes} / {target.resolution_minutes or '–'}"


class SlaPolicies(MasterScreen):
    """How soon a lead or ticket is answered and solved."""

    datamodel = SQLAInterface(SlaPolicy)
    interface = Policies
    route_base = "/settings/sla"
    list_title, show_title = lazy_gettext("SLA policies"), lazy_gettext("SLA policy")
    add_title, edit_title = lazy_gettext("New SLA policy"), lazy_gettext("Edit SLA policy")
    list_columns = ["label", "applies_to", "promises", "is_active"]
    columns = ("label", "applies_to", "position", "is_active")
    search_columns = ["label", "applies_to", "is_active"]
    fields = {"applies_to": pick(lazy_gettext("For"), _KINDS), **_target_fields()}
    add_fieldsets = edit_fieldsets = [
        (lazy_gettext("Policy"), {"fields": list(columns)}),
        (lazy_gettext("Targets by priority; empty = none"), {"fields": list(_target_fields())}),
    ]
    show_fieldsets = [(lazy_gettext("Policy"), {"fields": [*columns, "promises"]})]

    def prefill_form(self, form: Any, pk: Any) -> None:
        """The stored targets into their fields."""
        keys = {priority: key for key, (priority, _word) in _PRIORITIES.items()}
        for target in db.session.get(SlaPolicy, pk).targets:
            form[f"reply_{keys[target.priority]}"].data = target.first_response_minutes
            form[f"solve_{keys[target.priority]}"].data = target.resolution_minutes

    def refuse_bad(self, item: Any) -> None:
        """Also: the targets follow from the fields; nothing is solved before it is answered."""
        super().refuse_bad(item)
        for key, (priority, _word) in _PRIORITIES.items():
            if request.form.get(f"reply_{key}") is not None:
                _aim(item, key, priority)
        if not item.targets:
            raise RuleBroken(_("Please enter at least one target."), "reply_any")


def _aim(policy: Any, key: str, priority: str) -> None:
    """Set one priority's target to what was typed."""
    reply, solve = getattr(policy, f"reply_{key}"), getattr(policy, f"solve_{key}")
    if solve and (not reply or solve < reply):
        raise RuleBroken(_("It cannot be solved before it is answered. Please check the minutes."), f"solve_{key}")
    held = next((each for each in policy.targets if each.priority == priority), None)
    if held is not None and not reply:
        policy.targets.remove(held)
    elif held is not None:
        held.first_response_minutes, held.resolution_minutes = reply, solve
    elif reply:
        policy.targets.append(SlaTarget(priority=priority, first_response_minutes=reply, resolution_minutes=solve))


# --- the week as a grid ------------------------------------------------------------------------------------------

#: Empty pairs of fields offered on each day.
_SPARE = 1
_MOST_RANGES = 8
Week = list[list[tuple[str, str]]]


class Hours(BaseView):
    """The office hours of a week on one page."""

    route_base = "/settings/hours"
    default_view = "week"
    class_permission_name = "Settings"
    method_permission_name = {"week": "read", "save": "write"}

    @expose("/")
    @has_access
    def week(self) -> Any:
        """The grid as it is stored."""
        return self._page(_stored_week(db.session()))

    @expose("/", methods=["POST"])
    @has_access
    def save(self) -> Any:
        """Store the whole week, or say what cannot be."""
        protect()
        typed = _typed_week()
        session = db.session()
        try:
            if request.form.get("seen") != _mark(_stored_week(session)):
                raise Conflict(_("Somebody changed the office hours meanwhile. Look at yours again, then save."))
            _store_week(session, typed)
            session.commit()
        except RuleBroken as broken:
            session.rollback()
            flash(str(broken.message), "danger")
            return self._page(typed), gate.refusal(broken)[0]
        flash(_("The office hours are saved."), "success")
        return redirect(url_for("Hours.week"))

    def _page(self, shown: Week) -> str:
        stored = _stored_week(db.session())
        days = [(index, _WEEKDAYS[index], [*pairs, *[("", "")] * _SPARE]) for index, pairs in enumerate(shown)]
        return self.render_template(
            "settings/hours.html", title=_("Office hours"), days=days, seen=_mark(stored),
            warning="" if any(stored) else str(NO_HOURS), holidays_url=url_for("Holidays.list"),
        )  # fmt: skip


def _stored_week(session: Session) -> Week:
    week: Week = [[] for _day in clock.WEEKDAYS]
    for row in session.scalars(select(OfficeRange).order_by(OfficeRange.weekday, OfficeRange.starts)):
        week[row.weekday].append((f"{row.starts:%H:%M}", f"{row.ends:%H:%M}"))
    return week


def _typed_week() -> Week:
    """What the form says, day by day; empty pairs left out."""
    week: Week = []
    for day in range(len(clock.WEEKDAYS)):
        starts, ends = (request.form.getlist(f"{side}_{day}")[:_MOST_RANGES] for side in ("starts", "ends"))
        ends += [""] * (len(starts) - len(ends))
        pairs = zip(starts, ends, strict=False)
        week.append([(first.strip()[:8], last.strip()[:8]) for first, last in pairs if first.strip() or last.strip()])
    return week


def _store_week(session: Session, week: Week) -> None:
    """Replace all ranges by those of the week. Raises RuleBroken."""
    rows = [_range(day, *pair) for day, pairs in enumerate(week) for pair in pairs]
    refuse_bad_ranges(rows)
    for old in session.scalars(select(OfficeRange)):
        session.delete(old)
    session.add_all(rows)


def _range(day: int, starts: str, ends: str) -> OfficeRange:
    try:
        return OfficeRange(weekday=day, starts=time.fromisoformat(starts), ends=time.fromisoformat(ends))
    except ValueError as wrong:
        where = {"day": _WEEKDAYS[day], "range": f"{starts or '?'}–{ends or '?'}"}
        text = _("%(day)s: please enter two times such as 09:00 and 18:00, not %(range)s.", **where)
        raise RuleBroken(text) from wrong


def _mark(seen: Any) -> str:
    """A hash of what a page showed: who saves must have seen this."""
    return hashlib.sha256(json.dumps(seen, sort_keys=True).encode()).hexdigest()[:32]


# --- business settings -------------------------------------------------------------------------------------------

_SAID = {
    "grace_minutes": lazy_gettext("Office minutes a task may be overdue before it moves to a colleague"),
    "retry_minutes": lazy_gettext("Office minutes the next person gets"),
    "first_task_minutes": lazy_gettext("Minutes until a new record's first task is due"),
    "request_expiry_days": lazy_gettext("Working days after which a pending assignment request expires"),
    "lead_expiry_days": lazy_gettext("Days without change after which a working lead expires"),
    "opened_expiry_days": lazy_gettext("Days in Account Opened after which a lead expires"),
    "default_referral": lazy_gettext("The house's own referral code"),
}  # fmt: skip


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
            if request.form.get("version") != _mark(_stored_values(session)):
                raise Conflict(_("Somebody changed the settings meanwhile. Look at yours again, then save."))
            _store_values(session, _typed_values(session))
            session.commit()
        except RuleBroken as broken:
            session.rollback()
            return self._page(request.form, broken.errors, str(broken.message)), gate.refusal(broken)[0]
        flash(_("The settings are saved."), "success")
        return redirect(url_for("Business.values"))

    def _page(self, typed: Any, errors: dict[str, list[str]], error: str) -> str:
        stored = _stored_values(db.session())
        sections = [_section(key, value, typed, errors) for key, value in stored.items()]
        form = {"title": _("Business settings"), "action": url_for("Business.save"), "sections": sections,
                "version": _mark(stored), "error": error, "conflict": None}  # fmt: skip
        return self.render_template("crm/form.html", title=form["title"], form=form)


def _stored_values(session: Session) -> dict[str, Any]:
    return {key: settings.value_of(session, key) for key in settings.KNOWN}


def _parts(key: str, value: Any) -> dict[str, Any]:
    """Field name -> value: one for a plain setting, one a priority for a table."""
    return {f"{key}.{part}": each for part, each in value.items()} if isinstance(value, dict) else {key: value}


def _section(key: str, value: Any, typed: Any, errors: dict[str, list[str]]) -> dict[str, Any]:
    said = str(_SAID.get(key, settings.KNOWN[key][1]))
    parts = _parts(key, value)
    return {
        "title": said if len(parts) > 1 else "",
        "fields": [
            {"name": name, "label": name.partition(".")[2] or said, "value": typed.get(name, each), "required": True,
             "kind": "number" if isinstance(each, int) else "text", "maxlength": LONGEST_TEXT,
             "errors": errors.get(name, [])}
            for name, each in parts.items()
        ],
    }  # fmt: skip


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
        raise RuleBroken(_("Not saved yet. Please look at these fields:"), errors=errors)
    return values


def _taken(name: str, old: Any) -> Any:
    typed = request.form.get(name)
    if typed is None:
        return old
    typed = typed.strip()
    if not isinstance(old, int):
        return _line_of_text(typed)
    most = LONGEST_DAYS if "days" in name else LONGEST_MINUTES
    if not (typed.isascii() and typed.isdigit() and len(typed) < 8 and 1 <= int(typed) <= most):
        raise ValueError(_("Please enter a whole number from 1 to %(most)s.", most=most))
    return int(typed)


def _line_of_text(typed: str) -> str:
    if not typed or len(typed) > LONGEST_TEXT or not typed.isprintable():
        raise ValueError(_("Please enter a text of up to %(most)s signs.", most=LONGEST_TEXT))
    return typed


def _store_values(session: Session, values: dict[str, Any]) -> None:
    held = {row.key: row for row in session.scalars(select(BusinessSetting))}
    for key, value in values.items():
        if value == settings.value_of(session, key):
            continue
        row = held.get(key) or BusinessSetting(key=key, value=value)
        row.value, row.changed_on = value, gate.now()
        session.add(row)


#: (label, view class, icon, address) for the menu; "Support pages" follows the module of that name.
SCREENS = (
    (lazy_gettext("Business settings"), Business, "adjustments-horizontal", "/settings/business/"),
    (lazy_gettext("Office hours"), Hours, "clock", "/settings/hours/"),
    (lazy_gettext("Office hours as a list"), OfficeRanges, "clock-hour-4", "/settings/office-ranges/list/"),
    (lazy_gettext("Holidays"), Holidays, "calendar-event", "/settings/holidays/list/"),
    (lazy_gettext("SLA policies"), SlaPolicies, "hourglass", "/settings/sla/list/"),
    (lazy_gettext("Lead statuses"), LeadStatuses, "progress", "/settings/lead-statuses/list/"),
    (lazy_gettext("Ticket statuses"), TicketStatuses, "progress", "/settings/ticket-statuses/list/"),
    (lazy_gettext("Ticket subjects"), TicketSubjects, "tag", "/settings/ticket-subjects/list/"),
    (lazy_gettext("Account types"), AccountTypes, "wallet", "/settings/account-types/list/"),
    (lazy_gettext("Lead sources"), LeadSources, "route", "/settings/lead-sources/list/"),
    (lazy_gettext("Support pages"), SupportPages, "lifebuoy", "/settings/support-pages/list/"),
    (lazy_gettext("Message templates"), MessageTemplates, "template", "/settings/message-templates/list/"),
)
