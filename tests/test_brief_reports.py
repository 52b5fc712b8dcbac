"""A worker tells of a test once; of a failure or a skipped test whenever it is."""

from __future__ import annotations

from typing import Any

import pytest

from tests.brief_reports import brief


def report(when: Any, outcome: Any = "passed", seconds: float = 1.0) -> pytest.TestReport:
    return pytest.TestReport("tests/test_it.py::test_a", ("", 0, ""), {}, outcome, None, when, duration=seconds)


@pytest.mark.parametrize(
    "reports, told",
    [
        ([("setup", "passed"), ("call", "passed"), ("teardown", "passed")], ["call passed"]),
        ([("setup", "passed"), ("call", "failed"), ("teardown", "failed")], ["call failed", "teardown failed"]),
        ([("setup", "failed"), ("teardown", "passed")], ["setup failed"]),
        ([("setup", "skipped"), ("teardown", "passed")], ["setup skipped"]),
        ([("setup", "passed"), ("call", "passed"), ("teardown", "failed")], ["call passed", "teardown failed"]),
    ],
)
def test_what_the_main_process_is_told(reports: list[tuple[str, str]], told: list[str]) -> None:
    sent: list[pytest.TestReport] = []
    send = brief(sent.append)
    for when, outcome in reports:
        send(report(when, outcome))
    assert [f"{each.when} {each.outcome}" for each in sent] == told


def test_a_test_took_as_long_as_with_its_set_up() -> None:
    sent: list[pytest.TestReport] = []
    send = brief(sent.append)
    for when, seconds in (("setup", 2.0), ("call", 0.5), ("teardown", 4.0)):
        send(report(when, seconds=seconds))
    assert [each.duration for each in sent] == [2.5]
