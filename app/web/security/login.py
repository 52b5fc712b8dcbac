"""The doors for people and machines that hold a password: the form and FAB's JWT resource."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import orjson
from flask import Response, current_app, g, make_response, redirect, request
from flask_appbuilder.api import safe
from flask_appbuilder.security import api as fab_api
from flask_appbuilder.security import views as fab_views
from flask_appbuilder.security.decorators import no_cache
from flask_appbuilder.security.forms import LoginForm_db
from flask_appbuilder.views import expose
from flask_babel import gettext as _
from flask_jwt_extended import create_access_token, create_refresh_token, get_jwt, get_jwt_identity, jwt_required
from flask_limiter import RequestLimit
from flask_wtf.csrf import CSRFError

from app.extensions import csrf
from app.web.security import api_keys, login_throttle, sessions

#: Tries a minute and address at each door.
DOOR_LIMIT = "20 per minute"
#: Longer is no name of anybody.
LONGEST_NAME = 320


class AuthDBView(fab_views.AuthDBView):
    """The form door."""

    @expose("/login/", methods=["GET", "POST"])
    @no_cache
    def login(self) -> Any:
        """Show the form, or sign in and go where the person wanted to go."""
        if g.get("person") is not None:
            return redirect(_next())
        form = LoginForm_db()
        if request.method != "POST":
            return self.page(form)
        try:
            csrf.protect()
            user = self._user(form)
        except CSRFError:
            return self.page(form, _("This page has expired. Please sign in again."), 400)
        except login_throttle.Locked as locked:
            return self.page(form, str(locked.message), 429, locked.seconds)
        if user is None:
            return self.page(form, _("The username or password is wrong. Please try again."), 401)
        self.appbuilder.sm.sign_in_browser(user)
        return redirect(_next())

    def _user(self, form: LoginForm_db) -> Any:
        return self.appbuilder.sm.auth_user_db(form.username.data, form.password.data, "form")

    def page(self, form: LoginForm_db, sentence: str | None = None, status: int = 200, wait: int = 0) -> Response:
        """The form, with the typed name kept and one sentence about what went wrong."""
        form.username.data = (form.username.data or "")[:LONGEST_NAME]
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
        """Sign out by POST; a GET, which a picture on any page could send, only asks."""
        if request.method == "GET" and g.get("person") is not None:
            return self.render_template("signin/logout.html", title=_("Sign out"))
        if request.method == "POST":
            csrf.protect()
            self.appbuilder.sm.sign_out_browser()
        return redirect(self.appbuilder.get_url_for_login)


def _next() -> str:
    """Where to go after sign-in: the path of ?next= on this very site, else the index."""
    wish = request.args.get("next", "")
    if not wish or len(wish) > 2000 or not wish.isprintable() or "\\" in wish:
        return str(current_app.extensions["appbuilder"].get_url_for_index)
    try:
        parts = urlsplit(wish)
    except ValueError:
        return str(current_app.extensions["appbuilder"].get_url_for_index)
    here = parts.netloc in ("", request.host) and parts.scheme in ("", "http", "https")
    if not here or not parts.path.startswith("/") or parts.path.startswith("//"):
        return str(current_app.extensions["appbuilder"].get_url_for_index)
    return parts.path + (f"?{parts.query}" if parts.query else "")


class SecurityApi(fab_api.SecurityApi):
    """The JWT door, with FAB's shapes; its tokens end with their sign-in."""

    @expose("/login", methods=["POST"])
    @safe
    def login(self) -> Response:
        wish = _wish(_json())
        if wish is None:
            return _no(400, _("Please send JSON with username, password and the provider “db”."))
        security = self.appbuilder.sm
        try:
            user = security.auth_user_db(wish["username"], wish["password"], "jwt")
        except login_throttle.Locked as locked:
            return api_keys.too_many(locked)
        if user is None:
            return _no(401, _("The username or password is wrong. Please try again."))
        return self.response(200, **_tokens(user, wish.get("refresh", False)))

    @expose("/refresh", methods=["POST"])
    @jwt_required(refresh=True)
    @safe
    def refresh(self) -> Response:
        claims = {"sid": get_jwt()["sid"]}
        token = create_access_token(identity=get_jwt_identity(), fresh=False, additional_claims=claims)
        return self.response(200, access_token=token)

    # OpenAPI is read from the docstrings.
    login.__doc__ = fab_api.SecurityApi.login.__doc__
    refresh.__doc__ = fab_api.SecurityApi.refresh.__doc__


def _no(status: int, sentence: str) -> Response:
    return make_response({"message": sentence, "errors": {}}, status)


def _json() -> Any:
    """The body, or None when it is no JSON; orjson, unlike json, survives a million brackets."""
    try:
        return orjson.loads(request.get_data()) if request.is_json else None
    except ValueError:
        return None


def _wish(body: Any) -> dict[str, Any] | None:
    """The body of a sign-in when it has the right shape."""
    if not isinstance(body, dict) or body.get("provider", "db") != "db":
        return None
    named = all(isinstance(body.get(name), str) and body[name] for name in ("username", "password"))
    return body if named and isinstance(body.get("refresh", False), bool) else None


def _tokens(user: Any, with_refresh: bool) -> dict[str, str]:
    claims = {"sid": sessions.begin(user.id, "jwt", datetime.now(UTC))}
    made = {"access_token": create_access_token(identity=str(user.id), fresh=True, additional_claims=claims)}
    if with_refresh:
        made["refresh_token"] = create_refresh_token(identity=str(user.id), additional_claims=claims)
    return made


def say_too_fast(_limit: RequestLimit) -> None:
    """The sentence for the 429 of an address that tried too often."""
    g.sentence = _("Too many attempts from your address. Please wait a minute.")


def refused() -> Response:
    """The JSON answer to a request whose token is no good."""
    response = _no(401, _("Please sign in. The token is missing, invalid, revoked or expired."))
    response.headers["WWW-Authenticate"] = "Bearer"
    return response
