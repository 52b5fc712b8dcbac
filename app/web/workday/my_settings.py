"""My settings: when I take work, who stands in for me, how early I am reminded, in which zone and language I read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import flash, redirect, render_template, request, session
from flask_appbuilder import BaseView, expose
from flask_babel import gettext as _g
from flask_babel import lazy_gettext as _
from sqlalchemy import select

from app import access
from app.domain import absence, reminder_preferences, reminders
from app.domain.base import Conflict, RuleBroken
from app.extensions import db
from app.models import User
from app.web.core.date_fields import DateTimeField
from app.web.core.fields import BooleanField, Field, TextField, Viewer
from app.web.core.gate import REFUSABLE, current_viewer, mark_of, refusal
from app.web.core.record_table import RecordTable
from app.web.core.reference_fields import PersonField
from app.web.security.sessions import signed_in
from app.web.settings.users import language_choices, zone_choices
from app.web.workday import absence_text


class ReminderOffsetsField(TextField):
    """Minutes before due: "60, 5" in the form, [60, 5] in the row, None for the house's."""

    def parse(self, raw: Any, viewer: Viewer) -> Any:
        """Whole minutes, largest first."""
        return reminder_preferences.parse_offsets(super().parse(raw, viewer) or "")

    def form_value(self, values: tuple[Any, ...], viewer: Viewer) -> Any:
        """As people write them."""
        return ", ".join(str(each) for each in values[0] or ())


class Named(Field):
    """One code of a list whose entries have names; empty for the office's."""

    kind = "choice"

    def __init__(self, *args: Any, choices: Callable[[], list[tuple[str, str]]], **flags: Any) -> None:
        super().__init__(*args, **flags)
        self.choices = choices

    def parse(self, raw: Any, viewer: Viewer) -> Any:
        """The code, or None."""
        if raw in (None, ""):
            return None
        if raw not in dict(self.choices()):
            raise RuleBroken(_g("“%(name)s” doesn't have this option.", name=str(self.label)), self.name)
        return raw

    def form_input(self, raw: Any, errors: list[str], viewer: Viewer) -> dict[str, Any]:
        """A select whose first line is the office's."""
        first, *others = self.choices()
        return super().form_input(raw, errors, viewer) | {"options": others, "placeholder": first[1]}


_turn: dict[str, Any] = {"edit": True}
FIELDS: list[Field] = [
    BooleanField(
        "available",
        _("Available for new work"),
        (User.available,),
        **_turn,
        help=_("When off, round robin skips you until you turn it on again."),
    ),
    DateTimeField("away_until", _("Away until"), (User.away_until,), **_turn, help=_("For a meeting or a day off.")),
    DateTimeField("leave_from", _("On leave from"), (User.leave_from,), **_turn),
    DateTimeField("leave_to", _("Back on"), (User.leave_to,), **_turn, help=_("Empty: until further notice.")),
    PersonField(
        "delegate",
        _("Covered by"),
        (User.delegate_id,),
        key="delegate_id",
        **_turn,
        help=_("Gets your new work and covers your records while you are on leave."),
    ),
    ReminderOffsetsField(
        "reminder_minutes", _("Minutes before a task is due"), (User.reminder_minutes,), max_length=60, **_turn
    ),
    Named("time_zone", _("Time zone"), (User.time_zone,), choices=zone_choices, **_turn),
    Named("locale", _("Language"), (User.locale,), choices=language_choices, **_turn),
]
PLAN = RecordTable(User, FIELDS)
PARTS = (
    (_("New work"), ("available", "away_until")),
    (_("Leave"), ("leave_from", "leave_to", "delegate")),
    (_("Reminders"), ("reminder_minutes",)),
    (_("Time and language"), ("time_zone", "locale")),
)
#: What else is one's own: (label, icon, address, what it is).
MORE = (
    (_("Notifications"), "bell", "/bell/choices", _("Bell, screen and email, by kind of notification")),
    (_("My profile"), "user-circle", "/users/userinfo/", _("Name, mobile, permissions")),
    (_("Password"), "password", "/resetmypassword/form", _("Changing it ends your other sessions")),
    (_("Sessions"), "device-desktop", "/sessions/", _("Browsers and devices")),
    (_("API keys"), "key", "/keys/", _("For programs that act as you")),
)


class MeView(BaseView):
    """/me/"""

    route_base = "/me"
    default_view = "index"

    @expose("/", methods=["GET"])
    @signed_in
    def index(self) -> Any:
        """The page, and what it all means in words."""
        viewer = current_viewer()
        return _page(_stored(viewer), {}, viewer)

    @expose("/", methods=["POST"])
    @signed_in
    def save(self) -> Any:
        """Save all, or nothing: whoever meets a newer state, or breaks a rule, keeps what he typed."""
        viewer = current_viewer()
        raw = {each.name: request.form.get(each.name, "") for each in FIELDS}
        try:
            user = _save(raw, request.form.get("mark", ""), viewer)
            warnings, locale = absence_text.warnings_of(db.session(), user, viewer), user.locale
            db.session.commit()
        except REFUSABLE as broken:
            db.session.rollback()
            return _refused(raw, broken, viewer)
        if locale:
            session["locale"] = locale
        flash(_g("Your settings are saved."), "success")
        for sentence in warnings:
            flash(sentence, "warning")
        return redirect("/me/")


def _save(raw: dict[str, Any], mark: str, viewer: Viewer) -> User:
    """Write what was typed, under the row's lock. Raises RuleBroken, and Conflict for a page that was outdated."""
    held = db.session()
    mine = select(User).where(User.id == viewer.person.id).with_for_update()
    # Anew: the gate has read a part of the row before the lock.
    user = held.scalars(mine, execution_options={"populate_existing": True}).one()
    if mark != mark_of(_typed(user, viewer)):
        raise Conflict(_g("Your settings were changed in another window or by an admin."))
    before = _typed(user, viewer)
    changed = {name: given for name, given in raw.items() if str(given) != _as_text(before[name])}
    values = PLAN.parse(changed, "edit", viewer)
    absence.refuse_bad_absence(held, user, values, viewer.now)
    old = user.reminder_minutes
    for name, value in values.items():
        setattr(user, name, value)
    if user.reminder_minutes != old:
        with access.as_system(held):
            reminder_preferences.reschedule(held, user.id, reminders.reminder_offsets(user), viewer.now)
    return user


def _refused(raw: dict[str, Any], broken: Exception, viewer: Viewer) -> Any:
    status, sentence, errors = refusal(broken)
    # The domain names columns, the form its fields.
    errors = {"delegate" if name == "delegate_id" else name: told for name, told in errors.items()}
    return _page(raw, errors, viewer, sentence, status)


def _page(
    shown: dict[str, Any], errors: dict[str, list[str]], viewer: Viewer, sentence: str | None = None, status: int = 200
) -> Any:
    held = db.session()
    user = held.scalars(
        select(User).where(User.id == viewer.person.id), execution_options={"populate_existing": True}
    ).one()
    stored = _typed(user, viewer)
    named = PLAN.by_name
    sections = [
        {"title": title, "fields": [_input(named[name], shown, errors, viewer) for name in names]}
        for title, names in PARTS
    ]
    form = {
        "title": _g("My settings"),
        "action": "/me/",
        "sections": sections,
        "submit_label": _g("Save"),
        "error": sentence,
        "version": None,
        "cancel_url": None,
        "back_label": None,
        "mark": mark_of(stored),
        "conflict": _conflict(shown, stored, viewer) if status == 409 else None,
    }
    absence_plan = absence_text.plan_of(held, user, viewer) + absence_text.stand_ins(held, viewer)
    return render_template("me/settings.html", form=form, plan=absence_plan, more=MORE), status


def _input(each: Field, shown: dict[str, Any], errors: dict[str, list[str]], viewer: Viewer) -> dict[str, Any]:
    raw = shown[each.name]
    if each.name == "delegate":  # typed as text, stored as a number
        raw = viewer.lookups.find_person(raw)
    made = each.form_input(raw, errors.get(each.name, []), viewer)
    if each.name == "reminder_minutes":
        house = ", ".join(str(minutes) for minutes in reminders.reminder_offsets(None))
        made |= {
            "placeholder": house,
            "help": _g("Up to five numbers. Empty: the office's, %(minutes)s.", minutes=house),
        }
    return made


def _stored(viewer: Viewer) -> dict[str, Any]:
    row = PLAN.one(db.session(), viewer.person.id)
    return {each.name: each.form_value(tuple(row[cut]), viewer) for each, cut in PLAN.selection()[1]}


def _typed(user: User, viewer: Viewer) -> dict[str, Any]:
    """What the form shows of the row."""
    return {each.name: each.form_value((getattr(user, each.key),), viewer) for each in FIELDS}


def _as_text(value: Any) -> str:
    """A stored value as a form sends it back."""
    if isinstance(value, bool):
        return "1" if value else ""
    return "" if value is None else str(value)


def _conflict(mine: dict[str, Any], theirs: dict[str, Any], viewer: Viewer) -> dict[str, Any]:
    rows = [
        {"label": each.label, "mine": _word(each, mine, viewer), "theirs": _word(each, theirs, viewer)}
        for each in FIELDS
        if _as_text(mine[each.name]) != _as_text(theirs[each.name])
    ]
    return {"who": _g("Somebody"), "when": None, "rows": rows}


def _word(each: Field, said: dict[str, Any], viewer: Viewer) -> str:
    value = said[each.name]
    if each.name == "delegate":
        card = viewer.lookups.person(viewer.lookups.find_person(value))
        return card["full_name"] if card else ""
    if each.name == "available":
        return _g("Yes") if value else _g("No")
    return _as_text(value).replace("T", " ")
