"""The contexts that tests share: what a test finds is as new, and what can't be made so is not lent again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.browser.conftest import Contexts

#: Of no other test, so that nobody else has these contexts.
OPTIONS = {"viewport": {"width": 641, "height": 480}, "service_workers": "block", "locale": "en-NZ"}
KEEP = "() => { localStorage.kept = '1'; sessionStorage.kept = '1'; document.cookie = 'kept=1'; }"
KEPT = "() => [localStorage.length, sessionStorage.length, document.cookie]"
#: What a test does for which its page is not lent again.
ALTER: dict[str, Callable[[Any], Any]] = {
    "script": lambda page: page.add_init_script("window.altered = true"),
    "closed": lambda page: page.close(),
    "clock": lambda page: page.clock.install(),
}
#: The window, the medium and the preferences of the page, and whether its own health is answered by the server.
SEEN = """async () => [innerWidth, innerHeight,
  ...['print', '(prefers-color-scheme: dark)', '(prefers-reduced-motion: reduce)']
    .map((each) => matchMedia(each).matches),
  await fetch('/healthz').then((answer) => answer.text())]"""
AS_NEW = [641, 480, False, False, False, "ok"]


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


def test_what_a_test_has_changed_of_its_page_is_undone(contexts: Contexts, lent: Any) -> None:
    assert lent.evaluate(SEEN) == AS_NEW
    lent.route("**/healthz", lambda route: route.fulfill(body="intercepted"))
    lent.emulate_media(media="print", color_scheme="dark", reduced_motion="reduce")
    lent.set_viewport_size({"width": 300, "height": 310})
    assert lent.evaluate(SEEN) == [300, 310, True, True, True, "intercepted"]
    contexts.take_back()
    again = contexts.new_page(OPTIONS)
    again.goto(f"{contexts.url}/login/")
    assert again is lent and again.evaluate(SEEN) == AS_NEW
    contexts.take_back()


def test_options_of_a_page_and_a_script_are_those_that_were_asked_for(contexts: Contexts, lent: Any) -> None:
    contexts.take_back()
    window = {"viewport": {"width": 500, "height": 510}, "color_scheme": "dark", "reduced_motion": "reduce"}
    other = contexts.new_page(OPTIONS | window)
    other.goto(f"{contexts.url}/login/")
    assert other is lent and other.evaluate(SEEN) == [500, 510, False, True, True, "ok"]
    contexts.take_back()
    for _ in range(2):
        scripted = contexts.new_page(OPTIONS | {"init_script": "window.first = true"})
        scripted.goto(f"{contexts.url}/login/")
        assert scripted is not lent and scripted.evaluate("() => window.first")
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
