"""Huge pages for the memory of a test process: 2 MB each in place of 4 KB.

A process of the tests holds 200 MB and more, of which each request touches a bit here and there. With small pages, the
processor looks up so many of them that this takes a twentieth of the time, and more on a virtual machine.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterator
from pathlib import Path

#: Bytes of a page.
HUGE = 2 << 20
#: From Linux' <sys/mman.h>: future pages of a place shall be huge; turn small ones into a huge one now.
MADV_HUGEPAGE, MADV_COLLAPSE = 14, 25
#: The process' own memory in /proc/self/maps: first and last address, and "[heap]" or no name.
_OWN = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) rw-p \S+ 00:00 0 *(?:\[heap\])?$", re.M)


def use_huge_pages() -> int:
    """Ask the kernel for them, for all memory that the process has by now; returns how many it has got.

    None where there are none: on systems other than Linux, and where the administrator has turned them off.
    """
    maps = Path("/proc/self/maps")
    if not maps.exists():
        return 0
    madvise = ctypes.CDLL(None).madvise
    madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    return sum(
        madvise(place, HUGE, MADV_HUGEPAGE) == 0 and madvise(place, HUGE, MADV_COLLAPSE) == 0
        for place in _places(maps.read_text())
    )


def _places(maps: str) -> Iterator[int]:
    """The addresses where a huge page fits."""
    for first, last in _OWN.findall(maps):
        yield from range(-(-int(first, 16) // HUGE) * HUGE, int(last, 16) // HUGE * HUGE, HUGE)
