"""The users page: FAB's user screens with the fields of the CRM."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from datetime import UTC
from typing import Any
from zoneinfo import available_timezones

from flask import abort, current_app, flash, g, redirect, url_for
from flask_appbuilder import expose
from flask_appbuilder.actions import action
from flask_appbuilder.fieldwidgets import BS3PasswordFieldWidget, BS3TextFieldWidget
from flask_appbuilder.models.sqla.filters import FilterNotEqual
from flask_appbuilder.security.decorators import has_access
from flask_appbuilder.security.views import UserDBModelView
from flask_appbuilder.validators import PasswordComplexityValidator
from flask_babel import gettext as _
from flask_babel import lazy_gettext
from markupsafe import Markup
from sqlalchemy import inspect, select
from sqlalchemy.orm import Session, selectinload
from wtforms import BooleanField, PasswordField, StringField
from wtforms.validators import Email, EqualTo, Length, Optional, ValidationError

from app import access
from app.access.role_matrix import PUBLIC
from app.domain.automation import reminder_rescheduling
from app.domain.base import RuleBroken
from app.domain.notifications import reminder_preferences
from app.domain.people import absence, invitations, teams, two_factor
from app.extensions import db
from app.lib import phone
from app.models import User
from app.web.core import fab_access
from app.web.core.fields.contact_field_types import initials
from app.web.core.fields.reference_fields import picture_url
from app.web.core.localization.languages import translate_text
from app.web.core.request_transaction import request_transaction
from app.web.pages.hardened_view import VERBS as SCREEN_VERBS
from app.web.pages.hardened_view import HardenedInterface, HardenedView, LocalMoment, link, select_field
from app.web.pages.html_parts import avatar, icon
from app.web.security import second_step, view_as
from app.web.security.sessions import signed_in
from app.web.settings import user_invitations

_MAX_PEOPLE = 1000


#: Moments and the zone of their clock; None: the machine's. FAB stores its own without a zone.
_MOMENTS = {"last_login": UTC, "created_on": None, "changed_on": None}
_MOMENTS |= dict.fromkeys(("away_until", "leave_from", "leave_to"), UTC)


def _has_two_factor(session: Session, user_id: int) -> bool:
    known = g.get("two_factor_users")
    if known is None:
        with access.as_system(session):
            known = two_factor.users_with(session, [user_id])
    return user_id in known


def _two_factor_mark() -> Markup:
    """A shield beside the name; a column of its own has no room."""
    words = _("Two-factor sign-in")
    mark = Markup('<span class="person-mark" title="{}">{}<span class="visually-hidden">{}</span></span>')
    return mark.format(words, icon("shield-check"), words)


class People(HardenedInterface):
    """Users with derived columns: full name, manager, delegate, link to their permissions."""

    def get_values(self, lst: Any, list_columns: Any) -> Iterator[dict[str, Any]]:
        """FAB's rows; roles and managers are loaded by two statements for the whole page."""
        people = list(lst)
        keys = [user.id for user in people]
        self.session.scalars(select(User).where(User.id.in_(keys)).options(selectinload(User.roles))).all()
        managers = {user.manager_id for user in people if user.manager_id}
        self.session.scalars(select(User).where(User.id.in_(managers))).all()
        g.invitations = invitations.of_users(self.session, keys)
        with access.as_system(self.session):
            g.two_factor_users = two_factor.users_with(self.session, keys)
        yield from super().get_values(people, list_columns)

    def _get_attr_value(self, item: Any, col: str) -> Any:
        if col == "name":
            name = item.get_full_name().strip()
            mark = _two_factor_mark() if _has_two_factor(self.session, item.id) else ""
            face = avatar(initials(name), "", picture_url(item.id, item.picture))
            return Markup('<span class="person">{}{}{}</span>').format(face, name, mark)
        if col in ("manager", "delegate"):
            key = getattr(item, f"{col}_id")
            name = self.session.get(User, key).get_full_name() if key else None
            return Markup('<span class="whole">{}</span>').format(name) if name else None
        if col == "two_factor":
            return _has_two_factor(self.session, item.id)
        if col == "invitation":
            known = g.get("invitations")
            known = invitations.of_users(self.session, [item.id]) if known is None else known
            return user_invitations.state_text(known.get(item.id))
        if col == "locale":
            return dict(language_choices()).get(item.locale or "")
        if col in _MOMENTS:
            at = super()._get_attr_value(item, col)
            return at and at.replace(tzinfo=_MOMENTS[col]).astimezone(fab_access.zone()).replace(tzinfo=None)
        if col == "can":
            return link(url_for("EffectiveRightsView.of", user_id=item.id), _("View"))
        return super()._get_attr_value(item, col)


def _people_choices() -> list[tuple[str, str]]:
    query = select(User.id, User.first_name, User.last_name, User.active).limit(_MAX_PEOPLE)
    rows = db.session.execute(query.order_by(User.active.desc(), User.first_name, User.last_name, User.id)).all()
    return [("", "–"), *((str(key), _person_label(f"{first} {last}", active)) for key, first, last, active in rows)]


def _person_label(name: str, active: bool | None) -> str:
    return name.strip() if active else _("%(name)s (inactive)", name=name.strip())


def zone_choices() -> list[tuple[str, str]]:
    """(IANA name, label), the office's first."""
    areas = ("Africa/", "America/", "Asia/", "Atlantic/", "Australia/", "Europe/", "Indian/", "Pacific/")
    names = sorted(name for name in available_timezones() if name.startswith(areas) or name == "UTC")
    return [("", _("Office default")), *((name, name.replace("_", " ")) for name in names)]


def language_choices() -> list[tuple[str, str]]:
    """(code, name) of the available languages, the office's first."""
    languages = current_app.config["LANGUAGES"].items()
    return [("", _("Office default")), *((code, each["name"]) for code, each in languages)]


def _id_or_none(raw: Any) -> int | None:
    return int(raw) if raw not in (None, "", "None") else None


def _text_or_none(raw: Any) -> str | None:
    return str(raw) if raw not in (None, "", "None") else None


class MinutesField(StringField):
    """Minutes before due: "60, 5" in the form, [60, 5] in the row, None for the office default."""

    def _value(self) -> str:
        return self.raw_data[0] if self.raw_data else ", ".join(str(each) for each in self.data or ())

    def process_formdata(self, valuelist: list[str]) -> None:
        """Whole minutes, largest first."""
        if valuelist:
            try:
                self.data = reminder_preferences.parse_offsets(valuelist[0])
            except RuleBroken as broken:
                raise ValidationError(translate_text(broken.message)) from broken


def _text_field(label: Any, *checks: Any, **more: Any) -> Any:
    return StringField(label, validators=[Optional(), *checks], widget=BS3TextFieldWidget(), **more)


def _email_address(form: Any, field: Any) -> None:
    """Raise ValidationError unless it is an email address; name@localhost is the default of commands."""
    local, _at, host = (field.data or "").rpartition("@")
    if host.lower() == "localhost" and local and len(local) <= 64 and not set(local) & set(' @<>(),;:\\"'):
        return
    Email(_("This isn't an email address. Please check it."))(form, field)


_CRM_FIELDS = {
    "last_name": _text_field(lazy_gettext("Last name"), Length(max=64)),
    "mobile": _text_field(lazy_gettext("Mobile"), Length(max=40)),
    "telephony_number": _text_field(
        lazy_gettext("Telephony number"),
        Length(max=40),
        description=lazy_gettext("The user's Twilio or Exotel number"),
    ),
    "manager_id": select_field(lazy_gettext("Reports to"), _people_choices, coerce=_id_or_none),
    "available": BooleanField(lazy_gettext("Available for new work"), default=True),
    "away_until": LocalMoment(lazy_gettext("Away until"), [Optional()]),
    "leave_from": LocalMoment(lazy_gettext("On leave from"), [Optional()]),
    "leave_to": LocalMoment(lazy_gettext("On leave to"), [Optional()]),
    "delegate_id": select_field(
        lazy_gettext("Delegate"),
        _people_choices,
        coerce=_id_or_none,
        description=lazy_gettext("Covers for this user while they are on leave"),
    ),
    "time_zone": select_field(lazy_gettext("Time zone"), zone_choices, coerce=_text_or_none),
    "locale": select_field(lazy_gettext("Language"), language_choices, coerce=_text_or_none),
    "reminder_minutes": MinutesField(
        lazy_gettext("Reminders"),
        widget=BS3TextFieldWidget(),
        description=lazy_gettext("Minutes before a task is due, such as 60, 5"),
    ),
}
_PASSWORD_FIELDS = {
    "password": PasswordField(
        lazy_gettext("Password"),
        description=lazy_gettext("Leave it empty to invite the user by email: they choose their password themselves."),
        validators=[Optional(), PasswordComplexityValidator()],
        widget=BS3PasswordFieldWidget(),
        render_kw={"autocomplete": "new-password"},
    ),
    "conf_password": PasswordField(
        lazy_gettext("Repeat the new password"),
        validators=[EqualTo("password", message=lazy_gettext("The passwords differ. Please enter the same twice."))],
        widget=BS3PasswordFieldWidget(),
        render_kw={"autocomplete": "new-password"},
    ),
}
_PERSON = ["first_name", "last_name", "username", "email", "active", "roles", "groups"]
_AVAILABILITY = ["available", "away_until", "leave_from", "leave_to", "delegate_id"]
_PREFERENCES = ["time_zone", "locale", "reminder_minutes"]
_SECTIONS = [
    (lazy_gettext("Profile"), {"fields": [*_PERSON, "mobile", "telephony_number", "manager_id"]}),
    (lazy_gettext("Availability"), {"fields": _AVAILABILITY}),
    (lazy_gettext("Preferences"), {"fields": _PREFERENCES}),
]
_PASSWORD = (lazy_gettext("Password"), {"fields": ["password", "conf_password"]})


class Users(HardenedView, UserDBModelView):
    """The users page."""

    interface = People
    class_permission_name = "Settings"
    #: FAB's action to reset a password is not listed: it keeps its own permission, which only admins have.
    method_permission_name = SCREEN_VERBS | {"abilities": "read"}
    list_title, show_title = lazy_gettext("Users"), lazy_gettext("User")
    add_title, edit_title = lazy_gettext("New user"), lazy_gettext("Edit user")
    list_columns = ["name", "username", "email", "active", "roles", "manager", "available", "invitation", "can"]
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
        "invitation": lazy_gettext("Invitation"),
        "two_factor": lazy_gettext("Two factors"),
        "available": lazy_gettext("Available for new work"),
        "delegate": lazy_gettext("Delegate"),
        **{name: each.args[0] if each.args else name for name, each in _CRM_FIELDS.items()},
    }
    validators_columns = UserDBModelView.validators_columns | {"email": [_email_address]}
    #: FAB's role of people who aren't signed in is not offered.
    add_form_query_rel_fields = edit_form_query_rel_fields = {"roles": [["name", FilterNotEqual, PUBLIC]]}
    add_form_extra_fields = _PASSWORD_FIELDS | _CRM_FIELDS
    edit_form_extra_fields = _CRM_FIELDS
    add_fieldsets = [*_SECTIONS, _PASSWORD]
    edit_fieldsets = _SECTIONS
    show_fieldsets = [
        (lazy_gettext("Profile"), {"fields": [*_PERSON, "mobile", "telephony_number", "manager"]}),
        (lazy_gettext("Availability"), {"fields": [*_AVAILABILITY[:-1], "delegate"]}),
        (lazy_gettext("Preferences"), {"fields": _PREFERENCES}),
        (
            lazy_gettext("History"),
            {"fields": ["last_login", "login_count", "created_on", "changed_on", "two_factor", "invitation", "can"]},
        ),
    ]
    user_show_fieldsets = [*show_fieldsets[:3], (lazy_gettext("Permissions"), {"fields": ["can"]})]
    in_use_message = lazy_gettext("This user has records. Please deactivate the user instead.")

    @expose("/show/<pk>", methods=["GET"])
    @has_access
    def show(self, pk: Any) -> Any:
        """One user."""
        item = self.datamodel.get(pk, self._base_filters) or abort(404)
        viewing = ["view_as"] if view_as.is_offered(item) else []
        resetting = ["reset_two_factor"] if _may_reset_two_factor(item) else []
        names = ("abilities", *viewing, "resetpasswords", *resetting, *user_invitations.offered_actions(item))
        actions = {name: self.actions[name] for name in names}
        widgets = self._get_show_widget(pk, item, actions=actions)
        name = item.get_full_name().strip() or item.username
        return self.render_template(self.show_template, pk=pk, title=name, widgets=widgets)

    @expose("/userinfo/")
    @signed_in
    def userinfo(self) -> Any:
        """The person's own profile."""
        item = db.session.get(User, g.person.id)
        widgets = self._get_show_widget(item.id, item, show_fieldsets=self.user_show_fieldsets)
        widgets["show"].template_args["actions"] = {}  # the page has its own; FAB takes all for none
        return self.render_template("settings/my_profile.html", pk=item.id, title=_("My profile"), widgets=widgets)

    @action("abilities", lazy_gettext("Permissions of this user"), "", "fa-user", multiple=False)
    def abilities(self, item: Any) -> Any:
        """Redirect to the user's permissions."""
        return redirect(url_for("EffectiveRightsView.of", user_id=item.id))

    @action("view_as", lazy_gettext("View as this user"), "", "fa-eye", multiple=False)
    def view_as(self, item: Any) -> Any:
        """See the CRM as this user sees it, without changing anything."""
        view_as.begin(item, fab_access.request_time())
        return redirect("/")

    @action("invite", lazy_gettext("Invite by email"), "", "fa-send", multiple=False)
    def invite(self, item: Any) -> Any:
        """Send the user a link to choose their password; former links end."""
        user_invitations.invite(item)
        db.session.commit()
        user_invitations.announce(item)
        return redirect(url_for(f"{self.endpoint}.show", pk=item.id))

    @action("revoke_invitation", lazy_gettext("Revoke the invitation"), "", "fa-ban", multiple=False)
    def revoke_invitation(self, item: Any) -> Any:
        """End the link of the user's invitation."""
        user_invitations.revoke(item)
        return redirect(url_for(f"{self.endpoint}.show", pk=item.id))

    @action(
        "reset_two_factor",
        lazy_gettext("Reset two-factor sign-in"),
        lazy_gettext("Reset the two-factor sign-in of this user? Do it only if you are sure who asks for it."),
        "fa-unlock",
        multiple=False,
    )
    def reset_two_factor(self, item: Any) -> Any:
        """Remove the second factor of a user who has lost it, and end their sessions; for admins."""
        if not g.person.is_admin:
            raise access.Denied(_("Only an admin can reset two-factor sign-in."))
        if item.id == g.person.id:  # whoever holds the session need not know password and code
            raise access.Denied(_("You can't reset your own two-factor sign-in. Turn it off under My settings."))
        with request_transaction() as session:
            is_done = second_step.reset(session, item.id, fab_access.request_time(), g.person.id)
        done, nothing = (
            _("Two-factor sign-in was reset. The user's sessions have been ended."),
            _("It was off already."),
        )
        flash(done if is_done else nothing, "success" if is_done else "info")
        return redirect(url_for(f"{self.endpoint}.show", pk=item.id))

    def pre_add(self, item: Any) -> None:
        """Check the fields of the CRM; FAB hashes the password. Without one the user is invited by email."""
        _refuse_invalid(item)
        is_invited = not item.password
        if is_invited:
            user_invitations.refuse_impossible()
            item.password = secrets.token_urlsafe(32)  # nobody knows it
        super().pre_add(item)
        if is_invited:
            user_invitations.invite(item)

    def post_add(self, item: Any) -> None:
        """Send the invitation of a user who has one."""
        user_invitations.announce(item)

    def pre_update(self, item: Any) -> None:
        """Check the fields of the CRM; changed reminders reschedule those of the user's open tasks."""
        _refuse_invalid(item)
        if inspect(item).attrs.reminder_minutes.history.has_changes():
            with access.as_system(db.session()):
                reminder_rescheduling.reschedule(
                    db.session(), item.id, reminder_preferences.reminder_offsets(item), fab_access.request_time()
                )
        super().pre_update(item)

    def pre_delete(self, item: Any) -> None:
        """Refuse to delete one's own account."""
        if item.id == g.person.id:
            raise RuleBroken(_("You can't delete yourself. Ask another admin."))


def _may_reset_two_factor(user: Any) -> bool:
    """Whether the person can reset the user's second factor; one's own is turned off under My settings."""
    own: access.Person = g.person
    return own.is_admin and not own.read_only and user.id != own.id and _has_two_factor(db.session(), user.id)


def _refuse_invalid(user: Any) -> None:
    """Normalize phone numbers. Raises RuleBroken for an invalid number, a cycle of managers or an invalid leave."""
    user.last_name = user.last_name or ""
    user.mobile, user.telephony_number = user.mobile or None, user.telephony_number or None
    user.mobile_e164 = _e164(user.mobile, "mobile")
    user.telephony_number = _e164(user.telephony_number, "telephony_number")
    if user.manager_id and user.id:
        _refuse_cycle(user)
    absence.refuse_bad_absence(db.session(), user, {}, fab_access.request_time())


def _refuse_cycle(user: Any) -> None:
    try:
        teams.refuse_cycle(db.session(), user.id, user.manager_id)
    except RuleBroken as broken:
        raise RuleBroken(translate_text(broken.message), "manager_id") from broken


def _e164(typed: str | None, name: str) -> str | None:
    if not typed:
        return None
    found = phone.normalize(typed)
    if found is None:
        raise RuleBroken(_("This isn't a valid phone number. Please check it."), name)
    return found
