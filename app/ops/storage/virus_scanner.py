"""The client of a virus scanner with clamd's protocol (INSTREAM); a scan has a total deadline."""

from __future__ import annotations

import struct
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import BinaryIO

from app.lib import deadline

#: Seconds for a whole file: connecting, sending, and the response; and the bytes for one more second.
SECONDS, BYTES_A_SECOND = 15.0, 2_000_000
#: Seconds in which a scanner that works says so.
PING_SECONDS = 3.0
#: Bytes of one piece; the longest response, a line.
CHUNK, MAX_ANSWER = 131_072, 4096


class ScannerUnavailable(OSError):
    """The scanner can't be reached, or doesn't respond; nothing is known about the file."""


class FileNotScanned(ScannerUnavailable):
    """The scanner works, but doesn't look at this file: mostly, it is larger than the scanner accepts."""


@dataclass(frozen=True)
class Scanner:
    """One scanner. `unix` is the path of its socket; otherwise it listens at host and port."""

    host: str = ""
    port: int = 3310
    unix: str = ""

    def threat_in(self, file: BinaryIO) -> str | None:
        """The threat in a file, such as “Eicar-Signature”; None = harmless.

        Raises ScannerUnavailable, and FileNotScanned if it is for this file only.
        """
        size = file.seek(0, 2)
        file.seek(0)
        seconds = SECONDS + size / BYTES_A_SECOND
        try:
            with deadline.DeadlineWatchdog(seconds) as cutter, self._connect(cutter.remaining) as line:
                cutter.guard(line)
                threat = _threat(_ask(line, file, time.monotonic() + seconds))
                if cutter.is_late:
                    raise TimeoutError
        except FileNotScanned:
            raise
        except OSError as error:
            why = type(error).__name__
            if self.is_answering():
                raise FileNotScanned(f"the scanner doesn't finish this file ({why})") from error
            raise ScannerUnavailable(f"the scanner can't be reached ({why})") from error
        finally:
            file.seek(0)
        return threat

    def is_answering(self) -> bool:
        """Whether it responds at once when asked for nothing but that."""
        try:
            with deadline.DeadlineWatchdog(PING_SECONDS) as cutter, self._connect(cutter.remaining) as line:
                cutter.guard(line)
                line.settimeout(PING_SECONDS)
                line.sendall(b"zPING\0")
                return line.recv(MAX_ANSWER).startswith(b"PONG")
        except OSError:
            return False

    def _connect(self, seconds: float) -> deadline.DeadlineSocket:
        if self.unix:
            return deadline.connect_unix(self.unix, seconds)
        return deadline.connect(self.host, self.port, seconds)


def _ask(line: deadline.DeadlineSocket, file: BinaryIO, ends: float) -> str:
    """The scanner's response line for the file."""
    with suppress(BrokenPipeError):  # it has answered before the end of the file
        _send(line, file, ends)
    answer = b""
    while b"\0" not in answer and len(answer) < MAX_ANSWER:
        line.settimeout(max(0.01, ends - time.monotonic()))
        part = line.recv(MAX_ANSWER)
        if not part:
            break
        answer += part
    return answer.partition(b"\0")[0].decode("utf-8", "replace").strip()


def _send(line: deadline.DeadlineSocket, file: BinaryIO, ends: float) -> None:
    line.settimeout(max(0.01, ends - time.monotonic()))
    line.sendall(b"zINSTREAM\0")
    while chunk := file.read(CHUNK):
        line.settimeout(max(0.01, ends - time.monotonic()))
        line.sendall(struct.pack("!I", len(chunk)) + chunk)
    line.sendall(struct.pack("!I", 0))


def _threat(answer: str) -> str | None:
    verdict = answer.removeprefix("stream: ")
    if verdict == "OK":
        return None
    if verdict.endswith(" FOUND"):
        return verdict.removesuffix(" FOUND")[:120] or "unknown"
    if verdict.endswith("ERROR"):
        raise FileNotScanned("the scanner doesn't look at this file")
    raise ConnectionError
