"""URL rules that prepare the building of addresses only when one is built."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from werkzeug.routing import Rule

#: Attempts to compile.
_ATTEMPTS = 5


def _undisturbed(compiled: Callable[[], Any]) -> Any:
    """The result; CPython 3.11 raises SystemError when two threads build syntax trees at once (tracebacks do, too)."""
    for attempt in range(_ATTEMPTS):
        try:
            return compiled()
        except SystemError:
            if attempt == _ATTEMPTS - 1:
                raise
    raise AssertionError


class LazyRule(Rule):
    """A rule whose two functions that build its address are compiled at their first call.

    Most rules never build one in a process, and compiling those of all 400 took a third of the application's creation.
    """

    def _compile_builder(self, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
        name = "_build_unknown" if append_unknown else "_build"

        def build(rule: LazyRule, /, **values: Any) -> tuple[str, str]:
            compiled = _undisturbed(lambda: super(LazyRule, rule)._compile_builder(append_unknown)).__get__(rule)
            setattr(rule, name, compiled)
            return compiled(**values)

        return build
