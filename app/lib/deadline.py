"""Deadlines for calls to other servers: a look-up, a connection, an exchange on it.

A timeout for each read lets a server that sends a byte now and then go on for ever; a deadline does not.
"""

from __future__ import annotations

import os
import queue
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Self, TypeVar, cast

#: Look-ups that may be in progress at once. The system's resolver can't be interrupted: it takes up to half a minute.
MAX_LOOKUPS = 32
#: Addresses of one host that are tried.
MAX_ADDRESSES = 3
#: A socket's timeout must not be 0, which would make it non-blocking.
_LEAST_SECONDS = 0.001
#: By how much a call of an exchange may outlast its deadline.
_SLACK_SECONDS = 0.05

#: Like socket.getaddrinfo.
Resolver = Callable[..., list[Any]]
T = TypeVar("T")
_lookups = threading.BoundedSemaphore(MAX_LOOKUPS)


def look_up(host: str, port: int, seconds: float, resolver: Resolver = socket.getaddrinfo) -> list[Any]:
    """The addresses of a host, as getaddrinfo returns them. Raises OSError; TimeoutError after `seconds`."""
    return list(call_with_deadline(seconds, _lookups, lambda: resolver(host, port, type=socket.SOCK_STREAM)))


def call_with_deadline(seconds: float, slots: threading.Semaphore, call: Callable[[], T]) -> T:
    """Return or raise what an uninterruptible call does; raises TimeoutError after `seconds` in all.

    The call continues in a thread of its own until it ends by itself, and holds one of the `slots` until then.
    """
    ends = time.monotonic() + seconds
    if not slots.acquire(timeout=max(0.0, seconds)):
        raise TimeoutError("too many calls are under way")
    found: queue.SimpleQueue[tuple[bool, Any]] = queue.SimpleQueue()

    def run() -> None:
        try:
            found.put((True, call()))
        except Exception as error:  # noqa: BLE001  # raised by the caller
            found.put((False, error))
        finally:
            slots.release()

    threading.Thread(target=run, name="crm-outside-call", daemon=True).start()
    try:
        is_good, result = found.get(timeout=max(_LEAST_SECONDS, ends - time.monotonic()))
    except queue.Empty:
        raise TimeoutError("the partner takes too long") from None
    if not is_good:
        raise result
    return cast(T, result)


def connect(host: str, port: int, seconds: float) -> DeadlineSocket:
    """A TCP connection to a host, made within `seconds` in all. Raises OSError."""
    deadline = time.monotonic() + seconds
    failed: OSError | None = None
    for family, kind, protocol, _name, address in look_up(host, port, seconds)[:MAX_ADDRESSES]:
        made = DeadlineSocket(family, kind, protocol)
        try:
            made.settimeout(max(_LEAST_SECONDS, deadline - time.monotonic()))
            made.connect(address)
        except OSError as error:
            made.close()
            failed = error
            continue
        made.settimeout(None)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        return made
    raise failed or OSError("the host has no address")


def connect_unix(path: str, seconds: float) -> DeadlineSocket:
    """A connection to a Unix socket, made within `seconds`. Raises OSError."""
    made = DeadlineSocket(socket.AF_UNIX)
    try:
        made.settimeout(seconds)
        made.connect(path)
    except OSError:
        made.close()
        raise
    made.settimeout(None)
    return made


class _Exchanges:
    """Mixin for sockets that limits exchanges. An exchange is a message sent, and all that is read until the next.

    Without `limit`, it is a plain socket. Raises TimeoutError at the deadline, or if the other side sends too much.
    """

    #: Returns the seconds that an exchange beginning now may take; None = no deadline.
    limit: Callable[[], float | None] | None = None
    #: The most bytes read in an exchange; None = any number.
    max_bytes: int | None = None
    _end: float | None = None
    _read = 0
    #: The timeout of each call that the owner has set, and the one that is set now.
    _own: float | None = None
    _applied: float | None = None

    def settimeout(self, value: float | None) -> None:
        """Limit each call to these seconds, too."""
        self._own = value
        self._apply(value)

    def gettimeout(self) -> float | None:
        """The limit of each call."""
        return self._own

    def _apply(self, seconds: float | None) -> None:
        self._applied = seconds
        super().settimeout(seconds)  # type: ignore[misc]

    def begin_exchange(self) -> None:
        """Start the clock, for a server that sends first."""
        seconds = self.limit() if self.limit is not None else None
        self._end, self._read = None if seconds is None else time.monotonic() + seconds, 0

    def sendall(self, data: Any, flags: int = 0) -> None:
        """Begin an exchange by sending this."""
        self.begin_exchange()
        self._limit_call()
        super().sendall(data, flags)  # type: ignore[misc]

    def recv(self, size: int, flags: int = 0) -> bytes:
        """Read within the exchange."""
        self._limit_call()
        data: bytes = super().recv(size, flags)  # type: ignore[misc]
        self._count(len(data))
        return data

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        """Read within the exchange, as used by `makefile`."""
        self._limit_call()
        count: int = super().recv_into(buffer, nbytes, flags)  # type: ignore[misc]
        self._count(count)
        return count

    def _limit_call(self) -> None:
        """Limit the next call to the rest of the exchange, or to its own timeout if that is shorter.

        Setting a timeout is a system call that lets other threads go first, so one that is hardly too long stays.
        """
        wanted, slack = self._own, 0.0
        if self._end is not None:
            left = self._end - time.monotonic()
            if left <= 0:
                raise TimeoutError("the partner takes too long")
            if wanted is None or wanted > left:
                wanted, slack = max(_LEAST_SECONDS, left), _SLACK_SECONDS
        applied = self._applied
        if applied != wanted and (applied is None or wanted is None or not wanted <= applied <= wanted + slack):
            self._apply(None if wanted is None else wanted + slack / 2)

    def _count(self, count: int) -> None:
        self._read += count
        if self.max_bytes is not None and self._read > self.max_bytes:
            raise TimeoutError("the partner sends too much")


class DeadlineSocket(_Exchanges, socket.socket):
    """A connection whose exchanges have a deadline."""

    def sendall(self, data: Any, flags: int = 0) -> None:
        """Begin an exchange by sending this.

        A socket with a timeout asks the kernel first whether it can send, another system call that lets other threads
        go first. Mostly it can.
        """
        if self._applied is None or flags:
            super().sendall(data, flags)
            return
        self.begin_exchange()
        try:
            sent = os.write(self.fileno(), data)
        except BlockingIOError:
            sent = 0
        if sent < len(data):
            self._limit_call()
            socket.socket.sendall(self, memoryview(data)[sent:])


class DeadlineTlsSocket(_Exchanges, ssl.SSLSocket):  # type: ignore[misc]  # it takes fewer kinds of buffers
    """A TLS connection whose exchanges have a deadline; made by `over_tls`."""

    def send(self, data: Any, flags: int = 0) -> int:
        """Send a part. The `sendall` of TLS calls it repeatedly, each time with the whole timeout."""
        self._limit_call()
        return super().send(data, flags)


def over_tls(context: ssl.SSLContext, made: DeadlineSocket, host: str) -> DeadlineTlsSocket:
    """The connection over TLS, with the same limits; the handshake belongs to the current exchange.

    Raises OSError, also if the certificate isn't valid for this host in the context.
    """
    context.sslsocket_class = DeadlineTlsSocket
    kept, own = (made.limit, made.max_bytes, made._end, made._read), made.gettimeout()
    if made._end is not None:
        made.settimeout(max(_LEAST_SECONDS, made._end - time.monotonic()))
    secured = cast(DeadlineTlsSocket, context.wrap_socket(made, server_hostname=host))
    secured.limit, secured.max_bytes, secured._end, secured._read = kept
    secured.settimeout(own)
    return secured


class DeadlineWatchdog:
    """Cuts connections at a deadline, whatever they wait for, even during a TLS handshake."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds
        #: Whether the deadline has passed.
        self.is_late = False
        self._handles: list[socket.socket] = []
        self._lock = threading.Lock()
        self._timer = threading.Timer(seconds, self._cut)
        self._timer.daemon = True

    @property
    def remaining(self) -> float:
        """Seconds until the deadline."""
        return max(_LEAST_SECONDS, self._end - time.monotonic())

    def guard(self, connection: socket.socket) -> None:
        """Cut this connection, too, if it is still open at the deadline."""
        with self._lock:
            # A second handle: TLS takes over the first one under a new object.
            self._handles.append(socket.socket.dup(connection))
        if self.is_late:
            self._cut()

    def _cut(self) -> None:
        self.is_late = True
        with self._lock:
            for handle in self._handles:
                with suppress(OSError):
                    handle.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        with self._lock:
            for handle in self._handles:
                handle.close()
            self._handles.clear()
