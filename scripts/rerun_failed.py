"""Run tests, and run failed ones once more, alone: one that then passes was disturbed by what ran beside it.

    python scripts/rerun_failed.py first FILE [arguments of pytest]   runs pytest and writes the failed tests to FILE
    python scripts/rerun_failed.py again FILE [arguments of pytest]   runs these tests once more

Only a few failures are retried (MAX_FAILED), and only if nothing else went wrong: a crashed worker of xdist, a file
that could not be imported or a skipped test fail the run. Both end with pytest's exit status; `again` with 0 if all
failed tests have passed, which it then lists.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pytest

#: More failures than these are not chance.
MAX_FAILED = 8


@dataclass
class Outcome:
    """The outcome of a run."""

    #: Pytest's exit status; at least 1 if `wrong` isn't empty.
    status: int = 0
    #: Ids of the failed tests, including failures during setup and teardown.
    failed: list[str] = field(default_factory=list)
    #: Other errors, as clauses.
    wrong: list[str] = field(default_factory=list)

    def refusal(self) -> str:
        """Why failed tests aren't retried; "" if they are."""
        if self.wrong:
            return "; ".join(self.wrong)
        if self.status != pytest.ExitCode.TESTS_FAILED or not self.failed:
            return f"pytest ended with {self.status}"
        return f"more than {MAX_FAILED} failed" if len(self.failed) > MAX_FAILED else ""


class Recorder:
    """A plugin that records the outcome of the run; with xdist, in the controlling process."""

    def __init__(self) -> None:
        self.outcome = Outcome()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Record a failure."""
        if report.failed and report.nodeid not in self.outcome.failed:
            self.outcome.failed.append(report.nodeid)
        if report.skipped and not hasattr(report, "wasxfail"):
            self._add(f"{report.nodeid} was skipped")

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Record a file that could not be imported, or was skipped."""
        if not report.passed:
            self._add(f"{report.nodeid} was not collected")

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object | None) -> None:
        """Record a crashed worker, also if it crashed between two tests."""
        if error:
            self._add(f"the worker {node.gateway.id} died")

    def _add(self, clause: str) -> None:
        if clause not in self.outcome.wrong:
            self.outcome.wrong.append(clause)


def run(arguments: list[str]) -> Outcome:
    """Run pytest in this process."""
    recorder = Recorder()
    status = int(pytest.main(arguments, plugins=[recorder]))
    outcome = recorder.outcome
    outcome.status = status or int(bool(outcome.failed or outcome.wrong))
    return outcome


def first(kept: Path, arguments: list[str]) -> int:
    """Run the tests and store the outcome."""
    outcome = run(arguments)
    kept.write_text(json.dumps(asdict(outcome)))
    return outcome.status


def again(kept: Path, arguments: list[str]) -> int:
    """Run failed tests once more, if allowed; tests that now pass are listed and don't fail the run."""
    if not kept.exists():
        print("\nNo second try: pytest was ended before its end.")
        return 1
    before = Outcome(**json.loads(kept.read_text()))
    if before.status == 0:
        return 0
    if why := before.refusal():
        print(f"\nNo second try: {why}.")
        return before.status
    print(f"\n== second try: {len(before.failed)} of the tests failed and are run again, alone", flush=True)
    after = run([*arguments, *before.failed])
    unsteady = [name for name in before.failed if name not in after.failed] if after.status in (0, 1) else []
    print()
    for name in unsteady if not after.wrong else []:
        print(f"Unsteady: passed only when run alone: {name}")
    for name in after.failed:
        print(f"Failed twice: {name}")
    for clause in after.wrong:
        print(f"Second try: {clause}.")
    return after.status


if __name__ == "__main__":
    sys.path[0] = os.getcwd()  # as with `python -m pytest`
    how, file, *rest = sys.argv[1:]
    sys.exit({"first": first, "again": again}[how](Path(file), rest))
