"""What must be unique stays unique under parallel writers, and a refusal names the field."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import click
import pytest
from flask_appbuilder import Model
from sqlalchemy import inspect, select, update

from app import cli
from app.domain import client_ids
from app.domain.base import RuleBroken
from app.models import CallLog, CustomerLink, Lead, LeadSource, Role, Ticket, User
from app.ops.redis.rate_counter import Rate
from app.web.core import unique_errors
from app.web.core.request_transaction import request_transaction
from app.web.records import identity_guesses
from tests.app_fixtures import Crm
from tests.cases import each_case

WRITERS = 8


def at_once(act: Callable[[int], Any], count: int = WRITERS) -> list[Any]:
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(act, range(count)))


def test_eight_leads_want_one_client_id(maria: Crm) -> None:
    leads = [maria.make.lead("ana") for _ in range(WRITERS)]
    clients = [maria.client("ana") for _ in range(WRITERS)]
    answers = at_once(lambda n: clients[n].rest("PUT", f"lead/{leads[n].id}", {"client_id": "E777"}))
    assert Counter(each.status_code for each in answers) == {200: 1, 422: WRITERS - 1}, [each.text for each in answers]
    assert all("client_id" in each.json["errors"] for each in answers if each.status_code == 422)
    assert maria.count(Lead, Lead.client_id == "E777") == 1


def test_eight_accounts_are_opened_with_one_client_id(maria: Crm) -> None:
    leads = [maria.make.lead("ana") for _ in range(WRITERS)]
    clients = [maria.client("ana") for _ in range(WRITERS)]
    body = {"status": "Account Opened", "client_id": "e778"}
    answers = at_once(lambda n: clients[n].rest("PUT", f"lead/{leads[n].id}", body))
    assert Counter(each.status_code for each in answers) == {200: 1, 422: WRITERS - 1}, [each.text for each in answers]
    assert all("client_id" in each.json["errors"] for each in answers if each.status_code == 422)


def test_eight_phones_send_one_call(maria: Crm) -> None:
    body = {"direction": "Outgoing", "status": "Completed", "to_number": "9820012345", "from_number": "9820012346"}
    body |= {"started_on": "2026-11-20T10:00Z", "device_call_id": "A17-1"}
    clients = [maria.client("ana") for _ in range(WRITERS)]
    answers = at_once(lambda n: clients[n].rest("POST", "call_log/", body))
    refused = [each for each in answers if each.status_code != 201]
    assert len(refused) == WRITERS - 1
    assert all(each.status_code == 422 and "device_call_id" in each.json["errors"] for each in refused), refused[0].text
    assert maria.count(CallLog, CallLog.device_call_id == "A17-1") == 1


def test_eight_managers_name_one_source(maria: Crm) -> None:
    clients = [maria.client("root") for _ in range(WRITERS)]
    form = {"label": "Trade fair", "position": "5", "is_active": "y"}
    answers = at_once(lambda n: clients[n].form("/settings/lead-sources/add", form))
    assert Counter(each.status_code for each in answers) == {302: 1, 422: WRITERS - 1}
    assert maria.count(LeadSource, LeadSource.label == "Trade fair") == 1
    assert all("already" in each.text for each in answers if each.status_code == 422)


def test_eight_posts_with_one_idempotency_key(maria: Crm) -> None:
    clients, headers = [maria.client("ana") for _ in range(WRITERS)], {"Idempotency-Key": "one"}
    body = {"first_name": "Once", "mobile": maria.make.mobile()}
    answers = at_once(lambda n: clients[n].rest("POST", "lead/", body, headers=headers))
    assert {each.status_code for each in answers} <= {201, 409}
    assert len({each.json["id"] for each in answers if each.status_code == 201}) == 1
    assert maria.count(Lead, Lead.first_name == "Once") == 1


@pytest.mark.parametrize("kind, model", [("lead", Lead), ("ticket", Ticket)])
def test_eight_clicks_make_one_record_of_a_call(maria: Crm, kind: str, model: Any) -> None:
    who = {"lead": "ana", "ticket": "cleo"}[kind]
    call = maria.make.call(who, from_number="9820012345", direction="Incoming")
    before = maria.count(model)
    clients = [maria.client(who) for _ in range(WRITERS)]
    answers = at_once(lambda n: clients[n].form(f"/calls/{kind}/{call.id}"))
    assert maria.count(model) == before + 1, [(each.status_code, each.location) for each in answers]
    stored = maria.fresh(call)
    assert (stored.lead_id or stored.ticket_id) == maria.rows(select(model.id).order_by(model.id.desc()))[0]
    assert all(each.status_code < 500 for each in answers)


def test_a_link_is_confirmed_or_refused_but_not_both(maria: Crm) -> None:
    for _round in range(3):
        mobile = maria.make.mobile()
        customer = maria.make.customer("ana", mobile=mobile)
        key = maria.client("ben").rest("POST", "lead/", {"first_name": "Typed", "mobile": mobile}).json["id"]
        waiting = select(CustomerLink.id).where(CustomerLink.lead_id == key)
        body = {"link": maria.rows(waiting)[0]}
        clients = [maria.client("ana") for _ in range(WRITERS)]
        answers = at_once(
            lambda n, client=clients, body=body, to=customer.id: client[n].rest(
                "POST", f"customer/{to}/links", body | {"confirm": n % 2 == 0}
            )
        )
        told = Counter(each.status_code for each in answers)
        assert told == {200: 1, 409: WRITERS - 1}, [each.text for each in answers]
        lead = maria.rows(select(Lead).where(Lead.id == key))[0]
        link = maria.rows(select(CustomerLink.status).where(CustomerLink.id == body["link"]))[0]
        assert (lead.customer_id, link) in ((customer.id, "Confirmed"), (None, "Refused"))


def test_four_people_who_get_each_other_as_managers_make_no_circle(maria: Crm) -> None:
    names = ["ana", "ben", "mia", "max"]
    maria.session.execute(update(User).values(manager_id=None))
    maria.session.commit()
    roles = {name: maria.rows(select(Role.id).join(User.roles).where(User.username == name))[0] for name in names}
    clients = [maria.client("root") for _ in names]

    def give(n: int) -> Any:
        name, boss = names[n], maria.people[names[(n + 1) % len(names)]].id
        form = {"first_name": "A", "last_name": "B", "username": name, "email": f"{name}@example.in", "active": "y"}
        return clients[n].form(
            f"/users/edit/{maria.people[name].id}", form | {"roles": str(roles[name]), "manager_id": str(boss)}
        )

    answers = at_once(give, len(names))
    assert Counter(each.status_code for each in answers) == {302: 3, 422: 1}
    assert len(maria.rows(select(User.id).where(User.manager_id.is_not(None)))) == 3


# --- the sentence


@pytest.mark.parametrize("which", ["crm", "maria"])
def test_every_unique_key_is_named(request: pytest.FixtureRequest, which: str) -> None:
    """Each unique key of the database, by the name that its error would give, leads to its columns."""
    engine = request.getfixturevalue(which).engine
    found = inspect(engine)
    for name in found.get_table_names():
        table = Model.metadata.tables.get(name)
        if table is None:
            continue
        for key in found.get_unique_constraints(name):
            if engine.dialect.name != "sqlite":
                assert unique_errors._of_key(table, key["name"]) == key["column_names"], (name, key)


@pytest.mark.parametrize("which", ["crm", "maria"])
def test_a_taken_label_names_its_field(request: pytest.FixtureRequest, which: str) -> None:
    crm = request.getfixturevalue(which)
    label = crm.rows(select(LeadSource.label))[0]
    answer = crm.client("root").form("/settings/lead-sources/add", {"label": f" {label} ", "is_active": "y"})
    assert answer.status_code == 422
    call = {"direction": "Outgoing", "status": "Completed", "to_number": "9820012345", "from_number": "9820012346"}
    call |= {"started_on": "2026-11-20T10:00Z", "device_call_id": "A17-2"}
    ana = crm.client("ana")
    assert ana.rest("POST", "call_log/", call).status_code == 201
    again = ana.rest("POST", "call_log/", call)
    assert again.status_code == 422 and again.json["errors"].keys() == {"device_call_id"}, again.text


@each_case("code", ["E1\u200b", "E 1", "E-1", "E1\n", "<b>E1</b>", "\u0395\u0031", "É1", "e1\u0301", "९"])
def test_a_client_id_has_letters_and_digits_only(crm: Crm, code: str) -> None:
    lead = crm.make.lead("ana")
    for body in ({"client_id": code}, {"client_id": code, "status": "Account Opened"}):
        answer = crm.client("ana").rest("PUT", f"lead/{lead.id}", body)
        assert answer.status_code == 422 and "client_id" in answer.json["errors"], (code, answer.text)
    with pytest.raises(RuleBroken):
        client_ids.normalize_client_id(code + "\u00ad")


@pytest.mark.parametrize("which", ["crm", "maria"])
def test_a_number_that_only_looks_alike_finds_nothing(request: pytest.FixtureRequest, which: str) -> None:
    crm = request.getfixturevalue(which)
    lead, client = crm.make.lead("ana"), crm.client("ana")
    assert client.screen(f"/leads/{lead.number}").status_code == 200
    assert client.screen(f"/leads/{lead.number.lower()}").status_code == 200
    looks = lead.number.replace("LEAD", "LÉAD")
    assert client.screen(f"/leads/{looks}").status_code == 404
    found = client.rest("GET", "lead/", q={"filters": [{"col": "number", "opr": "eq", "value": looks}]})
    assert found.json["count"] == 0
    body = {"title": "T", "due_on": "2026-11-30T12:00Z", "lead": looks}
    assert client.rest("POST", "task/", body).status_code == 422


# --- ids


def test_a_late_save_never_reaches_the_next_record(crm: Crm) -> None:
    ana, root = crm.client("ana"), crm.client("root")
    first = ana.rest("POST", "lead/", {"first_name": "One", "mobile": crm.make.mobile()}).json
    assert root.rest("DELETE", f"lead/{first['id']}").status_code == 200
    second = ana.rest("POST", "lead/", {"first_name": "Two", "mobile": crm.make.mobile()}).json
    assert second["id"] > first["id"]
    late = {"first_name": "Late", "version": 1}
    assert ana.rest("PUT", f"lead/{first['id']}", late).status_code == 404
    assert ana.form(f"/leads/edit/{first['id']}", {"first_name": "Late", "version": "1"}).status_code == 404
    assert ana.rest("GET", f"lead/{second['id']}").json["result"]["first_name"] == "Two"


def test_an_idempotency_key_never_answers_with_another_record(crm: Crm) -> None:
    ana, root, headers = crm.client("ana"), crm.client("root"), {"Idempotency-Key": "k"}
    body = {"first_name": "One", "mobile": crm.make.mobile()}
    first = ana.rest("POST", "lead/", body, headers=headers).json
    assert root.rest("DELETE", f"lead/{first['id']}").status_code == 200
    ana.rest("POST", "lead/", {"first_name": "Two", "mobile": crm.make.mobile()})
    again = ana.rest("POST", "lead/", body, headers=headers)
    assert (again.status_code, again.json) == (201, {"id": first["id"], "result": None})


@pytest.fixture
def few_guesses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity_guesses, "RATES", (Rate(3, 86400),))


def pans(number: int) -> list[str]:
    return [f"ABCDE12{place:02d}F" for place in range(number)]


@pytest.mark.parametrize("kind", ["customer", "lead"])
def test_a_masked_number_cannot_be_found_by_trying(crm: Crm, few_guesses: None, kind: str) -> None:
    """The refusal of a number that another customer has would tell; the masked value of a form is no guess."""
    crm.make.customer("max", first_name="Other", pan=pans(9)[8])
    crm.make.mask("Sales User", pan="last4")
    mine = crm.make.customer("ana", first_name="Mine", mobile="9820012345")
    key = mine.id if kind == "customer" else crm.make.lead("ana", mobile="9820012345").id
    client = crm.client("ana")
    answers = [client.rest("PUT", f"{kind}/{key}", {"pan": pan}) for pan in pans(9)]
    assert [each.status_code for each in answers] == [200] * 3 + [429] * 6
    shown = client.rest("GET", f"{kind}/{key}").get_json()["result"]["pan"]
    assert shown.endswith("202F") and "ABCDE" not in shown
    assert client.rest("PUT", f"{kind}/{key}", {"pan": shown, "email": "a@example.in"}).status_code == 200


@pytest.mark.parametrize("name", ["mobile", "alternative_mobile"])
@pytest.mark.parametrize("kind", ["customer", "lead"])
def test_a_masked_phone_number_cannot_be_found_by_trying(crm: Crm, few_guesses: None, kind: str, name: str) -> None:
    crm.make.customer("max", first_name="Other", mobile="9820077708")
    crm.make.mask("Sales User", mobile="last4", alternative_mobile="last4")
    mine = crm.make.customer("ana", first_name="Mine", mobile="9820012345")
    key = mine.id if kind == "customer" else crm.make.lead("ana", mobile="9820012345").id
    client = crm.client("ana")
    answers = [client.rest("PUT", f"{kind}/{key}", {name: f"98200777{n:02}"}) for n in range(9)]
    assert [each.status_code for each in answers] == [200] * 3 + [429] * 6
    assert "phone numbers" in answers[-1].json["message"]
    shown = client.rest("GET", f"{kind}/{key}").json["result"][name]
    assert client.rest("PUT", f"{kind}/{key}", {name: shown, "description": "x"}).status_code in (200, 422)
    assert client.rest("PUT", f"{kind}/{key}", {"email": "a@example.in"}).status_code == 200


def test_who_sees_the_numbers_enters_as_many_as_they_like(crm: Crm, few_guesses: None) -> None:
    key = crm.make.customer("ana", first_name="Mine").id
    assert {crm.client("root").rest("PUT", f"customer/{key}", {"pan": pan}).status_code for pan in pans(9)} == {200}


def test_a_command_names_what_is_taken(crm: Crm) -> None:
    @cli.readable_errors
    def again(record: Any, **columns: Any) -> None:
        with request_transaction() as session:
            session.add(record(**columns))

    label = crm.rows(select(LeadSource.label))[0]
    with crm.app.test_request_context(), pytest.raises(click.ClickException) as caught:
        again(LeadSource, label=label)
    message = caught.value.message.lower()
    assert "already taken" in message and "user" not in message
    name = {"username": "ana", "email": "new@eshin.test", "first_name": "A", "last_name": "B", "active": True}
    with crm.app.test_request_context(), pytest.raises(click.ClickException, match="signs in with this username"):
        again(User, **name)
