"""Lists, searches and overviews that may come from a database replica, but never older than what their reader has
saved.

A view opts in with `@from_replica`, below the decorator for refusals. Without replicas it has no effect.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from flask import Flask, Response, current_app, g, request
from itsdangerous import BadSignature, URLSafeTimedSerializer
from sqlalchemy import NullPool, create_engine
from sqlalchemy.exc import DBAPIError

import config
import database_engine
from app import access
from app.extensions import db
from app.ops.database import connections, gtids, replicas
from app.ops.database.database_errors import Cause, cause_of, number_of
from app.ops.database.gtids import COMMITTED, Position
from app.ops.database.replica_positions import KEPT_SECONDS, SavedPositions
from app.ops.database.replicas import Primary, Replica, Replicas
from app.ops.monitoring import process_metrics
from app.web.core.fab_access import current_viewer
from server_urls import database_place

#: A replica that doesn't respond within this time is skipped; the primary is used instead.
READ_SECONDS, LOOK_SECONDS = 5.0, 1.0
_KEY = "crm_replicas"
#: The position of the browser's last save, signed; only if there are replicas.
COOKIE = "crm_saved"
#: No such table or column: the replica has not applied a schema change yet.
_OLD_SCHEMA = (1054, 1146)
_TROUBLE = frozenset({Cause.AWAY, Cause.CROWDED, Cause.DAMAGED, Cause.CLOSED, Cause.READ_ONLY, Cause.COLLIDED})


def install(app: Flask, settings: config.Settings) -> None:
    """Read from the configured replicas; does nothing if there are none."""
    app.extensions[_KEY] = None
    if not settings.replica_urls or not settings.redis_url:
        return
    followers = [_replica(url, settings) for url in settings.replica_urls]
    saved = SavedPositions(settings.redis_url)
    primary = Primary(_watching(settings.database_url))
    app.extensions[_KEY] = Replicas(primary, followers, saved, settings.replica_lag_seconds)
    app.before_request(_begin)
    app.after_request(_remember)


def _replica(url: str, settings: config.Settings) -> Replica:
    engine = create_engine(url, **replicas.connection_options(database_engine.engine_options(settings)))
    connections.tune(engine, lambda: READ_SECONDS)
    process_metrics.watch(engine)
    return Replica(database_place(url), engine, _watching(url))


def _watching(url: str) -> Any:
    engine = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT", hide_parameters=True)
    connections.limit_exchanges(engine, lambda: LOOK_SECONDS, LOOK_SECONDS)
    return engine


def replicas_of_app() -> Replicas | None:
    """The replicas of this application; None if there are none."""
    found: Replicas | None = current_app.extensions.get(_KEY)
    return found


def _begin() -> None:
    COMMITTED.set([])


def _remember(response: Response) -> Response:
    """Publish the position of a save before the person is told that it succeeded.

    All servers get it through Redis, and the browser sends it in a cookie, in case Redis has not got it in time.
    """
    committed, found = COMMITTED.get(), replicas_of_app()
    COMMITTED.set(None)
    person = g.get("person")
    if committed and found is not None and person is not None:
        position = gtids.latest(committed)
        if position != {}:
            found.saved.remember(person.id, position)
            if current_app.config["SESSION_COOKIE_NAME"] in request.cookies:
                _hand_over(response, person.id, position)
    return response


def _hand_over(response: Response, user_id: int, position: Position | None) -> None:
    """Give the browser the signed position in a cookie of its own, because two requests could overwrite the
    session's.
    """
    value = _serializer().dumps([user_id, gtids.UNKNOWN if position is None else gtids.as_text(position)])
    is_https = current_app.config["CRM"].is_https
    text = value.decode() if isinstance(value, bytes) else value
    response.set_cookie(COOKIE, text, KEPT_SECONDS, secure=is_https, httponly=True, samesite="Lax")


def _brought(user_id: int) -> Position | None:
    """The position in the browser's cookie for this person; {} without one, None for an unreadable one."""
    value = request.cookies.get(COOKIE)
    if not value:
        return {}
    try:
        owner, text = _serializer().loads(value, max_age=KEPT_SECONDS)
        if owner != user_id:
            return {}
        return None if text == gtids.UNKNOWN else gtids.parsed(text)
    except (BadSignature, ValueError, TypeError, AttributeError):
        return {}


def _serializer() -> URLSafeTimedSerializer:
    settings = current_app.config["CRM"]
    return URLSafeTimedSerializer([*settings.secret_keys_old[::-1], settings.secret_key], salt="saved position")


def from_replica(view: Callable[..., Any]) -> Callable[..., Any]:
    """Let this view read from a replica for GET requests; from the primary if none is suitable."""

    @functools.wraps(view)
    def routed(*arguments: Any, **options: Any) -> Any:
        replica = _chosen()
        if replica is None:
            return view(*arguments, **options)
        try:
            with access.reading_from(db.session(), replica.engine):
                return view(*arguments, **options)
        except DBAPIError as error:
            if cause_of(error) not in _TROUBLE and number_of(error) not in _OLD_SCHEMA:
                raise
            replica.leave_out(replicas.AWAY, error)
            db.session.rollback()
        return view(*arguments, **options)  # if it was not the replica's fault, this fails, too

    return routed


def _chosen() -> Replica | None:
    found = replicas_of_app()
    if found is None or request.method not in ("GET", "HEAD") or g.get("person") is None:
        return None
    viewer = current_viewer()  # the picklists are read from the primary, first of all
    return found.chosen_for(viewer.person.id, _brought(viewer.person.id))
