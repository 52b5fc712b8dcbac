"""Many cases of one behaviour on one set-up."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pytest


def each_case(
    names: str, cases: Iterable[Any], ids: Sequence[str] | Callable[[Any], str] = ()
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """As `pytest.mark.parametrize`, but one test with one set-up for all cases: none depends on what another leaves.

    All of them are tried, and each that fails is reported with its values, by pytest's own subtests. Setting up an
    application's database takes longer than most requests.
    """
    told = [name.strip() for name in names.split(",")]
    every = [(case,) if len(told) == 1 else tuple(case) for case in cases]
    given_ids = [" ".join(map(ids, case)) for case in every] if callable(ids) else [*ids]
    labels = given_ids or [f"{number}: {case!r}"[:200] for number, case in enumerate(every)]

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        def run(subtests: pytest.Subtests, **fixtures: Any) -> None:
            assert every, "no cases"
            for label, case in zip(labels, every, strict=True):
                with subtests.test(label):
                    function(**fixtures, **dict(zip(told, case, strict=True)))

        given = inspect.signature(function)
        kept = [each for name, each in given.parameters.items() if name not in told]
        subtests = inspect.Parameter("subtests", inspect.Parameter.POSITIONAL_OR_KEYWORD)
        run.__signature__ = given.replace(parameters=[subtests, *kept])  # type: ignore[attr-defined]
        run.__name__, run.__qualname__, run.__doc__ = function.__name__, function.__qualname__, function.__doc__
        run.__module__ = function.__module__
        return run

    return decorate
