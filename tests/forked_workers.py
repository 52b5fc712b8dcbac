"""Runs the tests in workers that are forked when all tests are collected: `pytest --forks auto`.

To import the product and collect all tests takes longer than any test, and each worker of pytest-xdist does it anew;
these share what was collected, and its memory. A worker takes one group of tests after the other: tests/work_order.py.
It sends what became of each test to the leader, the process that was started, which reports it.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import itertools
import os
import random
import signal
import sys
import traceback
import warnings
from dataclasses import dataclass, field
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from typing import Any, NoReturn

import pytest

from tests.work_order import MAX_WAITING, MAX_WORKERS, WorkOrder

#: From Linux' <sys/prctl.h>
PR_SET_PDEATHSIG = 1
#: How a report says that there is none of the test itself: its worker has died.
DIED = "the worker died"


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--forks`."""
    parser.addoption("--forks", metavar="N", help="run the tests in N forked workers; auto: as fit this machine")


def number_of(wish: str) -> int:
    """How many workers there are."""
    return min((os.cpu_count() or 1) + MAX_WAITING, MAX_WORKERS) if wish == "auto" else int(wish)


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """Run the tests, unless they are only listed or collecting them failed, which is reported as ever."""
    options = session.config.option
    if not options.forks or options.collectonly or session.testsfailed:
        return None
    leader = Leader(session)
    try:
        leader.run(number_of(options.forks))
    finally:
        leader.end()
    if session.shouldfail:
        raise session.Failed(session.shouldfail)
    if session.shouldstop:
        raise session.Interrupted(session.shouldstop)
    return True


@dataclass(eq=False)
class Worker:
    """A worker, as the leader knows it."""

    name: str
    pid: int
    line: Connection
    #: Becomes readable when the process ends.
    end: int
    #: Group -> the numbers of its tests that have not run.
    groups: dict[str, list[int]] = field(default_factory=dict)
    #: The test that runs, and the last one that has.
    running: int | None = None
    last: int = 0
    #: Why it stopped by itself, as a traceback.
    failure: str = ""
    has_finished: bool = False


class Leader:
    """Hands the tests to workers and reports what becomes of them."""

    def __init__(self, session: pytest.Session) -> None:
        self.session, self.hook = session, session.config.hook
        self._order = WorkOrder(item.nodeid for item in session.items)
        self._workers: list[Worker] = []
        self._hired = 0

    def run(self, count: int) -> None:
        """Run all tests in so many workers."""
        while self._workers or len(self._order):
            while len(self._workers) < min(count, len(self._order) + len(self._workers)) and not self._is_over():
                self._hire()
            ready = wait([each for worker in self._workers for each in (worker.line, worker.end)])
            for worker in [*self._workers]:
                if worker.line in ready or worker.end in ready:
                    self._attend(worker)
            if self._is_over():
                return

    def _is_over(self) -> bool:
        return bool(self.session.shouldfail or self.session.shouldstop)

    def end(self) -> None:
        """End the workers that are still there."""
        for worker in self._workers:
            os.kill(worker.pid, signal.SIGKILL)
            self._bury(worker)
        self._workers.clear()

    def _hire(self) -> None:
        """Fork a worker."""
        ours, theirs = Pipe()
        name = f"w{self._hired}"
        self._hired += 1
        base = self.session.config._tmp_path_factory.getbasetemp()  # type: ignore[attr-defined]
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            ours.close()
            for each in self._workers:
                each.line.close()
                os.close(each.end)
            Work(self.session, theirs).begin(name, base / name)
        theirs.close()
        self._workers.append(Worker(name, pid, ours, os.pidfd_open(pid)))

    def _attend(self, worker: Worker) -> None:
        """Hear what a worker says, or that it has ended."""
        try:
            if worker.line.poll():
                kind, *told = worker.line.recv()
                getattr(self, f"_on_{kind}")(worker, *told)
                return
        except (EOFError, ConnectionResetError):
            pass
        if not wait([worker.end], 60):  # it hung up, and does not end
            os.kill(worker.pid, signal.SIGKILL)
        self._workers.remove(worker)
        status = self._bury(worker)
        if not worker.has_finished:
            self._report_death(worker, status)

    @staticmethod
    def _bury(worker: Worker) -> int:
        """Its exit status, negative for a signal."""
        status = os.waitstatus_to_exitcode(os.waitpid(worker.pid, 0)[1])
        worker.line.close()
        os.close(worker.end)
        return status

    # What a worker says

    def _on_wants(self, worker: Worker) -> None:
        others = (each.groups for each in self._workers if each is not worker)
        if found := self._order.take(others):
            worker.groups[found[0]] = list(found[1])
        worker.line.send(found and found[1])

    def _on_begins(self, worker: Worker, number: int) -> None:
        worker.running = number

    def _on_ran(self, worker: Worker, number: int, reports: list[dict[str, Any]]) -> None:
        self._strike_off(worker, number)
        config, item = self.session.config, self.session.items[number]
        for data in reports:
            report = self.hook.pytest_report_from_serializable(config=config, data=data)
            self.hook.pytest_runtest_logreport(report=report)
        self.hook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)

    def _on_warned(self, worker: Worker, text: str, file: str, line: int, nodeid: str) -> None:
        told = warnings.WarningMessage(UserWarning(text), UserWarning, file, line)
        more = {"when": "runtest", "nodeid": nodeid, "location": None}
        self.hook.pytest_warning_recorded.call_historic(kwargs={"warning_message": told, **more})

    def _on_failed(self, worker: Worker, why: str) -> None:
        worker.failure = why

    def _on_finished(self, worker: Worker) -> None:
        worker.has_finished = True

    @staticmethod
    def _strike_off(worker: Worker, number: int) -> None:
        worker.running, worker.last = None, number
        for group, numbers in [*worker.groups.items()]:
            if number in numbers:
                numbers.remove(number)
            if not numbers:
                del worker.groups[group]

    def _report_death(self, worker: Worker, status: int) -> None:
        """Report the test that ran, or else the next one, as failed; the others go to another worker."""
        waiting = [number for numbers in worker.groups.values() for number in numbers]
        lost = worker.running if worker.running is not None else next(iter(waiting), worker.last)
        self._strike_off(worker, lost)
        for group, numbers in reversed(worker.groups.items()):
            self._order.put_back(group, numbers)
        item = self.session.items[lost]
        why = f"{DIED}: {worker.name} ended with status {status}.\n{worker.failure}"
        report = pytest.TestReport(
            *(item.nodeid, item.location, {}, "failed", why, "call"), user_properties=[(DIED, worker.name)]
        )
        self.hook.pytest_runtest_logreport(report=report)


class Work:
    """In a worker: what it does."""

    def __init__(self, session: pytest.Session, line: Connection) -> None:
        self.session, self.line = session, line
        self._reports: list[dict[str, Any]] = []
        self._is_settled = False

    def begin(self, name: str, folder: Any) -> NoReturn:
        """Become a worker, run what there is, and end the process."""
        status = 1
        try:
            self._settle(name, folder)
            self._run_all()
            self.session._setupstate.teardown_exact(None)
            self.line.send(("finished",))
            status = 0
        except KeyboardInterrupt:
            status = 130  # the leader hears of it too
        except BaseException:  # noqa: BLE001  # whatever it is, the leader is told
            with contextlib.suppress(OSError):
                self.line.send(("failed", traceback.format_exc()))
        finally:
            with contextlib.suppress(BaseException):
                atexit._run_exitfuncs()
            os._exit(status)

    def _settle(self, name: str, folder: Any) -> None:
        """End with the leader; have an own temporary folder, own captured output and own chance."""
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        atexit._clear()
        random.seed()
        config: Any = self.session.config
        config.workerinput = {"workerid": name}
        folder.mkdir(mode=0o700)
        config._tmp_path_factory._basetemp = folder
        config._tmp_path_factory._next_number.clear()
        plugins = config.pluginmanager
        plugins.get_plugin("terminalreporter")._tw._file = open(os.devnull, "w")  # noqa: SIM115  # to the end
        capture = plugins.get_plugin("capturemanager")
        capture.stop_global_capturing()  # its files are those of the leader
        capture.start_global_capturing()
        capture.suspend_global_capture()
        plugins.register(self, "forked worker")
        self._is_settled = True

    def _run_all(self) -> None:
        numbers = self._next_group()
        while numbers:
            for number, following in itertools.pairwise(numbers):
                self._run(number, following)
            upcoming = self._next_group()  # before the last test, which ends what the tests after it do not need
            self._run(numbers[-1], upcoming[0] if upcoming else None)
            numbers = upcoming

    def _next_group(self) -> list[int]:
        self.line.send(("wants",))
        return self.line.recv() or []

    def _run(self, number: int, following: int | None) -> None:
        if self.session.shouldfail or self.session.shouldstop:
            return
        items = self.session.items
        self.line.send(("begins", number))
        after = None if following is None else items[following]
        self.session.config.hook.pytest_runtest_protocol(item=items[number], nextitem=after)
        self.line.send(("ran", number, self._reports))
        self._reports = []

    # As a plugin of pytest

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep it for the leader."""
        config = self.session.config
        self._reports.append(config.hook.pytest_report_to_serializable(config=config, report=report))

    def pytest_warning_recorded(self, warning_message: warnings.WarningMessage, nodeid: str) -> None:
        """Tell the leader, as text: not every warning can be sent. Of those before the fork it knows."""
        if not self._is_settled:
            return
        text = f"{warning_message.category.__name__}: {warning_message.message}"
        self.line.send(("warned", text, warning_message.filename, warning_message.lineno, nodeid))
