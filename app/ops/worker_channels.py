"""Channels between the worker processes: one hands a client's connection to another.

A Socket.IO client that polls sends each request on whatever connection it likes, and the kernel gives that to any
worker; but its session lives in one of them. A session's id begins with the number of its worker.
"""

from __future__ import annotations

import contextlib
import re
import socket
from dataclasses import dataclass

_SESSION = re.compile(rb"/socket\.io/?\?(?:.*&)?sid=w(\d{1,3})-")
#: A request that is longer is no poll of ours.
MAX_REQUEST_BYTES = 100_000


@dataclass(frozen=True)
class HandedOverConnection:
    """A connection from another worker, and what it has read from it."""

    client: socket.socket
    data: bytes


def session_prefix(slot: int) -> str:
    """How the ids of the Socket.IO sessions of a worker begin."""
    return f"w{slot}-"


def slot_of(target: bytes) -> int | None:
    """The worker to whose session a request belongs; None if it belongs to none."""
    found = _SESSION.match(target)
    return int(found[1]) if found else None


class WorkerChannels:
    """One channel for each worker slot, made before the fork."""

    def __init__(self, slots: int) -> None:
        self._pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(slots)]
        for pair in self._pairs:
            for end in pair:
                end.setblocking(False)

    def receiver(self, slot: int) -> socket.socket:
        """The end that the worker of this slot watches."""
        return self._pairs[slot][0]

    def hand_over(self, slot: int, client: socket.socket, data: bytes) -> bool:
        """Give a connection, and what was read from it, to the worker of this slot. False when that is not possible."""
        if slot >= len(self._pairs) or len(data) > MAX_REQUEST_BYTES:
            return False
        try:
            socket.send_fds(self._pairs[slot][1], [data], [client.fileno()])
        except OSError:
            return False
        return True

    def take(self, slot: int) -> HandedOverConnection | None:
        """The next connection for the worker of this slot; None when there is none."""
        with contextlib.suppress(OSError):
            data, [number], _flags, _address = socket.recv_fds(self.receiver(slot), MAX_REQUEST_BYTES, 1)
            return HandedOverConnection(socket.socket(fileno=number), data)
        return None
