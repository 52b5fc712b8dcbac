"""The HTTP server's input: finds the end of a request in the bytes received, and stores them until it is complete.

Only a complete request occupies a thread, so clients that send slowly, or not at all, keep nobody waiting. Nothing here
blocks. The framing only decides *when* a request is complete; gunicorn's parser, which then reads the same bytes,
interprets it and refuses malformed ones.
"""

from __future__ import annotations

import re
import socket
import time
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from tempfile import SpooledTemporaryFile
from typing import IO, Any

#: Limit from the first byte of a request to its last.
REQUEST_SECONDS = 15.0
#: One more second for this many bytes of a body with a known length, as fast as a slow telephone sends.
SLOWEST_BYTES = 100_000
#: How long a client may take to read a response.
RESPONSE_SECONDS = 60.0
#: The longest request line and headers.
MAX_HEAD_BYTES = 65_536
#: The longest line with the size of a chunk, and the longest trailer line.
MAX_CHUNK_LINE_BYTES = 4096
#: Bytes of a request stored in memory; the rest is in a temporary file.
MEMORY_BYTES = 65_536
_COPY_BYTES = 65_536

_HEAD_END = b"\r\n\r\n"
#: A header that says something about the body, or about what follows the request.
_FRAMING = re.compile(rb"\n[ \t]*(?:upgrade|expect|transfer-encoding|content-length)[ \t]*:", re.IGNORECASE)
_CHUNK_SIZE = re.compile(rb"[0-9a-fA-F]{1,15}")


@dataclass(frozen=True)
class BodyLimits:
    """The largest bodies that the application accepts, in bytes."""

    most: int
    #: Path prefixes of uploads, and the largest body for them.
    upload_paths: tuple[bytes, ...] = ()
    most_of_upload: int = 0

    def of(self, target: bytes) -> int:
        """The limit for the target of a request line."""
        return self.most_of_upload if target.startswith(self.upload_paths) else self.most


class RequestBuffer:
    """A request being received. `feed` it until `is_complete`, or until `refusal` is a status."""

    def __init__(self, limits: BodyLimits) -> None:
        self.limits = limits
        #: In bytes; set again when the target is known.
        self.max_body = limits.most
        self.is_complete = self.is_too_large = self.is_upgrade = self.wants_continue = False
        #: The status by which the server itself refuses the request; 0 = none.
        self.refusal = 0
        #: The target of the request line, such as b"/leads/?page=2"; b"" until the headers are complete.
        self.target = b""
        self._head = bytearray()
        self._has_head = False
        self._kept: IO[bytes] = BytesIO()
        #: Remaining bytes of the body if there is a Content-Length.
        self._left = 0
        self._chunks: _Chunks | None = None

    @property
    def seconds(self) -> float:
        """How long the request may take from its first byte; a long body gets more time."""
        return REQUEST_SECONDS + (self._left / SLOWEST_BYTES if not self.is_complete else 0)

    @property
    def is_cut_off(self) -> bool:
        """Whether it was taken as complete before its end, so that nobody knows where the next request begins."""
        return self.is_too_large or (self._chunks is not None and self._chunks.is_malformed)

    @property
    def has_begun(self) -> bool:
        """Whether a byte has arrived."""
        return bool(self._head)

    def feed(self, data: bytes) -> bytes:
        """Add bytes; returns those that belong to the next request. Raises OSError if they can't be stored."""
        if self._has_head:
            return self._feed_body(data)
        looked_at = max(0, len(self._head) - 3)
        self._head += data
        end = self._head.find(_HEAD_END, looked_at)
        if 0 <= end <= MAX_HEAD_BYTES:
            surplus = bytes(self._head[end + 4 :])
            del self._head[end + 4 :]
            self._begin_body()
            return self._feed_body(surplus)
        if end > 0 or len(self._head) > MAX_HEAD_BYTES:
            self.refusal = 431 if b"\r\n" in self._head[:MAX_HEAD_BYTES] else 414
        return b""

    def taken(self) -> IO[bytes]:
        """The bytes of the complete request, from the first."""
        self._kept.seek(0)
        return self._kept

    def close(self) -> None:
        """Free the bytes."""
        self._kept.close()

    def _begin_body(self) -> None:
        """After the headers: store them, and determine how the body ends."""
        self._has_head = True
        line, *fields = bytes(self._head).split(b"\r\n")
        self.target = line.split(b" ")[1] if b" " in line else b""
        self.max_body = self.limits.of(self.target)
        if _FRAMING.search(self._head):
            self._begin_framed(fields)
            self.wants_continue &= not line.endswith(b"HTTP/1.0")  # which knows no interim responses
        else:
            self.is_complete = True
        if not self.is_complete:
            self._kept = SpooledTemporaryFile(MEMORY_BYTES)  # noqa: SIM115  # `close` closes it
        self._kept.write(self._head)

    def _begin_framed(self, fields: list[bytes]) -> None:
        """Read the headers that say how the request ends."""
        pairs = (field.partition(b":") for field in fields)
        headers = {name.strip().lower(): value.strip().lower() for name, _colon, value in pairs}
        self.is_upgrade = headers.get(b"upgrade") == b"websocket"
        self.wants_continue = headers.get(b"expect") == b"100-continue"
        if b"chunked" in headers.get(b"transfer-encoding", b""):
            self._chunks = _Chunks()
        elif (length := headers.get(b"content-length", b"0")).isdigit():
            self._left = int(length.lstrip(b"0")[:18] or b"0")  # more digits are too large anyway
        self.is_too_large = self._left > self.max_body
        self.is_complete = self.is_too_large or (self._chunks is None and self._left == 0)

    def _feed_body(self, data: bytes) -> bytes:
        if self.is_complete or not data:
            return data
        end = self._end_in(data)
        self._kept.write(data if end < 0 else data[:end])
        return b"" if end < 0 else data[end:]

    def _end_in(self, data: bytes) -> int:
        """The index in these bytes at which the body ends; -1 if it goes on."""
        if self._chunks is None:
            end = self._left if self._left <= len(data) else -1
            self._left -= len(data)
            self.is_complete = end >= 0
            return end
        end = self._chunks.find_end(data)
        self.is_too_large = self._chunks.body_bytes > self.max_body or self._chunks.bytes > 2 * self.max_body
        self.is_complete = end >= 0 or self._chunks.is_malformed or self.is_too_large
        return end


class _Chunks:
    """Finds the end of a chunked body."""

    def __init__(self) -> None:
        #: Bytes of the body, and of the body with its framing.
        self.body_bytes = self.bytes = 0
        #: Not valid chunked encoding, or too long a line: the parser may refuse it, or accept it.
        self.is_malformed = False
        #: Remaining bytes of the chunk, including its line end.
        self._left = 0
        self._line = b""
        self._in_trailer = False

    def find_end(self, data: bytes) -> int:
        """The index in these bytes at which the body ends; -1 if it goes on."""
        self.bytes += len(data)
        at = 0
        while at < len(data) and not self.is_malformed:
            if self._left:
                step = min(self._left, len(data) - at)
                self._left, at = self._left - step, at + step
                continue
            newline = data.find(b"\n", at)
            line = self._line + (data[at:] if newline < 0 else data[at:newline])
            self.is_malformed = len(line) > MAX_CHUNK_LINE_BYTES
            if newline < 0:
                self._line = line
                return -1
            self._line, at = b"", newline + 1
            if self._is_last(line.strip()):
                return at
        return -1

    def _is_last(self, line: bytes) -> bool:
        """Process a line between two chunks; True for the empty line after the last one."""
        if self._in_trailer:
            return not line
        size = line.partition(b";")[0].strip()
        if not _CHUNK_SIZE.fullmatch(size):
            self.is_malformed = True
            return False
        length = int(size, 16)
        self._in_trailer, self._left = length == 0, length + 2 if length else 0
        self.body_bytes += length
        return False


class ClientSocket(socket.socket):
    """A client's connection for gunicorn: reads from the request buffer, and does not wait for slow readers.

    It never blocks, whatever gunicorn sets: each change of that is a call of the kernel that lets other threads go
    first, and a socket with a timeout asks the kernel before each call whether it can send. A WebSocket reads and
    sends on the connection itself, and blocks.
    """

    #: Whether the body is larger than the application accepts; then only its beginning was stored.
    is_too_large = False
    _taken: IO[bytes] | None = None
    _is_upgrade = False
    _send_by = 0.0

    def __init__(self, *place: Any, **named: Any) -> None:
        super().__init__(*place, **named)
        super().settimeout(0.0)

    def begin(self, intake: RequestBuffer) -> None:
        """Let the parser read this request."""
        self._taken, self._is_upgrade, self._send_by = intake.taken(), intake.is_upgrade, 0.0
        self.is_too_large = intake.is_too_large

    def recv(self, size: int, flags: int = 0) -> bytes:
        """The next bytes of the request; b"" at its end, so that no thread ever waits for a client."""
        data = self._taken.read(size) if self._taken is not None and not self._taken.closed else b""
        if data or not self._is_upgrade:
            return data
        return super().recv(size, flags)

    def receive(self, size: int) -> bytes | None:
        """The bytes received from the client; b"" if it has closed, None if there are none after all."""
        try:
            return super().recv(size)
        except (BlockingIOError, InterruptedError):
            return None
        except OSError:
            return b""

    def setblocking(self, flag: bool) -> None:
        """As `settimeout`."""
        self.settimeout(None if flag else 0.0)

    def settimeout(self, value: float | None) -> None:
        """Only for a WebSocket; others never block."""
        if self._is_upgrade:
            super().settimeout(value)

    def sendall(self, data: Any, flags: int = 0) -> None:
        """Send all of it. Raises BrokenPipeError if the client reads the response too slowly."""
        self._send_by = self._send_by or time.monotonic() + RESPONSE_SECONDS
        try:
            sent = 0 if self._is_upgrade else super().send(data, flags)
        except BlockingIOError:
            sent = 0
        if sent < len(data):
            self._send_slowly(memoryview(data)[sent:], flags)

    def _send_slowly(self, data: memoryview, flags: int) -> None:
        """Send what the kernel had no room for, as the client reads."""
        try:
            super().settimeout(max(0.01, self._send_by - time.monotonic()))
            super().sendall(data, flags)
        except TimeoutError:
            raise BrokenPipeError("the client does not read its response") from None
        finally:
            if not self._is_upgrade:
                with suppress(OSError):  # it was closed meanwhile
                    super().settimeout(0.0)

    def sendfile(self, file: Any, offset: int = 0, count: int | None = None) -> int:
        """Send a file. The kernel's own call would restart the timeout for each piece, without end."""
        file.seek(offset)
        sent = 0
        while data := file.read(_COPY_BYTES if count is None else min(_COPY_BYTES, count - sent)):
            self.sendall(data)
            sent += len(data)
        return sent
