"""Passwords: which are refused, and FAB's pages that set one. What a new one ends is in `account_effects`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from flask import abort, current_app, flash, g, has_request_context, redirect, request, url_for
from flask_appbuilder.exceptions import PasswordComplexityValidationError
from flask_appbuilder.fieldwidgets import BS3PasswordFieldWidget
from flask_appbuilder.forms import DynamicForm
from flask_appbuilder.security import views as fab
from flask_appbuilder.security.decorators import has_access
from flask_appbuilder.validators import PasswordComplexityValidator
from flask_appbuilder.views import expose
from flask_babel import gettext as _
from flask_babel import lazy_gettext
from werkzeug.security import check_password_hash
from wtforms import BooleanField, PasswordField, ValidationError
from wtforms.validators import DataRequired, EqualTo

from app.domain.base import RuleBroken
from app.extensions import db
from app.lib.ids import parse_id
from app.models import User
from app.web.core.request_transaction import request_transaction
from app.web.security import login_throttle, sessions

#: Characters.
MIN_LENGTH = 10
#: Hashing a megabyte would only keep the server busy.
MAX_LENGTH = 512
MIN_DIFFERENT_CHARACTERS = 4
#: The most common passwords of ten characters and more, lower case.
_COMMON = (
    "1234567890 12345678910 0123456789 123456789a 1q2w3e4r5t 1qaz2wsx3edc password123 password1234 "
    "password12345 password@123 passw0rd123 p@ssw0rd123 p@ssword123 qwertyuiop qwerty12345 qwerty123456 "
    "qwerty1234 administrator admin12345 admin123456 admin@1234 welcome123 welcome1234 welcome@123 "
    "letmein123 letmein1234 iloveyou123 changeme123 changeme1234 abcdefghij abcd123456 abc1234567 "
    "india12345 india@12345 india@1234 mumbai12345 krishna123 sairam1234 jaihind123 9876543210 "
    "zxcvbnm123 asdfghjkl1 test123456 test1234567 demo123456 "
)
COMMON_PASSWORDS = frozenset(_COMMON.split())


def refuse_weak_password(password: str | None, *names: str | None) -> None:
    """Raise FAB's PasswordComplexityValidationError with one sentence; `names` must not be the password."""
    sentence = _weakness(password or "", {*_names_in_request(), *(name for name in names if name)})
    if sentence:
        raise PasswordComplexityValidationError(sentence)


def is_valid_text(text: Any, longest: int) -> bool:
    """Whether it is text of 1 to `longest` characters without NUL and lone surrogates."""
    if not isinstance(text, str) or not 0 < len(text) <= longest or "\0" in text:
        return False
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _weakness(password: str, names: set[str]) -> str | None:
    plain = password.strip().casefold()
    if len(plain) < MIN_LENGTH:
        return _("The password is too short. Please use at least %(count)s characters.", count=MIN_LENGTH)
    if not is_valid_text(password, MAX_LENGTH):
        return _("This password can't be used. Please use at most %(count)s printable characters.", count=MAX_LENGTH)
    if any(plain in (name.casefold(), name.casefold()[::-1]) for name in names):
        return _("The password must not be the username or the email address. Please choose another.")
    if plain in COMMON_PASSWORDS or len(set(plain)) < MIN_DIFFERENT_CHARACTERS:
        return _("This password is too common and easy to guess. Please choose another.")
    return None


def _names_in_request() -> set[str]:
    """The names in the form, and those of the user whose password is set."""
    if not has_request_context():
        return set()
    fields = ("username", "email", "first_name", "last_name")
    names = {request.form.get(name, "") for name in fields}
    raw = request.args.get("pk", "")
    key = parse_id(raw)
    target = None if key is None else db.session.get(User, key)
    names |= {target.username, target.email} if target else {getattr(g.get("person"), "username", "")}
    return names - {""}


# --- the current password


def refuse_wrong_password(user: Any, typed: str | None) -> None:
    """Raise RuleBroken unless it is the user's password; attempts are counted, so that a session can't guess it.

    Counted separately from sign-ins: guessing here does not lock the person out.
    """
    now, counted_as = datetime.now(UTC), login_throttle.counter(f"the password of user {user.id}")
    login_throttle.begin_attempt(counted_as, now)
    is_readable = is_valid_text(typed, MAX_LENGTH) and bool(user.password)
    is_right = is_readable and check_password_hash(user.password, str(typed))
    with request_transaction() as session:
        (login_throttle.reset if is_right else login_throttle.fail)(session, counted_as)
    if not is_right:
        raise RuleBroken(_("This isn't your current password. Please enter it again."), "current_password")


# --- FAB's screens, under FAB's class names, which its permissions and links refer to


#: Made before the fields of the forms: WTForms shows fields in the order in which they were made.
_CURRENT_PASSWORD = PasswordField(
    lazy_gettext("Current password"), widget=BS3PasswordFieldWidget(), render_kw={"autocomplete": "current-password"}
)


class NewPasswordForm(DynamicForm):
    """A new password, twice, and what else it ends."""

    password = PasswordField(
        lazy_gettext("New password"),
        validators=[DataRequired(), PasswordComplexityValidator()],
        widget=BS3PasswordFieldWidget(),
        render_kw={"autocomplete": "new-password"},
    )
    conf_password = PasswordField(
        lazy_gettext("Repeat the new password"),
        validators=[EqualTo("password", message=lazy_gettext("The passwords differ. Please enter the same twice."))],
        widget=BS3PasswordFieldWidget(),
        render_kw={"autocomplete": "new-password"},
    )
    revoke_keys = BooleanField(
        lazy_gettext("Revoke all API keys too"),
        description=lazy_gettext("If somebody else may know the old password. Programs need new keys then."),
    )


class OwnPasswordForm(NewPasswordForm):
    """The current password, and a new one."""

    current_password = _CURRENT_PASSWORD

    def validate_current_password(self, field: Any) -> None:
        """Raise ValidationError unless it is the password of the person."""
        try:
            refuse_wrong_password(db.session.get(User, g.person.id), field.data)
        except RuleBroken as broken:
            raise ValidationError(str(broken.message)) from broken


class ResetMyPasswordView(fab.ResetMyPasswordView):
    """Change one's own password; all sign-ins end, and this browser gets a new one."""

    form = OwnPasswordForm

    def form_post(self, form: Any) -> Any:
        """Set the password and sign this browser in again."""
        security = self.appbuilder.sm
        security.reset_password(g.person.id, form.password.data, form.revoke_keys.data)
        security.sign_in_browser(security.get_user_by_id(g.person.id))
        flash(_("Password changed. All your other sessions have been ended."), "success")
        if count := sessions.count_keys(db.session(), g.person.id):
            sessions.flash_live_keys(count)


class ResetPasswordView(fab.ResetPasswordView):
    """An admin sets a user's password; one's own needs the current one and has a page of its own."""

    form = NewPasswordForm

    @expose("/form", methods=["GET"])
    @has_access
    def this_form_get(self) -> Any:
        """The form; of oneself, the page that asks for the current password."""
        if parse_id(request.args.get("pk", "")) == g.person.id:
            return redirect(url_for("ResetMyPasswordView.this_form_get"))
        return super().this_form_get()

    def form_post(self, form: Any) -> Any:
        """Set the password of the user ?pk=; 404 if there is none."""
        key = parse_id(request.args.get("pk", ""))
        if key == g.person.id:
            return redirect(url_for("ResetMyPasswordView.this_form_get"))
        if key is None or db.session.get(User, key) is None:
            abort(404)
        self.appbuilder.sm.reset_password(key, form.password.data, form.revoke_keys.data)
        flash(_("Password changed. The user's sessions have been ended."), "success")
        if count := sessions.count_keys(db.session(), key):
            sessions.flash_live_keys(count)


def is_password(stored: str | None, password: str) -> bool:
    """Whether the hash is of this password. Takes as long for no hash, and for one that is cheap to check."""
    usual = current_app.config["AUTH_DB_FAKE_PASSWORD_HASH_CHECK"]
    is_usual = bool(stored) and _cost_of(str(stored)) == _cost_of(usual)
    if not is_usual:
        check_password_hash(usual, password)
    return bool(stored) and check_password_hash(str(stored), password)


def _cost_of(hashed: str) -> str:
    """Method and cost of a hash, as in scrypt:32768:8:1."""
    return hashed.partition("$")[0]
