"""The current address of MariaDB's primary: from the settings at the start, or from their file since then.

deploy/promote rewrites that file when another server becomes the primary. A running process notices when it makes its
next connection, so nobody has to restart it before people can save again. Only the operator's file decides; no process
looks for a primary by itself, so two of them can never disagree.
"""

from __future__ import annotations

import logging
import os
import re
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, event, make_url
from sqlalchemy.exc import ArgumentError, InvalidatePoolError

from server_urls import database_place

log = logging.getLogger("crm.database")

_LINE = re.compile(r"^CRM_DATABASE_URL=(['\"]?)(.*)\1\s*$", re.MULTILINE)
#: Key in `info` of a connection: the serial number of its primary.
_KEY = "crm_primary"


class PrimaryAddress:
    """The primary that the settings file names. Thread-safe."""

    def __init__(self, url: str, file: Path) -> None:
        self._file, self._url = file, make_url(url)
        self._lock = threading.Lock()
        self._seen: tuple[int, int, int] | None = None
        #: What is wrong with the file, reported once.
        self._trouble = ""
        #: Incremented when another server becomes the primary.
        self.serial = 0
        #: False if the process was deliberately started with another server than the file names.
        self.is_followed = _server(_url_in(file)) == _server(self._url)
        self.look()

    def look(self) -> int:
        """Read the file again if it has changed. Returns the serial number of the address. Never raises."""
        if not self.is_followed:
            return self.serial
        try:
            stat = os.stat(self._file)
            seen = (stat.st_mtime_ns, stat.st_ino, stat.st_size)  # the timestamp is coarse
            if seen != self._seen:
                with self._lock:
                    self._read()
                    self._seen = seen
            self._trouble = ""
        except (OSError, ValueError, ArgumentError) as error:
            trouble, self._trouble = self._trouble, type(error).__name__
            if trouble != self._trouble:
                log.warning("the file of settings can't be read: %s", self._trouble)
        return self.serial

    def _read(self) -> None:
        url = _url_in(self._file)
        if url is None or _server(url) == _server(self._url):
            return
        if url.database != self._url.database:
            log.error("the file of settings names another database; only a restart takes that over")
            return
        log.warning("the primary is %s now", database_place(_key(url)))
        self._url, self.serial = url, self.serial + 1

    def options(self, given: dict[str, Any]) -> tuple[dict[str, Any], int]:
        """The arguments for a connection to it, given those of the settings at the start; and its serial number."""
        with self._lock:
            url, serial = self._url, self.serial
        if not serial:
            return given, serial
        who = {"host": url.host, "port": url.port or 3306, "user": url.username, "password": url.password}
        return given | {name: value for name, value in who.items() if value is not None}, serial


def _url_in(file: Path) -> URL | None:
    """The URL of MariaDB in a settings file; None if it has none. Raises OSError, ValueError, ArgumentError."""
    found = _LINE.findall(file.read_text())
    return make_url(found[-1][1]) if found and found[-1][1].startswith("mysql+pymysql://") else None


def _server(url: URL | None) -> tuple[str | None, int, str | None] | None:
    return None if url is None else (url.host, url.port or 3306, url.database)


#: URL at the start -> the current address of that primary.
_places: dict[str, PrimaryAddress] = {}


def follow(url: str, file: Path | None) -> None:
    """Let all engines with this URL follow the file; without a file, or on SQLite, nothing is followed."""
    if file is not None and url.startswith("mysql+pymysql://"):
        with suppress(OSError, ValueError, ArgumentError):
            _places[_key(make_url(url))] = PrimaryAddress(url, file)


def _key(url: URL) -> str:
    return url.render_as_string(hide_password=False)


def place_of(engine: Engine) -> PrimaryAddress | None:
    """The primary of this engine; None if it belongs to none, or nothing is followed."""
    return _places.get(_key(engine.url)) if _places else None


def drop_stale_connections(engine: Engine) -> None:
    """Make the pool replace its connections to a server that is no longer the primary."""

    def note(connection: Any, record: Any) -> None:
        record.info[_KEY] = connection.primary  # the current one may have changed since

    def check(_connection: Any, record: Any, _proxy: Any) -> None:
        place = place_of(engine)
        if place is not None and record.info.get(_KEY) != place.look():
            raise InvalidatePoolError

    event.listen(engine, "connect", note)
    event.listen(engine, "checkout", check)


def is_stale(connection: Connection) -> bool:
    """Whether a connection outside the pool leads to a server that is no longer the primary."""
    place = place_of(connection.engine)
    return place is not None and connection.info.get(_KEY) != place.look()
