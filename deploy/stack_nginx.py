"""Run nginx of a stack in the foreground: `stack_nginx.py NGINX FOLDER LOG_DIR`.

Workers of a killed master live on and keep its port, which no new master could then take. They are ended first.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from pathlib import Path

#: How long workers may take to end after SIGTERM; they cut off what they serve.
END_SECONDS = 5.0


def orphans(group: int, log_folder: Path) -> list[int]:
    """The processes of this group that have a log of this folder open.

    The group has the number of its first process, which may belong to another program by now; the log tells.
    """
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and os.getpgid(int(entry.name)) == group and _has_open(entry, log_folder):
                found.append(int(entry.name))
        except OSError:
            continue  # it ended just now, or is somebody else's
    return found


def _has_open(process: Path, folder: Path) -> bool:
    return any(str(each.readlink()).startswith(f"{folder}/") for each in (process / "fd").iterdir())


def end(pids: list[int]) -> None:
    """End these processes, and return when they have ended."""
    handles = []
    for pid in pids:
        try:
            handles.append(os.pidfd_open(pid))
        except ProcessLookupError:
            continue
    until = time.monotonic() + END_SECONDS
    for number in (signal.SIGTERM, signal.SIGKILL):
        for handle in handles:
            if not _has_ended(handle, 0):
                signal.pidfd_send_signal(handle, number)
        handles = [each for each in handles if not _has_ended(each, until - time.monotonic())]


def _has_ended(handle: int, seconds: float) -> bool:
    return bool(select.select([handle], [], [], max(0.0, seconds))[0])


def main(nginx: str, folder: Path, log_folder: Path) -> None:
    """See above. Doesn't return."""
    try:
        group = int((folder / "nginx" / "pid").read_text())
    except (OSError, ValueError):
        group = 0  # it has ended by itself, or never run
    if group:
        end(orphans(group, log_folder))
    config, log = folder / "nginx" / "nginx.conf", log_folder / "nginx-start.log"
    os.execv(nginx, [nginx, "-c", str(config), "-e", str(log), "-g", "daemon off;"])  # noqa: S606  # takes the place of this program


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
