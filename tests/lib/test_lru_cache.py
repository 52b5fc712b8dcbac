"""Frequently used entries stay cached, others are dropped, and the size is never exceeded."""

from __future__ import annotations

from app.lib.lru_cache import LruCache


def test_what_was_kept_is_found_and_may_be_replaced() -> None:
    known: LruCache[str, int] = LruCache(10)
    assert known.get("a") is None and len(known) == 0
    known.keep("a", 1)
    known.keep("a", 2)
    assert known.get("a") == 2 and len(known) == 1


def test_it_never_holds_more_than_its_size() -> None:
    known: LruCache[int, int] = LruCache(10)
    for n in range(1000):
        known.keep(n, n)
        known.get(n // 2)
        assert len(known) <= 10
    assert [known.get(n) for n in range(995, 1000)] == [995, 996, 997, 998, 999]


def test_what_is_asked_for_outlives_what_came_once() -> None:
    known: LruCache[int, int] = LruCache(10)
    known.keep(-1, -1)
    for n in range(100):
        known.keep(n, n)
        assert known.get(-1) == -1
    assert known.get(50) is None
