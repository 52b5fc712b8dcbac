"""Authentication of this API: an API key, or the session id in the cookie `sid` set by the method login."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from flask import Response, current_app, g, request
from flask_babel import gettext as _

from app import access
from app.extensions import db
from app.web.compat import users
from app.web.compat.arguments import Arguments
from app.web.compat.responses import CompatError, error_response, success_response
from app.web.core.fab_access import current_viewer, refusal
from app.web.core.localization.languages import translate_text
from app.web.core.urls.local_links import local_path
from app.web.security import login_throttle, rate_limits, second_step, sessions

COOKIE = "sid"
#: The cookie's value for a person who is not signed in.
GUEST = "Guest"


def authenticate() -> access.Person | None:
    """Authenticate the request. The cookie of our own pages is ignored here, because it requires a CSRF token."""
    g.person = None
    g.pop("viewer", None)
    access.act_as(db.session(), None)
    if "Authorization" in request.headers:
        current_app.appbuilder.sm.authenticate_by_header()  # type: ignore[attr-defined]
    else:
        _authenticate_by_cookie(request.cookies.get(COOKIE, ""))
    person: access.Person | None = g.person
    return person


def _authenticate_by_cookie(token: str) -> None:
    if not token or token == GUEST or len(token) > 200 or not _is_allowed_origin():
        return
    now = datetime.now(UTC)
    session = sessions.find_by_token(token, now)
    if session is not None and session.is_stale(now):
        sessions.record_activity(session.id, now)
    current_app.appbuilder.sm._authenticate_as(session)  # type: ignore[attr-defined]
    if g.get("owing") is not None:
        raise CompatError(403, translate_text(second_step.OWED))


def has_dead_session() -> bool:
    """Whether the request has the id of an ended session, rather than none; only called if nobody is signed in."""
    is_named = request.cookies.get(COOKIE, "") not in ("", GUEST)
    return is_named and "Authorization" not in request.headers and _is_allowed_origin()


def _is_allowed_origin() -> bool:
    """Whether the origin may use the cookie: apps and scripts send no CSRF token.

    Browsers identify requests of other sites.
    """
    return request.method in ("GET", "HEAD") or _comes_from_us()


def _comes_from_us() -> bool:
    """Whether no browser sent the request for a page of another site, or for a link that somebody followed."""
    origin, site = request.headers.get("Origin"), request.headers.get("Sec-Fetch-Site")
    own = (request.host_url.rstrip("/"), current_app.config["CRM"].public_url)
    if site not in (None, "same-origin", "none"):
        return False
    return origin in (None, *own)


def _refuse_other_sites() -> None:
    """Raise CompatError (403) if a page of another site would sign its visitor in or out.

    Old browsers send no Sec-Fetch-Site, but the page from which a request came.
    """
    referrer = request.headers.get("Referer")
    if not _comes_from_us() or (referrer and local_path(referrer) is None):
        raise CompatError(
            403, _("Pages of other sites can't sign in or out here. Please use the app, or our own pages.")
        )


# --- methods ---


def login(arguments: Arguments) -> Response:
    """usr, pwd -> the cookie with the session id; with two-factor sign-in also otp, the code.

    401 for wrong credentials, 403 if the user must set up a second factor first, 429 after too many attempts.
    """
    manager: Any = current_app.appbuilder.sm  # type: ignore[attr-defined]
    _refuse_other_sites()
    if seconds := rate_limits.begin_sign_in_attempt():
        return _retry_later(_("Too many attempts from your address. Please wait a minute."), seconds)
    try:
        user = manager.auth_user_db(arguments.raw("usr"), arguments.raw("pwd"), "compat")
    except login_throttle.Locked as locked:
        return _retry_later(str(locked.message), locked.seconds)
    if user is None:
        return error_response(401, _("The username or password is wrong. Please try again."))
    try:
        second_step.refuse_without_code(user.id, arguments.raw("otp"), datetime.now(UTC))
    except login_throttle.Locked as locked:
        return _retry_later(str(locked.message), locked.seconds)
    except (second_step.CodeRefused, access.Denied) as refused:
        return error_response(refusal(refused)[0], translate_text(refused.message))
    rate_limits.forget_attempt()
    token = sessions.create_sign_in(user.id, "compat", datetime.now(UTC))
    response = success_response("Logged In")
    response.set_data(_with_full_name(response, user.get_full_name()))
    secure = current_app.config["SESSION_COOKIE_SECURE"]
    # Lax: clients send no CSRF token, so other sites must not be able to send this cookie.
    response.set_cookie(
        COOKIE,
        token,
        max_age=current_app.config["CRM"].session_days * 86_400,
        httponly=True,
        secure=secure,
        samesite="Lax",
    )
    _set_name_cookies(response, user, secure)
    return response


#: Cookies besides the session, read by the predecessor's pages and clients; they grant nothing.
_NAME_COOKIES = ("full_name", "user_id", "system_user", "user_image")


def _set_name_cookies(response: Response, user: Any, secure: bool) -> None:
    """Set the predecessor's cookies about who signed in; percent-encoded."""
    values = (user.get_full_name(), users.name_in_cookies(user), "yes", "")
    seconds = current_app.config["CRM"].session_days * 86_400
    for name, value in zip(_NAME_COOKIES, values, strict=True):
        response.set_cookie(name, quote(value), max_age=seconds, secure=secure, samesite="Lax")


def _retry_later(text: str, seconds: int) -> Response:
    response = error_response(429, text)
    response.headers["Retry-After"] = str(seconds)
    return response


def _with_full_name(response: Response, full_name: str) -> bytes:
    import orjson

    return orjson.dumps({**orjson.loads(response.get_data()), "home_page": "/app", "full_name": full_name})


def logout(arguments: Arguments) -> Response:
    """End the session of the cookie; always 200, idempotent.

    Apps may use GET, as they always could; links and images of pages may not, which browsers identify.
    """
    _refuse_other_sites()
    if request.method == "GET" and request.headers.get("Sec-Fetch-Mode", "cors") not in ("cors", "same-origin"):
        raise CompatError(403, _("“%(name)s” changes data. Please send it as a POST request.", name="logout"))
    person, token = g.get("person"), request.cookies.get(COOKIE, "")
    if person is not None and token:
        sessions.sign_out(token, datetime.now(UTC))
    response = success_response(None)
    response.set_cookie(COOKIE, GUEST, httponly=True, samesite="Lax", max_age=0)
    for name in _NAME_COOKIES:
        response.set_cookie(name, "", samesite="Lax", max_age=0)
    return response


def logged_user(arguments: Arguments) -> str:
    """The user's name in this API, their email address. Raises CompatError (401) without a session."""
    if g.get("person") is None:
        raise CompatError(401, _("Please sign in first."))
    return str(users.name_of(g.person.id, current_viewer()))


def ping(arguments: Arguments) -> str:
    """Health check."""
    return "pong"
