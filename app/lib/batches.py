"""Long lists in batches, such as the ids of one statement."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")

#: Ids or rows per statement, unless the caller says otherwise.
PER_STATEMENT = 500


def batched(items: Sequence[T], size: int = PER_STATEMENT) -> Iterator[list[T]]:
    """The items in order, at most `size` per batch; no batches if there are no items."""
    for start in range(0, len(items), size):
        yield list(items[start : start + size])
