"""The credentials of a socket: the cookie of our pages, the old API's `sid`, or a key or token (header or `auth:`).

The credentials stay in the environment of the connection, and are checked again for each event, so that an ended
sign-in or key takes effect at once.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from flask import current_app, g, request
from flask import session as flask_session
from flask_jwt_extended.exceptions import JWTExtendedException
from flask_login import current_user
from jwt import PyJWTError
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.exceptions import HTTPException

from app import access
from app.extensions import db
from app.web.security import sessions

#: The cookie of the old API's sign-in, and its value for nobody.
COMPAT_COOKIE, GUEST = "sid", "Guest"
#: The key under which `auth:` is stored: the token of the old API's sign-in.
AUTH_SID = "crm.auth_sid"
_TOKEN = re.compile(r"[\w-]{20,200}", re.ASCII)


def take_auth(auth: Any) -> None:
    """Use the credentials in `auth:` from now on, if the connection has none."""
    if not isinstance(auth, dict) or has_credentials():
        return
    header, sid = _header_of(auth), auth.get("sid")
    if header is not None:
        request.environ["HTTP_AUTHORIZATION"] = header
    elif isinstance(sid, str) and _TOKEN.fullmatch(sid):
        request.environ[AUTH_SID] = sid


def _header_of(auth: dict[str, Any]) -> str | None:
    """{"token": "KEY:SECRET" or a token, or either with its scheme} as an Authorization header."""
    text = next((auth[name] for name in ("token", "authorization", "Authorization") if name in auth), None)
    if text is None and {"api_key", "api_secret"} <= auth.keys():
        text = f"{auth['api_key']}:{auth['api_secret']}"
    if not isinstance(text, str) or not text.isprintable() or len(text) > 3000:
        return None
    if " " in text:
        return text
    return f"token {text}" if ":" in text else f"Bearer {text}"


def has_credentials() -> bool:
    """Whether the connection has any credentials, valid or not: the cookie of an ended sign-in counts."""
    if "Authorization" in request.headers or current_user.is_authenticated or flask_session.get("sid"):
        return True
    return compat_token() != ""


def compat_token() -> str:
    """The token of the old API's sign-in; "" if there is none."""
    token = request.environ.get(AUTH_SID) or request.cookies.get(COMPAT_COOKIE, "")
    return "" if token == GUEST or len(token) > 200 else str(token)


def requesting_person() -> access.Person | None:
    """The person of this request, loaded again for each event."""
    if "Authorization" in request.headers:  # an API key or token, not a browser
        try:
            entered = current_app.appbuilder.sm.authenticate_by_header()  # type: ignore[attr-defined]
        except (HTTPException, JWTExtendedException, PyJWTError):
            return None
        return g.person if entered is not None else None
    if current_user.is_authenticated:
        if g.get("view_as") is not None:
            return None  # a view as another user hears nothing of what they hear
        who: access.Person = g.get("person") or load_person(db.session(), int(current_user.get_id()))
        return None if who.owes_two_factor else who
    if token := compat_token():
        now = datetime.now(UTC)
        found = sessions.find_by_token(token, now)
        if found is not None and current_app.appbuilder.sm._authenticate_as(found):  # type: ignore[attr-defined]
            g.by_compat = True
            person: access.Person = g.person
            return person
    return None


def load_person(session: Session, user_id: int) -> access.Person:
    """The person by user id, with their current rights."""
    with access.as_system(session):
        version = session.execute(select(access.version_query())).scalar() or 0
    return access.person(session, user_id, version)
