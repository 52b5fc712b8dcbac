"""Who is it? FAB's security manager under the law: the doors of form, JWT and API key, and what each may enter."""

from __future__ import annotations

import dataclasses
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

from flask import Flask, abort, current_app, g, has_request_context, request, session
from flask_appbuilder.security.sqla.manager import SecurityManager
from flask_jwt_extended import verify_jwt_in_request
from flask_limiter import Limiter
from flask_limiter.util import get_remote_address
from flask_login import current_user, login_user, logout_user
from sqlalchemy import func, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session
from werkzeug.security import check_password_hash, generate_password_hash

from app import access
from app.domain import audit, permissions
from app.domain.session_context import session_context
from app.extensions import db
from app.lib.ids import parse_id
from app.models import Role, User
from app.web.security import api_keys, fab_permissions, login, login_throttle, passwords, rate_limits, sessions
from app.web.security.fab_permissions import sync_permissions
from app.web.security.sessions import Found, own_transaction

__all__ = ["Security", "ensure_admin", "sync_permissions"]

#: What belongs to one request only, should the context live longer (tests, shells).
_OF_ONE_REQUEST = (
    "person",
    "_api_key_user",
    "api_key_id",
    "_login_user",
    "csrf_valid",
    "_jwt_extended_jwt",
    "_jwt_extended_jwt_header",
    "_jwt_extended_jwt_user",
    "_jwt_extended_jwt_location",
    "now",
    "viewer",
)


class Security(SecurityManager):
    """FAB's security manager that asks the law instead of the database."""

    authdbview = login.AuthDBView
    security_api = login.SecurityApi
    resetmypasswordview = passwords.ResetMyPasswordView
    resetpasswordview = passwords.ResetPasswordView
    userinfoeditview = passwords.UserInfoEditView

    def __init__(self, appbuilder: Any) -> None:
        current_app.config.setdefault("FAB_PASSWORD_COMPLEXITY_VALIDATOR", passwords.refuse_weak_password)
        current_app.config.setdefault("JWT_REFRESH_TOKEN_EXPIRES", timedelta(days=sessions.TOKEN_DAYS))
        # A permanent session would set its cookie with every answer, those of static files too; load_user renews it.
        current_app.config["SESSION_REFRESH_EACH_REQUEST"] = False
        self._named_pairs: dict[str, set[str]] = {}
        super().__init__(appbuilder)

    # --- wiring

    def create_limiter(self, app: Flask) -> Limiter:
        """FAB's limiter, which counts in the process while Redis is away."""
        limiter = Limiter(key_func=get_remote_address, in_memory_fallback_enabled=True)
        limiter.init_app(app)
        return limiter

    def create_login_manager(self, app: Flask) -> Any:
        """Flask-Login, without its own binding to address and browser: telephones change networks."""
        manager = super().create_login_manager(app)
        manager.session_protection = None
        return manager

    def create_jwt_manager(self, app: Flask) -> Any:
        """Flask-JWT-Extended; whatever is wrong with a token is a 401 with a message."""
        manager = super().create_jwt_manager(app)
        manager.invalid_token_loader(lambda _reason: login.refused())
        manager.unauthorized_loader(lambda _reason: login.refused())
        manager.expired_token_loader(lambda _header, _claims: login.refused())
        manager.user_lookup_error_loader(lambda _header, _claims: login.refused())
        return manager

    def register_views(self) -> None:
        """FAB's screens, ours beside them, and the limits on the doors."""
        super().register_views()
        self.appbuilder.add_view_no_menu(sessions.SessionsView)
        self.appbuilder.add_view_no_menu(api_keys.KeysView)
        for name in ("AuthDBView", "SecurityApi"):
            limit = self.limiter.limit(login.DOOR_LIMIT, methods=["POST"], on_breach=login.say_too_fast)
            limit(current_app.blueprints[name])

    # --- who is it

    @staticmethod
    def before_request() -> None:
        """Nobody, until a cookie, token or key proves otherwise; static files need nobody."""
        for name in _OF_ONE_REQUEST:
            g.pop(name, None)
        g.user = current_user
        access.act_as(db.session(), None)
        session_context(db.session()).address = request.remote_addr
        if not (request.endpoint or "").endswith("static"):
            bool(current_user.is_authenticated)  # loads the person

    def load_user(self, pk: Any) -> Any:
        """The user of the cookie, by one statement. A request with an Authorization header has no cookie for us."""
        token = session.get("sid")
        if not isinstance(token, str) or "Authorization" in request.headers:
            return None
        now = datetime.now(UTC)
        found = sessions.find(token, int(pk), timedelta(hours=sessions.IDLE_HOURS), now)
        if found is not None and found.is_stale(now):
            sessions.note_seen(found.id, now)
            session.modified = True  # the signed cookie has an age, too: hand out a younger one
        return self._enter(found)

    def load_user_jwt(self, _jwt_header: Any, jwt_data: dict[str, Any]) -> Any:
        """The user of a token whose sign-in was not ended; None answers 401."""
        token, user_id, now = jwt_data.get("sid"), parse_id(jwt_data.get("sub")), datetime.now(UTC)
        if not isinstance(token, str) or user_id is None:
            return None
        found = sessions.find(token, user_id, timedelta(days=sessions.TOKEN_DAYS), now)
        if found is not None and found.is_stale(now):
            sessions.note_seen(found.id, now)
        return self._enter(found)

    @staticmethod
    def extract_api_key_from_request() -> str | None:
        """`key:secret` of the header; None when it holds no key (a JWT, or nothing)."""
        return api_keys.from_header(request.headers.get("Authorization", ""))

    def validate_api_key(self, api_key_string: str) -> Any:
        """The user of the key, or None; too many wrong keys from one address are answered with 429."""
        now = datetime.now(UTC)
        found = api_keys.find(api_key_string, now)
        if found is None:
            refusal = api_keys.count_failure(now)
            if refusal is not None:
                abort(refusal)
            return None
        if found.is_stale(now):
            api_keys.note_used(found, now)
        g._api_key_user, g.api_key_id = True, found.id
        return self._enter(found)

    def enter_by_header(self) -> Any:
        """The user of the Authorization header, key or token, for doors that FAB's protect does not guard; or None."""
        text = self.extract_api_key_from_request()
        if text is not None:
            return self.validate_api_key(text)
        if request.headers.get("Authorization", "").lower().startswith("bearer "):
            verify_jwt_in_request()
            return g.user
        return None

    def _enter(self, found: Found | None) -> Any:
        """From now on the request and its database session belong to this person."""
        if found is None:
            return None
        held = db.session()
        who = access.person(held, found.user.id, found.version)
        if found.scope:
            who = dataclasses.replace(who, scope=found.scope)
        access.act_as(held, who)
        g.person, g.user = who, found.user
        rate_limits.count(rate_limits.of_found(found))
        return found.user

    def add_permissions_view(self, base_permissions: list[str], view_menu: str) -> None:
        """FAB deletes pairs that a view does not name; the views of a module share its name, so all are named."""
        named = self._named_pairs.setdefault(view_menu, set())
        named.update(base_permissions)
        if view_menu in permissions.all_modules():
            named.update("can_" + verb for verb in permissions.VERBS)
        super().add_permissions_view(sorted(named), view_menu)

    # --- may he?

    def is_item_public(self, permission_name: str, view_name: str) -> bool:
        """Only the doors themselves."""
        return view_name in fab_permissions.PUBLIC_VIEWS

    def has_access(self, permission_name: str, view_name: str) -> bool:
        """Whether the person of this request may; without SQL."""
        who = g.get("person")
        if who is None:
            return self.is_item_public(permission_name, view_name)
        return fab_permissions.allowed(who, permission_name, view_name)

    def _has_view_access(self, user: Any, permission_name: str, view_name: str) -> bool:
        return self.has_access(permission_name, view_name)

    def get_user_menu_access(self, menu_names: list[str] | None = None) -> set[str]:
        """Which of the menu's entries the person sees."""
        return {name for name in menu_names or () if self._sees(name)}

    def _sees(self, name: str) -> bool:
        who = g.get("person")
        if who is None:
            return False
        return fab_permissions.allowed(who, "menu_access", name) or (
            name in permissions.all_modules() and who.may(name, "read")
        )

    def get_user_permissions(self, user: Any) -> set[tuple[str, str]]:
        """FAB's pairs; of the person of this request without SQL."""
        who = g.get("person")
        if who is not None and getattr(user, "id", None) == who.id:
            return set(who.fab_permissions)
        return super().get_user_permissions(user)

    # --- signing in and out

    def auth_user_db(self, username: Any, password: Any, door: str = "form") -> Any:
        """The active user of this name (or e-mail address) and password, or None. Raises tries.Locked.

        Every try is counted before it is looked at, known name or not, and takes one hash.
        """
        if not passwords.is_typed(username, login.LONGEST_NAME) or not passwords.is_typed(password, passwords.LONGEST):
            return None
        now = datetime.now(UTC)
        login_throttle.count(username, now)
        user = self._named(username)
        expected = (user and user.password) or current_app.config["AUTH_DB_FAKE_PASSWORD_HASH_CHECK"]
        right = check_password_hash(expected, password) and user is not None and bool(user.active and user.password)
        with own_transaction() as held:
            if right:
                login_throttle.forget(held, username)
            _count_sign_in(held, user.id if user else 0, right, now)
            if not right:
                about = f"user {user.id}" if user else "unknown name"
                audit.write(held, "sign-in refused", None, now, about, request.remote_addr, door=door)
        return user if right else None

    def _named(self, name: str) -> Any:
        """The user of that name, else of that address; compared here too, as MariaDB takes é for e."""
        wish = login_throttle.normal(name)
        same = or_(func.lower(User.username) == wish, func.lower(User.email) == wish)
        found = db.session.scalars(select(User).where(same).limit(5)).all()
        by_name = [user for user in found if login_throttle.normal(user.username) == wish]
        by_mail = [user for user in found if login_throttle.normal(user.email or "") == wish]
        return next(iter([*by_name, *by_mail]), None)

    def sign_in_browser(self, user: Any, door: str = "form") -> None:
        """A new session for this browser; nothing of the old one stays but the language."""
        # The language that the person chose in his settings; else the one in which he read the form.
        locale, old = user.locale or session.get("locale"), session.get("sid")
        if isinstance(old, str):
            sessions.sign_out(user.id, old, datetime.now(UTC))
        token = sessions.begin(user.id, door, datetime.now(UTC))
        session.clear()
        session.permanent, session["sid"] = True, token
        if locale:
            session["locale"] = locale
        login_user(user)

    def sign_out_browser(self) -> None:
        """End this browser's sign-in."""
        who, token = g.get("person"), session.get("sid")
        if who is not None and isinstance(token, str):
            sessions.sign_out(who.id, token, datetime.now(UTC))
        logout_user()
        session.clear()
        g.person = None

    # --- accounts

    def reset_password(self, userid: Any, password: str) -> None:
        """Set a user's password. Raises FAB's PasswordComplexityValidationError for a weak one."""
        user = self.get_user_by_id(userid)
        passwords.refuse_weak_password(password, user.username, user.email)
        user.password = generate_password_hash(password)
        by, now = getattr(g.get("person"), "id", None), datetime.now(UTC)
        with access.as_system(db.session()) as held:
            audit.write(held, "password change", user.id, now, f"user {user.id}", _address(), by=by)
        db.session.commit()

    def add_user(self, username: str, *args: Any, password: str = "", **kwargs: Any) -> Any:
        """FAB's, after a look at the password. Raises PasswordComplexityValidationError."""
        if password:
            passwords.refuse_weak_password(password, username, kwargs.get("email"))
        return super().add_user(username, *args, password=password, **kwargs)

    def update_user(self, user: Any, commit: bool = True) -> None:
        """Save the user; unlike FAB's, what refuses is heard."""
        held = self.session
        try:
            held.merge(user)
            held.flush()
            if commit:
                held.commit()
        except BaseException:
            held.rollback()
            raise


def _count_sign_in(held: Session, user_id: int, right: bool, now: datetime) -> None:
    """FAB's statistics; by a plain UPDATE, so that nobody's cached rights are thrown away."""
    count = func.coalesce(User.login_count, 0) + 1
    failed = func.coalesce(User.fail_login_count, 0) + 1
    values = {"login_count": count, "last_login": now, "fail_login_count": 0} if right else {"fail_login_count": failed}
    step = update(User).where(User.id == user_id).values(values)
    held.execute(step, execution_options={"synchronize_session": False})


def _address() -> str | None:
    return request.remote_addr if has_request_context() else None


# --- at deploy and first start -----------------------------------------------------------------------------------


def ensure_admin(app: Flask, password: str | None = None) -> str | None:
    """Make the user admin when there is no user at all; the random password if one was made, to be shown once."""
    made = None if password else secrets.token_urlsafe(12)
    with app.app_context():
        try:
            return made if _first_admin(password or made or "") else None
        except IntegrityError:  # another process was faster
            return None


def _first_admin(password: str) -> bool:
    with own_transaction() as held:
        if held.execute(select(User.id).limit(1)).first() is not None:
            return False
        role = held.scalars(select(Role).where(Role.name == access.ADMIN)).one()
        held.add(
            User(
                username="admin",
                first_name="Admin",
                last_name="",
                email="admin@localhost",
                active=True,
                password=generate_password_hash(password),
                roles=[role],
            )
        )
    return True
