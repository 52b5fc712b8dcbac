"""Long lists in batches, such as the ids of one statement."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")

#: Ids or rows that one statement names, unless the caller says otherwise.
PER_STATEMENT = 500


def batched(items: Sequence[T], size: int = PER_STATEMENT) -> Iterator[list[T]]:
    """The items in their order, at most `size` in each batch; no batch of no items."""
    for start in range(0, len(items), size):
        yield list(items[start : start + size])
