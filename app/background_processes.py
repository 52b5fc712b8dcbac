"""Processes that serve no requests: the queue's workers and the scheduler, under one parent."""

from __future__ import annotations

import signal
import threading
import time

from flask import Flask

from app.cli import end_child, worker_group
from app.job_scheduler import Scheduler
from app.ops.database import connections
from app.ops.monitoring import machine_resources
from app.ops.processes.heartbeat import HEARTBEAT_SECONDS, Heartbeat
from app.ops.queues.idle_children import EndedIdle
from app.ops.queues.worker_group import ChildFunction, WorkerGroup

#: A process of the schedule that has grown by so many bytes is replaced, once it has run for so long. The jobs of every
#: minute make it grow by 8 MB, those of a first start or of a night by 14 and more.
GROWTH_BYTES, REPLACED_AFTER_SECONDS = 12_000_000, 120.0


def process_group(app: Flask, schedule: Scheduler | None) -> WorkerGroup:
    """The processes that CRM_ROLE asks for beside those that serve requests; needs an app context.

    All are forked from one application, so that they share its memory.
    """
    connections.limit_background_waits()
    heartbeats = _schedule_with_heartbeat(schedule) if schedule is not None else {}
    if app.config["CRM"].run_workers:
        return worker_group(app, (), heartbeats)
    return WorkerGroup([*heartbeats], lambda: end_child(app), heartbeats=heartbeats)


def _schedule_with_heartbeat(schedule: Scheduler) -> dict[ChildFunction, Heartbeat]:
    heartbeat = Heartbeat()
    return {lambda: _run_schedule(schedule, heartbeat): heartbeat}


def _run_schedule(schedule: Scheduler, heartbeat: Heartbeat) -> None:
    """Run the jobs, whenever this process is the leader, until SIGTERM, or until it is to be replaced.

    A job that runs once a day leaves behind what it has loaded, so this process ends some time after it has grown, when
    no job runs. Its parent starts another one, which leads from its first look on. It also does if this process hangs:
    no other may be there to become the leader. Raises EndedIdle if it is needed only for the jobs of the next minute.
    """
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    before, earliest = machine_resources.own_memory(), time.monotonic() + REPLACED_AFTER_SECONDS
    schedule.start(goes_on=heartbeat.has_rested)
    pause = None
    while pause is None and not stopped.wait(HEARTBEAT_SECONDS):
        if not schedule.hangs:
            heartbeat.beat()
        has_grown = machine_resources.own_memory() - before > GROWTH_BYTES
        if has_grown and time.monotonic() >= earliest and schedule.retire():
            heartbeat.rest(0.0)
            break
        pause = schedule.pause()
    if pause is not None:
        heartbeat.rest(pause)  # before the stop, which takes seconds if the database is slow
    schedule.stop()
    if pause is not None:
        raise EndedIdle
