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
from tests.resilience.process_group import Pack, PackSettings
from tests.resilience.scenario import Ground
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


def of_mariadb(server: MariaDB, ground: Ground, tasks: int) -> Seen:
    """Kill -9 of mariadbd amid a pass, with people at the endpoints, and start it again."""
    seen, laid = Seen(), ground.lay(tasks, OVERDUE)
    with (
        LiveServer(ground.folder / "web", **ground.settings) as web,
        clerk(ground, web.port) as written,
        Pack(ground.folder / "pack", PackSettings(count=2, limit=50), ground.settings),
    ):
        eventually(lambda: moved(ground) > tasks // 5, "nothing moves", 60)
        _break(server, ground, web, seen)
        eventually(lambda: moved(ground) >= tasks, "not all is done", 300)
    seen.faults = invariants.of_reassignment(ground, laid, ground.ana, ground.sellers) + invariants.of_slots(ground)
    seen.faults += lost(ground, written)
    return seen


def _break(server: MariaDB, ground: Ground, web: LiveServer, seen: Seen) -> None:
    everywhere, before = knocks(ground, web.port), moved(ground)
    server.kill()
    seen.meanwhile = [knock() for knock in everywhere]
    server.start()
    ground.crm.engine.dispose()
    back = time.monotonic()
    eventually(lambda: everywhere[0]().status == 200, "the web does not come back")
    seen.web_seconds = time.monotonic() - back
    eventually(lambda: moved(ground) > before, "no pass goes on")
    seen.job_seconds = time.monotonic() - back


def of_redis(server: Redis, ground: Ground, tasks: int, seconds: float) -> Seen:
    """Redis away for so many seconds, back, and emptied; people, jobs and sockets are at work all the time."""
    seen, laid = Seen(), ground.lay(tasks, OVERDUE)
    settings = ground.settings | {"CRM_REDIS_URL": server.url}
    with LiveServer(ground.folder / "web", CRM_WORKERS="2", **settings) as web, wires(web, "ben") as bens:
        with clerk(ground, web.port) as written, Pack(ground.folder / "pack", PackSettings(2, limit=25), settings):
            seen.around += visit(ground, web.port)
            server.stop()
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                seen.meanwhile += visit(ground, web.port)
            server.start()
            seen.around += visit(ground, web.port)
            server.empty()
            seen.around += visit(ground, web.port)
            eventually(lambda: moved(ground) >= tasks, "not all is done", 300)
        _hear(ground, web, bens)
    seen.faults = invariants.of_reassignment(ground, laid, ground.ana, ground.sellers) + lost(ground, written)
    seen.faults += _left_hanging(seen)
    return seen


def _hear(ground: Ground, web: LiveServer, sockets: list[Wire]) -> None:
    since = time.monotonic()
    give(ground, web.port, "ben")
    for each in sockets:
        each.await_event("bell", since)


def _left_hanging(seen: Seen) -> list[str]:
    slow = [reply for reply in seen.meanwhile + seen.around if reply.seconds > HANGING_SECONDS]
    return [f"somebody waited {reply.seconds:.0f} seconds for {reply.status}" for reply in slow]


# --- people at the endpoints


def moved(ground: Ground) -> int:
    """How many leads were handed on because a task was overdue."""
    return int(ground.rows(select(func.count(Assignment.id)).where(Assignment.reason == "overdue"))[0])


def knocks(ground: Ground, port: int) -> list[Callable[[], Reply]]:
    """A list over REST, a save, two pages, and the form of the sign-in."""
    cookie = {"Cookie": ground.cookie("ana")}
    stranger = ground.crm.client(None)
    lead, nobody = ground.rows(select(func.min(Lead.id)))[0], f"csrf_token={stranger.token}&username=x&password=y"
    form = {"Content_Type": "application/x-www-form-urlencoded", "Cookie": ground.cookie(None)}
    return [
        partial(ask, port, "root", "GET", "/api/v1/lead/?q=(page_size:5)"),
        partial(ask, port, "root", "PUT", f"/api/v1/lead/{lead}", {"description": str(time.monotonic())}),
        partial(ask, port, "", "GET", "/leads/", **cookie),
        partial(ask, port, "", "GET", "/", **cookie),
        partial(ask, port, "", "POST", "/login/", nobody, **form),
    ]


def visit(ground: Ground, port: int) -> list[Reply]:
    """Knock everywhere once."""
    return [knock() for knock in knocks(ground, port)]


@contextmanager
def clerk(ground: Ground, port: int) -> Iterator[list[int]]:
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


def lost(ground: Ground, told: list[int]) -> list[str]:
    """What was said to be saved and is not there."""
    there = set(ground.rows(select(Lead.id).where(Lead.id.in_(told))))
    return [f"lead {key} is lost" for key in told if key not in there] + ([] if told else ["no lead was taken"])


# --- sockets


def give(ground: Ground, port: int, who: str) -> float:
    """A lead is handed to this person over REST; answers the moment of the answer."""
    lead = ground.crm.make.lead("ana").id
    reply = ask(port, "root", "POST", f"/api/v1/lead/{lead}/assign", {"assign_to": who})
    assert reply.status == 200, reply
    return time.monotonic()
