"""Metrics for Prometheus: counters shared by all processes of this server through files, and gauges read on request.

prometheus_client adds up the files of all processes (its multi-process mode), including ended ones. Nothing is counted
before `prepare`: commands and tests have no metrics.
"""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

log = logging.getLogger("crm.health")

#: Upper bounds of response times, in seconds. 0.2 is the threshold.
BUCKETS = (0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 2.5, 5.0, 15.0)
#: Room for the counters of a process: some 300 of them, 150 bytes each, are a fifth of it.
FILE_BYTES = 256 * 1024
#: After how many seconds counting is tried again when the disk was full.
RETRY_SECONDS = 60.0
_FILE = re.compile(r"[a-z_]{1,40}_(\d{1,10})\.db")


@dataclass
class _State:
    folder: Path | None = None
    seconds: Any = None
    #: The process whose file has its room on the disk; a fork needs one of its own.
    reserved_for: int = 0
    #: When counting is tried again after it failed, by the monotonic clock.
    next_try: float = 0.0


@dataclass(frozen=True)
class Gauge:
    """One value, read on request."""

    name: str
    description: str
    value: float
    labels: dict[str, str] = field(default_factory=dict)


_state = _State()


def prepare(instance: Path, server: str) -> None:
    """Start counting, in files in the instance folder. Call it before the fork, which then shares what is loaded.

    Files of ended processes are removed; Prometheus sees counters that begin anew, as after any restart.
    """
    folder = instance / "metrics" / server
    folder.mkdir(parents=True, exist_ok=True)
    for file in folder.glob("*.db"):
        found = _FILE.fullmatch(file.name)
        if found and not Path(f"/proc/{found[1]}").exists():
            with suppress(OSError):
                file.unlink()
    # On import, prometheus_client reads from the environment whether there are several processes.
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
    from prometheus_client import CollectorRegistry, Histogram

    if _state.seconds is None:
        _state.seconds = Histogram(
            "crm_request_seconds",
            "Time to answer a request, by kind of endpoint and class of the status.",
            ["kind", "status"],
            registry=CollectorRegistry(auto_describe=False),
            buckets=BUCKETS,
        )
    _state.folder = folder


def observe(kind: str, status: int, seconds: float) -> None:
    """Count a completed request. Never raises: a full disk must not fail a request."""
    if _state.folder is None or (_state.next_try and time.monotonic() < _state.next_try):
        return
    try:
        if _state.reserved_for != os.getpid():
            _reserve(_state.folder)
        _state.seconds.labels(kind, f"{status // 100}xx").observe(seconds)
        _state.next_try = 0.0
    except (OSError, ValueError) as error:
        _state.next_try = time.monotonic() + RETRY_SECONDS
        log.error("requests are not counted for /metrics: %s", error)


def _reserve(folder: Path) -> None:
    """Take the room of this process's file on the disk. Raises OSError.

    prometheus_client maps a file with holes into memory. To write where the disk has no room for it ends the process.
    """
    file = folder / f"histogram_{os.getpid()}.db"
    try:
        with file.open("ab") as made:
            os.posix_fallocate(made.fileno(), 0, FILE_BYTES)
    except OSError:
        file.unlink(missing_ok=True)
        raise
    _state.reserved_for = os.getpid()


def exposition(gauges: Iterable[Gauge]) -> bytes:
    """All metrics in Prometheus' text format."""
    from prometheus_client import CollectorRegistry, generate_latest
    from prometheus_client.multiprocess import MultiProcessCollector

    registry = CollectorRegistry()
    if _state.folder is not None:
        MultiProcessCollector(registry, str(_state.folder))  # type: ignore[no-untyped-call]
    registry.register(_Gauges(gauges))
    return bytes(generate_latest(registry))


class _Gauges:
    """A collector of known values."""

    def __init__(self, gauges: Iterable[Gauge]) -> None:
        self._gauges = list(gauges)

    def collect(self) -> Iterable[Any]:
        from prometheus_client.core import GaugeMetricFamily

        families: dict[str, Any] = {}
        for each in self._gauges:
            labels = sorted(each.labels)
            family = families.setdefault(each.name, GaugeMetricFamily(each.name, each.description, labels=labels))
            family.add_metric([each.labels[label] for label in labels], each.value)
        return families.values()
