"""Pairs of records that look like duplicates, under the access rules of both."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, or_, select
from sqlalchemy.orm import aliased

from app.access.person import Person
from app.access.row_rules import MODULE_OF, has_own_rule, visible_alias
from app.models import DuplicatePair


def visible_pairs(
    person: Person, record: Any, bits: int, is_dismissed: bool, owner_id: int | None
) -> Select[Any] | None:
    """SELECT of the pairs, for one of these reasons, of which the person sees both records and may merge them.

    `owner_id`: a colleague who owns or is assigned one of them. Execute it as the system: the rules are in it. None for
    a record whose rule an add-on has replaced: it can't be applied to two rows of one statement.
    """
    if not has_own_rule(record):
        return None
    pair, one, other = DuplicatePair, aliased(record), aliased(record)
    rules = [
        pair.kind == record.__tablename__,
        pair.reasons.bitwise_and(bits) != 0,
        pair.dismissed_on.is_not(None) if is_dismissed else pair.dismissed_on.is_(None),
        *(visible_alias(person, record, each) for each in (one, other)),
    ]
    module = MODULE_OF[record]
    if person.level(module, "merge") != person.level(module, "read"):
        rules += [visible_alias(person, record, each, "merge") for each in (one, other)]
    if owner_id is not None:
        columns = [each.owner_id for each in (one, other)]
        columns += [each.assignee_id for each in (one, other) if hasattr(record, "assignee_id")]
        rules.append(or_(*[column == owner_id for column in columns]))
    wanted: list[Any] = [pair.id, pair.first_id, pair.second_id, pair.reasons, pair.score]
    query: Select[Any] = select(*wanted)
    return query.join(one, one.id == pair.first_id).join(other, other.id == pair.second_id).where(*rules)
