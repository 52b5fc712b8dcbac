"""Workers tell the main process once of a test that passes, in place of three times: of its set-up, itself and its end.

To read and count a report takes the main process a tenth of a millisecond of CPU, and to send it the worker as much.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest


def report_briefly(config: pytest.Config) -> None:
    """Let this worker send the set-up of a test that passes with the test itself, and nothing of its end."""
    hooks: list[Any] = config.hook.pytest_runtest_logreport.get_hookimpls()  # pluggy calls their functions final
    for each in hooks:
        if type(each.plugin).__name__ == "WorkerInteractor":
            each.function = brief(each.function)


def brief(send: Callable[..., Any]) -> Callable[..., Any]:
    """A function that sends of the reports that it gets those that say something."""
    set_up = 0.0

    def log(report: pytest.TestReport) -> None:
        nonlocal set_up
        if report.when == "setup":
            set_up = report.duration
        elif report.when == "call" and type(report) is pytest.TestReport:  # not one of its subtests
            report.duration += set_up
        if report.when == "call" or not report.passed:
            send(report)

    return log
