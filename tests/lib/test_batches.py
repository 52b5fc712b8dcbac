"""Splitting long lists into batches."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from app.lib.batches import PER_STATEMENT, batched


@pytest.mark.parametrize(
    ("items", "size", "batches"),
    [
        ([], 2, []),
        ([1], 2, [[1]]),
        ([1, 2], 2, [[1, 2]]),
        ((1, 2, 3), 2, [[1, 2], [3]]),
        (range(4), 2, [[0, 1], [2, 3]]),
    ],
)
def test_items_come_in_their_order_and_the_last_batch_has_the_rest(
    items: Sequence[int], size: int, batches: list[list[int]]
) -> None:
    assert list(batched(items, size)) == batches


def test_a_batch_has_what_one_statement_names_unless_told_otherwise() -> None:
    assert [len(each) for each in batched(range(PER_STATEMENT + 1))] == [PER_STATEMENT, 1]
