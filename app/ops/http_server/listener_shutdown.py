"""Stops listening without cutting off clients that have connected, while nobody else connects.

The kernel completes connections by itself and keeps them until they are accepted. If the socket is closed, those are
reset, with the request that was sent on them. So first the kernel is told to drop new connection attempts (clients
retry and are refused, which a proxy takes as "ask the next server"), then all existing ones are accepted.

The kernel is told so for the socket, which all workers share. So only the last one does it that stops, and one that
begins takes it back.
"""

from __future__ import annotations

import ctypes
import selectors
import socket
import struct
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

#: How long a connection attempt may take to complete: a round trip to the proxy.
HANDSHAKE_SECONDS = 0.05
#: From Linux' <asm-generic/socket.h>; not defined in Python.
_SO_ATTACH_FILTER, _SO_DETACH_FILTER = 26, 27
#: A BPF program (<linux/filter.h>; code, jumps, value): drop segments with the flag SYN, keep the others.
_DROP_SYN = (
    struct.pack("HBBI", 0x30, 0, 0, 13),  # load the byte of the flags
    struct.pack("HBBI", 0x45, 0, 1, 0x02),  # is SYN set?
    struct.pack("HBBI", 0x06, 0, 0, 0),  # yes: keep nothing
    struct.pack("HBBI", 0x06, 0, 0, 0xFFFFFFFF),  # no: keep all
)


def let_everybody_begin(listeners: Sequence[Any]) -> None:
    """Take back what a worker that has stopped alone has left on the shared sockets: new connections are accepted."""
    for listener in listeners:
        with suppress(OSError):  # there is nothing to be taken back, or it isn't Linux
            listener.setsockopt(socket.SOL_SOCKET, _SO_DETACH_FILTER, 0)


def last_connections(listeners: Sequence[Any]) -> Iterator[tuple[socket.socket, Any, Any]]:
    """Close the listeners; yields (connection, client address, own address) of every established connection."""
    for listener in listeners:
        _let_nobody_begin(listener)
    end = time.monotonic() + HANDSHAKE_SECONDS
    with selectors.DefaultSelector() as selector:
        for listener in listeners:
            listener.setblocking(False)
            selector.register(listener, selectors.EVENT_READ)
        while (left := end - time.monotonic()) > 0:
            for key, _events in selector.select(left):
                yield from _accepted(key.fileobj)
        for listener in listeners:
            yield from _accepted(listener)
    close_all(listeners)


def close_all(listeners: Sequence[Any]) -> None:
    """Close this process' copies of the listeners."""
    for listener in listeners:
        with suppress(OSError):
            listener.close()


def _accepted(listener: Any) -> Iterator[tuple[socket.socket, Any, Any]]:
    with suppress(OSError):  # there is none, or no file for it
        while True:
            client, address = listener.accept()
            yield client, address, listener.getsockname()


def _let_nobody_begin(listener: Any) -> None:
    if not sys.platform.startswith("linux"):
        return
    code = ctypes.create_string_buffer(b"".join(_DROP_SYN))
    program = struct.pack("HP", len(_DROP_SYN), ctypes.addressof(code))
    with suppress(OSError):  # a Unix socket accepts no such program
        listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)
