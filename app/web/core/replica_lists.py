"""Lists, searches and overviews that may come from a replica of the database, but never older than what their reader
has saved.

A view says so with `@from_replica`, below what turns refusals into answers. Without replicas it is called as it is.
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
from app import access
from app.extensions import db
from app.ops import database, gtids, process_metrics, replicas
from app.ops.database_errors import Cause, cause_of, number_of
from app.ops.gtids import COMMITTED, Position
from app.ops.replica_positions import KEPT_SECONDS, SavedPositions
from app.ops.replicas import Primary, Replica, Replicas
from app.web.core.fab_access import current_viewer
from server_urls import database_place

#: A replica that doesn't answer within this time is not waited for; the primary is asked instead.
READ_SECONDS, LOOK_SECONDS = 5.0, 1.0
_KEY = "crm_replicas"
#: What its browser has last saved, as a signed position; only where there are replicas.
COOKIE = "crm_saved"
#: No such table or column: the replica has not taken a change of the schema yet.
_OLD_SCHEMA = (1054, 1146)
_TROUBLE = frozenset({Cause.AWAY, Cause.CROWDED, Cause.DAMAGED, Cause.CLOSED, Cause.READ_ONLY, Cause.COLLIDED})


def install(app: Flask, settings: config.Settings) -> None:
    """Read from the replicas that the settings name; nothing happens if they name none."""
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
    engine = create_engine(url, **replicas.connection_options(config.engine_options(settings)))
    database.tune(engine, lambda: READ_SECONDS)
    process_metrics.watch(engine)
    return Replica(database_place(url), engine, _watching(url))


def _watching(url: str) -> Any:
    engine = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT", hide_parameters=True)
    database.limit_exchanges(engine, lambda: LOOK_SECONDS, LOOK_SECONDS)
    return engine


def replicas_of_app() -> Replicas | None:
    """The replicas of this application; None if there are none."""
    found: Replicas | None = current_app.extensions.get(_KEY)
    return found


def _begin() -> None:
    COMMITTED.set([])


def _remember(response: Response) -> Response:
    """Before a person learns that something was saved, all servers know up to where: through Redis, and a browser
    brings it along, should Redis not have taken it in time."""
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
    """Give the browser the position, signed, in a cookie of its own: the session's would be written by two at once."""
    value = _serializer().dumps([user_id, gtids.UNKNOWN if position is None else gtids.as_text(position)])
    is_https = current_app.config["CRM"].is_https
    text = value.decode() if isinstance(value, bytes) else value
    response.set_cookie(COOKIE, text, KEPT_SECONDS, secure=is_https, httponly=True, samesite="Lax")


def _brought(user_id: int) -> Position | None:
    """What the browser brings of this person's; {} for nothing, None for a position that can't be told."""
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
    """Let this view read from a replica when it is asked for by GET; from the primary if none will do."""

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
    viewer = current_viewer()  # the masters are read from the primary, before anything else
    return found.chosen_for(viewer.person.id, _brought(viewer.person.id))
