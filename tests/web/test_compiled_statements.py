"""Compiled statements return the same as new ones when sent again: other values and people, lost rights."""

from __future__ import annotations

import gc
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from weakref import ref

import pytest
from sqlalchemy import String, bindparam, literal, or_, select
from sqlalchemy.dialects import sqlite
from sqlalchemy.types import Integer

from app import access
from app.access.compiled_statements import (
    CachedStatement,
    CompiledStatement,
    StatementText,
    answer,
    compile_statement,
    name_of,
    shape_of,
)
from app.models import Lead, User
from tests.app_fixtures import Crm

NEWEST: dict[str, Any] = {}
BY_CHANGE = {"order_column": "changed_on", "order_direction": "desc"}


def seen(crm: Crm, who: str, q: dict[str, Any] | None = None) -> tuple[int, list[int]]:
    """(count, ids) of the person's leads; (0, []) without access."""
    answer = crm.client(who).rest("GET", "lead/", q=q or {})
    body = answer.get_json() if answer.status_code == 200 else {"count": 0, "ids": []}
    return body["count"], body["ids"]


def warm(crm: Crm, who: str, key: int) -> None:
    """Ask often enough that every statement is a compiled one."""
    for _ in range(3):
        for q in (NEWEST, BY_CHANGE):
            assert key in seen(crm, who, q)[1]
        assert crm.client(who).rest("GET", f"lead/{key}").status_code == 200


def give_away(crm: Crm, lead: Any) -> None:
    crm.make.give(lead, "ben")


def forbid(crm: Crm, _lead: Any) -> None:
    crm.make.cell("Sales User", "Leads", "read", "none")


def take_roles(crm: Crm, _lead: Any) -> None:
    crm.session.get(User, crm.people["ana"].id).roles = []
    crm.session.commit()


def deactivate(crm: Crm, _lead: Any) -> None:
    crm.session.get(User, crm.people["ana"].id).active = False
    crm.session.commit()


@pytest.mark.parametrize("take", [give_away, forbid, take_roles, deactivate])
def test_rights_taken_away_are_gone_with_the_next_request(crm: Crm, take: Callable[..., None]) -> None:
    lead = crm.make.lead("root", assignee_id=crm.people["ana"].id)
    warm(crm, "ana", lead.id)
    before = seen(crm, "ana")[0]
    take(crm, lead)
    for q in (NEWEST, BY_CHANGE):
        count, ids = seen(crm, "ana", q)
        assert lead.id not in ids and count < before
    assert crm.client("ana").rest("GET", f"lead/{lead.id}").status_code in (401, 403, 404)


def test_a_mask_holds_with_the_next_request(crm: Crm) -> None:
    lead = crm.make.lead("ana", mobile="9820011223")
    warm(crm, "ana", lead.id)
    shown = crm.client("ana").rest("GET", f"lead/{lead.id}").get_json()["result"]["mobile"]
    crm.make.mask("Sales User", mobile="last4")
    for path in (f"lead/{lead.id}", "lead/"):
        body = crm.client("ana").rest("GET", path).text
        assert shown.removeprefix("+91") not in body


def test_a_delegate_loses_the_rows_when_the_leave_ends(crm: Crm) -> None:
    lead, now = crm.make.lead("ana"), datetime.now(UTC)
    ana = crm.session.get(User, crm.people["ana"].id)
    ana.delegate_id, ana.leave_from, ana.leave_to = (
        crm.people["ben"].id,
        now - timedelta(days=1),
        now + timedelta(days=1),
    )
    crm.session.commit()
    warm(crm, "ben", lead.id)
    ana.leave_to = now - timedelta(hours=1)
    crm.session.commit()
    assert lead.id not in seen(crm, "ben")[1]


def test_each_person_gets_their_own_rows(crm: Crm) -> None:
    mine, theirs = crm.make.lead("ana"), crm.make.lead("ben")
    for _ in range(3):
        for who, own, other in (("ana", mine, theirs), ("ben", theirs, mine)):
            assert own.id in seen(crm, who)[1] and other.id not in seen(crm, who)[1]


def test_values_of_filters_are_never_mixed_up(crm: Crm) -> None:
    rows = {n: crm.make.lead("ana", mobile=f"98200{n}", first_name=f"P{n}") for n in range(11111, 11115)}
    for _ in range(3):
        for n, lead in rows.items():
            for column, opr, value in (
                ("mobile", "eq", f"98200{n}"),
                ("first_name", "eq", f"P{n}"),
                ("first_name", "sw", f"P{n}"),
                ("first_name", "in", [f"P{n}", "Nobody"]),
                ("number", "eq", lead.number.lower()),
            ):
                q = {"filters": [{"col": column, "opr": opr, "value": value}]}
                assert seen(crm, "ana", q) == (1, [lead.id]), q
        keys = sorted((lead.id for lead in rows.values()), reverse=True)
        for place, key in enumerate(keys[:-1]):
            assert seen(crm, "ana", {"cursor": key, "page_size": 1})[1] == [keys[place + 1]]
            assert seen(crm, "ana", {"page": place, "page_size": 1})[1] == [key]


def test_a_shape_tells_apart_what_is_written_differently() -> None:
    shapes = [
        shape_of(conditions).key
        for conditions in (
            [],
            [Lead.id == 1],
            [Lead.id != 1],
            [Lead.id < 1],
            [Lead.owner_id == 1],
            [Lead.id.is_(None)],
            [Lead.id.in_([1])],
            [Lead.id.in_([1, 2])],
            [Lead.id == 1, Lead.owner_id == 1],
            [or_(Lead.id == 1, Lead.owner_id == 1)],
            [Lead.id.in_(select(Lead.id).where(Lead.owner_id == 1))],
            [Lead.id.in_(select(Lead.id).where(Lead.owner_id == 2))],
        )
    ]
    assert len(set(shapes)) == len(shapes)
    assert shape_of([Lead.id == 1]).key == shape_of([Lead.id == 2]).key
    assert shape_of([Lead.id == 2]).open_values == {"value_0": 2}
    assert shape_of([Lead.description == object()]).key is None


def test_a_person_keeps_statements_only_with_equal_rights(crm: Crm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access.rights_cache, "CACHE_SECONDS", 0)  # read again each time

    def person(version: int) -> access.Person:
        with crm.app.app_context():
            return access.person(crm.session, crm.people["ana"].id, version)

    first = person(7)
    assert person(7) is first
    assert person(8) is not first
    crm.make.cell("Sales User", "Leads", "read", "none")
    changed = person(8)
    assert changed.level("Leads", "read") == "none" and not changed.compiled_statements


def test_a_scope_has_statements_of_its_own(crm: Crm) -> None:
    with crm.app.app_context():
        whole = access.person(crm.session, crm.people["ana"].id, 1)
    limited = whole.within(frozenset({"Tasks"}))
    assert (
        limited is whole.within(frozenset({"Tasks"})) and limited.compiled_statements is not whole.compiled_statements
    )
    assert limited.level("Leads", "read") == "none" and whole.within(frozenset()) is whole


def compiled_by(crm: Crm, *names: str) -> list[CompiledStatement]:
    """The same statement of each person, compiled."""
    question = CachedStatement("the ids of leads", lambda: select(Lead.id), frozenset(["leads"]))
    found = []
    for name in names:
        with crm.app.app_context(), access.acting_as(crm.session, person := of(crm, name)):
            for _ in range(3):
                answer(crm.session, question, {})
        found += [made for made in kept_by(person) if made.text.sql.startswith("SELECT leads.id")]
    return found


def of(crm: Crm, name: str) -> access.Person:
    return access.person(crm.session, crm.people[name].id, 1)


def kept_by(person: access.Person) -> list[CompiledStatement]:
    return [*(person.compiled_statements._new | person.compiled_statements._older).values()]


def test_people_share_a_text_but_never_its_values(crm: Crm) -> None:
    ana, ben, root = compiled_by(crm, "ana", "ben", "root")
    assert ana.text is ben.text and ana.text is not root.text
    assert ana.values != ben.values and crm.people["ana"].id in ana.values
    assert crm.people["ana"].id not in ben.values


def test_equal_texts_of_other_types_are_told_apart() -> None:
    """The text of a masked column may be that of the column itself; what reads it is not."""

    def made(statement: Any, name: str = "one", **open_values: Any) -> StatementText:
        return compile_statement(statement, sqlite.dialect(), open_values, names[name]).text

    names = {name: name_of(name) for name in ("one", "other")}
    number, text = (select(literal(1, kind).label("n")) for kind in (Integer(), String()))
    first = made(number)
    assert made(number) is first
    assert made(text) is not first and made(number, "other") is not first
    open_value = select(bindparam("n", 1, type_=Integer()))
    assert made(open_value, n=1) is not made(select(bindparam("m", 1, type_=Integer())), m=1)


def test_what_nobody_keeps_is_forgotten() -> None:
    """Names and texts live as long as a person who has asked."""
    gc.freeze()  # so that only newer objects are collected: to look at all of a process takes seconds
    name = name_of(("a question", 1))
    assert name_of(("a question", 1)) is name
    text = compile_statement(select(literal(1)), sqlite.dialect(), {}, name).text
    left = ref(name), ref(text)
    del name, text
    gc.collect()
    assert [each() for each in left] == [None, None]
