"""The contexts that tests share: what a test finds is empty, and what a test has altered is not lent again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.browser.conftest import Contexts

#: Of no other test, so that nobody else has these contexts.
OPTIONS = {"viewport": {"width": 641, "height": 480}, "service_workers": "block"}
KEEP = "() => { localStorage.kept = '1'; sessionStorage.kept = '1'; document.cookie = 'kept=1'; }"
KEPT = "() => [localStorage.length, sessionStorage.length, document.cookie]"
ALTER: dict[str, Callable[[Any], Any]] = {
    "route": lambda page: page.route("**/never", lambda route: route.abort()),
    "script": lambda page: page.add_init_script("window.altered = true"),
    "media": lambda page: page.emulate_media(media="print"),
    "window": lambda page: page.set_viewport_size({"width": 300, "height": 300}),
    "closed": lambda page: page.close(),
    "clock": lambda page: page.clock.install(),
}


@pytest.fixture
def lent(contexts: Contexts) -> Any:
    """A page, on the sign-in page."""
    page = contexts.new_page(OPTIONS)
    page.goto(f"{contexts.url}/login/")
    return page


def test_a_page_is_lent_again_and_has_kept_nothing(contexts: Contexts, lent: Any) -> None:
    lent.evaluate(KEEP)
    lent.context.new_page()
    contexts.take_back()
    again = contexts.new_page(OPTIONS)
    assert again is lent and again.context.pages == [again]
    again.goto(f"{contexts.url}/healthz")
    assert again.evaluate(KEPT) == [0, 0, ""]
    contexts.take_back()


@pytest.mark.parametrize("alter", ALTER.values(), ids=ALTER.keys())
def test_an_altered_page_is_not_lent_again(contexts: Contexts, lent: Any, alter: Callable[[Any], Any]) -> None:
    before = lent.context
    alter(lent)
    contexts.take_back()
    again = contexts.new_page(OPTIONS)
    assert again is not lent
    assert (again.context is before) == (alter is not ALTER["clock"])
    contexts.take_back()
