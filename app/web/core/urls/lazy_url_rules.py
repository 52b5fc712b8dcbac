"""URL rules that compile their URL builders only when needed, and share what is equal in them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from werkzeug.routing import Rule
from werkzeug.routing.rules import RulePart

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


#: What tells a part of a rule from others -> the part; nobody changes one.
_parts: dict[Any, RulePart] = {}


def _shared(part: RulePart) -> RulePart:
    """An equal part that all rules share: the 900 rules have 4,800 parts, of which 300 differ."""
    return _parts.setdefault((part.content, part.final, part.static, part.suffixed, str(part.weight)), part)


class LazyRule(Rule):
    """A rule whose two URL builders are compiled on first use.

    Most rules never build a URL in a process, and compiling those of all 400 took a third of the application's
    creation.
    """

    def compile(self) -> None:
        """Prepare for matching."""
        super().compile()
        self._parts = [_shared(part) for part in self._parts]

    def _compile_builder(self, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
        name = "_build_unknown" if append_unknown else "_build"

        def build(rule: LazyRule, /, **values: Any) -> tuple[str, str]:
            compiled = _undisturbed(lambda: super(LazyRule, rule)._compile_builder(append_unknown)).__get__(rule)
            setattr(rule, name, compiled)
            return compiled(**values)

        return build
