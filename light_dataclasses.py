"""Dataclasses whose methods for printing and for refusing changes are not compiled for each class.

Python writes and compiles the text of these methods anew for each of 500 classes: 1.5 MB, and a tenth of the CPU of a
start. `__init__`, `__eq__` and `__hash__`, which run often, stay as they are.
"""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

Method = Callable[..., Any]
#: Python's functions that make the methods, and their parameters in the versions for which these here can stand in.
REPLACED = {"_repr_fn": ("fields", "globals"), "_frozen_get_del_attr": ("cls", "fields", "globals")}


#: (id, thread) of the objects that are being printed: one that contains itself is printed as “...” in itself.
_printing: set[tuple[int, int]] = set()


def _repr_fn(fields: Sequence[Any], _globals: Any) -> Method:
    names = tuple(each.name for each in fields)

    def __repr__(self: Any) -> str:
        key = id(self), threading.get_ident()
        if key in _printing:
            return "..."
        _printing.add(key)
        try:
            shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in names)
        finally:
            _printing.discard(key)
        return f"{type(self).__qualname__}({shown})"

    return __repr__


def _frozen_get_del_attr(cls: Any, fields: Sequence[Any], _globals: Any) -> tuple[Method, Method]:
    names = tuple(each.name for each in fields)

    def __setattr__(self: Any, name: str, value: Any) -> None:
        if type(self) is cls or name in names:
            raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")
        super(cls, self).__setattr__(name, value)

    def __delattr__(self: Any, name: str) -> None:
        if type(self) is cls or name in names:
            raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")
        super(cls, self).__delattr__(name)

    return __setattr__, __delattr__


@contextlib.contextmanager
def used() -> Iterator[None]:
    """Dataclasses that are defined meanwhile are light. In another version of Python they may be as always."""
    before = {name: getattr(dataclasses, name, None) for name in REPLACED}
    if any(_parameters(before[name]) != REPLACED[name] for name in REPLACED):
        yield
        return
    for name in REPLACED:
        setattr(dataclasses, name, globals()[name])
    try:
        yield
    finally:
        for name, function in before.items():
            setattr(dataclasses, name, function)


def _parameters(function: Any) -> tuple[str, ...]:
    return tuple(inspect.signature(function).parameters) if callable(function) else ()
