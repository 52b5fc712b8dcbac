"""The client of a virus scanner with clamd's protocol (INSTREAM); a scan has a total deadline."""

from __future__ import annotations

import struct
import time
from dataclasses import dataclass
from typing import BinaryIO

from app.lib import deadline

#: Seconds for a whole file: connecting, sending, and the response; and the bytes for one more second.
SECONDS, BYTES_A_SECOND = 15.0, 2_000_000
#: Bytes of one piece; the longest response, a line.
CHUNK, MAX_ANSWER = 131_072, 4096


class ScannerUnavailable(OSError):
    """The scanner can't be reached, is too slow, or refuses the file; nothing is known about it."""


@dataclass(frozen=True)
class Scanner:
    """One scanner. `unix` is the path of its socket; otherwise it listens at host and port."""

    host: str = ""
    port: int = 3310
    unix: str = ""

    def threat_in(self, file: BinaryIO) -> str | None:
        """The threat in a file, such as “Eicar-Signature”; None = harmless. Raises ScannerUnavailable."""
        size = file.seek(0, 2)
        file.seek(0)
        seconds = SECONDS + size / BYTES_A_SECOND
        try:
            with deadline.DeadlineWatchdog(seconds) as cutter, self._connect(cutter.remaining) as line:
                cutter.guard(line)
                answer = _ask(line, file, time.monotonic() + seconds)
                if cutter.is_late:
                    raise ScannerUnavailable("the scanner is too slow")
        except ScannerUnavailable:
            raise
        except OSError as error:
            raise ScannerUnavailable(f"the scanner can't be reached ({type(error).__name__})") from error
        finally:
            file.seek(0)
        return _threat(answer)

    def _connect(self, seconds: float) -> deadline.DeadlineSocket:
        if self.unix:
            return deadline.connect_unix(self.unix, seconds)
        return deadline.connect(self.host, self.port, seconds)


def _ask(line: deadline.DeadlineSocket, file: BinaryIO, ends: float) -> str:
    """The scanner's response line for the file."""
    line.settimeout(max(0.01, ends - time.monotonic()))
    line.sendall(b"zINSTREAM\0")
    while chunk := file.read(CHUNK):
        line.settimeout(max(0.01, ends - time.monotonic()))
        line.sendall(struct.pack("!I", len(chunk)) + chunk)
    line.sendall(struct.pack("!I", 0))
    answer = b""
    while b"\0" not in answer and len(answer) < MAX_ANSWER:
        line.settimeout(max(0.01, ends - time.monotonic()))
        part = line.recv(MAX_ANSWER)
        if not part:
            break
        answer += part
    return answer.partition(b"\0")[0].decode("utf-8", "replace").strip()


def _threat(answer: str) -> str | None:
    verdict = answer.removeprefix("stream: ")
    if verdict == "OK":
        return None
    if verdict.endswith(" FOUND"):
        return verdict.removesuffix(" FOUND")[:120] or "unknown"
    raise ScannerUnavailable("the scanner doesn't look at this file")
