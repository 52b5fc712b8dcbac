"""Sign-in with a password: the login page, and FAB's JWT resource."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson
from flask import Response, current_app, flash, g, make_response, redirect, request, url_for
from flask_appbuilder.security import api as fab_api
from flask_appbuilder.security import views as fab_views
from flask_appbuilder.security.decorators import no_cache
from flask_appbuilder.security.forms import LoginForm_db
from flask_appbuilder.views import expose
from flask_babel import gettext as _
from flask_jwt_extended import create_access_token, create_refresh_token, get_jwt, get_jwt_identity, jwt_required
from flask_wtf.csrf import CSRFError
from sqlalchemy import select

from app import access
from app.access import Person
from app.domain.people.two_factor import REMEMBERED_FOR
from app.extensions import csrf, db
from app.models import BoardHome, Role
from app.web.core.fab_access import refusal, request_time
from app.web.core.localization.languages import translate_text
from app.web.core.urls.local_links import local_path
from app.web.pages import brand, errors
from app.web.security import api_keys, login_throttle, rate_limits, second_step, sessions

#: No username or email address is longer.
MAX_USERNAME_LENGTH = 320
#: The cookie of a remembered browser, and the longest token.
REMEMBERED, MAX_TOKEN_LENGTH = "crm_browser", 200


class AuthDBView(fab_views.AuthDBView):
    """The login page."""

    @expose("/login/", methods=["GET", "POST"])
    @no_cache
    def login(self) -> Any:
        """Show the form, or sign in and redirect to ?next=."""
        if g.get("person") is not None:
            return redirect(_next(g.person))
        form = LoginForm_db()
        if request.method != "POST":
            return self.form_page(form)
        try:
            csrf.protect()
            user = self._user(form)
        except CSRFError:
            rate_limits.forget_attempt()  # in the morning, everybody's page of yesterday has expired
            return self.form_page(form, _("This page has expired. Please sign in again."), 400)
        except login_throttle.Locked as locked:
            return self.form_page(form, str(locked.message), 429, locked.seconds)
        if user is None:
            return self.form_page(form, _("The username or password is wrong. Please try again."), 401)
        rate_limits.forget_attempt()
        return self._enter(user)

    def _enter(self, user: Any) -> Any:
        """Sign in, or lead to the page that asks for the code of the second factor."""
        now = datetime.now(UTC)
        if second_step.needs_code(user.id, request.cookies.get(REMEMBERED, "")[:MAX_TOKEN_LENGTH], now):
            second_step.begin(user, now)
            return redirect(url_for("AuthDBView.code", next=local_path(request.args.get("next"))))
        return self._signed_in(user)

    def _signed_in(self, user: Any) -> Any:
        self.appbuilder.sm.sign_in_browser(user)
        with access.as_system(db.session()):
            person = access.load_person(db.session(), user.id, request_time())
        return redirect(_next(person))

    @expose("/login/code/", methods=["GET", "POST"])
    @no_cache
    def code(self) -> Any:
        """Ask for the code of the second factor, or sign in with it and redirect to ?next=."""
        if g.get("person") is not None:
            return redirect(_next(g.person))
        user, now = second_step.begun_by(datetime.now(UTC)), datetime.now(UTC)
        if user is None:
            return self._start_again()
        if request.method != "POST":
            return self.code_page()
        try:
            csrf.protect()
            second_step.check(user.id, request.form.get("code"), now)
        except CSRFError:
            return self.code_page(_("This page has expired. Please enter the code again."), 400)
        except login_throttle.Locked as locked:
            return self.code_page(str(locked.message), 429, locked.seconds)
        except second_step.CodeRefused as refused:
            return self.code_page(_wrong_code(refused), 401)
        if not second_step.finish(user, now):
            return self._start_again()
        rate_limits.forget_attempt()
        return self._signed_in_with_code(user, now)

    def _signed_in_with_code(self, user: Any, now: datetime) -> Response:
        response = self._signed_in(user)
        if not second_step.count_recovery_codes(user.id):
            flash(_("You have no recovery codes left. Please make new ones in My settings."), "warning")
        return self._remembered(user, response, now)

    def _start_again(self) -> Any:
        flash(_("Please enter your password again: the sign-in was begun too long ago."), "warning")
        return redirect(self.appbuilder.get_url_for_login_with(local_path(request.args.get("next"))))

    @staticmethod
    def _remembered(user: Any, response: Response, now: datetime) -> Response:
        """The response, with the cookie of a remembered browser if the person wants that."""
        if request.form.get("remember"):
            response.set_cookie(
                REMEMBERED,
                second_step.remember(user.id, now),
                max_age=REMEMBERED_FOR,
                path=url_for("AuthDBView.login"),
                secure=current_app.config["SESSION_COOKIE_SECURE"],
                httponly=True,
                samesite="Lax",
            )
        return response

    def code_page(self, sentence: str = "", status: int = 200, wait: int = 0) -> Response:
        """The form for the code; `wait`: seconds to wait."""
        brand.refreshed()
        page = self.render_template(
            "security/login_code.html",
            title=_("Two-factor sign-in"),
            sentence=sentence,
            recovery=bool(request.args.get("recovery")),
            next=local_path(request.args.get("next")),
            remembered=bool(request.form.get("remember")),
            days=REMEMBERED_FOR.days,
        )
        return make_response(page, status, {"Retry-After": str(wait)} if wait else {})

    def _user(self, form: LoginForm_db) -> Any:
        return self.appbuilder.sm.auth_user_db(form.username.data, form.password.data, "form")

    def form_page(self, form: LoginForm_db, sentence: str | None = None, status: int = 200, wait: int = 0) -> Response:
        """The form, with the entered username kept and one sentence about what went wrong; `wait`: seconds to wait."""
        brand.refreshed()
        form.username.data = (form.username.data or "")[:MAX_USERNAME_LENGTH]
        form.password.errors = [sentence] if sentence else []
        response = make_response(
            self.render_template(self.login_template, title=self.title, form=form, appbuilder=self.appbuilder),
            status,
        )
        if wait:
            response.headers["Retry-After"] = str(wait)
        return response

    @expose("/logout/", methods=["GET", "POST"])
    @no_cache
    def logout(self) -> Any:
        """Sign out by POST; a GET, which an image on any page could send, asks for confirmation."""
        if request.method == "GET" and g.get("person") is not None:
            return self.render_template("security/logout.html", title=_("Sign out"))
        if request.method == "POST":
            csrf.protect()
            self.appbuilder.sm.sign_out_browser()
        return redirect(self.appbuilder.get_url_for_login)


def _wrong_code(refused: second_step.CodeRefused) -> str:
    """The sentence of the page that was sent: that for recovery codes asks for no code of the app."""
    if request.args.get("recovery"):
        return _("This recovery code is wrong or was used already. Please enter another one.")
    return str(refused.message)


def _next(person: Person) -> str:
    """Where to go after sign-in: the path of ?next= on this site, else the person's start page.

    That is the dashboard for people who see others' figures or whose role has a home board, and My day for everybody
    else.
    """
    level = person.level("Dashboard", "read")
    is_dashboard = level in ("team", "all") or (level != "none" and _has_home(person))
    home = "/dashboard/" if is_dashboard else str(current_app.extensions["appbuilder"].get_url_for_index)
    return local_path(request.args.get("next")) or home


def _has_home(person: Person) -> bool:
    query = select(BoardHome.board_id).join(Role, Role.id == BoardHome.role_id).limit(1)
    return db.session.execute(query.where(Role.name.in_(sorted(person.roles)))).first() is not None


class SecurityApi(fab_api.SecurityApi):
    """FAB's JWT endpoints, with its request and response format; a token ends with its sign-in.

    Without FAB's `safe`, which answers every error, even an unreachable database, with 500 "Fatal error".
    """

    @expose("/login", methods=["POST"])
    def login(self) -> Response:
        credentials = _credentials(_request_json())
        if credentials is None:
            return error_response(400, _("Please send JSON with username, password and the provider “db”."))
        security = self.appbuilder.sm
        try:
            user = security.auth_user_db(credentials["username"], credentials["password"], "jwt")
        except login_throttle.Locked as locked:
            return api_keys.too_many_response(locked)
        if user is None:
            return error_response(401, _("The username or password is wrong. Please try again."))
        refused = _refuse_without_code(user, credentials.get("otp"))
        if refused is not None:
            return refused
        rate_limits.forget_attempt()
        return self.response(200, **_tokens(user, credentials.get("refresh", False)))

    @expose("/refresh", methods=["POST"])
    @jwt_required(refresh=True)
    def refresh(self) -> Response:
        claims = {"sid": get_jwt()["sid"]}
        token = create_access_token(identity=get_jwt_identity(), fresh=False, additional_claims=claims)
        return self.response(200, access_token=token)

    # OpenAPI is read from the docstrings.
    login.__doc__ = fab_api.SecurityApi.login.__doc__
    refresh.__doc__ = fab_api.SecurityApi.refresh.__doc__


def error_response(status: int, sentence: str) -> Response:
    """A JSON response with this status and message."""
    return make_response({"message": sentence, "errors": {}}, status)


def _refuse_without_code(user: Any, otp: Any) -> Response | None:
    """The refusal of a sign-in whose second factor is missing or wrong; None if it isn't refused."""
    try:
        second_step.refuse_without_code(user.id, otp, datetime.now(UTC))
    except login_throttle.Locked as locked:
        return api_keys.too_many_response(locked)
    except (second_step.CodeRefused, access.Denied) as refused:
        sentence = translate_text(refused.message)
        errors = {"otp": [sentence]} if isinstance(refused, second_step.CodeRefused) else {}
        return make_response({"message": sentence, "errors": errors}, refusal(refused)[0])
    return None


def _request_json() -> Any:
    """The JSON body, or None if it is invalid; orjson, unlike json, survives a million brackets."""
    try:
        return orjson.loads(request.get_data()) if request.is_json else None
    except ValueError:
        return None


def _credentials(body: Any) -> dict[str, Any] | None:
    """The body of a sign-in if it is valid, else None."""
    if not isinstance(body, dict) or body.get("provider", "db") != "db":
        return None
    named = all(isinstance(body.get(name), str) and body[name] for name in ("username", "password"))
    return body if named and isinstance(body.get("refresh", False), bool) else None


def _tokens(user: Any, with_refresh: bool) -> dict[str, str]:
    claims = {"sid": sessions.create_sign_in(user.id, "jwt", datetime.now(UTC))}
    made = {"access_token": create_access_token(identity=str(user.id), fresh=True, additional_claims=claims)}
    if with_refresh:
        made["refresh_token"] = create_refresh_token(identity=str(user.id), additional_claims=claims)
    return made


def refuse_too_many_attempts() -> Response | None:
    """Count this attempt by address before anything else; the 429 response if there were too many."""
    if request.method != "POST":
        return None
    seconds = rate_limits.begin_sign_in_attempt(request.blueprint or "")
    if not seconds:
        return None
    text = _("Too many attempts from your address. Please wait a minute.")
    response: Response = make_response(errors.answer(429, text, retry_after=seconds))
    return response


def unauthorized_response() -> Response:
    """The JSON response to a request with an invalid token, in the format of the requested API."""
    text = _("Please sign in. The token is missing, invalid, revoked or expired.")
    response = errors.rendered_by_api(401, text) or error_response(401, text)
    response.headers["WWW-Authenticate"] = "Bearer"
    return response
