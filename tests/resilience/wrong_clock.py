"""`run.py` in a process whose wall clock is wrong by the seconds in a file, which can change while it runs.

    python -m tests.resilience.wrong_clock FILE

Every module of the product sees the wrong time; the monotonic clock is unaffected, as when a clock is set.
"""

from __future__ import annotations

import datetime as clock
import importlib
import sys
import time
from datetime import datetime as TrueDatetime
from pathlib import Path
from types import ModuleType
from typing import Any

true_time = time.time


def offset() -> float:
    """Seconds by which the clock is ahead."""
    return float(Path(sys.argv[1]).read_text())


class _LikeTheTrueOne(type):
    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, TrueDatetime)


class WrongDatetime(TrueDatetime, metaclass=_LikeTheTrueOne):
    """datetime, of a machine with the wrong time."""

    @classmethod
    def now(cls, tz: clock.tzinfo | None = None) -> Any:
        """The wrong time."""
        return TrueDatetime.now(tz) + clock.timedelta(seconds=offset())


def lead_astray() -> None:
    """Give all loaded modules of the product the wrong time."""
    time.time = lambda: true_time() + offset()
    ours = [module for name, module in list(sys.modules.items()) if name.split(".")[0] in ("app", "config", "run")]
    for module in filter(lambda each: isinstance(each, ModuleType), ours):
        if getattr(module, "datetime", None) is TrueDatetime:
            module.datetime = WrongDatetime  # type: ignore[attr-defined]


if __name__ == "__main__":
    importlib.import_module("app")  # all modules of the product
    run = importlib.import_module("run")
    lead_astray()
    sys.exit(run.main())
