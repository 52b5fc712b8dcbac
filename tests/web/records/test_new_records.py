"""Values that a new record must not have."""

from __future__ import annotations

from typing import Any

import pytest

from app.models import Lead


@pytest.mark.parametrize(("who", "status"), [("ana", 403), ("mia", 201)])
def test_only_who_may_assign_gives_a_new_lead_to_a_role(crm: Any, who: str, status: int) -> None:
    values = {"first_name": "Ravi", "assign_to_role": "Sales User"}
    client = crm.client(who)
    assert client.rest("POST", "lead/", values).status_code == status
    assert client.form("/leads/add", values).status_code == (302 if status == 201 else 403)
    assert crm.count(Lead) == (2 if status == 201 else 0)
    assert ('name="assign_to_role"' in client.screen("/leads/add").text) is (status == 201)


#: With signs that are invisible, look like others, or are markup.
ODD = ["A\u200bB", "ΑB1", "<b>X</b>", "A\u202eB", "X&Y", "क१"]


@pytest.mark.parametrize("code", ODD)
@pytest.mark.parametrize(("kind", "name"), [("lead", "referral"), ("lead", "pod_id"), ("customer", "referred_by")])
def test_codes_have_plain_signs_only(crm: Any, kind: str, name: str, code: str) -> None:
    row = crm.make.lead("ana") if kind == "lead" else crm.make.customer("ana")
    refused = crm.client("ana").rest("PUT", f"{kind}/{row.id}", {name: code})
    assert refused.status_code == 422 and list(refused.get_json()["errors"]) == [name]
    assert crm.client("ana").rest("PUT", f"{kind}/{row.id}", {name: "POD-7/a.2"}).status_code == 200
    assert crm.client("ana").form(f"/{kind}s/edit/{row.id}", {name: code}).status_code == 422


def test_a_status_that_a_new_lead_cannot_have_is_refused_with_the_way(crm: Any) -> None:
    values = {"first_name": "Ravi", "status": "Account Opened", "client_id": "E1"}
    refused = crm.client("ana").rest("POST", "lead/", values)
    assert refused.status_code == 422
    assert "can't be “Account Opened” at once. Save it with another status first" in refused.text
