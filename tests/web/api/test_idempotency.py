"""Careful clients: a repeated POST creates one record, reads return an ETag, and writes send it."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, text

from app import jobs
from app.domain import idempotency
from app.domain.idempotency import IdempotentRequest, StoredResponse
from app.models import Lead
from tests.app_fixtures import Crm
from tests.cases import each_case
from tests.servers import eventually

NEW = {"first_name": "Ravi", "mobile": "9820012345"}


def post(crm: Crm, key: str, body: Any = None, who: str = "ana") -> Any:
    return crm.client(who).rest("POST", "lead/", body or NEW, headers={"Idempotency-Key": key})


def count(crm: Crm) -> int:
    return int(crm.session.scalar(select(func.count(Lead.id))) or 0)


def test_the_same_key_makes_one_record_and_answers_it_again(crm: Crm) -> None:
    first, again = post(crm, "k1"), post(crm, "k1")
    assert (first.status_code, again.status_code, again.headers["Idempotent-Replayed"]) == (201, 201, "true")
    assert first.get_json()["id"] == again.get_json()["id"]
    assert count(crm) == 1


def test_the_same_key_for_something_else_is_a_mistake(crm: Crm) -> None:
    post(crm, "k1")
    answer = post(crm, "k1", NEW | {"first_name": "Asha"})
    assert (answer.status_code, count(crm)) == (422, 1)


def test_anothers_key_is_another_key(crm: Crm) -> None:
    post(crm, "k1")
    assert post(crm, "k1", NEW | {"mobile": "9820099999"}, "ben").status_code == 201


def test_a_refused_request_frees_its_key(crm: Crm) -> None:
    assert post(crm, "k1", {"category": "Nonsense"}).status_code == 422
    assert post(crm, "k1").status_code == 201


@pytest.mark.parametrize("key", ["", "x" * 101, "naïve"])
def test_a_key_has_plain_signs(crm: Crm, key: str) -> None:
    assert (post(crm, key.encode().decode("latin-1")).status_code, count(crm)) == (422, 0)


def test_who_has_seen_it_gets_304(crm: Crm) -> None:
    lead, client = crm.make.lead("ana"), crm.client("ana")
    tag = client.rest("GET", f"lead/{lead.id}").headers["ETag"]
    assert client.rest("GET", f"lead/{lead.id}", headers={"If-None-Match": tag}).status_code == 304
    client.rest("PUT", f"lead/{lead.id}", {"description": "x"})
    assert client.rest("GET", f"lead/{lead.id}", headers={"If-None-Match": tag}).status_code == 200


def test_a_write_says_what_it_saw(crm: Crm) -> None:
    lead, client = crm.make.lead("ana"), crm.client("ana")
    tag = client.rest("GET", f"lead/{lead.id}").headers["ETag"]
    for status, words in ((200, "first"), (412, "second")):
        answer = client.rest("PUT", f"lead/{lead.id}", {"description": words}, headers={"If-Match": tag})
        assert answer.status_code == status
    assert (crm.stored(lead) or {})["description"] == "first"
    assert client.rest("PUT", f"lead/{lead.id}", {"description": "any"}, headers={"If-Match": "*"}).status_code == 200


def test_a_deletion_says_what_it_saw(crm: Crm) -> None:
    call, root = crm.make.call("ana"), crm.client("root")
    tag = root.rest("GET", f"call_log/{call.id}").headers["ETag"]
    root.rest("PUT", f"call_log/{call.id}", {"outcome": "He buys"})
    assert root.rest("DELETE", f"call_log/{call.id}", headers={"If-Match": tag}).status_code == 412
    assert (crm.stored(call) or {})["outcome"] == "He buys"
    tag = root.rest("GET", f"call_log/{call.id}").headers["ETag"]
    assert root.rest("DELETE", f"call_log/{call.id}", headers={"If-Match": tag}).status_code == 200


# --- at the same moment


def at_once(crm: Crm, keys: list[str]) -> list[Any]:
    """One POST of Ana's for each key, all starting together."""
    start, clients, answers = threading.Barrier(len(keys)), [crm.client("ana") for _ in keys], []

    def send(n: int) -> None:
        start.wait(30)
        answers.append(clients[n].rest("POST", "lead/", NEW, headers={"Idempotency-Key": keys[n]}))

    threads = [threading.Thread(target=send, args=(n,)) for n in range(len(keys))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return answers


def test_twenty_who_send_one_key_at_once_make_one_record(maria: Crm) -> None:
    answers = at_once(maria, ["k1"] * 20)
    ids = {each.json["id"] for each in answers if each.status_code == 201}
    assert (len(answers), len(ids), count(maria)) == (20, 1, 1)
    assert {each.status_code for each in answers} <= {201, 409, 503}
    assert sum("Idempotent-Replayed" not in each.headers for each in answers if each.status_code == 201) == 1


def test_twenty_keys_at_once_make_twenty_records(maria: Crm) -> None:
    answers = at_once(maria, [f"k{n}" for n in range(20)])
    made = {each.json["id"] for each in answers if each.status_code == 201}
    assert len(made) == count(maria) == 20


def test_another_spelling_of_a_key_answers_no_other_request(maria: Crm) -> None:
    assert post(maria, "Abc").status_code == 201
    answer = post(maria, "aBC")
    assert (answer.status_code, "Idempotent-Replayed" in answer.headers, count(maria)) == (422, False, 1)


def test_when_the_first_is_refused_one_of_the_others_is_done(maria: Crm) -> None:
    """The first one's transaction is undone while others wait for its key."""
    answers: list[Any] = []
    with maria.new_session() as first:
        idempotency.claim(first, IdempotentRequest(maria.people["ana"].id, "k1", "x" * 64), datetime.now(UTC))
        waiting = threading.Thread(target=lambda: answers.extend(at_once(maria, ["k1"] * 5)))
        waiting.start()
        eventually(lambda: waits(maria) >= 1, "somebody waits for the key")
        first.rollback()
        waiting.join(60)
    assert len(answers) == 5 and {each.status_code for each in answers} <= {201, 409, 503}
    assert count(maria) == 1 and len(maria.rows(select(StoredResponse.id))) == 1


def waits(crm: Crm) -> int:
    """How many wait for a key."""
    held = "db = DATABASE() AND state = 'Update' AND info LIKE 'INSERT IGNORE INTO kept_answer%'"
    # InnoDB's own list of waits is not renewed for who looks often.
    return int(crm.rows(text(f"SELECT count(*) FROM information_schema.processlist WHERE {held}"))[0])  # noqa: S608


# --- for a day


def test_answers_are_forgotten_after_a_day(crm: Crm) -> None:
    post(crm, "k1")
    for hours, left in ((23, 1), (25, 0)):
        jobs.run_now(crm.app, "forget what is too old", datetime.now(UTC) + timedelta(hours=hours))
        assert len(crm.rows(select(StoredResponse.id))) == left
    assert post(crm, "k1").headers.get("Idempotent-Replayed") is None
    assert count(crm) == 2


def test_a_replay_shows_the_record_as_it_is_now_and_as_one_may_see_it(crm: Crm) -> None:
    key = post(crm, "k1").json["id"]
    crm.client("ana").rest("PUT", f"lead/{key}", {"description": "changed since"})
    assert post(crm, "k1").json["result"]["description"] == "changed since"
    assert crm.client("root").rest("DELETE", f"lead/{key}").status_code == 200
    again = post(crm, "k1")
    assert (again.status_code, again.json["id"], again.json["result"]) == (201, key, None)


# --- with compression


@pytest.mark.parametrize("way", ["br", "gzip", "gzip, br", "identity"])
def test_a_compressed_answer_bears_a_tag_that_works(crm: Crm, way: str) -> None:
    lead, client = crm.make.lead("ana", description="x" * 3000), crm.client("ana")
    accepts = {"Accept-Encoding": way}
    answer = client.rest("GET", f"lead/{lead.id}", headers=accepts)
    tag = answer.headers["ETag"]
    assert answer.headers.get("Content-Encoding", "identity") in way and "Accept-Encoding" in answer.headers["Vary"]
    seen = client.rest("GET", f"lead/{lead.id}", headers=accepts | {"If-None-Match": tag})
    assert (seen.status_code, seen.get_data(), seen.headers["ETag"]) == (304, b"", tag)
    wishes = [
        client.rest("PUT", f"lead/{lead.id}", {"description": "y"}, headers=accepts | {"If-Match": tag})
        for _ in range(2)
    ]
    assert [each.status_code for each in wishes] == [200, 412]
    assert client.rest("GET", f"lead/{lead.id}", headers=accepts | {"If-None-Match": tag}).status_code == 200


@each_case("tag", ['"none"', 'W/"none"', "rubbish", '"', "", '"a", "b"', "x" * 5000, ",", ' , ""', "W/"])
def test_a_tag_that_is_none_saves_nothing(crm: Crm, tag: str) -> None:
    lead, client = crm.make.lead("ana"), crm.client("ana")
    before = crm.stored(lead)
    answer = client.rest("PUT", f"lead/{lead.id}", {"description": "x"}, headers={"If-Match": tag})
    assert (answer.status_code, crm.stored(lead)) == (412, before)
    assert client.rest("GET", f"lead/{lead.id}", headers={"If-None-Match": tag}).status_code == 200


def test_anothers_tag_of_a_hidden_record_tells_nothing(crm: Crm) -> None:
    lead = crm.make.lead("ana")
    tag = crm.client("ana").rest("GET", f"lead/{lead.id}").headers["ETag"]
    for method in ("GET", "PUT"):
        heads = {"If-None-Match": tag, "If-Match": tag}
        assert crm.client("ben").rest(method, f"lead/{lead.id}", {}, headers=heads).status_code == 404
