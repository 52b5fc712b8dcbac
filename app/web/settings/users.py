"""The people of the house, on FAB's user screens with what the trade adds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from zoneinfo import available_timezones

from flask import abort, current_app, g, redirect, url_for
from flask_appbuilder import expose
from flask_appbuilder.actions import action
from flask_appbuilder.fieldwidgets import BS3TextFieldWidget
from flask_appbuilder.security.decorators import has_access
from flask_appbuilder.security.views import UserDBModelView
from flask_babel import gettext as _
from flask_babel import lazy_gettext
from sqlalchemy import inspect, select
from sqlalchemy.orm import selectinload
from wtforms import BooleanField, StringField
from wtforms.validators import Email, Length, Optional, ValidationError

from app import access
from app.domain import absence, reminder_preferences, reminders, team
from app.domain.base import RuleBroken
from app.extensions import db
from app.lib import phone
from app.models import User
from app.web.core.gate import now
from app.web.core.languages import said
from app.web.pages.hardened import VERBS as SCREEN_VERBS
from app.web.pages.hardened import HardenedInterface, HardenedView, LocalMoment, link, pick
from app.web.security.sessions import signed_in

_MOST_PEOPLE = 1000


class People(HardenedInterface):
    """Users with what their list shows beside the columns: full name, manager, what they can do."""

    def get_values(self, lst: Any, list_columns: Any) -> Iterator[dict[str, Any]]:
        """FAB's rows; roles and managers come with two statements for the whole page."""
        people = list(lst)
        keys = [user.id for user in people]
        self.session.scalars(select(User).where(User.id.in_(keys)).options(selectinload(User.roles))).all()
        managers = {user.manager_id for user in people if user.manager_id}
        self.session.scalars(select(User).where(User.id.in_(managers))).all()
        yield from super().get_values(people, list_columns)

    def _get_attr_value(self, item: Any, col: str) -> Any:
        if col == "name":
            return item.get_full_name().strip()
        if col in ("manager", "delegate"):
            key = getattr(item, f"{col}_id")
            return self.session.get(User, key).get_full_name() if key else None
        if col == "can":
            return link(url_for("EffectiveRightsView.of", user_id=item.id), _("View permissions"))
        return super()._get_attr_value(item, col)


def _people_choices() -> list[tuple[str, str]]:
    query = select(User.id, User.first_name, User.last_name, User.active).limit(_MOST_PEOPLE)
    rows = db.session.execute(query.order_by(User.active.desc(), User.first_name, User.last_name, User.id)).all()
    return [("", "–"), *((str(key), _labelled(f"{first} {last}", active)) for key, first, last, active in rows)]


def _labelled(name: str, active: bool | None) -> str:
    return name.strip() if active else _("%(name)s (inactive)", name=name.strip())


def zone_choices() -> list[tuple[str, str]]:
    """(IANA name, as people read it), the office's first."""
    areas = ("Africa/", "America/", "Asia/", "Atlantic/", "Australia/", "Europe/", "Indian/", "Pacific/")
    names = sorted(name for name in available_timezones() if name.startswith(areas) or name == "UTC")
    return [("", _("Office default")), *((name, name.replace("_", " ")) for name in names)]


def language_choices() -> list[tuple[str, str]]:
    """(code, name) of the languages spoken here, the office's first."""
    languages = current_app.config["LANGUAGES"].items()
    return [("", _("Office default")), *((code, each["name"]) for code, each in languages)]


def _key_or_none(raw: Any) -> int | None:
    return int(raw) if raw not in (None, "", "None") else None


def _text_or_none(raw: Any) -> str | None:
    return str(raw) if raw not in (None, "", "None") else None


class Minutes(StringField):
    """Minutes before due: "60, 5" in the form, [60, 5] in the row, None for the house's."""

    def _value(self) -> str:
        return self.raw_data[0] if self.raw_data else ", ".join(str(each) for each in self.data or ())

    def process_formdata(self, valuelist: list[str]) -> None:
        """Whole minutes, largest first."""
        if valuelist:
            try:
                self.data = reminder_preferences.parse_offsets(valuelist[0])
            except RuleBroken as broken:
                raise ValidationError(said(broken.message)) from broken


def _line(label: Any, *checks: Any, **more: Any) -> Any:
    return StringField(label, validators=[Optional(), *checks], widget=BS3TextFieldWidget(), **more)


_TRADE_FIELDS = {
    "mobile": _line(lazy_gettext("Mobile"), Length(max=40)),
    "telephony_number": _line(
        lazy_gettext("Telephony number"),
        Length(max=40),
        description=lazy_gettext("The user's Twilio or Exotel number"),
    ),
    "manager_id": pick(lazy_gettext("Reports to"), _people_choices, coerce=_key_or_none),
    "available": BooleanField(lazy_gettext("Available for new work"), default=True),
    "away_until": LocalMoment(lazy_gettext("Away until"), [Optional()]),
    "leave_from": LocalMoment(lazy_gettext("On leave from"), [Optional()]),
    "leave_to": LocalMoment(lazy_gettext("On leave to"), [Optional()]),
    "delegate_id": pick(
        lazy_gettext("Delegate"),
        _people_choices,
        coerce=_key_or_none,
        description=lazy_gettext("Covers for this user while they are on leave"),
    ),
    "time_zone": pick(lazy_gettext("Time zone"), zone_choices, coerce=_text_or_none),
    "locale": pick(lazy_gettext("Language"), language_choices, coerce=_text_or_none),
    "reminder_minutes": Minutes(
        lazy_gettext("Reminders"),
        widget=BS3TextFieldWidget(),
        description=lazy_gettext("Minutes before a task is due, such as 60, 5"),
    ),
}
_WHO = ["first_name", "last_name", "username", "email", "active", "roles", "groups"]
_AWAY = ["available", "away_until", "leave_from", "leave_to", "delegate_id"]
_HABITS = ["time_zone", "locale", "reminder_minutes"]
_PARTS = [
    (lazy_gettext("Profile"), {"fields": [*_WHO, "mobile", "telephony_number", "manager_id"]}),
    (lazy_gettext("Availability"), {"fields": _AWAY}),
    (lazy_gettext("Preferences"), {"fields": _HABITS}),
]
_PASSWORD = (lazy_gettext("Password"), {"fields": ["password", "conf_password"]})


class Users(HardenedView, UserDBModelView):
    """The people of the house."""

    interface = People
    class_permission_name = "Settings"
    #: Another's password stays with administrators: that action keeps a permission of its own.
    method_permission_name = SCREEN_VERBS | {"abilities": "read"}
    list_title, show_title = lazy_gettext("Users"), lazy_gettext("User")
    add_title, edit_title = lazy_gettext("New user"), lazy_gettext("Edit user")
    list_columns = ["name", "username", "email", "active", "roles", "manager", "available", "can"]
    order_columns = ["username", "email", "active", "available"]
    base_order = ("username", "asc")
    search_columns = ["first_name", "last_name", "username", "email", "active", "available", "roles", "groups"]
    label_columns = UserDBModelView.label_columns | {
        "name": lazy_gettext("Name"),
        "username": lazy_gettext("Username"),
        "active": lazy_gettext("Active"),
        "roles": lazy_gettext("Roles"),
        "manager": lazy_gettext("Reports to"),
        "can": lazy_gettext("Permissions"),
        "available": lazy_gettext("Available for new work"),
        "delegate": lazy_gettext("Delegate"),
        **{name: each.args[0] if each.args else name for name, each in _TRADE_FIELDS.items()},
    }
    validators_columns = UserDBModelView.validators_columns | {"email": [Email()]}
    add_form_extra_fields = UserDBModelView.add_form_extra_fields | _TRADE_FIELDS
    edit_form_extra_fields = _TRADE_FIELDS
    add_fieldsets = [*_PARTS, _PASSWORD]
    edit_fieldsets = _PARTS
    show_fieldsets = [
        (lazy_gettext("Profile"), {"fields": [*_WHO, "mobile", "telephony_number", "manager"]}),
        (lazy_gettext("Availability"), {"fields": [*_AWAY[:-1], "delegate"]}),
        (lazy_gettext("Preferences"), {"fields": _HABITS}),
        (lazy_gettext("History"), {"fields": ["last_login", "login_count", "created_on", "changed_on", "can"]}),
    ]
    user_show_fieldsets = [*show_fieldsets[:3], (lazy_gettext("Permissions"), {"fields": ["can"]})]
    in_use_message = lazy_gettext("This user has records. Please deactivate the user instead.")

    @expose("/show/<pk>", methods=["GET"])
    @has_access
    def show(self, pk: Any) -> Any:
        """One person."""
        item = self.datamodel.get(pk, self._base_filters) or abort(404)
        actions = {name: self.actions[name] for name in ("abilities", "resetpasswords")}
        widgets = self._get_show_widget(pk, item, actions=actions)
        return self.render_template(self.show_template, pk=pk, title=self.show_title, widgets=widgets)

    @expose("/userinfo/")
    @signed_in
    def userinfo(self) -> Any:
        """One's own page."""
        item = db.session.get(User, g.person.id)
        widgets = self._get_show_widget(item.id, item, actions={}, show_fieldsets=self.user_show_fieldsets)
        return self.render_template("team/me.html", pk=item.id, title=_("My profile"), widgets=widgets)

    @action("abilities", lazy_gettext("Permissions of this user"), "", "fa-user", multiple=False)
    def abilities(self, item: Any) -> Any:
        """To the table of rights."""
        return redirect(url_for("EffectiveRightsView.of", user_id=item.id))

    def pre_add(self, item: Any) -> None:
        """Check what the trade adds, and hash the password."""
        _refuse_bad_person(item)
        super().pre_add(item)

    def pre_update(self, item: Any) -> None:
        """Check what the trade adds; other reminders arm the person's open tasks anew."""
        _refuse_bad_person(item)
        if inspect(item).attrs.reminder_minutes.history.has_changes():
            with access.as_system(db.session()):
                reminder_preferences.reschedule(db.session(), item.id, reminders.reminder_offsets(item), now())
        super().pre_update(item)

    def pre_delete(self, item: Any) -> None:
        """Nobody deletes himself."""
        if item.id == g.person.id:
            raise RuleBroken(_("You can't delete yourself. Ask another administrator."))


def _refuse_bad_person(user: Any) -> None:
    """Normal form of the numbers; raises RuleBroken for a bad number, a circle of managers or an odd leave."""
    user.mobile, user.telephony_number = user.mobile or None, user.telephony_number or None
    user.mobile_e164 = _e164(user.mobile, "mobile")
    user.telephony_number = _e164(user.telephony_number, "telephony_number")
    if user.manager_id and user.id:
        _refuse_circle(user)
    absence.refuse_bad_absence(db.session(), user, {}, now())


def _refuse_circle(user: Any) -> None:
    try:
        team.refuse_cycle(db.session(), user.id, user.manager_id)
    except RuleBroken as broken:
        raise RuleBroken(said(broken.message), "manager_id") from broken


def _e164(typed: str | None, name: str) -> str | None:
    if not typed:
        return None
    found = phone.normalize(typed)
    if found is None:
        raise RuleBroken(_("This isn't a valid phone number. Please check it."), name)
    return found
