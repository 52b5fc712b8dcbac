"""Channels between worker processes, to pass a client's connection to another worker.

A polling Socket.IO client sends each request on any connection, and the kernel gives that to any worker; but its
session lives in one of them. A session's id begins with the number of its worker.
"""

from __future__ import annotations

import contextlib
import re
import socket
from dataclasses import dataclass

_SESSION = re.compile(rb"/socket\.io/?\?(?:.*&)?sid=w(\d{1,3})-")
#: A longer request can't be one of our polls.
MAX_REQUEST_BYTES = 100_000


@dataclass(frozen=True)
class HandedOverConnection:
    """A connection from another worker, and the bytes that it has read."""

    client: socket.socket
    data: bytes


def session_prefix(slot: int) -> str:
    """Prefix of the ids of a worker's Socket.IO sessions."""
    return f"w{slot}-"


def slot_of(target: bytes) -> int | None:
    """The worker with the session of a request; None if it belongs to none."""
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
        """The end that the worker in this slot watches."""
        return self._pairs[slot][0]

    def hand_over(self, slot: int, client: socket.socket, data: bytes) -> bool:
        """Pass a connection, and the bytes read from it, to the worker in this slot. False if that isn't possible."""
        if slot >= len(self._pairs) or len(data) > MAX_REQUEST_BYTES:
            return False
        try:
            socket.send_fds(self._pairs[slot][1], [data], [client.fileno()])
        except OSError:
            return False
        return True

    def take(self, slot: int) -> HandedOverConnection | None:
        """The next connection for the worker in this slot; None if there is none."""
        with contextlib.suppress(OSError):
            data, [number], _flags, _address = socket.recv_fds(self.receiver(slot), MAX_REQUEST_BYTES, 1)
            return HandedOverConnection(socket.socket(fileno=number), data)
        return None
