"""The signed cookie of a browser's session, read and written by one signer."""

from __future__ import annotations

from copy import deepcopy
from datetime import timedelta
from functools import lru_cache
from time import time
from typing import Any

from flask import Flask, Request, Response
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface, SessionMixin
from itsdangerous import BadSignature, URLSafeTimedSerializer

from app.web.core.application import add_vary

#: Cookies whose signature a process remembers, of about 1 kB each.
MAX_KNOWN = 1_000
#: Values that requests can share.
_UNCHANGEABLE = frozenset((str, int, bool, float, type(None)))


class SessionCookies(SecureCookieSessionInterface):
    """Flask's own sessions. Flask makes two signers for each request, also for those without a cookie."""

    def get_signing_serializer(self, app: Flask) -> URLSafeTimedSerializer | None:
        """The signer of the application's keys, made once."""
        keys = (*app.config["SECRET_KEY_FALLBACKS"], app.secret_key)
        return _signer(self, keys) if app.secret_key else None

    def signer_of(self, keys: tuple[Any, ...]) -> URLSafeTimedSerializer:
        """A signer as Flask makes it; the last of the keys signs."""
        options = {"key_derivation": self.key_derivation, "digest_method": self.digest_method}
        return URLSafeTimedSerializer(list(keys), salt=self.salt, serializer=self.serializer, signer_kwargs=options)

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        """The session of the cookie; an empty one if there is none, or it is too old or not ours."""
        signer = self.get_signing_serializer(app)
        if signer is None:
            return super().open_session(app, request)
        cookie = request.cookies.get(self.get_cookie_name(app)) if "HTTP_COOKIE" in request.environ else None
        return self.session_class(_current_values(signer, cookie, app.permanent_session_lifetime) if cookie else None)

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        """Send the cookie if the session has changed; otherwise only say that the response depends on it."""
        if self.should_set_cookie(app, session):
            super().save_session(app, session, response)
        elif session.accessed:
            add_vary(response, "Cookie")


def _current_values(signer: URLSafeTimedSerializer, cookie: str, lifetime: timedelta) -> dict[str, Any] | None:
    """The values of a cookie, for one request; None if it is too old, of the future or not ours."""
    try:
        values, signed_on = _signed_values(signer, cookie)
    except BadSignature:
        return None
    if not 0 <= int(time()) - signed_on <= lifetime.total_seconds():
        return None
    return {name: value if type(value) in _UNCHANGEABLE else deepcopy(value) for name, value in values.items()}


@lru_cache(maxsize=MAX_KNOWN)
def _signed_values(signer: URLSafeTimedSerializer, cookie: str) -> tuple[dict[str, Any], int]:
    """The values of a cookie and when it was signed, in seconds since 1970. Raises BadSignature, which isn't kept.

    A browser sends the same cookie with every request. Whether its sign-in is still valid is asked each time.
    """
    values, signed_on = signer.loads(cookie, return_timestamp=True)
    return values, int(signed_on.timestamp())


@lru_cache(maxsize=4)
def _signer(sessions: SessionCookies, keys: tuple[Any, ...]) -> URLSafeTimedSerializer:
    return sessions.signer_of(keys)
