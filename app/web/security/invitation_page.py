"""The page behind the link of an invitation: the invited person chooses their password and is signed in."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from flask import Response, current_app, flash, make_response, redirect, request, url_for
from flask_appbuilder import BaseView, expose
from flask_appbuilder.exceptions import PasswordComplexityValidationError
from flask_appbuilder.security.decorators import no_cache
from flask_babel import gettext as _
from flask_wtf.csrf import CSRFError
from werkzeug.security import generate_password_hash

from app import access
from app.domain.audit_log import audit
from app.domain.base import RuleBroken, translatable
from app.domain.people import invitations
from app.domain.people.invitations import Invitation
from app.extensions import csrf, db
from app.outbox import invitation_delivery
from app.web.core.localization.languages import translate_text
from app.web.core.request_transaction import request_transaction
from app.web.pages import brand, errors
from app.web.security import passwords, rate_limits, second_step

#: The same for every link that doesn't work, so that nobody learns who was invited.
IS_OVER = translatable(
    "This invitation doesn't work any more: it was used, revoked or has expired. Ask your admin for a new one."
)
#: Characters of a token.
MAX_TOKEN = 128


class InvitationView(BaseView):
    """/invitation/?token=…"""

    route_base = "/invitation"
    default_view = "accept"

    @expose("/", methods=["GET", "POST"])
    @no_cache
    def accept(self) -> Any:
        """Show the form, or set the password, sign in and go to My day. Attempts are limited by address."""
        seconds = rate_limits.begin_sign_in_attempt("invitation")
        if seconds:
            text = _("Too many attempts from your address. Please wait a minute.")
            return make_response(errors.answer(429, text, retry_after=seconds))
        brand.refreshed()
        now, token = datetime.now(UTC), request.args.get("token", "")[:MAX_TOKEN]
        with access.as_system(db.session()) as session:
            found = invitations.find(session, token, invitation_delivery.keys(), now)
            if found is None:
                return self._page(None, translate_text(IS_OVER), 410)
            rate_limits.forget_attempt()
            if request.method == "GET":
                return self._page(found)
            user, refused = found.user, self._refusal(found)
            if refused:
                return self._page(found, *refused)
        try:
            self._store(found, str(request.form["password"]), now)
        except RuleBroken as broken:
            return self._page(None, translate_text(broken.message), 410)
        return self._enter(user)

    def _enter(self, user: Any) -> Any:
        """Sign in. Who has a second factor is asked for it: it outlives passwords."""
        if second_step.needs_code(user.id, "", datetime.now(UTC)):
            second_step.begin(user, datetime.now(UTC))
            flash(_("Your password is set. Please enter a code to sign in."), "success")
            return redirect(url_for("AuthDBView.code"))
        self.appbuilder.sm.sign_in_browser(user)
        flash(_("Welcome. Your password is set, and you are signed in."), "success")
        return redirect(self.appbuilder.get_url_for_index)

    @staticmethod
    def _refusal(found: Invitation) -> tuple[str, int] | None:
        """(sentence, status) if the form can't be accepted."""
        try:
            csrf.protect()
        except CSRFError:
            return _("This page has expired. Please enter the password again."), 400
        typed = request.form.get("password", "")
        try:
            passwords.refuse_weak_password(typed, found.user.username, found.user.email)
        except PasswordComplexityValidationError as weak:
            return str(weak), 422
        if request.form.get("conf_password", "") != typed:
            return _("The passwords differ. Please enter the same twice."), 422
        return None

    @staticmethod
    def _store(found: Invitation, password: str, now: datetime) -> None:
        """Set the password. Raises RuleBroken if the link was used meanwhile: the database decides who is first."""
        with request_transaction() as session:
            if not invitations.claim(session, found, now):
                raise RuleBroken(IS_OVER)
            found.user.password = generate_password_hash(password)
            about = f"user {found.user_id}"
            audit.write(
                session, "user change", found.user_id, now, about, request.remote_addr, what="invitation accepted"
            )

    def _page(self, found: Invitation | None, sentence: str = "", status: int = 200) -> Response:
        words = {
            "username": found.user.username if found is not None else None,
            "sentence": sentence,
            "least": passwords.MIN_LENGTH,
        }
        return make_response(self.render_template("security/invitation.html", **words), status)


def is_possible() -> bool:
    """Whether emails leave this server; without a mail server they would only be logged."""
    return current_app.config["CRM"].smtp_url is not None
