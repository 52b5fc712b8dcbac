"""Load: requests sent for some seconds over some connections, by wrk, or by Python threads where there is no wrk."""

from __future__ import annotations

import http.client
import json
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

LUA = Path(__file__).with_name("wrk.lua")


@dataclass(frozen=True)
class Ask:
    """One request."""

    method: str
    path: str
    headers: dict[str, str] = field(default_factory=dict)
    body: str = ""

    def line(self) -> str:
        """As wrk.lua reads it."""
        headers = "|".join(f"{name}: {value}" for name, value in self.headers.items())
        return f"{self.method}\t{self.path}\t{headers}\t{self.body}"


@dataclass(frozen=True)
class Figures:
    """What came of it; times in milliseconds."""

    requests: int
    seconds: float
    p50: float
    p95: float
    p99: float
    errors: int

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.requests / self.seconds if self.seconds else 0.0


class NothingAnswers(RuntimeError):
    """Nobody listens there; the message is what wrk said."""


def has_wrk() -> bool:
    """Whether wrk is installed."""
    return shutil.which("wrk") is not None


def fire(port: int, asks: Sequence[Ask], connections: int, seconds: float) -> Figures:
    """Send the requests in turn over so many connections at once, for so long."""
    if not has_wrk():
        return hammer(lambda n: _visited(port, asks[n % len(asks)]), connections, seconds)
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as file:
        file.write("\n".join(ask.line() for ask in asks) + "\n")
        file.flush()
        command = [
            "wrk",
            "-t1",
            f"-c{connections}",
            f"-d{max(1, round(seconds))}s",
            "--timeout",
            "30s",
            "-s",
            str(LUA),
            f"http://127.0.0.1:{port}",
            "--",
            file.name,
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = [line for line in done.stdout.splitlines() if line.startswith("BENCH ")]
    if not found:
        raise NothingAnswers(" ".join(f"{done.stdout} {done.stderr}".split()))
    return Figures(**json.loads(found[0].removeprefix("BENCH ")))


def _visited(port: int, ask: Ask) -> bool:
    with Visit(port) as visit:
        return visit.send(ask)[0] < 400


class Visit:
    """A browser of few words: one connection, its cookies."""

    def __init__(self, port: int, address: str = "127.0.0.1") -> None:
        """`address` of loopback from which it comes: sign-ins are limited by address."""
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60, source_address=(address, 0))
        self.cookies: dict[str, str] = {}

    def send(self, ask: Ask) -> tuple[int, dict[str, str], str]:
        """Status, headers in lower case, and body of the answer."""
        headers = dict(ask.headers)
        if self.cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        self.connection.request(ask.method, ask.path, ask.body.encode() or None, headers)
        answer = self.connection.getresponse()
        body = answer.read().decode("utf-8", "replace")
        for cookie in answer.headers.get_all("Set-Cookie") or []:
            name, _, value = cookie.partition(";")[0].partition("=")
            self.cookies[name.strip()] = value
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, body

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()


def hammer(act: Callable[[int], bool], threads: int, seconds: float) -> Figures:
    """Call act(n) from so many threads, n counting up; act answers whether it went well."""
    times: list[float] = []
    lock, begun = threading.Lock(), time.monotonic()
    state = {"n": 0, "errors": 0}

    def work() -> None:
        while time.monotonic() - begun < seconds:
            with lock:
                n, state["n"] = state["n"], state["n"] + 1
            start = time.perf_counter()
            fine = act(n)
            spent = (time.perf_counter() - start) * 1000
            with lock:
                times.append(spent)
                state["errors"] += not fine

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    times.sort()
    at = [times[min(len(times) - 1, int(len(times) * share))] for share in (0.5, 0.95, 0.99)]
    return Figures(len(times), time.monotonic() - begun, *at, state["errors"])
