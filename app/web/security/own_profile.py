"""The form of the person's own profile: name, mobile, time zone and language."""

from __future__ import annotations

from typing import Any
from zoneinfo import available_timezones

from flask import current_app, flash, g, redirect
from flask_appbuilder.fieldwidgets import BS3TextFieldWidget, Select2Widget
from flask_appbuilder.security import views as fab
from flask_appbuilder.security.forms import UserInfoEdit
from flask_babel import gettext as _
from flask_babel import lazy_gettext
from wtforms import SelectField, StringField, ValidationError
from wtforms.validators import Length, Optional

from app.extensions import db
from app.lib import phone
from app.models import User


class ProfileForm(UserInfoEdit):
    """Fields that people may change in their own account; username, roles and permissions are not included."""

    last_name = StringField(
        lazy_gettext("Last name"), validators=[Optional(), Length(max=64)], widget=BS3TextFieldWidget()
    )
    mobile = StringField(lazy_gettext("Mobile"), validators=[Length(max=40)], widget=BS3TextFieldWidget())
    time_zone = SelectField(lazy_gettext("Time zone"), widget=Select2Widget())
    locale = SelectField(lazy_gettext("Language"), widget=Select2Widget())

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        office = ("", _("Office default"))
        languages = current_app.config["LANGUAGES"]
        self.time_zone.choices = [office, *((name, name) for name in sorted(available_timezones()))]
        self.locale.choices = [office, *((code, each["name"]) for code, each in languages.items())]

    def validate_mobile(self, field: Any) -> None:
        """Raise ValidationError unless it is empty or a phone number."""
        if field.data and phone.normalize(field.data) is None:
            raise ValidationError(_("This isn't a valid phone number. Please check it."))


class UserInfoEditView(fab.UserInfoEditView):
    """The person's own profile: only name, mobile, time zone and language."""

    form = ProfileForm

    def form_post(self, form: Any) -> Any:
        """Save these fields by name, so that other posted fields have no effect."""
        user = db.session.get(User, g.person.id)
        user.first_name, user.last_name = form.first_name.data[:64], (form.last_name.data or "")[:64]
        user.mobile = form.mobile.data or None
        user.mobile_e164 = phone.normalize(form.mobile.data or "")
        user.time_zone, user.locale = form.time_zone.data or None, form.locale.data or None
        db.session.commit()
        flash(_("Profile saved."), "success")
        return redirect("/users/userinfo/")
