"""The signed cookie of a browser's session, read and written by one signer."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from flask import Flask, Request, Response
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface, SessionMixin
from itsdangerous import URLSafeTimedSerializer

from app.web.core.application import add_vary


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
        """The session of the cookie; an empty one if there is none."""
        if app.secret_key and (
            "HTTP_COOKIE" not in request.environ or self.get_cookie_name(app) not in request.cookies
        ):
            return self.session_class()
        return super().open_session(app, request)

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        """Send the cookie if the session has changed; otherwise only say that the response depends on it."""
        if self.should_set_cookie(app, session):
            super().save_session(app, session, response)
        elif session.accessed:
            add_vary(response, "Cookie")


@lru_cache(maxsize=4)
def _signer(sessions: SessionCookies, keys: tuple[Any, ...]) -> URLSafeTimedSerializer:
    return sessions.signer_of(keys)
