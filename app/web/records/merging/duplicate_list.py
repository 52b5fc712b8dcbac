"""Pairs that look like duplicates, for one person: both records within reach, no reason based on a masked field."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from flask_babel import lazy_gettext as _l
from sqlalchemy import Select, and_, func, or_, select

from app import access
from app.domain.merging import duplicate_comparison
from app.domain.merging.duplicate_pairs import REASONS, DuplicatePair, bits_of, reasons_of, score_of
from app.extensions import db
from app.web.core.view_registry import kind_of
from app.web.core.viewer import Viewer
from app.web.records.merging import merge_actions, merge_form

PAGE = 25
#: Pairs that are counted; more are shown as “1,000+”.
MOST_COUNTED = 1000
#: Records per group.
_MOST_TOGETHER = 3
LABELS = {
    "mobile": _l("Same phone number"),
    "pan": _l("Same PAN"),
    "email": _l("Same email"),
    "birth": _l("Similar name, same date of birth"),
    "aadhaar": _l("Same Aadhaar"),
}
#: Reason -> the fields whose masks decide whether it is shown.
_FIELDS = {
    "mobile": ("mobile", "alternative_mobile"),
    "pan": ("pan",),
    "email": ("email",),
    "aadhaar": ("aadhaar",),
}


@dataclass(frozen=True)
class DuplicateQuery:
    """The filters of the list of duplicates."""

    screen: Any
    reason: str = ""
    #: A colleague who owns one of the records, or is assigned to it.
    owner_id: int | None = None
    #: Whether to list dismissed pairs.
    is_dismissed: bool = False
    #: (score, id) of the last pair of the previous page.
    after: tuple[int, int] | None = None


@dataclass
class DuplicateGroup:
    """Records that belong together, by the pairs of one page."""

    ids: list[int] = field(default_factory=list)
    pairs: list[int] = field(default_factory=list)
    bits: int = 0


def is_scanned(screen: Any) -> bool:
    """Whether this screen's records are scanned for duplicates."""
    return duplicate_comparison.SCANNED.get(screen.service.record.__tablename__) is screen.service.record


def screens(viewer: Viewer) -> list[Any]:
    """The screens whose duplicates this person may merge."""
    return [each for each in merge_actions.screens(viewer) if is_scanned(each)]


def visible_reasons(viewer: Viewer) -> int:
    """The reasons shown to this person: not those of fields hidden from them."""
    names = (name for name in REASONS if all(viewer.person.mask(each) != "hidden" for each in _FIELDS.get(name, ())))
    return bits_of(names)


def _pairs(duplicate_query: DuplicateQuery, viewer: Viewer) -> Select[Any] | None:
    bits = (
        REASONS[duplicate_query.reason][0] & visible_reasons(viewer)
        if duplicate_query.reason
        else visible_reasons(viewer)
    )
    wanted = access.PairFilter(bits, duplicate_query.is_dismissed, duplicate_query.owner_id)
    return access.visible_pairs(viewer.person, duplicate_query.screen.service.record, wanted)


def rows_of(duplicate_query: DuplicateQuery, viewer: Viewer) -> list[Any]:
    """One page of pairs, highest score first, and one more if there is a next page."""
    pair, query = DuplicatePair, _pairs(duplicate_query, viewer)
    if query is None:
        return []
    if duplicate_query.after is not None:
        score, key = duplicate_query.after
        query = query.where(or_(pair.score < score, and_(pair.score == score, pair.id < key)))
    session = db.session()
    with access.as_system(session):
        return list(session.execute(query.order_by(pair.score.desc(), pair.id.desc()).limit(PAGE + 1)))


def count(duplicate_query: DuplicateQuery, viewer: Viewer) -> int:
    """The number of pairs, at most one more than MOST_COUNTED."""
    query = _pairs(duplicate_query, viewer)
    if query is None:
        return 0
    some = query.limit(MOST_COUNTED + 1).subquery()
    session = db.session()
    with access.as_system(session):
        return int(session.execute(select(func.count()).select_from(some)).scalar() or 0)


def reached_pairs(screen: Any, keys: Sequence[int], viewer: Viewer) -> list[int]:
    """Those of the pairs that the person may decide about."""
    found: list[int] = []
    session = db.session()
    for is_dismissed in (False, True):
        query = _pairs(DuplicateQuery(screen, is_dismissed=is_dismissed), viewer)
        if query is not None:
            with access.as_system(session):
                found += [row.id for row in session.execute(query.where(DuplicatePair.id.in_(keys)))]
    return found


def groups(rows: Iterable[Any]) -> list[DuplicateGroup]:
    """Pairs that share a record form one group, if it can be merged at once."""
    made: list[DuplicateGroup] = []
    for row in rows:
        both = {row.first_id, row.second_id}
        near = next((g for g in made if both & set(g.ids) and len(both | set(g.ids)) <= _MOST_TOGETHER), None)
        if near is None:
            near = DuplicateGroup()
            made.append(near)
        near.ids += sorted(both - set(near.ids))
        near.pairs.append(row.id)
        near.bits |= row.reasons
    return made


def page_groups(screen: Any, groups: Sequence[DuplicateGroup], viewer: Viewer) -> list[dict[str, Any]]:
    """The groups for the page: {records, reasons, score, ids, pairs, merge_url}."""
    ids = sorted({key for group in groups for key in group.ids})
    columns = merge_form.columns_of(screen, ids, viewer) if ids else {}
    made = []
    for group in groups:
        bits, keys = group.bits & visible_reasons(viewer), sorted(key for key in group.ids if key in columns)
        if len(keys) < 2:
            continue
        made.append(
            {
                "records": [columns[key] for key in keys],
                "reasons": [LABELS[name] for name in reasons_of(bits)],
                "score": score_of(bits),
                "pairs": group.pairs,
                "merge_url": f"/merge/{kind_of(screen)}?ids={','.join(map(str, keys))}",
            }
        )
    return made


def of_record(screen: Any, key: int, viewer: Viewer) -> list[dict[str, Any]]:
    """Records that look like this one now: {id, title, number, url, reasons, score, merge_url}."""
    table, session = screen.service.record.__tablename__, db.session()
    if not is_scanned(screen):
        return []
    with access.as_system(session):
        found = duplicate_comparison.find(session, table, [key]).pairs
        pair = DuplicatePair
        own = (pair.kind == table, or_(pair.first_id == key, pair.second_id == key), pair.dismissed_on.is_not(None))
        gone = {(first, second) for first, second in session.execute(select(pair.first_id, pair.second_id).where(*own))}
    allowed = visible_reasons(viewer)
    bits = {
        (first if second == key else second): value
        for (first, second), reasons in found.items()
        if (first, second) not in gone and (value := bits_of(reasons) & allowed)
    }
    columns = merge_form.columns_of(screen, sorted(bits), viewer) if bits else {}
    made = [
        {
            "id": other,
            "title": column["title"],
            "number": column["number"],
            "url": column["url"],
            "reasons": [LABELS[name] for name in reasons_of(bits[other])],
            "score": score_of(bits[other]),
            "merge_url": f"/merge/{kind_of(screen)}?ids={key},{other}",
        }
        for other, column in columns.items()
    ]
    return sorted(made, key=lambda each: (-each["score"], each["id"]))
