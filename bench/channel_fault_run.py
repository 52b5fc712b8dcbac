"""python -m bench.channel_fault_run [--seconds S]: the channels under load while everything they depend on fails.

Messages, emails, calls and a campaign are sent, and 50 requests a second arrive, while web processes and workers are
killed, Redis and MariaDB are stopped or frozen for ten seconds, and the providers refuse, fail and stall. When the
faults have ended, waits are shortened, and the records are compared: nothing acknowledged is lost, nothing is sent
twice, and every outcome is on a page.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pymysql
from aiosmtpd.controller import Controller
from pymysql.constants import ER

from bench import data_sizes, server, twilio_double
from bench.load import Browser, Request
from bench.measured_versions import key_of, sign_in
from bench.twilio_double import SENDER, SID, TOKEN, Double
from tests.servers import ROOT, Redis, free_port

LEADS, PEOPLE = 4000, 1000
HOOKS, MESSAGES, MAILS = 50.0, 8.0, 2.0  # per second
_MARK = re.compile(r"T[0-9]{6}[a-z]")
_HOOK = re.compile(r"sms: https?://[^/]+(/hooks/sms/\S+)")
_NUMBERED = "SELECT l.id, l.mobile_e164 FROM leads l JOIN ab_user u ON u.id = l.assignee_id WHERE u.username = %s"
_SET_UP = (
    """INSERT INTO business_setting (`key`, value)
        VALUES ('promotional_hours', '"00:00-00:00"'), ('quiet_hours', '"00:00-00:00"')""",
    "UPDATE ab_user SET telephony_number = CONCAT('+9198200', LPAD(id, 5, '0')) WHERE username LIKE 'bench%%'",
)
_WAITING = """SELECT (SELECT COUNT(*) FROM inbound_event WHERE state = 'new') + (SELECT COUNT(*) FROM campaign
    WHERE state = 'running') + (SELECT COUNT(*) FROM call_request WHERE state IN ('queued', 'sending'))"""
#: Counts what is not finished. After the load, waits are shortened: what is due in hours becomes due now.
_OPEN = """SELECT COUNT(*) FROM message WHERE direction = 'out' AND (state IN ('queued', 'sending')
    OR (state = 'unknown' AND asks <= 6))"""
#: Only attempts that no living worker can still be making are aged: a provider call takes at most 15 s, a queued call
#: 60 s.
_SOONER = (
    "UPDATE message SET due_on = UTC_TIMESTAMP(6) - INTERVAL 2 MINUTE WHERE state = 'queued'",
    "UPDATE message SET ask_on = UTC_TIMESTAMP(6) WHERE state = 'unknown' AND asks <= 6",
    "UPDATE message SET began_on = began_on - INTERVAL 10 MINUTE WHERE state = 'sending' AND began_on < "
    "UTC_TIMESTAMP(6) - INTERVAL 90 SECOND",
    "UPDATE inbound_event SET next_try_on = UTC_TIMESTAMP(6) - INTERVAL 2 MINUTE WHERE state = 'new'",
    "UPDATE call_request SET began_on = began_on - INTERVAL 10 MINUTE WHERE state = 'sending' AND began_on < "
    "UTC_TIMESTAMP(6) - INTERVAL 90 SECOND",
)


@dataclass
class MessageCounts:
    """What the load sent and received, by its own count."""

    #: Marker of a message -> the id in its 201 response.
    acknowledged: dict[str, int] = field(default_factory=dict)
    #: Markers of incoming messages that were answered with 2xx.
    taken: set[str] = field(default_factory=set)
    dialed: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    #: Markers of emails that the mail server has accepted, once for each time.
    mails: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


class Post:
    """A mail server that refuses for a time, disconnects after accepting a mail, and stalls."""

    def __init__(self, books: MessageCounts) -> None:
        self.books, self.dice, self.is_calm = books, random.Random(5), False

    async def handle_DATA(self, smtp: Any, _session: Any, envelope: Any) -> str:
        """Count the mail by the marker in its text, unless a fault is due."""
        thrown = 100.0 if self.is_calm else self.dice.uniform(0, 100)
        if thrown < 10:
            return "451 try again later"
        for mark in set(_MARK.findall(envelope.content.decode("utf-8", "replace"))):
            self.books.mails[mark] += 1
        if thrown < 15:
            smtp.transport.abort()
        return "250 taken"


@dataclass
class Installation:
    """The product and its servers."""

    web: server.Product
    database: server.Database
    redis: Redis
    double: Double
    hook: str = ""

    def rows(self, statement: str, *values: Any) -> list[Any]:
        """Query the database as root; repeated if a deadlock with the product ended the statement."""
        while True:
            try:
                return self._rows_once(statement, *values)
            except pymysql.err.OperationalError as broken:
                if broken.args[0] != ER.LOCK_DEADLOCK:
                    raise

    def _rows_once(self, statement: str, *values: Any) -> list[Any]:
        with contextlib.closing(self.database.connect(server.DATABASE)) as connection, connection.cursor() as cursor:
            cursor.execute(statement, values or None)
            connection.commit()
            return list(cursor.fetchall())


@contextlib.contextmanager
def installation(post: Post) -> Iterator[Installation]:
    """Everything running, with an account of Twilio and one for email."""
    folder = server.scratch()
    data, _took = server.filled_data_folder(data_sizes.Sizes.of(LEADS))
    server.copy_data(data, folder / "db")
    mail = Controller(post, hostname="127.0.0.1", port=free_port())
    mail.start()
    with (
        twilio_double.running() as double,
        server.Database(folder / "db", server.CACHE / "empty", *server.MEASURING) as database,
        Redis(folder / "redis") as redis,
    ):
        web = server.Product(folder / "web", database.address, 2, 16)
        web.settings |= {"CRM_REDIS_URL": redis.url, "CRM_RUN_WORKERS": "on", "CRM_SCHEDULER": "on"}
        web.settings |= {"TWILIO_BASE_URL": double.url}
        with web:
            made = Installation(web, database, redis, double)
            said = _add_account(web, "twilio", f"account_sid={SID}", f"auth_token={TOKEN}", f"from={SENDER}")
            _add_account(
                web, "smtp", "host=127.0.0.1", f"port={mail.port}", "security=none", "from=Bench <bench@crm.example>"
            )
            made.hook = _HOOK.search(said)[1]  # type: ignore[index]
            for statement in _SET_UP:
                made.rows(statement)
            yield made
    mail.stop()


def _add_account(web: server.Product, kind: str, *settings: str) -> str:
    given = [part for each in settings for part in ("--set", each)]
    command = [sys.executable, "-m", "flask", "--app", "run", "channel", "add", kind, f"Bench {kind}", *given]
    done = subprocess.run(command, env=dict(web.environment()), cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout


# --- load


class Load:
    """People and providers that send requests, each at a fixed rate, however long the responses take."""

    def __init__(self, held: Installation, books: MessageCounts, pace: float) -> None:
        self.installation, self.books, self.pace = held, books, pace
        self.leads = held.rows(_NUMBERED + " AND l.mobile_e164 IS NOT NULL LIMIT 400", data_sizes.SALES)
        self.lock = threading.Lock()

    def run(self, seconds: float) -> None:
        """Run all kinds of load at once."""
        with ThreadPoolExecutor(140) as pool:
            ends = time.monotonic() + seconds
            acts = ((self.hook, HOOKS), (self.message, MESSAGES), (self.mail, MAILS))
            paces = [(act, rate * self.pace) for act, rate in acts]
            threads = [threading.Thread(target=self._paced, args=(pool, *pace, ends)) for pace in paces]
            threads += [
                threading.Thread(target=self._calls, args=(ends,)),
                threading.Thread(target=self._reads, args=(ends,)),
            ]
            for each in threads:
                each.start()
            for each in threads:
                each.join()

    def _paced(self, pool: ThreadPoolExecutor, act: Callable[[int], None], rate: float, ends: float) -> None:
        n, began = 0, time.monotonic()
        while (due := began + n / rate) < ends:
            time.sleep(max(0.0, due - time.monotonic()))
            pool.submit(self._guarded, act, n)
            n += 1

    def _guarded(self, act: Callable[[int], None], n: int) -> None:
        try:
            act(n)
        except Exception as error:  # noqa: BLE001  # it belongs into the report
            self.books.wrong.append(f"{act.__name__}: {error!r}")

    def hook(self, n: int) -> None:
        """An SMS from a customer, signed like Twilio's; one in ten arrives twice at once."""
        mark = f"T{n:06d}i"
        url = f"http://127.0.0.1:{self.installation.web.port}{self.installation.hook}"
        said = {"AccountSid": SID, "MessageSid": f"SMi{n:030d}", "SmsStatus": "received", "To": SENDER}
        said |= {"From": f"+9170000{n % 2000:05d}", "Body": f"{mark} hello"}
        if n % 10 == 0:
            self.installation.double.reports.submit(self.installation.double.post, url, said)
        if self.installation.double.post(url, said):
            with self.lock:
                self.books.taken.add(mark)

    def message(self, n: int) -> None:
        """An SMS sent by a person."""
        lead, number = self.leads[n % len(self.leads)]
        mark = f"T{n:06d}s"
        self._create(
            mark, {"channel": "sms", "peer": number, "body": f"{mark} Namaste", "lead": lead, "purpose": "service"}
        )

    def mail(self, n: int) -> None:
        """An email sent by a person."""
        lead, mark = self.leads[n % len(self.leads)][0], f"T{n:06d}e"
        said = {
            "channel": "email",
            "peer": f"c{n}@customer.example",
            "subject": "Your account",
            "body": mark,
            "lead": lead,
        }
        self._create(mark, said | {"purpose": "service"})

    def _create(self, mark: str, body: dict[str, Any]) -> None:
        """Send it like an API client: with a key, and again until there is a response."""
        headers = key_of(data_sizes.SALES) | {"Content-Type": "application/json", "Idempotency-Key": mark}
        ends = time.monotonic() + 90
        while time.monotonic() < ends:
            status, text = self._ask("POST", "/api/v1/message/", headers, json.dumps(body))
            self.books.statuses[f"message {status}"] += 1
            if status in (200, 201):
                with self.lock:
                    self.books.acknowledged[mark] = json.loads(text)["id"]
                return
            if status not in (0, 409, 429, 502, 503):
                self.books.wrong.append(f"{mark}: {status} {text[:200]}")
                return
            time.sleep(1)

    def _ask(self, method: str, path: str, headers: dict[str, str], body: str = "") -> tuple[int, str]:
        try:
            with Browser(self.installation.web.port) as browser:
                status, _headers, text = browser.send(Request(method, path, headers, body))
        except Exception:  # noqa: BLE001  # no answer, whatever the reason
            return 0, ""
        if status == 503 and not text.strip():
            self.books.wrong.append(f"{method} {path}: 503 without a sentence")
        return status, text

    def _calls(self, ends: float) -> None:
        """Two people who call one lead after the other."""
        n = 0
        while time.monotonic() < ends:
            who = (data_sizes.SALES, data_sizes.MANAGER)[n % 2]
            lead = self.leads[n % len(self.leads)][0]
            headers = key_of(who) | {"Content-Type": "application/json"}
            status, text = self._ask("POST", "/api/v1/call_log/dial", headers, json.dumps({"lead": lead}))
            self.books.statuses[f"dial {status}"] += 1
            self.books.dialed += status == 201
            if status not in (0, 200, 201, 409, 502, 503):
                self.books.wrong.append(f"dial: {status} {text[:200]}")
            n += 1
            time.sleep(1.5)

    def _reads(self, ends: float) -> None:
        """Pages of a signed-in person; responses that aren't pages are counted."""
        browser = None
        while time.monotonic() < ends:
            for path in ("/inbox/", "/messages/", "/undelivered/", "/leads/"):
                try:
                    browser = browser or sign_in(Browser(self.installation.web.port, "127.0.0.9"), data_sizes.SALES)
                    status, _headers, text = browser.send(Request("GET", path))
                except Exception:  # noqa: BLE001
                    status, text, browser = 0, "", None
                self.books.statuses[f"page {status}"] += 1
                if status not in (0, 200, 503) or "Traceback" in text:
                    self.books.wrong.append(f"{path}: {status}")
                time.sleep(0.5)


def start_campaign(held: Installation, people: int) -> int:
    """Start a campaign to this many people, 600 a minute. Returns its id."""
    found = held.rows("SELECT id FROM leads WHERE mobile_e164 IS NOT NULL ORDER BY id DESC LIMIT %s", people)
    browser, headers = Browser(held.web.port), key_of(data_sizes.MANAGER) | {"Content-Type": "application/json"}
    plan = {"name": "Trial", "channel": "sms", "body": "Hello {{first_name}}", "per_minute": 600}
    plan |= {"leads": [row[0] for row in found], "variables": {"first_name": {"from": "first_name", "text": "there"}}}
    status, _headers, text = browser.send(Request("POST", "/api/v1/campaign/", headers, json.dumps(plan)))
    key = int(json.loads(text)["id"]) if status == 201 else sys.exit(f"{status} {text}")
    while not json.loads(browser.send(Request("GET", f"/api/v1/campaign/{key}/counts", headers))[2])["is_checked"]:
        time.sleep(0.5)
    browser.send(Request("POST", f"/api/v1/campaign/{key}/start", headers, "{}"))
    return key


# --- faults


def workers_of(pid: int) -> list[int]:
    """The queue's workers: the children of the server's child that has children of its own."""
    groups = [server.family(each)[1:] for each in server.family(pid)[1:]]
    return max(groups, key=len, default=[])


def _kill(pids: list[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def kill_worker(held: Installation) -> None:
    """Kill one worker of the queue."""
    _kill(random.sample(workers_of(held.web.pid), 1))


def kill_workers(held: Installation) -> None:
    """Kill all workers of the queue and the scheduler of delayed calls."""
    _kill(workers_of(held.web.pid))


def kill_web(held: Installation) -> None:
    """Kill a process that answers requests."""
    group = workers_of(held.web.pid)
    _kill(random.sample([each for each in server.family(held.web.pid)[1:] if each not in group], 1))


def kill_all(held: Installation) -> None:
    """Kill the whole product and start it again."""
    everyone = server.family(held.web.pid)
    _kill(everyone[1:])
    held.web.kill()
    held.web.start()


def redis_away(held: Installation) -> None:
    """Stop Redis for 10 s; it is empty afterwards."""
    held.redis.kill()
    time.sleep(10)
    held.redis.start()


def database_away(held: Installation) -> None:
    """Stop MariaDB for 10 s."""
    held.database.kill()
    time.sleep(10)
    held.database.start()


def _silent(pid: int) -> None:
    os.kill(pid, signal.SIGSTOP)
    time.sleep(10)
    os.kill(pid, signal.SIGCONT)


def redis_silent(held: Installation) -> None:
    """Freeze Redis for 10 s."""
    _silent(held.redis.pid)


def database_silent(held: Installation) -> None:
    """Freeze MariaDB for 10 s."""
    _silent(held.database.pid)


FAULTS = (
    *(kill_worker, kill_web, kill_worker, kill_all, redis_away, kill_worker, database_away, kill_workers, kill_all),
    *(redis_silent, kill_worker, database_silent, kill_web, kill_worker, kill_workers, kill_worker, database_away),
)


def main() -> int:
    """Read the command line, and run the trial."""
    parser = argparse.ArgumentParser(prog="python -m bench.channel_fault_run", description=__doc__)
    parser.add_argument("--seconds", type=float, default=240.0)
    parser.add_argument("--pace", type=float, default=1.0, help="less than 1 beside other work: so much of the load")
    parser.add_argument("--drain", type=float, default=420.0)
    options = parser.parse_args()
    from bench import channel_invariants

    books = MessageCounts()
    post = Post(books)
    with installation(post) as held:
        campaign, load = start_campaign(held, round(PEOPLE * min(1, 2 * options.pace))), Load(held, books, options.pace)
        running = threading.Thread(target=load.run, args=(options.seconds,))
        running.start()
        _harm(held, options.seconds)
        running.join()
        held.double.is_calm = post.is_calm = True
        drained = _drain(held, options.drain)
        print(f"load {os.getloadavg()[0]:.1f}; drained in {drained:.0f} s with all waits cut short")
        return channel_invariants.report(held, books, campaign)


def _harm(held: Installation, seconds: float) -> None:
    """Cause the faults one after the other, spread over the time. Servers start from the main thread."""
    pause = max(1.0, (seconds - 70) / len(FAULTS))
    for fault in FAULTS:
        time.sleep(pause)
        print(f"  {time.strftime('%X')} {fault.__name__}", flush=True)
        fault(held)


def _drain(held: Installation, seconds: float) -> float:
    """Wait until nothing is unfinished; returns how long that took."""
    began = time.monotonic()
    time.sleep(25)  # until requests that were under way when the faults ended have a response, or none
    while time.monotonic() - began < seconds and held.rows(_OPEN)[0][0] + held.rows(_WAITING)[0][0]:
        for statement in _SOONER:
            held.rows(statement)
        time.sleep(10)
    time.sleep(5)
    return time.monotonic() - began


if __name__ == "__main__":
    sys.exit(main())
