"""A double of Twilio with faults: it refuses, fails, stalls, repeats reports in any order, and keeps count."""

from __future__ import annotations

import http.client
import json
import random
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from twilio.request_validator import RequestValidator

SID, TOKEN, SENDER = "AC" + "0" * 32, "bench-token", "+14155550100"
#: The response to a request, with its probability in percent; all others are accepted and answered correctly.
SHARES = {
    "busy": 10,  # 429 with Retry-After
    "broken": 8,  # a bare 500: nobody knows whether it was accepted
    "broken, told": 2,  # 500 with an error code of Twilio
    "away": 3,  # 503
    "slow": 4,  # accepted, answered after 3 s
    "late": 1,  # accepted, answered after the client's timeout
    "dropped": 3,  # accepted, then disconnected
    "half": 2,  # accepted, half a response
    "garbled": 1,  # accepted, 200 with the page of a proxy
    "refused": 2,  # 400: no such number
}
_TAKEN = {"slow", "late", "dropped", "half", "garbled", ""}
#: Seconds for which a report is repeated until it is accepted.
REPORT_SECONDS = 120.0
_NUMBER = re.compile(r'statusCallback="([^"]+)"[^>]*>([^<]+)<')
_ACTION = re.compile(r'action="([^"]+)"')


@dataclass
class Double:
    """The requests it received, the messages it accepted, and the reports it sent."""

    port: int = 0
    #: No faults from now on.
    is_calm: bool = False
    dice: random.Random = field(default_factory=lambda: random.Random(12))
    lock: threading.Lock = field(default_factory=threading.Lock)
    faults: Counter[str] = field(default_factory=Counter)
    #: sid -> the accepted message: sid, to, body, created, status.
    messages: dict[str, dict[str, Any]] = field(default_factory=dict)
    #: Key of the call -> how often it was dialed.
    calls: Counter[str] = field(default_factory=Counter)
    #: sid -> the latest reported state, once its report was accepted with 2xx.
    reported: dict[str, str] = field(default_factory=dict)
    #: Status of each answer to a report; 0 = none.
    answers: Counter[int] = field(default_factory=Counter)
    is_over: bool = False
    reports: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(24))

    @property
    def url(self) -> str:
        """TWILIO_BASE_URL."""
        return f"http://127.0.0.1:{self.port}"

    def fate(self) -> str:
        """The response to the next request, a key of SHARES."""
        with self.lock:
            thrown, sum_ = self.dice.uniform(0, 100), 0
            for name, share in SHARES.items():
                sum_ += share
                if thrown < sum_ and not self.is_calm:
                    self.faults[name] += 1
                    return name
            self.faults[""] += 1
            return ""

    def take_message(self, form: Mapping[str, str]) -> dict[str, Any]:
        """Accept a message and start its way to the customer."""
        with self.lock:
            sid = f"SM{len(self.messages) + 1:032x}"
            made = self.messages[sid] = {"sid": sid, "to": form["To"], "body": form.get("Body", ""), "status": "queued"}
            made["date_created"] = format_datetime(datetime.now(UTC))
            end = self.dice.choices(["delivered", "read", "undelivered", "sent"], [80, 8, 7, 5])[0]
            order = ["sent", end] if end != "sent" else ["sent"]
            if self.dice.random() < 0.3:
                order.reverse()
            order += [order[0]] if self.dice.random() < 0.2 else []
        answer, made["status"] = {**made}, end  # reported as queued, whatever its later state
        if url := form.get("StatusCallback"):
            for n, status in enumerate(order):
                said = {"MessageSid": sid, "MessageStatus": status, "To": form["To"], "From": SENDER}
                said |= {"ErrorCode": "30003"} if status == "undelivered" else {}
                self.reports.submit(self._report, url, said, 0.3 * n, (sid, status) if status == end else None)
        return answer

    def take_call(self, form: Mapping[str, str]) -> dict[str, Any]:
        """Accept a call that rings the person, then the customer, and ends."""
        url, twiml = form["StatusCallback"], form["Twiml"].replace("&amp;", "&")
        key = parse_qs(urlsplit(url).query)["key"][0]
        with self.lock:
            self.calls[key] += 1
            sid = f"CA{sum(self.calls.values()):032x}"
        found, action = _NUMBER.search(twiml), _ACTION.search(twiml)
        own = {"CallSid": sid, "To": form["To"], "From": form["From"], "Direction": "outbound-api"}
        steps = [(url, own | {"CallStatus": state}) for state in ("ringing", "in-progress", "completed")]
        if found:
            theirs = {"CallSid": f"{sid[:-1]}f", "ParentCallSid": sid, "To": found[2], "From": form["From"]}
            theirs["Direction"] = "outbound-dial"
            for state, more in (("ringing", {}), ("in-progress", {}), ("completed", {"CallDuration": "7"})):
                steps.append((found[1], theirs | {"CallStatus": state} | more))
        if action:
            steps.append((action[1], own | {"DialCallStatus": "completed", "DialCallDuration": "7"}))
        self.dice.shuffle(steps)
        for n, (where, said) in enumerate(steps + steps[:2]):
            self.reports.submit(self._report, where, said, 0.1 * n, None)
        return {"sid": sid, "to": form["To"], "status": "queued"}

    def _report(self, url: str, said: dict[str, str], wait: float, known: tuple[str, str] | None) -> None:
        time.sleep(wait)
        if self.post(url, {"AccountSid": SID, **said}) and known:
            self.reported[known[0]] = known[1]

    def post(self, url: str, form: dict[str, str]) -> bool:
        """Send a report until the product accepts it. Returns whether it has."""
        parts, ends = urlsplit(url), time.monotonic() + REPORT_SECONDS
        signature = RequestValidator(TOKEN).compute_signature(url, form)
        headers = {"X-Twilio-Signature": signature, "Content-Type": "application/x-www-form-urlencoded"}
        while time.monotonic() < ends and not self.is_over:
            status = 0
            line = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=15)
            with suppress(OSError, http.client.HTTPException):
                line.request(
                    "POST", f"{parts.path}?{parts.query}" if parts.query else parts.path, urlencode(form), headers
                )
                status = line.getresponse().status
            line.close()
            self.answers[status] += 1
            if 200 <= status < 300:
                return True
            time.sleep(1)
        return False


class _Handler(BaseHTTPRequestHandler):
    double: Double

    def do_POST(self) -> None:
        """Accept a message or a call."""
        raw = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        form = {name: values[0] for name, values in parse_qs(raw).items()}
        fate, is_call = self.double.fate(), self.path.endswith("/Calls.json")
        made = None
        if fate in _TAKEN:
            made = self.double.take_call(form) if is_call else self.double.take_message(form)
        with suppress(OSError):
            self._answer(fate, made)

    def _answer(self, fate: str, made: dict[str, Any] | None) -> None:
        if fate in ("slow", "late"):
            time.sleep(3 if fate == "slow" else 20)
        if fate in ("dropped", "half"):
            if fate == "half":
                self.wfile.write(b'HTTP/1.0 201 Created\r\nContent-Length: 900\r\n\r\n{"sid": "SM')
            self.close_connection = True
            return
        refusals: dict[str, tuple[int, Any, dict[str, str]]] = {
            "busy": (429, {"code": 20429, "message": "Too many"}, {"Retry-After": "1"}),
            "broken": (500, "<html>Oops</html>", {}),
            "broken, told": (500, {"code": 20500, "message": "Internal"}, {}),
            "away": (503, {"code": 20503, "message": "Away"}, {}),
            "garbled": (200, "<html>Welcome</html>", {}),
            "refused": (400, {"code": 21211, "message": "Invalid 'To'"}, {}),
        }
        status, body, headers = refusals.get(fate, (201, made, {}))
        self._respond(status, body, headers)

    def do_GET(self) -> None:
        """A message by its id, or those to a number."""
        parts = urlsplit(self.path)
        given, name = parse_qs(parts.query), parts.path.rpartition("/")[2].removesuffix(".json")
        with self.double.lock:
            if name == "Messages":
                to = given.get("To", [""])[0]
                found = [_shown(each) for each in reversed(self.double.messages.values()) if each["to"] == to][:50]
                answer: Any = {"messages": found, "page": 0, "page_size": 50, "next_page_uri": None}
            else:
                kept = self.double.messages.get(name)
                answer = _shown(kept) if kept else None
        self._respond(200 if answer else 404, answer or {"code": 20404, "message": "None", "status": 404}, {})

    def _respond(self, status: int, body: Any, headers: dict[str, str]) -> None:
        data = (body if isinstance(body, str) else json.dumps(body)).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), "Content-Type": "application/json", **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing."""


def _shown(message: dict[str, Any]) -> dict[str, Any]:
    return {**message, "direction": "outbound-api", "from": SENDER, "account_sid": SID, "error_code": None}


@contextmanager
def running() -> Iterator[Double]:
    """A running double."""
    made = Double()

    class Handler(_Handler):
        double = made

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads, server.request_queue_size = True, 128
    made.port = server.server_address[1]
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield made
    finally:
        made.is_over = True
        made.reports.shutdown(wait=False, cancel_futures=True)
        server.shutdown()
        server.server_close()
