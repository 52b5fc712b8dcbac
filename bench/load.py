"""Sends load: requests for some seconds over some connections, by wrk or, where it is missing, by Python threads."""

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
class Request:
    """One request."""

    method: str
    path: str
    headers: dict[str, str] = field(default_factory=dict)
    body: str = ""

    def line(self) -> str:
        """The format that wrk.lua reads."""
        headers = "|".join(f"{name}: {value}" for name, value in self.headers.items())
        return f"{self.method}\t{self.path}\t{headers}\t{self.body}"


@dataclass(frozen=True)
class Measurement:
    """The result; times in milliseconds."""

    requests: int
    seconds: float
    p50: float
    p95: float
    p99: float
    errors: int

    @property
    def rate(self) -> float:
        """Requests per second."""
        return self.requests / self.seconds if self.seconds else 0.0


class NoAnswer(RuntimeError):
    """Nothing listens at the port. The message is the output of wrk."""


def has_wrk() -> bool:
    """Whether wrk is installed."""
    return shutil.which("wrk") is not None


def send_load(port: int, requests: Sequence[Request], connections: int, seconds: float) -> Measurement:
    """Send the requests in turn over this many connections at once, for this many seconds."""
    if not has_wrk():
        return run_threads(lambda n: _send_once(port, requests[n % len(requests)]), connections, seconds)
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as file:
        file.write("\n".join(request.line() for request in requests) + "\n")
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
        raise NoAnswer(" ".join(f"{done.stdout} {done.stderr}".split()))
    return Measurement(**json.loads(found[0].removeprefix("BENCH ")))


def _send_once(port: int, request: Request) -> bool:
    with Browser(port) as browser:
        return browser.send(request)[0] < 400


class Browser:
    """A minimal browser: one connection with its cookies."""

    def __init__(self, port: int, address: str = "127.0.0.1") -> None:
        """`address` is the loopback address that it comes from: sign-ins are limited by address."""
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60, source_address=(address, 0))
        self.cookies: dict[str, str] = {}

    def send(self, request: Request) -> tuple[int, dict[str, str], str]:
        """Returns status, headers with lower-case names, and body."""
        headers = dict(request.headers)
        if self.cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        self.connection.request(request.method, request.path, request.body.encode() or None, headers)
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


def run_threads(act: Callable[[int], bool], threads: int, seconds: float) -> Measurement:
    """Call `act(n)` with n = 0, 1, 2 … from this many threads; `act` returns whether it succeeded."""
    times: list[float] = []
    lock, begun = threading.Lock(), time.monotonic()
    state = {"n": 0, "errors": 0}

    def work() -> None:
        while time.monotonic() - begun < seconds:
            with lock:
                n, state["n"] = state["n"], state["n"] + 1
            start = time.perf_counter()
            succeeded = act(n)
            spent = (time.perf_counter() - start) * 1000
            with lock:
                times.append(spent)
                state["errors"] += not succeeded

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    times.sort()
    p50, p95, p99 = (times[min(len(times) - 1, int(len(times) * share))] for share in (0.5, 0.95, 0.99))
    return Measurement(len(times), time.monotonic() - begun, p50, p95, p99, state["errors"])
