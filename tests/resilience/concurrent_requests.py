"""Load on a real server: many requests at the same moment, by API key."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

#: Who waits longer than this is told that nobody answers.
PATIENCE_SECONDS = 60.0
T = TypeVar("T")


@dataclass(frozen=True)
class Reply:
    """What came back; status 0 = no answer at all."""

    status: int
    body: Any
    #: From the question to the end of the answer.
    seconds: float = 0.0

    @property
    def sentence(self) -> str:
        """What a person is told."""
        return str(self.body.get("message", "")) if isinstance(self.body, dict) else ""


def ask(port: int, who: str, method: str, path: str, body: Any = None, **headers: str) -> Reply:
    """One request on a connection of its own, by the API key of this person ("" = without a key)."""
    began, line = time.monotonic(), http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)
    sent = {"Content-Type": "application/json"} | {name.replace("_", "-"): text for name, text in headers.items()}
    sent |= {"Authorization": f"token key{who}:secret-{who}"} if who else {}
    try:
        line.request(method, path, body if body is None or isinstance(body, str) else json.dumps(body), sent)
        answer = line.getresponse()
        raw = answer.read()
    except (OSError, http.client.HTTPException) as error:
        return Reply(0, {"message": f"{method} {path}: {error!r}"}, time.monotonic() - began)
    finally:
        line.close()
    return Reply(answer.status, _read(raw, answer.headers.get_content_type()), time.monotonic() - began)


def _read(raw: bytes, kind: str) -> Any:
    return json.loads(raw) if kind == "application/json" else raw.decode("utf-8", "replace")


def at_once(acts: Sequence[Callable[[], T]]) -> list[T]:
    """What each answers; they begin together."""
    barrier = threading.Barrier(len(acts))

    def act(each: Callable[[], T]) -> T:
        barrier.wait()
        return each()

    with ThreadPoolExecutor(len(acts)) as threads:
        return list(threads.map(act, acts))
