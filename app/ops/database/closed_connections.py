"""Connections of the pool that MariaDB has closed meanwhile, by a restart or for having been idle, are replaced.

A statement on such a connection would fail, and with it the request. A look at the socket costs microseconds; to ask
the server before each use would cost a round trip.
"""

from __future__ import annotations

import select
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.exc import DisconnectionError

_CLOSED = select.POLLRDHUP | select.POLLHUP | select.POLLERR | select.POLLNVAL


def replace_closed(engine: Engine) -> None:
    """Have the pool of an engine of MariaDB replace closed connections before somebody gets them."""
    event.listen(engine, "checkout", _check)


def _check(connection: Any, _record: Any, _proxy: Any) -> None:
    if not connection.has_settled() or is_closed(connection):
        raise DisconnectionError


def is_closed(connection: Any) -> bool:
    """Whether the server has closed the socket of a connection of PyMySQL, or the connection has no more."""
    line = connection._sock
    if line is None:
        return True
    look = select.poll()
    look.register(line, select.POLLRDHUP)
    return any(events & _CLOSED for _descriptor, events in look.poll(0))
