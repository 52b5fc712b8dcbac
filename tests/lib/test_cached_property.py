"""A cached value is computed once for each object, and no thread waits for that of another object."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from app.lib.cached_property import cached_property


class Page:
    """Whose menu can only be read while that of another page is being read."""

    def __init__(self, together: threading.Barrier) -> None:
        self._together, self.times = together, 0

    @cached_property
    def menu(self) -> str:
        """The menu."""
        self._together.wait(60)
        self.times += 1
        return f"menu {self.times}"


def test_it_is_computed_once() -> None:
    page = Page(threading.Barrier(1))
    assert [page.menu, page.menu] == ["menu 1", "menu 1"]
    del page.menu
    assert page.menu == "menu 2"
    assert Page.menu.__doc__ == "The menu."


def test_values_of_two_objects_are_computed_at_the_same_time() -> None:
    together = threading.Barrier(2)
    pages = Page(together), Page(together)
    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(lambda page: page.menu, pages)) == ["menu 1", "menu 1"]
