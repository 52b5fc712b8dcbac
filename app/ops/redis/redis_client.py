"""Redis with deadlines: no exchange takes longer than its timeout, however slowly Redis sends."""

from __future__ import annotations

from typing import Any

from redis import Redis
from redis.backoff import NoBackoff
from redis.connection import Connection, ConnectionPool, SSLConnection, UnixDomainSocketConnection
from redis.driver_info import DriverInfo
from redis.exceptions import RedisError, ResponseError
from redis.retry import Retry

import server_urls
from app.lib import deadline
from app.ops.redis.redis_tls import OverTls
from app.ops.redis.redis_topology import FollowsMaster, MasterFinder
from server_urls import RedisTopology

#: Limit of connecting if no timeout is given.
CONNECT_SECONDS = 5.0
#: The largest response that is read.
MAX_ANSWER_BYTES = 64 * 1024 * 1024
#: Don't tell Redis which library we use: finding out its version costs each process 2 MB, and sending it two exchanges.
NAMELESS = DriverInfo(name=None, lib_version=None)
#: What a call can raise if Redis is in trouble: redis-py may also use buffers and sockets that another thread, or a
#: deadline, has closed meanwhile.
TROUBLE = (RedisError, OSError, ValueError, AttributeError)
#: The code of Redis' refusals while it can't write to its disk.
NO_WRITES = "MISCONF"


class BoundedConnection(Connection):
    """A connection whose exchanges end within its timeout."""

    max_bytes = MAX_ANSWER_BYTES

    def _connect(self) -> Any:
        seconds = float(self.socket_timeout or CONNECT_SECONDS)
        return _limited(deadline.connect(self.host, self.port, seconds), seconds, self.max_bytes)


class ListenerConnection(BoundedConnection):
    """A connection for a listener: its messages are short, so few bytes are read until the next ping."""

    max_bytes = 8 * 1024 * 1024


class BoundedUnixConnection(UnixDomainSocketConnection):
    """A bounded connection over a Unix socket."""

    max_bytes = MAX_ANSWER_BYTES

    def _connect(self) -> Any:
        seconds = float(self.socket_timeout or CONNECT_SECONDS)
        return _limited(deadline.connect_unix(self.path, seconds), seconds, self.max_bytes)


class MasterConnection(FollowsMaster, BoundedConnection):
    """A bounded connection to the current master of several servers."""


class ListenerMasterConnection(FollowsMaster, ListenerConnection):
    """A listener's connection to the current master of several servers."""


class BoundedTlsConnection(OverTls, BoundedConnection):
    """A bounded connection over TLS."""


class ListenerTlsConnection(OverTls, ListenerConnection):
    """A listener's connection over TLS."""


class TlsMasterConnection(FollowsMaster, BoundedTlsConnection):
    """A bounded connection over TLS to the current master of several servers."""


class ListenerTlsMasterConnection(FollowsMaster, ListenerTlsConnection):
    """A listener's connection over TLS to the current master of several servers."""


def _limited(made: deadline.DeadlineSocket, seconds: float, max_bytes: int) -> deadline.DeadlineSocket:
    made.limit, made.max_bytes = lambda: seconds, max_bytes
    made.settimeout(seconds)
    return made


def connect(url: str, seconds: float, bounded: type[BoundedConnection] = BoundedConnection, **options: Any) -> Redis:
    """A client of this Redis.

    It connects on the first call. Nothing is retried: callers continue without Redis.
    """
    limits = {"socket_timeout": seconds, "socket_connect_timeout": seconds, "retry": Retry(NoBackoff(), 0)}
    limits["driver_info"] = NAMELESS
    topology = server_urls.redis_topology(url)
    if topology is not None:
        return Redis.from_pool(_pool_of_master(topology, seconds, bounded, limits | options))
    pool = ConnectionPool.from_url(url, **limits, **options)
    if pool.connection_class is Connection:
        pool.connection_class = bounded
    elif pool.connection_class is SSLConnection:
        pool.connection_class = ListenerTlsConnection if bounded is ListenerConnection else BoundedTlsConnection
    elif pool.connection_class is UnixDomainSocketConnection:
        pool.connection_class = type("BoundedUnix", (BoundedUnixConnection,), {"max_bytes": bounded.max_bytes})
    return Redis.from_pool(pool)


def connect_worker(url: str) -> Redis:
    """A client for a queue worker, which waits for calls as long as RQ tells it to."""
    topology = server_urls.redis_topology(url)
    if topology is None:
        return Redis.from_url(url, driver_info=NAMELESS)
    options = {"driver_info": NAMELESS, "socket_connect_timeout": CONNECT_SECONDS}
    return Redis.from_pool(_pool_of_master(topology, CONNECT_SECONDS, BoundedConnection, options))


def _pool_of_master(
    topology: RedisTopology, seconds: float, bounded: type[BoundedConnection], options: dict[str, Any]
) -> ConnectionPool:
    tls: dict[str, Any] = dict(topology.tls)
    kinds: tuple[type[Connection], ...] = (MasterConnection, ListenerMasterConnection)
    if topology.is_tls:
        kinds = (TlsMasterConnection, ListenerTlsMasterConnection)
    kind = kinds[bounded is ListenerConnection]
    asks_sentinels = topology.kind == "sentinel"
    asking = {
        "username": topology.sentinel_username if asks_sentinels else topology.username,
        "password": topology.sentinel_password if asks_sentinels else topology.password,
        "driver_info": NAMELESS,
    }
    finder = MasterFinder(topology, seconds, asking | tls)
    user: dict[str, Any] = {"username": topology.username, "password": topology.password, "db": topology.db}
    return ConnectionPool(connection_class=kind, finder=finder, **user, **tls, **options)


def stores_nothing(error: Exception) -> bool:
    """Whether Redis answers, but refuses to store anything, because its disk is full or can't be written."""
    return isinstance(error, ResponseError) and NO_WRITES in str(error)  # of a pipeline, the command is before it
