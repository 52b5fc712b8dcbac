"""Runs tests, and runs those that failed once more, alone: one that then passes was disturbed by what ran beside it.

    python scripts/rerun_failed.py first FILE [arguments of pytest]   runs pytest and notes in FILE what failed
    python scripts/rerun_failed.py again FILE [arguments of pytest]   gives these tests a second try

Only a few tests get one (MAX_FAILED), and only if nothing else was wrong: a worker of xdist that died, a file that
could not be imported and a skipped test fail the run. Both end with pytest's exit status; `again` with 0 if all that
failed has passed, which it then lists.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pytest

#: More failures than these are no bad luck.
MAX_FAILED = 8


@dataclass
class Outcome:
    """What became of a run."""

    #: Pytest's exit status; 1 at least if `wrong` says anything.
    status: int = 0
    #: Ids of the tests of which something failed, also while they were set up or torn down.
    failed: list[str] = field(default_factory=list)
    #: What else was wrong, as clauses.
    wrong: list[str] = field(default_factory=list)

    def refusal(self) -> str:
        """Why the tests that failed get no second try; "" if they get one."""
        if self.wrong:
            return "; ".join(self.wrong)
        if self.status != pytest.ExitCode.TESTS_FAILED or not self.failed:
            return f"pytest ended with {self.status}"
        return f"more than {MAX_FAILED} failed" if len(self.failed) > MAX_FAILED else ""


class Recorder:
    """A plugin that notes what becomes of the run; with xdist, in the process that leads it."""

    def __init__(self) -> None:
        self.outcome = Outcome()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note a failure."""
        if report.failed and report.nodeid not in self.outcome.failed:
            self.outcome.failed.append(report.nodeid)
        if report.skipped and not hasattr(report, "wasxfail"):
            self._add(f"{report.nodeid} was skipped")

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note a file that could not be read, or was skipped."""
        if not report.passed:
            self._add(f"{report.nodeid} was not collected")

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object | None) -> None:
        """Note a worker that died, also if it did so between two tests."""
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
    """Run the tests and keep the outcome."""
    outcome = run(arguments)
    kept.write_text(json.dumps(asdict(outcome)))
    return outcome.status


def again(kept: Path, arguments: list[str]) -> int:
    """Run what failed once more, if it may be; what passes now is listed and fails nothing."""
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
    sys.path[0] = os.getcwd()  # as `python -m pytest` has it
    how, file, *rest = sys.argv[1:]
    sys.exit({"first": first, "again": again}[how](Path(file), rest))
