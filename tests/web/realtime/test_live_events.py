"""Live updates: only to signed-in people, only of visible rows, only after the commit, until the sign-in ends."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from flask import Flask, g
from flask import session as flask_session
from flask_babel import Babel
from flask_login import LoginManager, UserMixin, login_user
from sqlalchemy import event, select, update
from sqlalchemy.orm import Session

from app import access, session_hooks
from app.domain import timeline
from app.domain.base import Stamp
from app.domain.messaging import conversations
from app.domain.notifications import notices
from app.domain.persistence.transaction_state import transaction_state
from app.extensions import db, socketio
from app.lib.token_hash import hash_token
from app.models import ChannelAccount, Lead, ModulePermission, Role, SignIn, User
from app.ops.redis.event_bus import LiveEvent, PagePresence, parse
from app.web.realtime import live_events, presence
from tests import factories
from tests.app_pool import forget_sockets
from tests.factories import NOW


class SignedInUser(UserMixin):
    """The user of Flask-Login; loaded only while the sign-in is valid, as by the real loader."""

    def __init__(self, key: int) -> None:
        self.id = key


def load_user(key: str) -> SignedInUser | None:
    with access.as_system(db.session()) as session:
        query = select(SignIn.id).where(
            SignIn.token_hash == hash_token(flask_session.get("sid", "")), SignIn.ended_on.is_(None)
        )
        return SignedInUser(int(key)) if session.execute(query).first() else None


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Flask]:
    """As much of an application as sockets need."""
    url = f"sqlite:///{tmp_path / 'live.sqlite3'}"
    factories.database(url).dispose()
    app = Flask("live")
    app.config.update(SECRET_KEY="x" * 32, SQLALCHEMY_DATABASE_URI=url, TESTING=True)
    app.config["CRM"] = SimpleNamespace(
        redis_url=None, threads=12, public_url="https://crm.example.in", session_idle_hours=12, session_days=7
    )
    db.init_app(app)
    Babel(app)
    LoginManager(app).user_loader(load_user)
    app.add_url_rule("/as/<int:key>", view_func=_sign_in)
    session_hooks.install()
    access.clear_cache()
    yield _with_sockets(app)
    forget_sockets(app)
    with app.app_context():
        db.session.remove()
        db.engine.dispose()


def _with_sockets(app: Flask) -> Flask:
    live_events.install(app)
    return app


def _sign_in(key: int) -> str:
    flask_session["sid"] = f"token-{key}"
    login_user(SignedInUser(key))
    return "in"


@pytest.fixture
def people(app: Flask) -> dict[str, Any]:
    """Ana has a lead and sees her own; Cleo may see leads too, but has none. Both are signed in."""
    with app.app_context(), access.as_system(db.session()) as session:
        role = session.scalars(select(Role).where(Role.name == "Sales User")).one()
        session.add(ModulePermission(role_id=role.id, module="Leads", verb="read", level="own"))
        ana, cleo = factories.user(session, "ana", "Sales User"), factories.user(session, "cleo", "Sales User")
        for user in (ana, cleo):
            token = hash_token(f"token-{user.id}")
            session.add(
                SignIn(token_hash=token, user_id=user.id, method="form", started_on=NOW, seen_on=datetime.now(UTC))
            )
        lead = factories.lead(session, ana)
        session.commit()
        return {"ana": ana.id, "cleo": cleo.id, "lead": lead.id}


def socket(app: Flask, key: int) -> Any:
    """The socket of a page that has received its unread count."""
    browser = app.test_client()
    browser.get(f"/as/{key}")
    client = socketio.test_client(app, flask_test_client=browser)
    if client.is_connected():
        received(app, client)
    return client


def received(app: Flask, client: Any) -> list[tuple[str, Any]]:
    assert app.extensions["crm_live"].broadcaster.flush(60)
    return [(payload["name"], payload["args"][0]) for payload in client.get_received()]


def apply(app: Flask, change: Any, commit: bool = True) -> None:
    with app.app_context(), access.as_system(db.session()) as session:
        change(session)
        session.flush()
        session.commit() if commit else session.rollback()


def notify(user_id: int) -> Any:
    def change(session: Session) -> None:
        with session.begin_nested():
            notices.notify(
                session, notices.NoticeEvent("assigned", "event", (user_id,), {"number": "CRM-LEAD-2026-00001"}), NOW
            )

    return change


def add_note(lead_id: int) -> Any:
    return lambda session: timeline.write(
        session, session.get(Lead, lead_id), "note", Stamp(None, NOW), text="He called back"
    )


def test_an_anonymous_client_gets_no_socket(app, people):
    assert not socketio.test_client(app).is_connected()


def test_an_anonymous_client_may_send_credentials_soon_and_there_are_few_of_them(app, people):
    sockets = app.extensions["crm_live"].sockets
    with app.test_request_context("/socket.io/", environ_base={"REMOTE_ADDR": "203.0.113.7"}):
        assert [sockets.admit(f"s{n}") for n in range(4)] == [None] * 4
        assert sockets.admit("s4").status == 503
    sockets.pending.clear()


def test_credentials_that_are_not_valid_get_no_thread(app, people):
    sockets = app.extensions["crm_live"].sockets
    with app.test_request_context("/socket.io/", headers={"Cookie": "sid=" + "x" * 40}):
        assert sockets.admit("x").status == 401
    assert not sockets.pending


def test_threads_are_left_for_pages(app, people):
    clients = [socket(app, people[name]) for name in ("ana", "ana", "cleo", "cleo")]
    with app.test_request_context("/socket.io/"):
        flask_session["sid"] = f"token-{people['ana']}"
        login_user(SignedInUser(people["ana"]))
        g.pop("person", None)
        assert app.extensions["crm_live"].sockets.admit("x").status == 503
        clients[0].disconnect()
        assert app.extensions["crm_live"].sockets.admit("x") is None


def test_only_the_notified_user_gets_the_bell(app, people):
    ana, cleo = socket(app, people["ana"]), socket(app, people["cleo"])
    apply(app, notify(people["ana"]))
    [(name, payload)] = received(app, ana)
    assert (name, payload["unread"], payload["text"]) == ("bell", 1, "CRM-LEAD-2026-00001 was assigned to you.")
    assert received(app, cleo) == []


def test_what_was_rolled_back_is_not_pushed(app, people):
    ana = socket(app, people["ana"])
    apply(app, notify(people["ana"]), commit=False)
    apply(app, add_note(people["lead"]), commit=False)
    assert received(app, ana) == []


@pytest.mark.parametrize(("who", "is_pushed"), [("ana", True), ("cleo", False)])
def test_a_record_is_pushed_only_to_those_who_can_see_it(app, people, who, is_pushed):
    client = socket(app, people[who])
    client.emit("watch", {"kind": "lead", "id": str(people["lead"])})
    apply(app, add_note(people["lead"]))
    assert received(app, client) == [("activity" if is_pushed else "gone", {"kind": "lead", "id": people["lead"]})]


def test_nothing_is_pushed_after_access_to_the_record_is_lost(app, people):
    client = socket(app, people["ana"])
    client.emit("watch", {"kind": "lead", "id": people["lead"]})
    other = {"assignee_id": people["cleo"], "owner_id": people["cleo"]}
    apply(app, lambda session: session.execute(update(Lead).values(**other)))
    apply(app, add_note(people["lead"]))
    apply(app, add_note(people["lead"]))
    assert received(app, client) == [("gone", {"kind": "lead", "id": people["lead"]})]


@pytest.mark.parametrize(
    "requested", [None, [], "lead", {"kind": "user", "id": 1}, {"kind": "lead", "id": "1 or 1"}, {}]
)
def test_an_invalid_watch_is_ignored(app, people, requested):
    client = socket(app, people["ana"])
    client.emit("watch", requested)
    assert client.is_connected()
    assert {each.watched for each in app.extensions["crm_live"].connections.values()} == {None}


@pytest.mark.parametrize(
    "end",
    [
        lambda session, key: session.execute(update(SignIn).where(SignIn.user_id == key).values(ended_on=NOW)),
        lambda session, key: session.execute(update(User).where(User.id == key).values(active=False)),
    ],
    ids=["signed out", "deactivated"],
)
def test_sockets_close_when_the_sign_in_ends(app, people, end):
    ana, cleo = socket(app, people["ana"]), socket(app, people["cleo"])
    apply(app, lambda session: end(session, people["ana"]))
    app.extensions["crm_live"].sweep()
    assert (ana.is_connected(), cleo.is_connected()) == (False, True)


def test_a_bearers_socket_closes_when_its_token_expires(app, people):
    client, live = socket(app, people["ana"]), app.extensions["crm_live"]
    next(iter(live.connections.values())).ends_on = datetime.now(UTC) - timedelta(seconds=1)
    live.sweep()
    assert not client.is_connected()


def test_the_socket_of_an_idle_browser_closes(app, people):
    client = socket(app, people["ana"])
    long_ago = datetime.now(UTC) - timedelta(hours=13)
    apply(app, lambda session: session.execute(update(SignIn).values(seen_on=long_ago)))
    app.extensions["crm_live"].sweep()
    assert not client.is_connected()


# --- comparison with the database


def commit_without_event(app: Flask, change: Any) -> None:
    """Commit as another process whose event gets lost."""
    with app.app_context(), access.as_system(db.session()) as session:
        change(session)
        session.flush()
        transaction_state(session).clear_live()
        session.commit()


def test_the_comparison_finds_what_no_event_named(app, people):
    client, live = socket(app, people["ana"]), app.extensions["crm_live"]
    client.emit("watch", {"kind": "lead", "id": people["lead"]})
    commit_without_event(app, notify(people["ana"]))
    commit_without_event(app, add_note(people["lead"]))
    live.compare_all()
    live.compare_all()
    events = received(app, client)
    assert [name for name, _payload in events] == ["bell", "activity"]
    assert events[0][1]["text"] == "CRM-LEAD-2026-00001 was assigned to you."


def test_the_comparison_pushes_nothing_without_a_change(app, people):
    client, live = socket(app, people["ana"]), app.extensions["crm_live"]
    client.emit("watch", {"kind": "lead", "id": people["lead"]})
    for _ in range(3):
        live.compare_all()
    assert received(app, client) == []


def test_access_lost_without_an_event_is_pushed_as_gone_once(app, people):
    client, live = socket(app, people["ana"]), app.extensions["crm_live"]
    client.emit("watch", {"kind": "lead", "id": people["lead"]})
    other = {"assignee_id": people["cleo"], "owner_id": people["cleo"]}
    commit_without_event(app, lambda session: session.execute(update(Lead).values(**other)))
    for _ in range(2):
        commit_without_event(app, add_note(people["lead"]))
        live.compare_all()
    assert received(app, client) == [("gone", {"kind": "lead", "id": people["lead"]})]


@pytest.mark.parametrize("pages", [1, 8])
def test_the_sweep_needs_few_statements_for_any_number_of_pages(app, people, pages):
    live = app.extensions["crm_live"]
    live.sockets.max_connections = 40
    for who in ("ana", "cleo"):
        for _ in range(pages):
            socket(app, people[who]).emit("watch", {"kind": "lead", "id": people["lead"]})
    statements: list[str] = []
    with app.app_context():
        event.listen(db.engine, "before_cursor_execute", lambda _c, _k, statement, *_more: statements.append(statement))
    live.sweep()
    live.compare_all()
    assert 0 < len(statements) <= 5, statements


def test_a_page_opened_shortly_after_a_notice_shows_its_toast(app, people):
    now = datetime.now(UTC)
    for moment in (now - timedelta(minutes=5), now):
        apply(
            app,
            lambda session, at=moment: notices.notify(
                session, notices.NoticeEvent("mention", f"{at}", (people["ana"],)), at
            ),
        )
    browser = app.test_client()
    browser.get(f"/as/{people['ana']}")
    [(_name, payload)] = received(app, socketio.test_client(app, flask_test_client=browser))
    assert (payload["unread"], payload["kind"], "text" in payload) == (2, "mention", True)


def test_a_process_without_sockets_starts_no_thread(app, people):
    apply(app, notify(people["ana"]))
    live = app.extensions["crm_live"]
    assert (live.broadcaster._pid, live._sweeper, live.bus) == (0, None, None)


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("https://crm.example.in", True),
        ("http://10.0.0.5:8000", True),
        ("http://crm.example.in", False),
        ("null", False),
    ],
)
def test_only_our_own_origins_may_open_sockets(app, people, origin, allowed):
    allows = socketio.server.eio.cors_allowed_origins
    assert allows(origin, {"wsgi.url_scheme": "http", "HTTP_HOST": "10.0.0.5:8000"}) is allowed


@pytest.fixture
def talk(app, people):
    """A conversation that is nobody's: Ana and Cleo read messages and see it, Ben reads none."""
    with app.app_context(), access.as_system(db.session()) as session:
        stamp = Stamp(None, NOW)
        role = session.scalars(select(Role).where(Role.name == "Sales User")).one()
        for verb in ("read", "create"):
            session.add(ModulePermission(role_id=role.id, module="Messages", verb=verb, level="own"))
            session.flush()
        ben = factories.user(session, "ben", "Support User")
        token = hash_token(f"token-{ben.id}")
        session.add(SignIn(token_hash=token, user_id=ben.id, method="form", started_on=NOW, seen_on=datetime.now(UTC)))
        people["ben"] = ben.id
        account = ChannelAccount(name="Desk", kind="console", channels=["whatsapp"], settings={}, caller_ids=[])
        account.token_hash, account.token_sealed, account.is_active = "x", "x", True
        account.stamp(stamp)
        session.add(account)
        session.flush()
        key = conversations.ConversationKey(account.id, "whatsapp", "+919820012345")
        row = conversations.find_or_create(session, key, stamp)
        session.commit()
        return row.id


def test_who_writes_is_shown_to_those_who_see_the_conversation_and_to_nobody_else(app, people, talk):
    record = {"kind": "conversation", "id": talk}
    clients = {name: socket(app, people[name]) for name in ("ana", "cleo", "ben")}
    for client in clients.values():
        client.emit("watch", record)
    for client in clients.values():
        received(app, client)
    writes: list[str] = []
    with app.app_context():
        event.listen(db.engine, "before_cursor_execute", lambda _c, _u, sql, *_more: writes.append(sql))
    for name in ("ana", "ben", "ana"):  # Ben doesn't see it; Ana's second key within two seconds says nothing new
        clients[name].emit("typing", record)
    clients["cleo"].emit("typing", {"kind": "conversation", "id": talk + 1})
    heard = {
        name: [told for event_name, told in received(app, each) if event_name == "typing"]
        for name, each in clients.items()
    }
    assert heard["ana"] == heard["ben"] == []
    assert [(told["id"], told["user"]) for told in heard["cleo"]] == [(talk, people["ana"])] and heard["cleo"][0][
        "name"
    ]
    assert not [sql for sql in writes if sql.split()[0] in ("INSERT", "UPDATE", "DELETE")]


# --- who is here


def both_see_it(app: Flask, people: Any) -> None:
    apply(app, lambda session: session.execute(update(Lead).values(owner_id=people["cleo"])))


def here(app: Flask, client: Any) -> list[list[tuple[str, str]]]:
    """(name, field) of the others, for each time that the page has heard of them."""
    said = [payload["people"] for name, payload in received(app, client) if name == "presence"]
    return [[(each["name"].split()[0].lower(), each["field"]) for each in people] for people in said]


def test_people_at_a_record_hear_of_each_other_and_of_what_is_edited(app, people):
    both_see_it(app, people)
    record = {"kind": "lead", "id": people["lead"]}
    ana, cleo = socket(app, people["ana"]), socket(app, people["cleo"])
    ana.emit("watch", record)
    assert here(app, ana) == []
    cleo.emit("watch", record)
    assert (here(app, ana), here(app, cleo)) == ([[("cleo", "")]], [[("ana", "")]])
    cleo.emit("editing", record | {"field": "mobile"})
    cleo.emit("editing", record | {"field": "no name!"})
    assert (here(app, ana), here(app, cleo)) == ([[("cleo", "mobile")]], [])
    second = socket(app, people["cleo"])
    second.emit("watch", record)
    cleo.disconnect()
    assert here(app, ana) == [[("cleo", "")]]
    second.emit("watch", None)
    assert here(app, ana) == [[]]


def test_who_does_not_see_the_record_is_neither_told_nor_named(app, people):
    record = {"kind": "lead", "id": people["lead"]}
    ana, cleo = socket(app, people["ana"]), socket(app, people["cleo"])
    for client in (ana, cleo):
        client.emit("watch", record)
    assert (here(app, ana), here(app, cleo)) == ([], [])


@pytest.mark.parametrize("field", [None, 7, ["email"], {"a": 1}, "x" * 41, "naïve", "a b", "<b>", "a.b", "\x00"])
def test_a_forged_field_is_told_to_nobody(app, people, field):
    both_see_it(app, people)
    record = {"kind": "lead", "id": people["lead"]}
    ana, cleo = socket(app, people["ana"]), socket(app, people["cleo"])
    for client in (ana, cleo):
        client.emit("watch", record)
    assert here(app, ana) == [[("cleo", "")]]
    cleo.emit("editing", record | {"field": field})
    assert here(app, ana) == []


def test_nobody_edits_a_record_that_their_page_may_not_show(app, people):
    record = {"kind": "lead", "id": people["lead"], "field": "email"}
    ana, cleo = socket(app, people["ana"]), socket(app, people["cleo"])
    for client in (ana, cleo):  # Cleo doesn't see it
        client.emit("watch", record)
    cleo.emit("editing", record)
    assert here(app, ana) == []


def test_who_is_signed_out_edits_no_more_and_is_disconnected(app, people):
    both_see_it(app, people)
    record = {"kind": "lead", "id": people["lead"]}
    ana, cleo = socket(app, people["ana"]), socket(app, people["cleo"])
    for client in (ana, cleo):
        client.emit("watch", record)
    assert here(app, ana) == [[("cleo", "")]]
    with app.app_context(), access.as_system(db.session()) as session:
        session.execute(update(SignIn).where(SignIn.user_id == people["cleo"]).values(ended_on=NOW))
        session.commit()
    cleo.emit("editing", record | {"field": "email"})
    assert not cleo.is_connected()
    assert here(app, ana) == [[]]


def test_who_loses_the_record_is_gone_for_the_others_too(app, people):
    both_see_it(app, people)
    record = {"kind": "lead", "id": people["lead"]}
    ana, cleo = socket(app, people["ana"]), socket(app, people["cleo"])
    for client in (ana, cleo):
        client.emit("watch", record)
    assert here(app, ana) == [[("cleo", "")]]
    apply(app, lambda session: session.execute(update(Lead).values(owner_id=people["ana"])))
    apply(app, add_note(people["lead"]))
    # The presence is told in a second round, after cleo's page is
    assert here(app, ana) + here(app, ana) == [[]]


def test_another_process_is_believed_until_it_falls_silent(app, people, monkeypatch):
    both_see_it(app, people)
    ana, live = socket(app, people["ana"]), app.extensions["crm_live"]
    ana.emit("watch", {"kind": "lead", "id": people["lead"]})

    def says(serial: int, *there: tuple[int, str]) -> None:
        sent = LiveEvent(presences=frozenset([PagePresence("other", serial, "lead", people["lead"], there)]))
        _origin, event = parse(sent.to_json("other"))
        live._receive(event)

    says(2, (people["cleo"], "email"))
    says(1)  # late
    assert here(app, ana) == [[("cleo", "email")]]
    says(3)
    assert here(app, ana) == [[]]
    says(4, (people["cleo"], ""))
    live.sweep()
    assert here(app, ana) == [[("cleo", "")]]
    monkeypatch.setattr(presence, "LAPSE_SECONDS", 0.0)
    live.sweep()
    assert here(app, ana) == [[]]


@pytest.mark.parametrize(
    "presence", [[1, "lead", 5], ["1", "lead", 5, []], [1, "lead", 5, [[7]]], [1, "lead", 5, [[7, 1]]]]
)
def test_a_malformed_presence_report_is_ignored(presence):
    message = {"from": "x", "stirred": [], "told": [], "cut": [], "here": [presence]}
    assert parse(orjson.dumps(message)) is None
