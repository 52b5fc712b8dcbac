"""Processes that serve no requests: the queue's workers and the scheduler, under one parent."""

from __future__ import annotations

import signal
import threading

from flask import Flask

from app.cli import end_child, worker_group
from app.job_scheduler import Scheduler
from app.ops.database import connections
from app.ops.queues.worker_group import ChildFunction, WorkerGroup


def process_group(app: Flask, schedule: Scheduler | None) -> WorkerGroup:
    """The processes that CRM_ROLE asks for beside those that serve requests; needs an app context.

    All are forked from one application, so that they share its memory.
    """
    connections.limit_background_waits()
    functions: list[ChildFunction] = [lambda: _run_schedule(schedule)] if schedule is not None else []
    if app.config["CRM"].run_workers:
        return worker_group(app, (), functions)
    return WorkerGroup(functions, lambda: end_child(app))


def _run_schedule(schedule: Scheduler) -> None:
    """Run the jobs, whenever this process is the leader, until SIGTERM."""
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    schedule.start()
    stopped.wait()
    schedule.stop()
