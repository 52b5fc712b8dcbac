"""Memory on huge pages holds what it held, and places are found for whole pages only."""

from __future__ import annotations

import mmap

from tests.huge_pages import HUGE, _places, use_huge_pages

MAPS = """\
55d0c0000000-55d0c0400000 r-xp 00000000 fe:00 123                        /usr/bin/python3.11
55d0c1000000-55d0c1100000 rw-p 00000000 00:00 0                          [heap]
7f0000001000-7f0000600000 rw-p 00000000 00:00 0
7f1000000000-7f1000200000 rw-p 00000000 00:00 0
7f2000000000-7f2000400000 rw-s 00000000 00:01 77                         /dev/zero (deleted)
7f3000000000-7f3000400000 rw-p 00000000 fe:00 99                         /usr/lib/libc.so.6
7ffe00000000-7ffe00400000 rw-p 00000000 00:00 0                          [stack]
"""


def test_places_are_whole_pages_of_the_process_own_memory() -> None:
    assert list(_places(MAPS)) == [0x7F0000200000, 0x7F0000400000, 0x7F1000000000]


def test_memory_holds_what_it_held() -> None:
    size = 4 * HUGE
    with mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        memory[:: size // 64] = bytes(range(64))
        assert use_huge_pages() >= 0  # how many there are is the administrator's choice
        assert memory[:: size // 64] == bytes(range(64)) and not any(memory[1 : size // 64])
