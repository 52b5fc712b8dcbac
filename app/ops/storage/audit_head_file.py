"""The record of the audit log's heads: a file outside the database, so that missing entries at the end are noticed.

Each line has the time (UTC), the number of entries and the hash of the last one. Each server has its own file in its
instance folder. Whoever can change the database should not be able to change these files.
"""

from __future__ import annotations

import contextlib
import os
import time
from datetime import datetime
from pathlib import Path

NAME = "audit-heads.log"
#: The file is shortened to this many lines when it has twice as many: about two months of working hours.
MAX_LINES = 5000

Head = tuple[int, str]


class AuditHeadFile:
    """The file in this folder."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME

    def note(self, now: datetime, head: Head) -> bool:
        """Add a line unless the last one is equal. Returns whether it was added. Raises OSError."""
        lines = self._lines()
        line = f"{now:%Y-%m-%dT%H:%M:%SZ} {head[0]} {head[1]}"
        if head[0] == 0 or (lines and lines[-1].split(" ")[1:] == line.split(" ")[1:]):
            return False
        if len(lines) >= 2 * MAX_LINES:
            self._replace(lines[-MAX_LINES:])
        with os.fdopen(os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "w") as file:
            file.write(line + "\n")
        return True

    def heads(self) -> list[Head]:
        """All recorded heads, oldest first; lines that aren't ours are skipped."""
        found = []
        for line in self._lines():
            parts = line.split(" ")
            if len(parts) == 3 and parts[1].isascii() and parts[1].isdigit() and len(parts[2]) == 64:
                found.append((int(parts[1][:18]), parts[2]))
        return found

    def renew(self) -> Path | None:
        """Archive the file and begin a new one, after a backup was restored. Returns the path of the old one."""
        aside = self.path.with_name(f"audit-heads-{time.strftime('%Y%m%d-%H%M%S')}.log")
        with contextlib.suppress(FileNotFoundError):
            self.path.rename(aside)
            return aside
        return None

    def _lines(self) -> list[str]:
        try:
            return self.path.read_text(errors="replace").splitlines()
        except FileNotFoundError:
            return []

    def _replace(self, lines: list[str]) -> None:
        part = self.path.with_suffix(".part")
        part.write_text("".join(f"{line}\n" for line in lines))
        part.chmod(0o600)
        part.replace(self.path)
