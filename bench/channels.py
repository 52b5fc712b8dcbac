"""python -m bench.channels hooks|outbox|campaign [--leads N] [--seconds S]: the channels under load.

hooks: webhook requests of a provider, 50 a second for a minute, at a fixed rate however long the responses take; p99 is
compared with that of /healthz, requested in turn. outbox: list pages before and while 100,000 messages wait and are
being sent. campaign: 1,000 people by a campaign, compared with the provider's own count.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench import data_sizes, server
from bench.load import Browser, Request
from bench.measured_versions import key_of, sign_in
from tests.servers import ROOT, Redis

RATE, WAITING, KEY = 50, 100_000, "bench-key"
#: Pages that are requested while messages wait.
PAGES = ("/leads/", "/messages/", "/inbox/", "/api/v1/lead/", "/api/v1/message/")
_INSERT = f"""INSERT INTO message (channel, direction, peer, body, state, purpose, tries, asks, native, account_id,
    due_on, created_on, changed_on)
    SELECT 'sms', 'out', CONCAT('+9197', LPAD(seq, 8, '0')), 'Bench', 'queued', 'service', 0, 0, '{{}}', %s,
    UTC_TIMESTAMP(6), UTC_TIMESTAMP(6), UTC_TIMESTAMP(6) FROM seq_1_to_{WAITING}"""  # noqa: S608  # no value
#: Allows messages to be sent at any hour.
_ANY_HOUR = """INSERT INTO business_setting (`key`, value)
    VALUES ('promotional_hours', '"00:00-00:00"'), ('quiet_hours', '"00:00-00:00"')"""
_HOOK = re.compile(r"https?://[^/]+(/hooks/sms/\S+)")


@contextmanager
def product(leads: int) -> Iterator[tuple[server.Product, server.Database, str]]:
    """The product with two processes, queue workers and the minute jobs, and the URL path of its webhook."""
    folder = server.scratch()
    data, _took = server.filled_data_folder(data_sizes.Sizes.of(leads))
    server.copy_data(data, folder / "db")
    with (
        server.Database(folder / "db", server.CACHE / "empty", *server.MEASURING) as database,
        Redis(folder / "redis") as redis,
    ):
        web = server.Product(folder / "web", database.address, 2, 8)
        web.settings |= {"CRM_REDIS_URL": redis.url, "CRM_RUN_WORKERS": "on", "CRM_SCHEDULER": "on"}
        with web:
            yield web, database, _add_account(web)


def _add_account(web: server.Product) -> str:
    """Create an account of the console provider; returns the path of its webhook."""
    command = [
        sys.executable,
        "-m",
        "flask",
        "--app",
        "run",
        "channel",
        "add",
        "console",
        "Bench",
        "--set",
        f"key={KEY}",
    ]
    done = subprocess.run(command, env=dict(web.environment()), cwd=ROOT, capture_output=True, text=True, check=True)
    found = _HOOK.search(done.stdout)
    if found is None:
        raise RuntimeError(f"no address of a hook in: {done.stdout}")
    return found[1]


def _quantiles(times: list[float]) -> str:
    ordered = sorted(times)
    cut = {
        name: ordered[min(len(ordered) - 1, int(len(ordered) * share))]
        for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))
    }
    return (
        ", ".join(f"{name} {value * 1000:.1f} ms" for name, value in cut.items()) + f", max {ordered[-1] * 1000:.1f} ms"
    )


def _paced(act: Callable[[int], None], seconds: float) -> None:
    """Call act(n) RATE times a second at fixed times, in threads, so that a slow response delays no other request."""
    began = time.monotonic()
    with ThreadPoolExecutor(64) as pool:
        for n in range(int(RATE * seconds)):
            time.sleep(max(0.0, began + n / RATE - time.monotonic()))
            pool.submit(act, n)


# --- hooks


def hooks(leads: int, seconds: float) -> int:
    """Returns 1 if p99 is 100 ms or more, or a response was an error."""
    with product(leads) as (web, database, path):
        times, beside, wrong = list[float](), list[float](), list[int]()
        local = threading.local()

        def act(n: int) -> None:
            if not hasattr(local, "browser"):
                local.browser = Browser(web.port)
            event = {
                "type": "message",
                "channel": "sms",
                "peer": f"+9198{n % 1000:08d}",
                "to": "+911",
                "text": f"Hello {n}",
            }
            body = json.dumps({"events": [event | {"provider_id": f"bench-{n}"}]})
            headers = {"X-Console-Key": KEY, "Content-Type": "application/json"}
            for request, kept in ((Request("POST", path, headers, body), times), (Request("GET", "/healthz"), beside)):
                began = time.monotonic()
                status = local.browser.send(request)[0]
                kept.append(time.monotonic() - began)
                if status >= 300:
                    wrong.append(status)

        for _warm in range(20):
            act(10**6 + _warm)
        times.clear()
        beside.clear()
        _paced(act, seconds)
        time.sleep(5)
        states = _rows(database, "SELECT state, COUNT(*) FROM inbound_event GROUP BY state")
        print(f"hooks, {RATE}/s for {seconds:.0f} s, load {os.getloadavg()[0]:.1f}: {_quantiles(times)}")
        print(f"  beside: /healthz {_quantiles(beside)}; answers that were no success: {len(wrong)} {set(wrong) or ''}")
        print(f"  worked off 5 s later: {dict(states)}")
        return int(sorted(times)[int(len(times) * 0.99)] >= 0.1 or bool(wrong))


def _rows(database: server.Database, statement: str, *values: Any) -> list[Any]:
    connection = database.connect(server.DATABASE)
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement, values or None)
            connection.commit()
            return list(cursor.fetchall())
    finally:
        connection.close()


# --- outbox


def outbox(leads: int, seconds: float) -> int:
    """Returns 1 if the median of a page is more than 20 % slower while messages wait."""
    with product(leads) as (web, database, _path):
        users = (data_sizes.SALES, data_sizes.MANAGER)
        signed = {who: sign_in(Browser(web.port, f"127.0.0.{n}"), who) for n, who in enumerate(users, 2)}
        before = _measure(web, signed, seconds)
        account = _rows(database, "SELECT id FROM channel_account WHERE name = 'Bench'")[0][0]
        _rows(database, "UPDATE channel_account SET per_second = 5 WHERE id = %s", account)
        _rows(database, _INSERT, account)
        time.sleep(65)  # the minute job has found them, and workers send
        for each in signed.values():
            each.connection.close()  # the server has closed it by now; the next request opens another
        after = _measure(web, signed, seconds)
        waiting = _rows(database, "SELECT state, COUNT(*) FROM message WHERE body = 'Bench' GROUP BY state")
        print(f"outbox, load {os.getloadavg()[0]:.1f}, messages then: {dict(waiting)}")
        slower = 0
        for key, (first, then) in {key: (before[key], after[key]) for key in before}.items():
            change = (then / first - 1) * 100
            slower += change > 20
            print(f"  {key[0]:14} {key[1]:18} {first * 1000:7.1f} ms -> {then * 1000:7.1f} ms ({change:+.0f} %)")
        return int(slower > 0)


def _measure(web: server.Product, signed: dict[str, Browser], seconds: float) -> dict[tuple[str, str], float]:
    """(user, page) -> median seconds. The pages are requested in turn, so that all are measured under the same load."""
    times: dict[tuple[str, str], list[float]] = {(who, page): [] for who in signed for page in PAGES}
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        for (who, page), kept in times.items():
            headers = key_of(who) if page.startswith("/api/") else {}
            began = time.monotonic()
            status, _headers, _body = signed[who].send(Request("GET", page, headers))
            kept.append(time.monotonic() - began)
            if status != 200:
                raise RuntimeError(f"{page} for {who}: {status}")
    return {key: statistics.median(kept) for key, kept in times.items()}


# --- campaign


def campaign(leads: int, seconds: float) -> int:
    """1,000 leads by one campaign of 600 a minute: how long it takes, and whether anybody got a message twice."""
    with product(leads) as (web, database, _path):
        _rows(database, _ANY_HOUR)
        ids = [
            row[0]
            for row in _rows(database, "SELECT id FROM leads WHERE mobile_e164 IS NOT NULL ORDER BY id DESC LIMIT 1000")
        ]
        browser, headers = Browser(web.port), key_of(data_sizes.MANAGER) | {"Content-Type": "application/json"}
        plan = {"name": "Bench", "channel": "sms", "body": "Hello {{first_name}}", "leads": ids, "per_minute": 600}
        plan["variables"] = {"first_name": {"from": "first_name", "text": "there"}}
        began = time.monotonic()
        status, _headers, text = browser.send(Request("POST", "/api/v1/campaign/", headers, json.dumps(plan)))
        key = json.loads(text)["id"] if status == 201 else sys.exit(f"{status} {text}")
        _await(lambda: _counts(browser, key, headers)["is_checked"], 60)
        print(f"campaign: checked in {time.monotonic() - began:.1f} s")
        began = time.monotonic()
        browser.send(Request("POST", f"/api/v1/campaign/{key}/start", headers, "{}"))
        _await(lambda: not {"waiting", "queued", "sending"} & set(_counts(browser, key, headers)["counts"]), 600)
        twice = _rows(
            database,
            "SELECT peer, COUNT(*) FROM message WHERE cause LIKE 'campaign:%%' GROUP BY peer HAVING COUNT(*) > 1",
        )
        print(f"  sent in {time.monotonic() - began:.1f} s: {_counts(browser, key, headers)}; twice: {len(twice)}")
        return int(bool(twice))


def _counts(browser: Browser, key: int, headers: dict[str, str]) -> Any:
    return json.loads(browser.send(Request("GET", f"/api/v1/campaign/{key}/counts", headers))[2])


def _await(is_so: Callable[[], bool], seconds: float) -> None:
    ends = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > ends:
            raise RuntimeError("this takes too long")
        time.sleep(1)


def main() -> int:
    """Read the command line and measure."""
    kinds = {"hooks": hooks, "outbox": outbox, "campaign": campaign}
    parser = argparse.ArgumentParser(prog="python -m bench.channels", description=__doc__)
    parser.add_argument("what", choices=kinds)
    parser.add_argument("--leads", type=int, default=20_000)
    parser.add_argument("--seconds", type=float, default=60.0)
    options = parser.parse_args()
    Path(server.CACHE).mkdir(parents=True, exist_ok=True)
    return kinds[options.what](options.leads, options.seconds)


if __name__ == "__main__":
    sys.exit(main())
