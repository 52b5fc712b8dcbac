"""A mapping of limited size that drops the least recently used values."""

from __future__ import annotations

from typing import Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class LruCache(Generic[Key, Value]):
    """A cache of at most `size` values that keeps the recently used ones.

    It has a newer and an older half. When the newer half is full, it becomes the older one, and the former older half
    is dropped; a value that is read moves to the newer half. Reading therefore needs no bookkeeping. Threads may share
    it: at worst, something is dropped early.
    """

    __slots__ = ("_half", "_new", "_older")

    def __init__(self, size: int) -> None:
        self._half = max(1, size // 2)
        self._new: dict[Key, Value] = {}
        self._older: dict[Key, Value] = {}

    def __len__(self) -> int:
        return len(self._new | self._older)

    def get(self, key: Key) -> Value | None:
        """The value, or None."""
        found = self._new.get(key)
        if found is None and (found := self._older.get(key)) is not None:
            self.keep(key, found)
        return found

    def keep(self, key: Key, value: Value) -> None:
        """Store a value, which must not be None."""
        if len(self._new) >= self._half and key not in self._new:
            self._older, self._new = self._new, {}
        self._new[key] = value

    def clear(self) -> None:
        """Remove all values."""
        self._new, self._older = {}, {}
