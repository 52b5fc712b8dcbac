"""The product as an app: browser caching, and forms that take effect once however often they are sent."""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import func, select

from app.models import Activity, StoredResponse, Task
from app.web.pages.offline_posts import DONE, FIELD, MEANT_FOR, PATHS
from tests.app_fixtures import Crm, UserClient
from tests.cases import each_case


def notes(crm: Crm, text: str) -> int:
    crm.session.rollback()
    found = select(Activity).where(Activity.kind == "note")
    return sum(row.payload.get("text") == text for row in crm.session.scalars(found))


def send(client: UserClient, path: str, key: str, **fields: str) -> Any:
    """As a page sends what it has kept."""
    headers = {"Idempotency-Key": key, MEANT_FOR: str(client.who.id if client.who else 0), "HX-Request": "true"}
    return client.browser.post(path, data=fields, headers=headers | {"X-CSRFToken": client.token})


@each_case(
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
def test_only_lists_and_records_may_be_kept(crm: Crm, path: str, kind: str | None) -> None:
    lead = crm.make.lead("ana")
    client = crm.client("root")
    answer = client.screen(path.format(number=lead.number, id=lead.id), follow_redirects=True)
    assert answer.headers.get("X-Crm-Keep") == kind
    assert answer.headers["X-Crm-Person"] == str(crm.people["root"].id)
    part = client.screen(path.format(number=lead.number, id=lead.id), headers={"HX-Request": "true"})
    assert "X-Crm-Keep" not in part.headers


def test_pages_tell_when_a_person_sees_something_else(crm: Crm) -> None:
    def mark(who: str) -> str:
        return str(crm.client(who).screen("/leads/").headers["X-Crm-Rights"])

    first = mark("ana")
    crm.make.lead("ana")
    crm.make.cell("Sales User", "Leads", "create", "none")
    assert mark("ana") == first != mark("mia")
    seen = {first}
    crm.make.mask("Sales User", mobile="hidden")
    seen.add(mark("ana"))
    crm.make.cell("Sales User", "Messages", "read", "none")
    seen.add(mark("ana"))
    crm.make.cell("Sales User", "Leads", "read", "team")
    seen.add(mark("ana"))
    assert len(seen) == 4


def test_a_stranger_gets_the_app_but_nobodys_name(crm: Crm) -> None:
    stranger = crm.client(None)
    manifest = stranger.screen("/manifest.webmanifest").get_json(force=True)
    assert manifest["name"] == crm.app.config["CRM"].brand and manifest["display"] == "standalone"
    assert {icon["purpose"] for icon in manifest["icons"]} == {"any", "maskable"}
    for icon in manifest["icons"]:
        with stranger.screen(icon["src"]) as picture:
            assert picture.mimetype == "image/png"
    worker = stranger.screen("/worker.js")
    assert worker.mimetype == "text/javascript" and worker.headers["Cache-Control"] == "no-cache"
    assert "importScripts" not in worker.text  # each would be asked for with every page
    for file in re.findall(r'"(/static/[^"]+)"', worker.text):
        with stranger.screen(file) as found:
            assert found.status_code == 200 and "v=" in file, file
    assert "X-Crm-Person" not in stranger.screen("/offline/").headers
    assert stranger.screen("/offline/state").get_json() == {"user": None, "token": None}
    assert crm.client("ana").screen("/offline/state").get_json()["user"] == crm.people["ana"].id


def test_a_note_that_arrives_twice_is_written_once(crm: Crm) -> None:
    lead, ana = crm.make.lead("ana"), crm.client("ana")
    path = f"/leads/note/{lead.id}"
    # First from the form itself, whose answer is lost; then what its page has kept.
    assert ana.form(path, {"body": "From the train", FIELD: "key-1"}).status_code == 302
    for _attempt in range(2):
        answer = send(ana, path, "key-1", body="From the train")
        assert (answer.status_code, answer.headers[DONE], answer.data) == (204, "1", b"")
    assert notes(crm, "From the train") == 1
    assert "already" in ana.form(path, {"body": "From the train", FIELD: "key-1"}, follow_redirects=True).text
    other = send(ana, path, "key-1", body="Something else")
    assert other.status_code == 422 and "already used" in other.headers["X-Sentence"]
    assert send(ana, path, "key-2", body="From the train").headers[DONE] == "1"
    assert notes(crm, "From the train") == 2


def test_a_refused_form_leaves_its_key_free(crm: Crm) -> None:
    lead, ana = crm.make.lead("ana"), crm.client("ana")
    path = f"/tasks/add?lead={lead.id}&back=1"
    refused = send(ana, path, "key-3", title="", due_on="2027-01-05T10:00")
    assert refused.status_code == 422 and DONE not in refused.headers
    assert send(ana, path, "key-3", title="Call Ravi", due_on="2027-01-05T10:00").headers[DONE] == "1"
    assert send(ana, path, "key-3", title="Call Ravi", due_on="2027-01-05T10:00").headers[DONE] == "1"
    made = select(func.count()).select_from(Task).where(Task.title == "Call Ravi")
    assert crm.session.scalar(made) == 1
    task = crm.session.scalars(select(Task).where(Task.title == "Call Ravi")).one()
    for _attempt in range(2):  # done twice would be refused: it is closed
        assert send(ana, f"/tasks/done/{task.id}", "key-4").headers[DONE] == "1"


def test_nothing_is_sent_as_somebody_else(crm: Crm) -> None:
    lead, ana = crm.make.lead("ana"), crm.client("ana")
    for client in (crm.client("root"), crm.client(None)):
        headers = {"Idempotency-Key": "key-5", MEANT_FOR: str(crm.people["ana"].id), "X-CSRFToken": client.token}
        answer = client.browser.post(f"/leads/note/{lead.id}", data={"body": "Mine"}, headers=headers)
        assert answer.status_code == 401 and DONE not in answer.headers
    assert notes(crm, "Mine") == 0
    # Nor is another form than those that may be kept done under a key.
    before = crm.session.scalar(select(func.count()).select_from(StoredResponse))
    ana.browser.post(f"/leads/edit/{lead.id}", data={FIELD: "key-6"}, headers={"X-CSRFToken": ana.token})
    assert crm.session.scalar(select(func.count()).select_from(StoredResponse)) == before


def test_the_forms_that_may_be_kept_exist(crm: Crm) -> None:
    rules = {
        re.sub(r"<[^>]+>", "1", rule.rule) for rule in crm.app.url_map.iter_rules() if "POST" in (rule.methods or ())
    }
    kept = {rule for rule in rules if re.match(PATHS, rule)}
    told = {"note", "move", "add", "done", "reopen", "snooze", "finish", "outcome", "log", "decide"}
    assert {part.split("/")[2] for part in kept} == told
    assert all(re.match(each, "/x") is None for each in PATHS.split("|^"))
