"""The operations that are measured, each as the requests of one measurement."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import quote

from app.demo.sample_text import FIRST
from bench import generate
from bench.load import Request
from bench.measured_versions import JSON, Target, key_of

LIST = "/api/v1/lead/?q="
SYNC = "/api/method/crm.api.mobile_sync.sync_call_logs"
#: Enough for any measurement: each write request is sent once.
WRITES = 12_000
#: Calls in one batch, and batches in one measurement.
BATCH, BATCHES = 100, 200
#: Names that no record has.
UNKNOWN_NAMES = ("Quennell", "Zworykin", "Xanthopoulos", "Yhdessa", "Wolstenholme")

Requests = Callable[[Target], list[Request]]


@dataclass(frozen=True)
class Operation:
    """One measured operation.

    `baseline` makes the requests to bench/baseline.py; without it, that replays the operation.
    """

    name: str
    who: str
    requests: Requests
    baseline: Requests | None = None
    #: The baseline writes into copies of the tables, because the same rows cannot be inserted twice.
    writes: bool = False
    has_baseline: bool = True


def _rest(name: str, who: str, path: str, baseline: str = "") -> Operation:
    below = (lambda _target: [Request("GET", baseline, key_of(who))]) if baseline else None
    return Operation(name, who, lambda _target: [Request("GET", path, key_of(who))], below)


def rest_list(name: str, who: str, resource: str) -> Operation:
    """The twenty newest rows of a resource."""
    return _rest(name, who, f"/api/v1/{resource}/?q=(page_size:20)")


def page(name: str, who: str, path: str, **headers: str) -> Operation:
    """A page in a signed-in browser; {id} is replaced by the id of a lead."""

    def requests(target: Target) -> list[Request]:
        ids = (target.mine if who == generate.SALES else target.any)[:500]
        paths = [path.format(id=key) for key in ids] if "{id}" in path else [path]
        return [Request("GET", each, {"Cookie": target.cookies[who]} | headers) for each in paths]

    return Operation(name, who, requests)


def _search(name: str, who: str, texts: Callable[[Target], list[str]]) -> Operation:
    """A search of the palette."""

    def requests(target: Target) -> list[Request]:
        headers = {"Cookie": target.cookies[who], "Accept": "application/json"}
        return [Request("GET", f"/search/?q={quote(text)}", headers) for text in texts(target)]

    return Operation(name, who, requests)


def _get_one(who: str) -> Operation:
    def requests(prefix: str, target: Target) -> list[Request]:
        ids = target.mine if who == generate.SALES else target.any
        return [Request("GET", f"{prefix}{key}", key_of(who)) for key in ids[:1000]]

    below = (lambda target: requests("/get/", target)) if who == generate.SALES else None
    return Operation("get one lead", who, lambda target: requests("/api/v1/lead/", target), below)


# --- writes


def _create_leads(target: Target) -> list[Request]:
    """New leads with unused mobile numbers."""
    requests = []
    for serial in (target.next_serial() for _ in range(WRITES)):
        mobile, email = generate.mobile(10**8 + serial), f"new{serial}@bench.example"
        body = {"first_name": "Bench", "last_name": f"Person {serial}", "mobile": mobile, "email": email}
        requests.append(Request("POST", "/api/v1/lead/", key_of(generate.SALES) | JSON, json.dumps(body)))
    return requests


def _change_statuses(target: Target) -> list[Request]:
    """The user's leads, alternating between two statuses without required fields; each request is a real change."""
    pair = [target.status["Contacted"], target.status["Nurture"]]
    rows = target.query("SELECT id, status_id FROM leads WHERE id IN %s", target.mine)
    now = {key: status for key, status in rows if status in pair}
    requests: list[Request] = []
    while now and len(requests) < WRITES:
        for key, status in now.items():
            now[key] = pair[0] if status == pair[1] else pair[1]
            body = json.dumps({"status": now[key]})
            requests.append(Request("PUT", f"/api/v1/lead/{key}", key_of(generate.SALES) | JSON, body))
    return requests


def _create_tasks(target: Target) -> list[Request]:
    """New tasks of the user's leads."""
    requests = []
    for n in range(WRITES):
        lead, due = target.mine[n % len(target.mine)], f"2027-01-{n % 28 + 1:02d}T10:00:00Z"
        body = {"title": f"Call {n}", "lead": lead, "priority": "Medium", "due_on": due}
        requests.append(Request("POST", "/api/v1/task/", key_of(generate.SALES) | JSON, json.dumps(body)))
    return requests


def _sync_calls(target: Target) -> list[Request]:
    """Batches of new calls from a phone; half of them with numbers of leads."""
    at = datetime.now().replace(microsecond=0) - timedelta(days=2)
    requests = []
    for _ in range(BATCHES):
        calls = []
        for n in range(BATCH):
            serial = target.next_serial()
            peer = target.phones[serial % len(target.phones)] if n % 2 else generate.mobile(3 * 10**8 + serial)
            calls.append(
                {
                    "from": peer,
                    "to": "+919800000000",
                    "type": "Incoming",
                    "status": "Completed",
                    "duration": 42,
                    "start_time": f"{at + timedelta(seconds=serial % 100_000):%Y-%m-%d %H:%M:%S}",
                    "device_call_id": f"bench_{serial}",
                    "native_duration": 42,
                }
            )
        body = json.dumps({"call_logs_data": calls})
        requests.append(Request("POST", SYNC, key_of(generate.SALES) | JSON, body))
    return requests


# --- all of them


def operations(target: Target, sizes: generate.Sizes) -> list[Operation]:
    """All operations, in the order of the report."""
    found: list[Operation] = []
    for who in (generate.SALES, generate.MANAGER):
        found += [*_searches(who), *_lists(target, sizes, who), _get_one(who), *_pages(who)]
    writes: tuple[tuple[str, Requests, bool], ...] = (
        ("create a lead", _create_leads, True),
        ("change a status", _change_statuses, False),
        ("create a task", _create_tasks, True),
        ("100 calls in one request", _sync_calls, False),
    )
    found += [
        Operation(name, generate.SALES, make, writes=True, has_baseline=baseline) for name, make, baseline in writes
    ]
    return found


def _searches(who: str) -> list[Operation]:
    common = [first[0] for first in FIRST[:20]]
    return [
        _search("search a phone", who, lambda target: target.phones[:200]),
        _search("search an unknown name", who, lambda _target: list(UNKNOWN_NAMES)),
        _search("search a common first name", who, lambda _target: common),
        Operation("REST filter by exact mobile", who, lambda target: _by_mobile(target, who)),
        Operation("page: find in the list of leads", who, lambda target: _find_in_list(target, who)),
    ]


def _by_mobile(target: Target, who: str) -> list[Request]:
    asked = "(filters:!((col:mobile,opr:eq,value:'{}')),page_size:20)"
    return [Request("GET", LIST + asked.format(number), key_of(who)) for number in target.phones[:200]]


def _find_in_list(target: Target, who: str) -> list[Request]:
    return [Request("GET", f"/leads/?q={number}", {"Cookie": target.cookies[who]}) for number in target.phones[:200]]


def _lists(target: Target, sizes: generate.Sizes, who: str) -> list[Operation]:
    by_change = "order_column:changed_on,order_direction:desc,page_size:20"
    of_status = f"filters:!((col:status,opr:eq,value:{target.status['Contacted']}))"
    deep = max(0, sizes.leads // generate.SHARE // 20 - 10) if who == generate.SALES else sizes.leads // 40
    is_sales = who == generate.SALES
    return [
        _rest("REST list 20 newest", who, f"{LIST}(page:0,page_size:20)", "/list/20" if is_sales else ""),
        _rest("REST list 100 newest", who, f"{LIST}(page:0,page_size:100)", "/list/100" if is_sales else ""),
        _rest("REST list 20 by last change", who, f"{LIST}({by_change})"),
        _rest("REST list 20 of a status by last change", who, f"{LIST}({of_status},{by_change})"),
        _rest(f"REST list 20, page {deep:,}", who, f"{LIST}(page:{deep},page_size:20)"),
    ]


def _pages(who: str) -> list[Operation]:
    return [
        page("page: leads", who, "/leads/"),
        page("page: rows of the leads (htmx)", who, "/leads/", **{"HX-Request": "true"}),
        page("page: board of leads", who, "/leads/?layout=board"),
        page("page: a lead", who, "/leads/show/{id}"),
        page("page: tasks", who, "/tasks/"),
        page("page: customers", who, "/customers/"),
        page("page: calls", who, "/calls/"),
        page("page: My day", who, "/"),
    ]
