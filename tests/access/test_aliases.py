"""Shared aliases of records: one of each, whichever thread requests it first."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy.orm import aliased

from app.access import rule_conditions
from app.access.paging import index_branches
from app.models import Lead

THREADS = 8


@pytest.mark.parametrize(
    "module, ask",
    [
        (index_branches, lambda: index_branches.alias_of(Lead)[0]),
        (rule_conditions, lambda: rule_conditions.inside(Lead, Lead)),
    ],
    ids=["of branches", "within EXISTS"],
)
def test_threads_that_ask_at_the_same_time_get_one_alias(
    monkeypatch: pytest.MonkeyPatch, module: Any, ask: Callable[[], Any]
) -> None:
    """Two aliases of leads in one statement multiplied all leads with each other; it ran for minutes, for everybody."""
    monkeypatch.setattr(module, "_aliases", {})
    begin, waits = threading.Barrier(THREADS), threading.Event()

    def slowly(record: Any) -> Any:
        waits.wait(0.05)  # the others ask meanwhile
        return aliased(record)

    def one(_: int) -> Any:
        begin.wait(30)
        return ask()

    monkeypatch.setattr(module, "aliased", slowly)
    with ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(one, range(THREADS)))
    assert len({id(each) for each in found}) == 1
