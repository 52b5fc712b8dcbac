"""FAB's security manager: authentication by form, JWT or API key, and permissions without SQL."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any

from flask import Flask, abort, current_app, g, has_request_context, request
from flask import session as flask_session
from flask_appbuilder.security.sqla.manager import SecurityManager
from flask_jwt_extended import verify_jwt_in_request
from flask_limiter import Limiter
from flask_limiter.util import get_remote_address
from flask_login import current_user, login_user, logout_user
from sqlalchemy import func, or_, select, update
from sqlalchemy.orm import Session
from werkzeug.security import generate_password_hash

from app import access
from app.domain.audit_log import audit
from app.domain.people import login_names, permissions
from app.domain.persistence.session_context import session_context
from app.extensions import db
from app.lib.ids import parse_id
from app.models import User
from app.web.core.flask_internals import request_values
from app.web.core.localization.languages import ENGLISH, translate_text
from app.web.core.request_transaction import request_transaction
from app.web.pages import brand, probes_and_metrics, progressive_web_app, public_disclosure, script_texts
from app.web.security import (
    api_keys,
    fab_permissions,
    invitation_page,
    login,
    login_throttle,
    own_profile,
    passwords,
    rate_limits,
    second_step,
    sessions,
    two_factor_page,
    view_as,
)
from app.web.security.sessions import Credential

_PERSONLESS = (
    *probes_and_metrics.ENDPOINTS,
    *progressive_web_app.ENDPOINTS,
    *brand.ENDPOINTS,
    *script_texts.ENDPOINTS,
    *public_disclosure.ENDPOINTS,
)

#: Belong to a single request; an app context may live longer (tests, shells).
_REQUEST_GLOBALS = frozenset(
    (
        "person",
        "owing",
        "_api_key_user",
        "api_key_id",
        "_login_user",
        "csrf_valid",
        *("_jwt_extended_jwt", "_jwt_extended_jwt_header"),
        *("_jwt_extended_jwt_user", "_jwt_extended_jwt_location"),
        "now",
        "viewer",
        "view_as",
        "view_is_over",
    )
)


class Security(SecurityManager):
    """FAB's security manager, which reads permissions from the cached person instead of the database."""

    authdbview = login.AuthDBView
    security_api = login.SecurityApi
    resetmypasswordview = passwords.ResetMyPasswordView
    resetpasswordview = passwords.ResetPasswordView
    userinfoeditview = own_profile.UserInfoEditView

    def __init__(self, appbuilder: Any) -> None:
        current_app.config.setdefault("FAB_PASSWORD_COMPLEXITY_VALIDATOR", passwords.refuse_weak_password)
        # A permanent session would set its cookie with every response, even of static files; load_user renews it.
        current_app.config["SESSION_REFRESH_EACH_REQUEST"] = False
        self._named_pairs: dict[str, set[str]] = {}
        super().__init__(appbuilder)

    # --- wiring

    def create_limiter(self, app: Flask) -> Limiter:
        """FAB's limiter, which limits nothing: it would wait for a Redis that does not answer. See `register_views`."""
        # Disabled: checking for limits costs every request as much as reading a row.
        limiter = Limiter(key_func=get_remote_address, enabled=False)
        limiter.init_app(app)
        return limiter

    def create_login_manager(self, app: Flask) -> Any:
        """Flask-Login, without binding sessions to the IP address and browser: telephones change networks."""
        manager = super().create_login_manager(app)
        manager.session_protection = None
        return manager

    def create_jwt_manager(self, app: Flask) -> Any:
        """Flask-JWT-Extended; every error of a token is a 401 with a message."""
        manager = super().create_jwt_manager(app)
        keys = {_name_of(key): key for key in (*app.config["SECRET_KEY_FALLBACKS"], app.config["JWT_SECRET_KEY"])}
        # The header identifies the key, so that tokens survive a key rotation.
        manager.additional_headers_loader(lambda _identity: {"kid": _name_of(app.config["JWT_SECRET_KEY"])})
        manager.decode_key_loader(lambda header, _claims: keys.get(header.get("kid"), app.config["JWT_SECRET_KEY"]))
        manager.invalid_token_loader(lambda _reason: login.unauthorized_response())
        manager.unauthorized_loader(lambda _reason: login.unauthorized_response())
        manager.expired_token_loader(lambda _header, _claims: login.unauthorized_response())
        manager.user_lookup_error_loader(lambda _header, _claims: login.unauthorized_response())
        return manager

    def register_views(self) -> None:
        """FAB's screens and ours, and the rate limits of sign-in."""
        super().register_views()
        self.appbuilder.add_view_no_menu(sessions.SessionsView)
        self.appbuilder.add_view_no_menu(api_keys.KeysView)
        self.appbuilder.add_view_no_menu(two_factor_page.TwoFactorView)
        self.appbuilder.add_view_no_menu(invitation_page.InvitationView)
        self.appbuilder.add_view_no_menu(view_as.ViewAsView)
        view_as.install(current_app)
        for name in ("AuthDBView", "SecurityApi"):
            current_app.before_request_funcs.setdefault(name, []).append(login.refuse_too_many_attempts)

    # --- authentication

    @staticmethod
    def before_request() -> Any:
        """Start without a person, then load the one of the cookie.

        Requests for static files load none, nor do health checks, which answer without the database.
        """
        held = request_values()
        for name in _REQUEST_GLOBALS & held.keys():
            del held[name]
        held["user"] = current_user
        session = db.session()
        access.act_as(session, None)
        access.set_read_only(session, False)
        asked: Any = request._get_current_object()  # type: ignore[attr-defined]
        session_context(session).address = asked.remote_addr
        endpoint = asked.endpoint or ""
        if "Authorization" in asked.headers:
            return None  # the cookie is ignored, see load_user
        if not endpoint.endswith("static") and endpoint not in _PERSONLESS:
            bool(current_user.is_authenticated)  # loads the person
            view_as.refuse_writes()
            return two_factor_page.refuse_owing(endpoint)
        return None

    def load_user(self, pk: Any) -> Any:
        """The user of the cookie, by one statement. With an Authorization header the cookie is ignored."""
        token = flask_session.get("sid")
        if not isinstance(token, str) or "Authorization" in request.headers:
            return None
        now = datetime.now(UTC)
        found = sessions.find(token, int(pk), now)
        if found is not None and found.is_stale(now):
            sessions.record_activity(found.id, now)
            flask_session.modified = True  # the signed cookie expires, too: send a new one
        user = self._authenticate_as(found)
        if found is not None and user is not None:
            view_as.enter(found)
        return user

    def load_user_jwt(self, _jwt_header: Any, jwt_data: dict[str, Any]) -> Any:
        """The user of a token whose sign-in is valid; None is answered with 401."""
        token, user_id, now = jwt_data.get("sid"), parse_id(jwt_data.get("sub")), datetime.now(UTC)
        if not isinstance(token, str) or user_id is None:
            return None
        found = sessions.find(token, user_id, now)
        if found is not None and found.is_stale(now):
            sessions.record_activity(found.id, now)
        user = self._authenticate_as(found)
        if user is None and g.get("owing") is not None:
            g.sentence = translate_text(second_step.OWED)
            abort(403)
        return user

    @staticmethod
    def extract_api_key_from_request() -> str | None:
        """`key:secret` of the header; None if it holds no key (a JWT, or nothing)."""
        return api_keys.key_from_header(request.headers.get("Authorization", ""))

    def validate_api_key(self, api_key_string: str) -> Any:
        """The user of the key, or None; too many invalid keys from one address are answered with 429."""
        now = datetime.now(UTC)
        found = api_keys.find(api_key_string, now)
        if found is None:
            refusal = api_keys.count_failure(now)
            if refusal is not None:
                abort(refusal)
            return None
        if found.is_stale(now):
            api_keys.record_use(found, now)
        request_values().update(_api_key_user=True, api_key_id=found.id)
        return self._authenticate_as(found)

    def authenticate_by_header(self) -> Any:
        """The user of the Authorization header (key or token), for endpoints without FAB's `protect`; or None."""
        text = self.extract_api_key_from_request()
        if text is not None:
            return self.validate_api_key(text)
        if request.headers.get("Authorization", "").lower().startswith("bearer "):
            verify_jwt_in_request()
            return g.user
        return None

    def _authenticate_as(self, found: Credential | None) -> Any:
        """Make the request and its database session act for this user; returns None if nobody may act.

        Who owes a second factor is nobody: `two_factor_page.refuse_owing` leads them to the page that sets it up.
        """
        if found is None:
            return None
        session = db.session()
        who = access.person(session, found.user.id, found.version).within(found.scope)
        if who.owes_two_factor and not found.is_key:
            g.owing = who
            return None
        access.act_as(session, who)
        request_values().update(person=who, user=found.user, lists_version=found.lists)
        rate_limits.count_request(rate_limits.counter_name(found))
        return found.user

    def add_permissions_view(self, base_permissions: list[str], view_menu: str) -> None:
        """Declare all permissions of a view: FAB deletes those not declared, and the views of a module share one
        name.
        """
        named = self._named_pairs.setdefault(view_menu, set())
        named.update(base_permissions)
        if view_menu in permissions.all_modules():
            named.update("can_" + verb for verb in permissions.VERBS)
        super().add_permissions_view(sorted(named), view_menu)

    # --- permissions

    def is_item_public(self, permission_name: str, view_name: str) -> bool:
        """Whether it needs no sign-in."""
        return view_name in fab_permissions.PUBLIC_VIEWS

    def has_access(self, permission_name: str, view_name: str) -> bool:
        """Whether the person of this request has the permission; without SQL."""
        who = request_values().get("person")
        if who is None:
            return self.is_item_public(permission_name, view_name)
        return fab_permissions.is_allowed(who, permission_name, view_name)

    def _has_view_access(self, user: Any, permission_name: str, view_name: str) -> bool:
        return self.has_access(permission_name, view_name)

    def get_user_menu_access(self, menu_names: list[str] | None = None) -> set[str]:
        """The menu entries that the person can see."""
        return {name for name in menu_names or () if self._sees(name)}

    def _sees(self, name: str) -> bool:
        who = g.get("person")
        if who is None:
            return False
        return fab_permissions.is_allowed(who, "menu_access", name) or (
            name in permissions.all_modules() and who.may(name, "read")
        )

    def get_user_permissions(self, user: Any) -> set[tuple[str, str]]:
        """FAB's permissions of the user; for the person of this request without SQL."""
        who = g.get("person")
        if who is not None and getattr(user, "id", None) == who.id:
            return set(who.fab_permissions)
        return super().get_user_permissions(user)

    # --- signing in and out

    def auth_user_db(self, username: Any, password: Any, method: str = "form") -> Any:
        """The active user of this username (or email address) and password, or None. Raises login_throttle.Locked.

        Every attempt is counted before it is checked, for known and unknown names, and costs one hash.
        """
        if not passwords.is_valid_text(username, login.MAX_USERNAME_LENGTH) or not passwords.is_valid_text(
            password, passwords.MAX_LENGTH
        ):
            return None
        now = datetime.now(UTC)
        login_throttle.begin_attempt(username, now)
        user = self._user_named(username)
        stored, is_active = (user.password, bool(user.active)) if user else (None, False)
        db.session.commit()  # to hash takes a tenth of a second of CPU: others need the connection meanwhile
        right = passwords.is_password(stored, password) and is_active
        with request_transaction() as session:
            if right:
                login_throttle.reset(session, username)
            _count_sign_in(session, user.id if user else 0, right, now)
            if not right:
                login_throttle.fail(session, username)
                about = f"user {user.id}" if user else "unknown name"
                audit.write(session, "sign-in refused", None, now, about, request.remote_addr, method=method)
        return user if right else None

    def _user_named(self, name: str) -> Any:
        """The user with that name or email address, compared again here, because MariaDB equates é and e.

        If two users had the same name before names became unique, the one to whom it belongs.
        """
        name = login_throttle.normalize(name)
        same = or_(func.lower(User.username) == name, func.lower(User.email) == name)
        found = db.session.scalars(select(User).where(same).limit(5)).all()
        named = [user for user in found if name in map(login_throttle.normalize, (user.username, user.email or ""))]
        if len(named) < 2:
            return next(iter(named), None)
        holder = login_names.holder_of(db.session(), name)
        return next((user for user in named if user.id == holder), None)

    def sign_in_browser(self, user: Any, method: str = "form") -> None:
        """Start a new session for this browser; only the language is kept from the old one."""
        # The language of the user's settings; else the one of the login page.
        locale, old = user.locale or flask_session.get("locale"), flask_session.get("sid")
        if isinstance(old, str):
            sessions.sign_out(old, datetime.now(UTC))
        token = sessions.create_sign_in(user.id, method, datetime.now(UTC))
        flask_session.clear()
        flask_session.permanent, flask_session["sid"] = True, token
        if locale:
            flask_session["locale"] = locale
        if user.locale is None and locale not in (None, ENGLISH):  # messages and files follow the login page, too
            user.locale = locale
            db.session.commit()
        login_user(user)

    def sign_out_browser(self) -> None:
        """End this browser's sign-in, and a view as another user before it."""
        view_as.leave()
        token = flask_session.get("sid")
        if isinstance(token, str):
            sessions.sign_out(token, datetime.now(UTC))
        logout_user()
        flask_session.clear()
        g.person = None

    # --- accounts

    def reset_password(self, userid: Any, password: str, with_keys: bool = False) -> None:
        """Set a user's password; `with_keys` also revokes their API keys.

        Raises FAB's PasswordComplexityValidationError for a weak one.
        """
        user = self.get_user_by_id(userid)
        passwords.refuse_weak_password(password, user.username, user.email)
        user.password = generate_password_hash(password)
        by, now = getattr(g.get("person"), "id", None), datetime.now(UTC)
        with access.as_system(db.session()) as session:
            audit.write(session, "password change", user.id, now, f"user {user.id}", _address(), by=by)
            if with_keys:
                sessions.revoke_keys(session, user.id, now, by)
        db.session.commit()

    def add_user(self, username: str, *args: Any, password: str = "", **kwargs: Any) -> Any:
        """Like FAB's, but a weak password raises PasswordComplexityValidationError."""
        if password:
            passwords.refuse_weak_password(password, username, kwargs.get("email"))
        return super().add_user(username, *args, password=password, **kwargs)

    def update_user(self, user: Any, commit: bool = True) -> None:
        """Save the user; unlike FAB's, errors are raised."""
        session = self.session
        try:
            session.merge(user)
            session.flush()
            if commit:
                session.commit()
        except BaseException:
            session.rollback()
            raise


def _count_sign_in(session: Session, user_id: int, right: bool, now: datetime) -> None:
    """Update FAB's statistics; by a plain UPDATE, so that cached people stay valid."""
    count = func.coalesce(User.login_count, 0) + 1
    failed = func.coalesce(User.fail_login_count, 0) + 1
    values = {"login_count": count, "last_login": now, "fail_login_count": 0} if right else {"fail_login_count": failed}
    step = update(User).where(User.id == user_id).values(values)
    session.execute(step, execution_options={"synchronize_session": False})


def _address() -> str | None:
    return request.remote_addr if has_request_context() else None


def _name_of(key: str) -> str:
    """A name for a key that doesn't reveal it."""
    return hashlib.sha256(b"key id " + key.encode()).hexdigest()[:16]
