"""URL rules that compile their URL builders only when needed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from werkzeug.routing import Rule

#: Attempts to compile.
_ATTEMPTS = 5


def _undisturbed(compiled: Callable[[], Any]) -> Any:
    """Call it, and retry: CPython 3.11 raises SystemError if two threads build syntax trees at once (as tracebacks
    do).
    """
    for attempt in range(_ATTEMPTS):
        try:
            return compiled()
        except SystemError:
            if attempt == _ATTEMPTS - 1:
                raise
    raise AssertionError


class LazyRule(Rule):
    """A rule whose two URL builders are compiled on first use.

    Most rules never build a URL in a process, and compiling those of all 400 took a third of the application's
    creation.
    """

    def _compile_builder(self, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
        name = "_build_unknown" if append_unknown else "_build"

        def build(rule: LazyRule, /, **values: Any) -> tuple[str, str]:
            compiled = _undisturbed(lambda: super(LazyRule, rule)._compile_builder(append_unknown)).__get__(rule)
            setattr(rule, name, compiled)
            return compiled(**values)

        return build
