"""Sockets: only signed-in people, only rows that the law shows them, only after the commit, cut with the sign-in."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from flask import Flask, g, session
from flask_babel import Babel
from flask_login import LoginManager, UserMixin, login_user
from sqlalchemy import event, select, update
from sqlalchemy.orm import Session

from app import access
from app.domain import notices, timeline
from app.extensions import db, socketio
from app.models import Lead, ModulePermission, Role, SignIn, User
from app.web.realtime import live_events
from app.web.security.sessions import hashed
from tests import makers
from tests.makers import NOW


class Face(UserMixin):
    """Who Flask-Login says it is; as the real loader does, it asks whether the sign-in lives."""

    def __init__(self, key: int) -> None:
        self.id = key


def load(key: str) -> Face | None:
    with access.as_system(db.session()) as held:
        query = select(SignIn.id).where(SignIn.token_hash == hashed(session.get("sid", "")), SignIn.ended_on.is_(None))
        return Face(int(key)) if held.execute(query).first() else None


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Flask]:
    """As much of an application as sockets need."""
    url = f"sqlite:///{tmp_path / 'live.sqlite3'}"
    makers.database(url).dispose()
    app = Flask("live")
    app.config.update(SECRET_KEY="x" * 32, SQLALCHEMY_DATABASE_URI=url, TESTING=True)
    app.config["CRM"] = SimpleNamespace(redis_url=None, threads=12, public_url="https://crm.example.in")
    db.init_app(app)
    Babel(app)
    LoginManager(app).user_loader(load)
    app.add_url_rule("/as/<int:key>", view_func=_sign_in)
    access.install(Session)
    access.forget()
    yield _with_sockets(app)
    with app.app_context():
        db.session.remove()
        db.engine.dispose()


def _with_sockets(app: Flask) -> Flask:
    live_events.install(app)
    return app


def _sign_in(key: int) -> str:
    session["sid"] = f"token-{key}"
    login_user(Face(key))
    return "in"


@pytest.fixture
def people(app: Flask) -> dict[str, Any]:
    """Ana has a lead and sees her own; Cleo may see leads too, but has none. Both are signed in."""
    with app.app_context(), access.as_system(db.session()) as held:
        role = held.scalars(select(Role).where(Role.name == "Sales User")).one()
        held.add(ModulePermission(role_id=role.id, module="Leads", verb="read", level="own"))
        ana, cleo = makers.user(held, "ana", "Sales User"), makers.user(held, "cleo", "Sales User")
        for user in (ana, cleo):
            token = hashed(f"token-{user.id}")
            held.add(SignIn(token_hash=token, user_id=user.id, door="form", started_on=NOW, seen_on=datetime.now(UTC)))
        lead = makers.lead(held, ana)
        held.commit()
        return {"ana": ana.id, "cleo": cleo.id, "lead": lead.id}


def socket(app: Flask, key: int) -> Any:
    """A page that has heard the count of its bell."""
    browser = app.test_client()
    browser.get(f"/as/{key}")
    line = socketio.test_client(app, flask_test_client=browser)
    if line.is_connected():
        heard(app, line)
    return line


def heard(app: Flask, line: Any) -> list[tuple[str, Any]]:
    assert app.extensions["crm_live"].post.flush(60)
    return [(news["name"], news["args"][0]) for news in line.get_received()]


def write(app: Flask, change: Any, commit: bool = True) -> None:
    with app.app_context(), access.as_system(db.session()) as held:
        change(held)
        held.flush()
        held.commit() if commit else held.rollback()


def notify(user_id: int) -> Any:
    def change(held: Session) -> None:
        with held.begin_nested():
            notices.tell(held, [user_id], "assigned", "event", None, None, NOW, number="CRM-LEAD-2026-00001")

    return change


def note(lead_id: int) -> Any:
    return lambda held: timeline.write(held, held.get(Lead, lead_id), "note", None, NOW, text="He called back")


def test_a_stranger_gets_no_socket(app, people):
    assert not socketio.test_client(app).is_connected()


def test_a_stranger_gets_not_even_a_thread(app, people):
    with app.test_request_context("/socket.io/"):
        assert not app.extensions["crm_live"].sockets.may_enter()


def test_threads_are_left_for_pages(app, people):
    lines = [socket(app, people[name]) for name in ("ana", "ana", "cleo", "cleo")]
    with app.test_request_context("/socket.io/"):
        session["sid"] = f"token-{people['ana']}"
        login_user(Face(people["ana"]))
        g.pop("person", None)
        assert not app.extensions["crm_live"].sockets.may_enter()
        lines[0].disconnect()
        assert app.extensions["crm_live"].sockets.may_enter()


def test_the_bell_rings_for_whom_it_concerns(app, people):
    ana, cleo = socket(app, people["ana"]), socket(app, people["cleo"])
    write(app, notify(people["ana"]))
    [(name, news)] = heard(app, ana)
    assert (name, news["unread"], news["text"]) == ("bell", 1, "CRM-LEAD-2026-00001 is yours now.")
    assert heard(app, cleo) == []


def test_what_was_not_committed_is_not_told(app, people):
    ana = socket(app, people["ana"])
    write(app, notify(people["ana"]), commit=False)
    write(app, note(people["lead"]), commit=False)
    assert heard(app, ana) == []


@pytest.mark.parametrize(("who", "hears"), [("ana", True), ("cleo", False)])
def test_a_record_is_watched_only_by_who_sees_it(app, people, who, hears):
    line = socket(app, people[who])
    line.emit("watch", {"kind": "lead", "id": str(people["lead"])})
    write(app, note(people["lead"]))
    assert heard(app, line) == [("activity" if hears else "gone", {"kind": "lead", "id": people["lead"]})]


def test_who_loses_the_record_hears_no_more_of_it(app, people):
    line = socket(app, people["ana"])
    line.emit("watch", {"kind": "lead", "id": people["lead"]})
    other = {"assignee_id": people["cleo"], "owner_id": people["cleo"]}
    write(app, lambda held: held.execute(update(Lead).values(**other)))
    write(app, note(people["lead"]))
    write(app, note(people["lead"]))
    assert heard(app, line) == [("gone", {"kind": "lead", "id": people["lead"]})]


@pytest.mark.parametrize("asked", [None, [], "lead", {"kind": "user", "id": 1}, {"kind": "lead", "id": "1 or 1"}, {}])
def test_nonsense_is_not_watched(app, people, asked):
    line = socket(app, people["ana"])
    line.emit("watch", asked)
    assert line.is_connected()
    assert {each.watches for each in app.extensions["crm_live"].lines.values()} == {None}


@pytest.mark.parametrize(
    "end",
    [
        lambda held, key: held.execute(update(SignIn).where(SignIn.user_id == key).values(ended_on=NOW)),
        lambda held, key: held.execute(update(User).where(User.id == key).values(active=False)),
    ],
    ids=["signed out", "deactivated"],
)
def test_sockets_are_cut_when_the_sign_in_ends(app, people, end):
    ana, cleo = socket(app, people["ana"]), socket(app, people["cleo"])
    write(app, lambda held: end(held, people["ana"]))
    app.extensions["crm_live"].sweep()
    assert (ana.is_connected(), cleo.is_connected()) == (False, True)


def test_a_bearer_is_cut_when_its_token_ends(app, people):
    line, live = socket(app, people["ana"]), app.extensions["crm_live"]
    next(iter(live.lines.values())).ends_on = datetime.now(UTC) - timedelta(seconds=1)
    live.sweep()
    assert not line.is_connected()


def test_a_browser_that_nobody_uses_is_cut(app, people):
    line = socket(app, people["ana"])
    long_ago = datetime.now(UTC) - timedelta(hours=13)
    write(app, lambda held: held.execute(update(SignIn).values(seen_on=long_ago)))
    app.extensions["crm_live"].sweep()
    assert not line.is_connected()


# --- the safety net


def in_silence(app: Flask, change: Any) -> None:
    """What another process commits, of which no word comes."""
    with app.app_context(), access.as_system(db.session()) as held:
        change(held)
        held.flush()
        for name in ("told", "stirred", "cut"):
            held.info.pop(name, None)
        held.commit()


def test_the_net_finds_what_nobody_told(app, people):
    line, live = socket(app, people["ana"]), app.extensions["crm_live"]
    line.emit("watch", {"kind": "lead", "id": people["lead"]})
    in_silence(app, notify(people["ana"]))
    in_silence(app, note(people["lead"]))
    live.net()
    live.net()
    found = heard(app, line)
    assert [name for name, _news in found] == ["bell", "activity"]
    assert found[0][1]["text"] == "CRM-LEAD-2026-00001 is yours now."


def test_the_net_is_quiet_when_nothing_happened(app, people):
    line, live = socket(app, people["ana"]), app.extensions["crm_live"]
    line.emit("watch", {"kind": "lead", "id": people["lead"]})
    for _ in range(3):
        live.net()
    assert heard(app, line) == []


def test_who_lost_a_record_in_silence_hears_nothing_of_what_follows(app, people):
    line, live = socket(app, people["ana"]), app.extensions["crm_live"]
    line.emit("watch", {"kind": "lead", "id": people["lead"]})
    other = {"assignee_id": people["cleo"], "owner_id": people["cleo"]}
    in_silence(app, lambda held: held.execute(update(Lead).values(**other)))
    for _ in range(2):
        in_silence(app, note(people["lead"]))
        live.net()
    assert heard(app, line) == [("gone", {"kind": "lead", "id": people["lead"]})]


@pytest.mark.parametrize("pages", [1, 8])
def test_the_sweep_asks_few_questions_however_many_look(app, people, pages):
    live = app.extensions["crm_live"]
    live.sockets.most = 40
    for who in ("ana", "cleo"):
        for _ in range(pages):
            socket(app, people[who]).emit("watch", {"kind": "lead", "id": people["lead"]})
    asked: list[str] = []
    with app.app_context():
        event.listen(db.engine, "before_cursor_execute", lambda _c, _k, statement, *_more: asked.append(statement))
    live.sweep()
    live.net()
    assert 0 < len(asked) <= 5, asked


def test_a_page_that_comes_a_moment_later_still_shows_the_toast(app, people):
    now = datetime.now(UTC)
    for moment in (now - timedelta(minutes=5), now):
        write(app, lambda held, at=moment: notices.tell(held, [people["ana"]], "mention", f"{at}", None, None, at))
    browser = app.test_client()
    browser.get(f"/as/{people['ana']}")
    [(_name, news)] = heard(app, socketio.test_client(app, flask_test_client=browser))
    assert (news["unread"], news["kind"], "text" in news) == (2, "mention", True)


def test_a_process_without_sockets_starts_no_thread_and_sends_nothing(app, people):
    write(app, notify(people["ana"]))
    live = app.extensions["crm_live"]
    assert (live.post._pid, live._sweeper, live.bus) == (0, None, None)


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("https://crm.example.in", True),
        ("http://10.0.0.5:8000", True),
        ("http://crm.example.in", False),
        ("null", False),
    ],
)
def test_only_our_own_pages_open_sockets(app, people, origin, allowed):
    allows = socketio.server.eio.cors_allowed_origins
    assert allows(origin, {"wsgi.url_scheme": "http", "HTTP_HOST": "10.0.0.5:8000"}) is allowed
