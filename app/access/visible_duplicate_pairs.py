"""Pairs of records that look like duplicates, under the access rules of both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, or_, select
from sqlalchemy.orm import aliased

from app.access.person import Person
from app.access.row_rules import MODULE_OF, has_own_rule, visible_alias
from app.models import DuplicatePair


@dataclass(frozen=True)
class PairFilter:
    """Which pairs are wanted."""

    #: Bits of the reasons of which a pair has one.
    reasons: int
    is_dismissed: bool = False
    #: A colleague who owns or is assigned one of the records.
    owner_id: int | None = None


def visible_pairs(person: Person, record: Any, wanted: PairFilter) -> Select[Any] | None:
    """SELECT of the pairs of which the person sees both records and may merge them.

    Execute it as the system: the rules are in it. None for a record whose rule an add-on has replaced: it can't be
    applied to two rows of one statement.
    """
    if not has_own_rule(record):
        return None
    pair, one, other = DuplicatePair, aliased(record), aliased(record)
    rules = [
        pair.kind == record.__tablename__,
        pair.reasons.bitwise_and(wanted.reasons) != 0,
        pair.dismissed_on.is_not(None) if wanted.is_dismissed else pair.dismissed_on.is_(None),
        *(visible_alias(person, record, each) for each in (one, other)),
    ]
    module = MODULE_OF[record]
    if person.level(module, "merge") != person.level(module, "read"):
        rules += [visible_alias(person, record, each, "merge") for each in (one, other)]
    if wanted.owner_id is not None:
        columns = [each.owner_id for each in (one, other)]
        columns += [each.assignee_id for each in (one, other) if hasattr(record, "assignee_id")]
        rules.append(or_(*[column == wanted.owner_id for column in columns]))
    columns_of_pair: list[Any] = [pair.id, pair.first_id, pair.second_id, pair.reasons, pair.score]
    query: Select[Any] = select(*columns_of_pair)
    return query.join(one, one.id == pair.first_id).join(other, other.id == pair.second_id).where(*rules)
