"""The product as an app: what a browser may keep, and forms that are sent once however often they arrive."""

from __future__ import annotations

import re
from typing import Any

import pytest
from sqlalchemy import func, select

from app.models import Activity, StoredResponse, Task
from app.web.pages.offline_posts import DONE, FIELD, MEANT_FOR, PATHS
from tests.app_fixtures import Door, World


def notes(world: World, text: str) -> int:
    world.session.rollback()
    found = select(Activity).where(Activity.kind == "note")
    return sum(row.payload.get("text") == text for row in world.session.scalars(found))


def send(door: Door, path: str, key: str, **fields: str) -> Any:
    """As a page sends what it has kept."""
    headers = {"Idempotency-Key": key, MEANT_FOR: str(door.who.id if door.who else 0), "HX-Request": "true"}
    return door.browser.post(path, data=fields, headers=headers | {"X-CSRFToken": door.token})


@pytest.mark.parametrize(
    "path, kind",
    [
        ("/", "list"),
        ("/leads/", "list"),
        ("/tasks/?layout=calendar", "list"),
        ("/leads/{number}", "record"),
        ("/leads/show/{id}", "record"),
        ("/leads/edit/{id}", None),
        ("/leads/add", None),
        ("/leads/timeline/{id}", None),
        ("/keys/", None),
        ("/sessions/", None),
        ("/exports/", None),
        ("/settings/", None),
        ("/users/list/", None),
        ("/audit/", None),
        ("/leads/show/999999", None),
    ],
)
def test_only_lists_and_records_may_be_kept(world: World, path: str, kind: str | None) -> None:
    lead = world.make.lead("ana")
    door = world.door("root")
    answer = door.screen(path.format(number=lead.number, id=lead.id), follow_redirects=True)
    assert answer.headers.get("X-Crm-Keep") == kind
    assert answer.headers["X-Crm-Person"] == str(world.people["root"].id)
    part = door.screen(path.format(number=lead.number, id=lead.id), headers={"HX-Request": "true"})
    assert "X-Crm-Keep" not in part.headers


def test_a_stranger_gets_the_app_but_nobodys_name(world: World) -> None:
    stranger = world.door(None)
    manifest = stranger.screen("/manifest.webmanifest").get_json(force=True)
    assert manifest["name"] == world.app.config["CRM"].brand and manifest["display"] == "standalone"
    assert {icon["purpose"] for icon in manifest["icons"]} == {"any", "maskable"}
    for icon in manifest["icons"]:
        with stranger.screen(icon["src"]) as picture:
            assert picture.mimetype == "image/png"
    worker = stranger.screen("/worker.js")
    assert worker.mimetype == "text/javascript" and worker.headers["Cache-Control"] == "no-cache"
    for file in re.findall(r'"(/static/[^"]+)"', worker.text):
        with stranger.screen(file) as found:
            assert found.status_code == 200 and "v=" in file, file
    assert "X-Crm-Person" not in stranger.screen("/offline/").headers
    assert stranger.screen("/offline/state").get_json() == {"user": None, "token": None}
    assert world.door("ana").screen("/offline/state").get_json()["user"] == world.people["ana"].id


def test_a_note_that_arrives_twice_is_written_once(world: World) -> None:
    lead, ana = world.make.lead("ana"), world.door("ana")
    path = f"/leads/note/{lead.id}"
    # First from the form itself, whose answer is lost; then what its page has kept.
    assert ana.form(path, {"body": "From the train", FIELD: "key-1"}).status_code == 302
    for _attempt in range(2):
        answer = send(ana, path, "key-1", body="From the train")
        assert (answer.status_code, answer.headers[DONE], answer.data) == (204, "1", b"")
    assert notes(world, "From the train") == 1
    assert "already" in ana.form(path, {"body": "From the train", FIELD: "key-1"}, follow_redirects=True).text
    other = send(ana, path, "key-1", body="Something else")
    assert other.status_code == 422 and "already used" in other.headers["X-Sentence"]
    assert send(ana, path, "key-2", body="From the train").headers[DONE] == "1"
    assert notes(world, "From the train") == 2


def test_a_refused_form_leaves_its_key_free(world: World) -> None:
    lead, ana = world.make.lead("ana"), world.door("ana")
    path = f"/tasks/add?lead={lead.id}&back=1"
    refused = send(ana, path, "key-3", title="", due_on="2027-01-05T10:00")
    assert refused.status_code == 422 and DONE not in refused.headers
    assert send(ana, path, "key-3", title="Call Ravi", due_on="2027-01-05T10:00").headers[DONE] == "1"
    assert send(ana, path, "key-3", title="Call Ravi", due_on="2027-01-05T10:00").headers[DONE] == "1"
    made = select(func.count()).select_from(Task).where(Task.title == "Call Ravi")
    assert world.session.scalar(made) == 1
    task = world.session.scalars(select(Task).where(Task.title == "Call Ravi")).one()
    for _attempt in range(2):  # done twice would be refused: it is closed
        assert send(ana, f"/tasks/done/{task.id}", "key-4").headers[DONE] == "1"


def test_nothing_is_sent_as_somebody_else(world: World) -> None:
    lead, ana = world.make.lead("ana"), world.door("ana")
    for door in (world.door("root"), world.door(None)):
        headers = {"Idempotency-Key": "key-5", MEANT_FOR: str(world.people["ana"].id), "X-CSRFToken": door.token}
        answer = door.browser.post(f"/leads/note/{lead.id}", data={"body": "Mine"}, headers=headers)
        assert answer.status_code == 401 and DONE not in answer.headers
    assert notes(world, "Mine") == 0
    # Nor is another form than those that may be kept done under a key.
    before = world.session.scalar(select(func.count()).select_from(StoredResponse))
    ana.browser.post(f"/leads/edit/{lead.id}", data={FIELD: "key-6"}, headers={"X-CSRFToken": ana.token})
    assert world.session.scalar(select(func.count()).select_from(StoredResponse)) == before


def test_the_forms_that_may_be_kept_exist(world: World) -> None:
    rules = {re.sub(r"<[^>]+>", "1", rule.rule) for rule in world.app.url_map.iter_rules() if "POST" in rule.methods}
    kept = {rule for rule in rules if re.match(PATHS, rule)}
    told = {"note", "move", "add", "done", "reopen", "snooze", "finish", "outcome", "log"}
    assert {part.split("/")[2] for part in kept} == told
    assert all(re.match(each, "/x") is None for each in PATHS.split("|^"))
