"""A property that is computed once per object, by threads that don't wait for each other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, Self, TypeVar, overload

Value = TypeVar("Value")


class cached_property(Generic[Value]):
    """Like that of functools, without its lock.

    In Python 3.11 that one holds a lock while it computes, which all objects of the class share: the pages of all
    people would read their menus one after the other, and a thread that has SQLite's write lock would wait for one that
    waits for the write lock. If two threads ask the same object at once, each computes the value, and one value stays.
    """

    def __init__(self, compute: Callable[[Any], Value]) -> None:
        self._compute = compute
        self.__doc__ = compute.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, held: None, owner: type) -> Self: ...

    @overload
    def __get__(self, held: object, owner: type) -> Value: ...

    def __get__(self, held: object, owner: type) -> Self | Value:
        """Called only until the value is among the object's attributes, which Python looks for first."""
        if held is None:
            return self
        value = self._compute(held)
        held.__dict__[self._name] = value
        return value
