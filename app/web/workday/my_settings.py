"""My settings: availability, leave and delegate, reminders, time zone and language."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from flask import flash, redirect, render_template, request
from flask import session as flask_session
from flask_appbuilder import BaseView, expose
from flask_babel import gettext as _g
from flask_babel import lazy_gettext as _
from flask_babel import refresh
from sqlalchemy import select

from app import access
from app.domain.automation import reminder_rescheduling
from app.domain.base import Conflict, RuleBroken
from app.domain.notifications import reminder_preferences
from app.domain.people import absence
from app.domain.telephony import call_requests
from app.extensions import db
from app.lib import phone
from app.models import User
from app.web.core.fab_access import REFUSABLE, content_hash, current_viewer, refusal
from app.web.core.fields.base import Field, TextField
from app.web.core.fields.date_fields import DateTimeField
from app.web.core.fields.reference_fields import PersonField
from app.web.core.fields.scalar_fields import BooleanField
from app.web.core.localization.languages import translate_text
from app.web.core.queries.record_table import RecordTable
from app.web.core.viewer import Viewer
from app.web.pages.page_frame import languages
from app.web.pages.refusals import previous_page
from app.web.pages.routes import signed_in_route
from app.web.security.sessions import signed_in
from app.web.settings.users import language_choices, zone_choices
from app.web.workday import absence_text


class ReminderOffsetsField(TextField):
    """Minutes before due: "60, 5" in the form, [60, 5] in the row, None for the office default."""

    def parse(self, raw: Any, viewer: Viewer) -> Any:
        """Whole minutes, largest first."""
        return reminder_preferences.parse_offsets(super().parse(raw, viewer) or "")

    def form_value(self, values: tuple[Any, ...], viewer: Viewer) -> Any:
        """The offsets, comma-separated."""
        return ", ".join(str(each) for each in values[0] or ())


class NamedChoiceField(Field):
    """One code of a list with labels; empty for the office default."""

    kind = "choice"

    def __init__(self, *args: Any, choices: Callable[[], list[tuple[str, str]]], **flags: Any) -> None:
        super().__init__(*args, **flags)
        self.choices = choices

    def parse(self, raw: Any, viewer: Viewer) -> Any:
        """The code of the choice; None for an empty value. Raises RuleBroken."""
        if raw in (None, ""):
            return None
        if raw not in dict(self.choices()):
            raise RuleBroken(_g("“%(name)s” doesn't have this option.", name=str(self.label)), self.name)
        return raw

    def form_input(self, raw: Any, errors: list[str], viewer: Viewer) -> dict[str, Any]:
        """A select whose first option is the office default."""
        first, *others = self.choices()
        return super().form_input(raw, errors, viewer) | {"options": others, "placeholder": first[1]}


_editable: dict[str, Any] = {"edit": True}
FIELDS: list[Field] = [
    BooleanField(
        "available",
        _("Available for new work"),
        (User.available,),
        **_editable,
        help=_("When off, round robin skips you until you turn it on again."),
    ),
    DateTimeField(
        "away_until", _("Away until"), (User.away_until,), **_editable, help=_("For a meeting or a day off.")
    ),
    DateTimeField("leave_from", _("On leave from"), (User.leave_from,), **_editable),
    DateTimeField("leave_to", _("Back on"), (User.leave_to,), **_editable, help=_("Empty: until further notice.")),
    PersonField(
        "delegate",
        _("Delegate"),
        (User.delegate_id,),
        key="delegate_id",
        **_editable,
        help=_("Gets your new work and covers your records while you are on leave."),
    ),
    ReminderOffsetsField(
        "reminder_minutes", _("Minutes before a task is due"), (User.reminder_minutes,), max_length=60, **_editable
    ),
    BooleanField(
        "takes_calls",
        _("Show me calls of unknown numbers"),
        (User.takes_calls,),
        **_editable,
        help=_("Calls of your own leads, tickets and customers are shown to you anyway."),
    ),
    NamedChoiceField("time_zone", _("Time zone"), (User.time_zone,), choices=zone_choices, **_editable),
    NamedChoiceField("locale", _("Language"), (User.locale,), choices=language_choices, **_editable),
]
TABLE = RecordTable(User, FIELDS)
SECTIONS = (
    (_("New work"), ("available", "away_until")),
    (_("Leave"), ("leave_from", "leave_to", "delegate")),
    (_("Reminders"), ("reminder_minutes",)),
    (_("Calls"), ("takes_calls",)),
    (_("Time and language"), ("time_zone", "locale")),
)
#: Other personal settings: (label, icon, URL, description).
LINKS = (
    (_("Notifications"), "bell", "/bell/choices", _("Bell, screen and email, by kind of notification")),
    (_("My profile"), "user-circle", "/users/userinfo/", _("Name, mobile, permissions")),
    (_("My signature"), "writing", "/signature/", _("Below the emails that you send")),
    (_("Password"), "password", "/resetmypassword/form", _("Changing it ends your other sessions")),
    (_("Two-factor sign-in"), "shield-lock", "/two-factor/", _("A code of your phone besides the password")),
    (_("Sessions"), "device-desktop", "/sessions/", _("Browsers and devices")),
    (_("API keys"), "key", "/keys/", _("For programs that act as you")),
)


class Refusal(NamedTuple):
    """Why a save was refused: HTTP status, sentence, sentences by field."""

    status: int
    sentence: str | None
    errors: dict[str, list[str]]


NOT_REFUSED = Refusal(200, None, {})


class MySettingsView(BaseView):
    """/me/"""

    route_base = "/me"
    default_view = "index"

    @expose("/", methods=["GET"])
    @signed_in
    def index(self) -> Any:
        """The form, and the current availability in words."""
        viewer = current_viewer()
        return _page(_stored(viewer), viewer)

    @expose("/", methods=["POST"])
    @signed_in
    def save(self) -> Any:
        """Save all fields or none; after a conflict or a refusal the form keeps the entered values."""
        viewer = current_viewer()
        raw = {each.name: request.form.get(each.name, "") for each in FIELDS}
        try:
            user = _save(raw, request.form.get("mark", ""), viewer)
            warnings, locale = absence_text.leave_warnings(db.session(), user, viewer), user.locale
            db.session.commit()
        except REFUSABLE as broken:
            db.session.rollback()
            return _refused(raw, broken, viewer)
        if locale:
            flask_session["locale"] = locale
            refresh()  # what is said now is in the new language
        flash(_g("Your settings are saved."), "success")
        for sentence in warnings:
            flash(sentence, "warning")
        return redirect("/me/")

    @signed_in_route("/language", methods=["POST"])
    def language(self) -> Any:
        """Store the language chosen in the menu: of pages, and of notices to the person."""
        session, viewer = db.session(), current_viewer()
        code = request.form.get("locale", "")
        if code not in dict(languages()):
            raise RuleBroken(_g("Pages aren't available in this language."), "locale")
        session.get_one(User, viewer.person.id).locale = code
        session.commit()
        flask_session["locale"] = code
        return redirect(previous_page())


def _save(raw: dict[str, Any], mark: str, viewer: Viewer) -> User:
    """Store the entered values under the row's lock. Raises RuleBroken, and Conflict for an outdated page."""
    session = db.session()
    mine = select(User).where(User.id == viewer.person.id).with_for_update()
    # Load again: part of the row was read before the lock.
    user = session.scalars(mine, execution_options={"populate_existing": True}).one()
    if mark != content_hash(_form_values(user, viewer)):
        raise Conflict(_g("Your settings were changed in another window or by an admin."))
    before = _form_values(user, viewer)
    changed = {name: value for name, value in raw.items() if str(value) != _as_text(before[name])}
    values = TABLE.parse(changed, "edit", viewer)
    absence.refuse_bad_absence(session, user, values, viewer.now)
    old = user.reminder_minutes
    for name, value in values.items():
        setattr(user, name, value)
    if user.reminder_minutes != old:
        with access.as_system(session):
            reminder_rescheduling.reschedule(session, user.id, reminder_preferences.reminder_offsets(user), viewer.now)
    return user


def _refused(raw: dict[str, Any], broken: Exception, viewer: Viewer) -> Any:
    status, sentence, errors = refusal(broken)
    # The domain names columns, the form its fields.
    errors = {"delegate" if name == "delegate_id" else name: texts for name, texts in errors.items()}
    return _page(raw, viewer, Refusal(status, sentence, errors))


def _page(shown: dict[str, Any], viewer: Viewer, refused: Refusal = NOT_REFUSED) -> Any:
    session = db.session()
    user = session.scalars(
        select(User).where(User.id == viewer.person.id), execution_options={"populate_existing": True}
    ).one()
    stored = _form_values(user, viewer)
    named = TABLE.by_name
    sections = [
        {"title": title, "fields": [_input(named[name], shown, refused.errors, viewer) for name in names]}
        for title, names in SECTIONS
    ]
    form = {
        "title": _g("My settings"),
        "action": "/me/",
        "sections": sections,
        "submit_label": _g("Save"),
        "error": refused.sentence,
        "version": None,
        "cancel_url": None,
        "back_label": None,
        "mark": content_hash(stored),
        "conflict": _conflict(shown, stored, viewer) if refused.status == 409 else None,
    }
    form["own_number"] = _own_number(user)
    absence_plan = absence_text.availability_texts(session, user, viewer) + absence_text.cover_texts(session, viewer)
    return render_template("workday/my_settings.html", form=form, plan=absence_plan, more=LINKS), refused.status


def _own_number(user: User) -> str:
    """The telephone that rings when the person calls from the CRM."""
    try:
        number = phone.display(call_requests.own_number(db.session(), user.id))
    except RuleBroken as missing:
        return translate_text(missing.message)
    return _g("When you call from the CRM, your phone rings first: %(number)s.", number=number)


def _input(each: Field, shown: dict[str, Any], errors: dict[str, list[str]], viewer: Viewer) -> dict[str, Any]:
    raw = shown[each.name]
    if each.name == "delegate":  # entered as text, stored as an id
        raw = viewer.lookups.find_person(raw)
    made = each.form_input(raw, errors.get(each.name, []), viewer)
    if each.name == "reminder_minutes":
        default = ", ".join(str(minutes) for minutes in reminder_preferences.reminder_offsets(None))
        made |= {
            "placeholder": default,
            "help": _g("Up to five numbers. Empty: the office's, %(minutes)s.", minutes=default),
        }
    return made


def _stored(viewer: Viewer) -> dict[str, Any]:
    row = TABLE.one(db.session(), viewer.person.id)
    return {each.name: each.form_value(tuple(row[cut]), viewer) for each, cut in TABLE.selection()[1]}


def _form_values(user: User, viewer: Viewer) -> dict[str, Any]:
    """The row's values as the form shows them."""
    return {each.name: each.form_value((getattr(user, each.key),), viewer) for each in FIELDS}


def _as_text(value: Any) -> str:
    """A stored value in the form in which a form posts it."""
    if isinstance(value, bool):
        return "1" if value else ""
    return "" if value is None else str(value)


def _conflict(mine: dict[str, Any], theirs: dict[str, Any], viewer: Viewer) -> dict[str, Any]:
    rows = [
        {"label": each.label, "mine": _value_text(each, mine, viewer), "theirs": _value_text(each, theirs, viewer)}
        for each in FIELDS
        if _as_text(mine[each.name]) != _as_text(theirs[each.name])
    ]
    return {"who": _g("Somebody"), "when": None, "rows": rows}


def _value_text(each: Field, values: dict[str, Any], viewer: Viewer) -> str:
    value = values[each.name]
    if each.name == "delegate":
        card = viewer.lookups.person(viewer.lookups.find_person(value))
        return card["full_name"] if card else ""
    if each.name == "available":
        return _g("Yes") if value else _g("No")
    return _as_text(value).replace("T", " ")
