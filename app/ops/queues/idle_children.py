"""Child processes that end when they are idle; their parent starts them again when another of its children asks."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.sharedctypes import RawArray

#: Tells the parent that a child is wanted.
WAKE_SIGNAL = signal.SIGUSR1
_RUNNING, _ENDED, _WANTED = range(3)


class EndedIdle(Exception):
    """Raised by the function of a child that has had nothing to do for long."""


class IdleChildren:
    """Which of these children run, in memory that the parent and all children share.

    Only the parent says that one has ended or runs, and only one child says that it is wanted: so they need no lock.
    """

    def __init__(self, functions: Sequence[Callable[[], None]]) -> None:
        """`functions` are those of the children; each has a place, counted from 0."""
        self._functions = list(functions)
        self._states = RawArray("b", len(self._functions))
        #: The process that starts them.
        self.parent = 0

    # In the parent

    def note_end(self, function: Callable[[], None]) -> None:
        """The child of this function has ended, and is not restarted until it is wanted."""
        self._states[self._functions.index(function)] = _ENDED

    def take_wanted(self) -> Iterator[Callable[[], None]]:
        """The functions of those that are wanted: start each; it counts as running."""
        for place, function in enumerate(self._functions):
            if self._states[place] == _WANTED:
                self._states[place] = _RUNNING
                yield function

    # In a child

    def is_running(self, place: int) -> bool:
        """Whether this child runs, or is about to."""
        return bool(self._states[place] == _RUNNING)

    def want(self, place: int) -> None:
        """Have the parent start a child that has ended."""
        self._states[place] = _WANTED
        if os.getppid() == self.parent:
            os.kill(self.parent, WAKE_SIGNAL)
