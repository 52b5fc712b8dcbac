"""Outages: a server of the product is killed or loses its data while people and jobs are at work."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import count

from sqlalchemy import func, select

from app.models import Assignment, Lead
from tests.resilience import invariants
from tests.resilience.concurrent_requests import Reply, ask
from tests.resilience.kill_run import OVERDUE
from tests.resilience.process_group import GroupSettings, ProcessGroup
from tests.resilience.scenario import Scenario
from tests.resilience.socket_client import Wire, wires
from tests.servers import LiveServer, MariaDB, Redis, eventually

#: Who waits longer than this was left hanging.
HANGING_SECONDS = 30.0


@dataclass
class Seen:
    """What an outage showed."""

    #: What people were answered while the server was away.
    meanwhile: list[Reply] = field(default_factory=list)
    #: And before and after.
    around: list[Reply] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    #: From the return of the server: until the web answered, until a job did something.
    web_seconds: float = 0.0
    job_seconds: float = 0.0


def of_mariadb(server: MariaDB, scenario: Scenario, tasks: int) -> Seen:
    """Kill -9 of mariadbd amid a pass, with people at the endpoints, and start it again."""
    seen, laid = Seen(), scenario.add_leads(tasks, OVERDUE)
    with (
        LiveServer(scenario.folder / "web", **scenario.settings) as web,
        clerk(scenario, web.port) as written,
        ProcessGroup(scenario.folder / "pack", GroupSettings(count=2, limit=50), scenario.settings),
    ):
        eventually(lambda: moved(scenario) > tasks // 5, "nothing moves", 60)
        _break(server, scenario, web, seen)
        eventually(lambda: moved(scenario) >= tasks, "not all is done", 300)
    seen.faults = invariants.of_reassignment(scenario, laid, scenario.ana, scenario.sellers) + invariants.of_slots(
        scenario
    )
    seen.faults += lost(scenario, written)
    return seen


def _break(server: MariaDB, scenario: Scenario, web: LiveServer, seen: Seen) -> None:
    everywhere, before = knocks(scenario, web.port), moved(scenario)
    server.kill()
    seen.meanwhile = [knock() for knock in everywhere]
    server.start()
    scenario.crm.engine.dispose()
    back = time.monotonic()
    eventually(lambda: everywhere[0]().status == 200, "the web does not come back")
    seen.web_seconds = time.monotonic() - back
    eventually(lambda: moved(scenario) > before, "no pass goes on")
    seen.job_seconds = time.monotonic() - back


def of_redis(server: Redis, scenario: Scenario, tasks: int, seconds: float) -> Seen:
    """Redis away for so many seconds, back, and emptied; people, jobs and sockets are at work all the time."""
    seen, laid = Seen(), scenario.add_leads(tasks, OVERDUE)
    settings = scenario.settings | {"CRM_REDIS_URL": server.url}
    with LiveServer(scenario.folder / "web", CRM_WORKERS="2", **settings) as web, wires(web, "ben") as bens:
        with (
            clerk(scenario, web.port) as written,
            ProcessGroup(scenario.folder / "pack", GroupSettings(2, limit=25), settings),
        ):
            seen.around += visit(scenario, web.port)
            server.stop()
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                seen.meanwhile += visit(scenario, web.port)
            server.start()
            seen.around += visit(scenario, web.port)
            server.empty()
            seen.around += visit(scenario, web.port)
            eventually(lambda: moved(scenario) >= tasks, "not all is done", 300)
        _hear(scenario, web, bens)
    seen.faults = invariants.of_reassignment(scenario, laid, scenario.ana, scenario.sellers) + lost(scenario, written)
    seen.faults += _left_hanging(seen)
    return seen


def _hear(scenario: Scenario, web: LiveServer, sockets: list[Wire]) -> None:
    since = time.monotonic()
    give(scenario, web.port, "ben")
    for each in sockets:
        each.await_event("bell", since)


def _left_hanging(seen: Seen) -> list[str]:
    slow = [reply for reply in seen.meanwhile + seen.around if reply.seconds > HANGING_SECONDS]
    return [f"somebody waited {reply.seconds:.0f} seconds for {reply.status}" for reply in slow]


# --- people at the endpoints


def moved(scenario: Scenario) -> int:
    """How many leads were handed on because a task was overdue."""
    return int(scenario.rows(select(func.count(Assignment.id)).where(Assignment.reason == "overdue"))[0])


def knocks(scenario: Scenario, port: int) -> list[Callable[[], Reply]]:
    """A list over REST, a save, two pages, and the form of the sign-in."""
    cookie = {"Cookie": scenario.cookie("ana")}
    stranger = scenario.crm.client(None)
    lead, nobody = scenario.rows(select(func.min(Lead.id)))[0], f"csrf_token={stranger.token}&username=x&password=y"
    form = {"Content_Type": "application/x-www-form-urlencoded", "Cookie": scenario.cookie(None)}
    return [
        partial(ask, port, "root", "GET", "/api/v1/lead/?q=(page_size:5)"),
        partial(ask, port, "root", "PUT", f"/api/v1/lead/{lead}", {"description": str(time.monotonic())}),
        partial(ask, port, "", "GET", "/leads/", **cookie),
        partial(ask, port, "", "GET", "/", **cookie),
        partial(ask, port, "", "POST", "/login/", nobody, **form),
    ]


def visit(scenario: Scenario, port: int) -> list[Reply]:
    """Knock everywhere once."""
    return [knock() for knock in knocks(scenario, port)]


@contextmanager
def clerk(scenario: Scenario, port: int) -> Iterator[list[int]]:
    """Somebody who takes lead after lead all the time; the ids that he was told are saved."""
    told: list[int] = []
    gone_home = threading.Event()

    def work() -> None:
        for n in count():
            if gone_home.wait(0.05):
                return
            wish = {"first_name": "Asha", "last_name": f"Patel {n}", "mobile": f"97{n:08d}"}
            reply = ask(port, "mia", "POST", "/api/v1/lead/", wish)
            if reply.status == 201:
                told.append(reply.body["id"])

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield told
    finally:
        gone_home.set()
        thread.join()


def lost(scenario: Scenario, told: list[int]) -> list[str]:
    """What was said to be saved and is not there."""
    there = set(scenario.rows(select(Lead.id).where(Lead.id.in_(told))))
    return [f"lead {key} is lost" for key in told if key not in there] + ([] if told else ["no lead was taken"])


# --- sockets


def give(scenario: Scenario, port: int, who: str) -> float:
    """A lead is handed to this person over REST; answers the moment of the answer."""
    lead = scenario.crm.make.lead("ana").id
    reply = ask(port, "root", "POST", f"/api/v1/lead/{lead}/assign", {"assign_to": who})
    assert reply.status == 200, reply
    return time.monotonic()
