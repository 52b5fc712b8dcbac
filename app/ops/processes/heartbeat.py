"""Signs of life of a child process: its parent replaces one that shows none, unless it rests."""

from __future__ import annotations

import time
from multiprocessing.sharedctypes import RawValue

#: How often a child shows that it lives, and its parent looks, in seconds.
HEARTBEAT_SECONDS = 1.0
#: After so many looks without a sign of life, the child hangs.
MAX_SILENT_LOOKS = 15


class Heartbeat:
    """A count in memory that a parent shares with one child, and with its successors.

    No clock is compared: where both were frozen, as with their machine, the child isn't taken for hanging.
    """

    def __init__(self) -> None:
        self._count = RawValue("L", 0)
        #: Until when no child is needed (monotonic, the same in all processes of a machine). 0 = none has rested.
        self._rest_until = RawValue("d", 0.0)
        self._seen, self._silent_looks = 0, 0

    def beat(self) -> None:
        """Called by the child every HEARTBEAT_SECONDS: it lives."""
        self._count.value += 1

    def rest(self, seconds: float) -> None:
        """Called by a child that ends: for so long there is nothing to do for its successor."""
        self._rest_until.value = time.monotonic() + seconds

    @property
    def has_rested(self) -> bool:
        """Whether this child follows one that had nothing to do."""
        return bool(self._rest_until.value)

    # In the parent

    @property
    def rests(self) -> bool:
        """Whether a successor has nothing to do yet."""
        return bool(time.monotonic() < self._rest_until.value)

    def begin(self) -> None:
        """A child begins; it has as long for its first sign of life as for each other."""
        self._silent_looks = 0

    def has_stopped(self) -> bool:
        """Called by the parent every HEARTBEAT_SECONDS: whether the child hangs."""
        count = self._count.value
        self._silent_looks = self._silent_looks + 1 if count == self._seen else 0
        self._seen = count
        return self._silent_looks >= MAX_SILENT_LOOKS
