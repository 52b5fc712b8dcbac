"""Redis on several servers: with Sentinels, or as a Cluster. Each new connection is made to the current master.

The CRM uses a Cluster for its fail-over, not for its size: all keys have one hash tag (app.ops.TAG), so all are on one
master, and scripts and transactions over several of them work. When the master changes, connections to the former one
break or are refused by it; their users get the error of a lost connection, and the next connection finds the new
master.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from redis.connection import Connection
from redis.crc import key_slot
from redis.exceptions import ConnectionError as NoConnection
from redis.exceptions import ReadOnlyError, RedisError, ResponseError

from app.lib import deadline
from app.ops import TAG
from app.ops.redis.redis_tls import OverTls
from server_urls import Address, RedisTopology

#: The hash slot of all keys.
SLOT = int(key_slot(TAG.encode()))
#: Minimum time for asking a server where the master is, however little is left.
LEAST_SECONDS = 0.05
#: The most nodes of a Cluster that are remembered besides those of the URL.
MAX_NODES = 64
#: Refusals by a server that is not the master of our keys (any more), or must not write alone.
_ELSEWHERE = ("MOVED", "ASK", "TRYAGAIN", "CLUSTERDOWN", "MASTERDOWN", "NOREPLICAS", "LOADING", "READONLY")


class MasterFinder:
    """Finds the current master. One per client. Thread-safe."""

    def __init__(self, topology: RedisTopology, seconds: float, options: dict[str, Any]) -> None:
        """`options`: of connections to the servers asked; `seconds` for all of them together."""
        self.topology, self._seconds, self._options = topology, seconds, options
        #: The last one that responded comes first.
        self._asked: list[Address] = list(topology.addresses)
        self._lock = threading.Lock()

    def master(self) -> Address:
        """host and port of the master. Raises redis' ConnectionError if no server knows it."""
        with self._lock:
            servers = list(self._asked)
        each = max(LEAST_SECONDS, self._seconds / len(servers))
        end = time.monotonic() + max(self._seconds, LEAST_SECONDS * len(self.topology.addresses))
        for address in servers:
            with suppress(RedisError, OSError, ValueError, TypeError, AttributeError):
                found = self._ask(address, each)
                if found is not None:
                    return found
            self._move_back(address)
            if time.monotonic() > end:
                break
        raise NoConnection("nobody says which Redis is the master")

    def _ask(self, address: Address, seconds: float) -> Address | None:
        kind: Any = _AskedOverTls if self.topology.is_tls else _DiscoveryConnection
        limits = {"socket_timeout": seconds, "socket_connect_timeout": seconds}
        connection = kind(host=address[0], port=address[1], **limits, **self._options)
        try:
            connection.connect()
            if self.topology.kind == "sentinel":
                connection.send_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.topology.name)
                return _pair(connection.read_response(), address)
            connection.send_command("CLUSTER", "SLOTS")
            return self._owner(connection.read_response(), address)
        finally:
            connection.disconnect()

    def _owner(self, ranges: Sequence[Any], source: Address) -> Address | None:
        """The master of our slot in the response to CLUSTER SLOTS: [first, last, master, replica …] of each range."""
        nodes = [pair for each in ranges for node in each[2:] if (pair := _pair(node, source)) is not None]
        with self._lock:
            known = set(self._asked)
            room = len(self.topology.addresses) + MAX_NODES - len(known)
            self._asked += list(dict.fromkeys(node for node in nodes if node not in known))[: max(0, room)]
        owners = (_pair(each[2], source) for each in ranges if int(each[0]) <= SLOT <= int(each[1]))
        return next(owners, None)

    def _move_back(self, address: Address) -> None:
        with self._lock:
            if address in self._asked:
                self._asked.remove(address)
                self._asked.append(address)


def _pair(raw: Any, source: Address) -> Address | None:
    """(host, port) of [host, port, …]; for a node that doesn't know its own address, the address that was asked."""
    if not raw:
        return None
    host = raw[0].decode() if isinstance(raw[0], bytes) else str(raw[0] or "")
    return host or source[0], int(raw[1])


class _DiscoveryConnection(Connection):
    """A connection to a Sentinel or node, with a deadline."""

    def _connect(self) -> Any:
        seconds = float(self.socket_timeout or LEAST_SECONDS)
        made = deadline.connect(self.host, self.port, seconds)
        made.limit, made.max_bytes = lambda: seconds, 1024 * 1024
        made.settimeout(seconds)
        return made


class _AskedOverTls(OverTls, _DiscoveryConnection):
    """The same over TLS."""


class FollowsMaster:
    """Mixin before a class of connections: connects to the current master, and counts as lost when that changes."""

    host: str
    port: int

    def __init__(self, *, finder: MasterFinder, **options: Any) -> None:
        self._finder = finder
        super().__init__(**options)

    def _connect(self) -> Any:
        self.host, self.port = self._finder.master()
        return super()._connect()  # type: ignore[misc]

    def on_connect_check_health(self, check_health: bool = True) -> None:
        """Sign in, then check that this is a master, because a Sentinel's answer may be outdated."""
        super().on_connect_check_health(check_health)  # type: ignore[misc]
        if self._finder.topology.kind == "sentinel":
            self.send_command("ROLE", check_health=False)  # type: ignore[attr-defined]
            if self.read_response()[0] not in (b"master", "master"):
                raise NoConnection("Redis is changing its master")

    def read_response(self, *arguments: Any, **options: Any) -> Any:
        """Read a response; a refusal by a server that isn't the master counts as a lost connection."""
        try:
            return super().read_response(*arguments, **options)  # type: ignore[misc]
        except ResponseError as error:
            if isinstance(error, ReadOnlyError) or str(error).split(" ")[0] in _ELSEWHERE:
                self.disconnect()  # type: ignore[attr-defined]
                raise NoConnection("Redis has another master now") from error
            raise
