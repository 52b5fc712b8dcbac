"""Memory and disk of this machine, within the limits of a container if there are any."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_MEMINFO, _CGROUP = Path("/proc/meminfo"), Path("/sys/fs/cgroup")
_OWN_STATUS = Path("/proc/self/status")
#: Versions 2 and 1: where a container finds its own, its limit, what it uses, and how much of that is reclaimable.
#: No limit is "max" in version 2, and more than the machine has in version 1.
_CGROUPS = (
    ("", ("memory.max", "memory.current", "inactive_file")),
    ("memory", ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")),
)


@dataclass(frozen=True)
class Disk:
    """The disk space of a folder."""

    free_bytes: int
    free_percent: int


def memory_percent(meminfo: Path = _MEMINFO, cgroup: Path = _CGROUP) -> int | None:
    """Memory in use, 0 to 100: of the container's limit if there is one, else of the machine's.

    Memory that the kernel can reclaim at once counts as free. None if Linux does not report it.
    """
    lines = (line.split() for line in meminfo.read_text().splitlines()) if meminfo.exists() else ()
    machine = {parts[0]: 1024 * int(parts[1]) for parts in lines if len(parts) > 1}
    total = machine.get("MemTotal:", 0)
    for folder, files in _CGROUPS:
        with suppress(OSError, ValueError):
            limit, used = _memory_of_container(cgroup / folder, files)
            if not total or limit < total:
                return min(100, round(100 * used / limit))
    available = machine.get("MemAvailable:")
    return None if available is None or not total else round(100 * (1 - available / total))


def own_memory(status: Path = _OWN_STATUS) -> int:
    """The bytes of this process that are not those of files, shared ones included. 0 if Linux does not report them."""
    lines = status.read_text().splitlines() if status.exists() else ()
    found = next((line.split()[1] for line in lines if line.startswith("RssAnon:")), "0")
    return 1024 * int(found)


def _memory_of_container(folder: Path, files: tuple[str, str, str]) -> tuple[int, int]:
    """The limit and what is in use, in bytes. Raises OSError or ValueError if there is no limit."""
    limit, used, reclaimable = files
    stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
    in_use = int((folder / used).read_text()) - int(stat.get(reclaimable, 0))
    return int((folder / limit).read_text()), in_use


def disk_of(folder: Path) -> Disk:
    """The disk that holds a folder. Raises OSError."""
    usage = shutil.disk_usage(folder)
    return Disk(usage.free, round(100 * usage.free / usage.total))


def disk_percent(folders: Iterable[Path]) -> int | None:
    """How full the fullest disk with one of these folders is, 0 to 100; None if none of them can be asked.

    As `df` says it: what is reserved for root is neither in use nor free.
    """
    found = []
    for folder in folders:
        with suppress(OSError):
            usage = shutil.disk_usage(folder)
            found.append(round(100 * usage.used / max(1, usage.used + usage.free)))
    return max(found, default=None)
