"""Memory and disk of this machine, within the limits of a container if there are any."""

from __future__ import annotations

import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_MEMINFO, _CGROUP = Path("/proc/meminfo"), Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Disk:
    """The disk space of a folder."""

    free_bytes: int
    free_percent: int


def memory_percent(meminfo: Path = _MEMINFO, cgroup: Path = _CGROUP) -> int | None:
    """Memory in use, 0 to 100: of the container's limit if there is one, else of the machine's.

    Memory that the kernel can reclaim at once counts as free. None if Linux does not report it.
    """
    with suppress(OSError, ValueError):
        limit = (cgroup / "memory.max").read_text().strip()
        if limit.isdigit():
            stat = dict(line.split() for line in (cgroup / "memory.stat").read_text().splitlines())
            used = int((cgroup / "memory.current").read_text()) - int(stat.get("inactive_file", 0))
            return min(100, round(100 * used / int(limit)))
    with suppress(OSError, ValueError, KeyError):
        lines = (line.split() for line in meminfo.read_text().splitlines())
        values = {parts[0]: int(parts[1]) for parts in lines if len(parts) > 1}
        return round(100 * (1 - values["MemAvailable:"] / values["MemTotal:"]))
    return None


def disk_of(folder: Path) -> Disk:
    """The disk that holds a folder. Raises OSError."""
    usage = shutil.disk_usage(folder)
    return Disk(usage.free, round(100 * usage.free / usage.total))
