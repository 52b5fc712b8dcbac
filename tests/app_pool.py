"""Applications created once per process and reused by one test after another, reset each time.

Creating an application and rendering its first page takes half a second of CPU; a reset takes milliseconds.
"""

from __future__ import annotations

import importlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from flask import Flask
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.security import generate_password_hash

import app as product
import config
import database_engine
from app import access, create_app, shown_brand
from app.domain import brand
from app.extensions import db, socketio
from app.models import User
from app.ops.database.connections import address_of
from app.ops.redis.rate_counter import LocalRateCounter
from app.web.core.fields import lookups
from app.web.realtime import live_events
from tests.kept_database import KeptFolder

#: Puts a database back.
Restore = Callable[[], None]
#: (settings as environment variables) -> the product with them.
AppMaker = Callable[..., Flask]
#: Settings that `serve` applies, or that are read when they are needed: applications that differ in them are one.
LATE_SETTINGS = {
    *("smtp_url", "smtp_from", "smtp_seconds", "webhooks_private", "webhook_seconds"),
    *("retry_seconds", "queue_workers"),
}


#: Kept of each engine and each person: more than the tests of any file send, so that a process doesn't grow with them.
STATEMENTS = 1000
importlib.import_module("app.access.person").MAX_STATEMENTS = STATEMENTS  # type: ignore[attr-defined]
#: Against which the password of an unknown name is checked: a hash of one round, since hashing is slow by design.
FAKE_HASH = {"AUTH_DB_FAKE_PASSWORD_HASH_CHECK": generate_password_hash("nobody's", "pbkdf2:sha256:1")}


class ReusedApp:
    """One application, with its state when `create_app` returned it."""

    def __init__(self, app: Flask) -> None:
        self.app = app
        self._config, self._extensions = dict(app.config), dict(app.extensions)
        self._sockets = dict(vars(socketio))

    def renew(self, settings: config.Settings | None = None) -> Flask:
        """Reset the application and make it the one that this process serves."""
        _put_back(self.app.config, self._config)
        _put_back(self.app.extensions, self._extensions)
        # A copy: some tests change the settings in place
        self.app.config["CRM"] = replace(settings or self._config["CRM"])
        self._forget_counts()
        vars(socketio).update(self._sockets)
        serve(self.app)
        return self.app

    def _forget_counts(self) -> None:
        """Reset rate limits and sign-in attempts; on Redis they are deleted with all else."""
        limits = self._extensions["crm_limits"]
        if isinstance(limits.counter, LocalRateCounter):
            self.app.extensions["crm_limits"] = replace(limits, counter=LocalRateCounter())

    def disconnect(self) -> None:
        """Close its sockets and the connections to its database."""
        forget_sockets(self.app)
        dispose(self.app)


def _put_back(current: dict[str, Any], before: dict[str, Any]) -> None:
    current.clear()
    current.update(before)


def serve(app: Flask) -> None:
    """Bind the process to this application, as creating it does: with an empty queue and empty caches."""
    with app.app_context():
        product._queue(app, app.config["CRM"])
        product._use_keys(app, app.config["CRM"])
    live = live_events._live = app.extensions["crm_live"]
    live.sent_bells.clear()
    live.newest_activity.clear()
    forget()


def forget_sockets(app: Flask) -> None:
    """End the threads that would go on looking into its database for open pages."""
    live = app.extensions["crm_live"]
    live.sockets.connections.clear()
    live.sockets.pending.clear()
    live.broadcaster.flush(60)


#: A version that no database has: what is cached under it is read again.
OUTDATED = -1


def forget() -> None:
    """Let cached rows be read again: their key, the access version, is restored with the database."""
    access.clear_cache()
    for known in lookups._cache.values():
        known.version = OUTDATED


class Settled:
    """What requests cache of a database as it is before each test, its people and picklists; read once per process.

    People keep the statements that were made for them: to make them anew takes longer than most requests.
    """

    def __init__(self) -> None:
        self._version = OUTDATED
        self._people: dict[tuple[str, int], access.Person] = {}
        #: By the office's time zone, which a test may set.
        self._lookups: dict[str, lookups.Lookups] = {}

    def recall(self, app: Flask, is_untouched: bool = True) -> None:
        """Fill the caches for this application; what isn't known yet is read from a database that was just restored."""
        zone = app.config["CRM"].time_zone
        with app.app_context(), access.as_system(db.session()) as session:
            if is_untouched and zone not in self._lookups:
                self._read(session, zone)
            if zone in self._lookups:
                self._fill_caches(app, address_of(session), self._lookups[zone])

    def _read(self, session: Session, zone: str) -> None:
        self._version = session.scalars(select(access.version_query())).one()
        for key in session.scalars(select(User.id)).all() if not self._people else ():
            self._people[address_of(session), key] = access.person(session, key, self._version)
        if brand.stored_brand(session) is None:  # the brand is that of the application's settings, which differ
            self._lookups[zone] = lookups.load_lookups(session, self._version, zone)

    def _fill_caches(self, app: Flask, address: str, known: lookups.Lookups) -> None:
        for key, person in self._people.items():
            for each in (person, *person.scoped.values()):
                each.slow_scans.clear()
                each.capped_counts.clear()
                each.many_held.clear()
            access.rights_cache._cache[key] = self._version, time.monotonic(), person
        known.version, known.brand = self._version, shown_brand.set_current(app, None)
        lookups._cache[address] = known


def dispose(app: Flask) -> None:
    """Close the connections to its database."""
    with app.app_context():
        db.engine.dispose()


class AppPool:
    """Applications on one database, by their settings; the database is put back before each test."""

    def __init__(self, restore: Restore | KeptFolder, settings: Callable[..., config.Settings]) -> None:
        """`restore` puts the database back; `settings` reads environment variables (CRM_…)."""
        self._restore, self._settings = restore, settings
        self._apps: dict[str, ReusedApp] = {}
        #: Environment variables -> the settings, and what tells apart applications of different settings.
        self._read: dict[frozenset[tuple[str, str]], tuple[config.Settings, str]] = {}
        #: Those of the last test: the others have no connections.
        self._used: list[ReusedApp] = []
        #: Its connections stay between two tests.
        self._kept: ReusedApp | None = None
        self._settled, self._is_untouched = Settled(), False

    @contextmanager
    def fresh(self) -> Iterator[AppMaker]:
        """Restore the database; yields the maker of applications on it."""
        if isinstance(self._restore, KeptFolder):
            self._restore.put_back(self._let_go)
        else:
            self._restore()
        self._is_untouched = True
        try:
            yield self._app
        finally:
            self._end()

    def _app(self, **environ: str) -> Flask:
        known = frozenset(environ.items())
        if known not in self._read:
            settings = self._settings(**environ)
            key = repr([value for name, value in vars(settings).items() if name not in LATE_SETTINGS])
            self._read[known] = settings, key
        settings, key = self._read[known]
        if key not in self._apps:
            options = database_engine.engine_options(settings) | {"query_cache_size": STATEMENTS}
            self._apps[key] = ReusedApp(
                create_app(settings, TESTING=True, SQLALCHEMY_ENGINE_OPTIONS=options, **FAKE_HASH)
            )
        if not environ and isinstance(self._restore, KeptFolder):
            self._kept = self._apps[key]
        self._used.append(self._apps[key])
        app = self._apps[key].renew(settings)
        self._settled.recall(app, self._is_untouched)
        self._is_untouched = False
        return app

    def _end(self) -> None:
        """Disconnect what the test used, but for connections that may stay."""
        for each in self._used:
            if each is self._kept:
                forget_sockets(each.app)
            else:
                each.disconnect()
        self._used.clear()

    def _let_go(self) -> None:
        """Close the connections that stayed."""
        if self._kept is not None:
            dispose(self._kept.app)


def copy_folder(source: Path, target: Path) -> None:
    """Replace the target with a copy of the instance folder."""
    if not target.exists() or any(each.is_dir() for each in (*os.scandir(source), *os.scandir(target))):
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(source, target)
        return
    for each in os.scandir(target):  # not overwritten: what still reads the former file goes on with that
        os.unlink(each)
    for each in os.scandir(source):
        shutil.copy(each, target / each.name)
