"""Text search by number, name, phone in any format, email, title, client id or PAN.

Only fields that the person sees in full are searched, so that a search can't be used to guess masked values. Each
condition uses the columns of one table and a range of an index, so that `access.look_up` can query them separately.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from sqlalchemy import String, and_, bindparam, case, inspect, or_

from app import access
from app.access.search import index_ranges
from app.domain import predecessor_names
from app.domain.base import NUMBER_PREFIXES, kind_of_number
from app.domain.search_columns import rest_column, reversed_column
from app.extensions import db
from app.lib.identity_numbers import is_aadhaar, is_pan
from app.lib.lru_cache import LruCache
from app.lib.text_normalization import fold_apostrophes
from app.models import Complaint, Customer, Lead, Message, Ticket
from app.web.core.fields.base import Field, TextField, clean_text
from app.web.core.fields.contact_field_types import EmailField, NameField, PhoneField, SecretField
from app.web.core.fields.filter_operators import begins, compare
from app.web.core.queries import capped_counts, custom_search, linked_hits
from app.web.core.queries.record_table import COUNT_CAP, RecordTable
from app.web.core.queries.search_input import TypedText
from app.web.core.urls.merged_redirects import surviving_id
from app.web.core.viewer import Viewer

#: Makes the conditions of one field.
_Rules = Callable[[Field, TypedText, Viewer], Iterable[Any]]
#: Rows that the palette and picklists look up per condition; a text with more is common.
MAX_LOOKED_UP = 100
#: Codes that match in full, or by their beginning or end.
_CODES = ("client_id", "pod_id", "referral_code")
#: Words of a name for which all splits into first and last name are tried.
_MOST_WORDS = 8
#: The most words of a text that are also split between the rest of one name and the other name.
_MOST_WORDS_IN_REST = 3
#: The searches of a person that are kept taken apart: where, and how many.
_PLANS, _MAX_PLANS = "search plans", 32
#: Records whose numbers contain a year, and the first possible year.
_KINDS, _FIRST_YEAR = {Lead: "LEAD", Customer: "CUST", Ticket: "TICKET", Complaint: "COMPLAINT"}, 2000
#: Those that the predecessor had, too.
_FORMER = (Lead, Customer, Ticket)


def matching(record_table: RecordTable, typed: str, viewer: Viewer, maximum: int = COUNT_CAP) -> Any:
    """The SQL condition for rows that contain the text; hidden fields are not searched. Raises RuleBroken.

    The rows are looked up at once, up to `maximum` for each condition.
    """
    found, *_others = matching_all(TextSearch(linked_hits.with_others(record_table, viewer), typed, viewer, maximum))
    rule = found.rule()
    if found.is_many and maximum >= COUNT_CAP and access.reads_all(viewer.person, record_table.record):
        capped_counts.remember(viewer.person, capped_counts.key_of(record_table.record, [rule]))
    return rule


@dataclass(frozen=True)
class TextSearch:
    """A text that is looked for in several records."""

    record_tables: tuple[RecordTable, ...]
    typed: str
    viewer: Viewer
    #: Rows that are looked up for each condition.
    maximum: int
    #: Makes look-ups in other tables, which follow from the text and the viewer's rights.
    more: Callable[[], list[access.IndexLookup]] = list

    def lookups(self, text: TypedText) -> list[access.IndexLookup]:
        """The look-ups of the records, then the others."""
        found = [access.IndexLookup(each.record, self.parts(each, text)) for each in self.record_tables]
        return [*found, *self.more()]

    def parts(self, record_table: RecordTable, text: TypedText) -> list[Any]:
        """The conditions for a hit among the rows of one of the records."""
        return _parts(record_table, text, self.viewer, self.maximum)


def matching_all(search: TextSearch, enough: int | None = None) -> list[access.IndexLookup]:
    """The look-ups of a search, in two statements together; `enough`: see `access.look_up`. Raises RuleBroken.

    Where another record, by whose hits rows are also found, has too many of them, one more.
    """
    text = TypedText(clean_text(search.typed, "q", 100) or "")
    lookups = _looked_up(search, text, enough)
    linked_hits.add_common(db.session(), search.record_tables, lookups, enough or search.maximum)
    return lookups


def _looked_up(search: TextSearch, text: TypedText, enough: int | None) -> list[access.IndexLookup]:
    linked = linked_hits.rows_of(search.record_tables, text)
    plan = _plan(search, text) if text.text == search.typed else None
    if plan is not None:
        return access.look_up_planned(db.session(), plan, text.form, enough, linked)
    lookups = search.lookups(text)
    given = [each for each in lookups if each.parts]
    access.look_up(db.session(), given, search.maximum, enough, linked=linked)
    return lookups


def _plan(search: TextSearch, text: TypedText) -> access.SearchPlan | None:
    """The plan of this search, which is kept with the viewer's rights; None if it has none.

    A text in a custom field is found by conditions that no plan has.
    """
    viewer, maximum = search.viewer, search.maximum
    if text.kind is None or any(
        custom_search.rules(each.record, text.text, viewer, maximum) for each in search.record_tables
    ):
        return None
    kept, key = _kept_plans(viewer), (search.record_tables, text.kind, maximum, search.more is list)
    plan: access.SearchPlan | Literal[False] | None = kept.get(key)
    if plan is None:
        plan = access.plan_of(search.lookups(text), maximum) or False
        kept.keep(key, plan)
    return plan or None


def _kept_plans(viewer: Viewer) -> LruCache[Any, Any]:
    """The plans that are kept with the viewer's rights; False for kinds of texts without one."""
    kept: LruCache[Any, Any] | None = viewer.person.derived.get(_PLANS)
    if kept is None:
        kept = LruCache(_MAX_PLANS)
        viewer.person.derived.keep(_PLANS, kept)
    return kept


def common_among_own(
    record_tables: Sequence[RecordTable], typed: str, viewer: Viewer, enough: int
) -> list[access.IndexLookup]:
    """The look-ups of a text that many people are probably called by; see `access.look_up`."""
    search = TextSearch(tuple(record_tables), typed, viewer, MAX_LOOKED_UP)
    lookups = search.lookups(TypedText(clean_text(typed, "q", 100) or ""))
    access.look_up(db.session(), [each for each in lookups if each.parts], MAX_LOOKED_UP, enough, is_common=True)
    return lookups


def _parts(record_table: RecordTable, text: TypedText, viewer: Viewer, maximum: int) -> list[Any]:
    """Alternative conditions for a hit, each on one table if the record is one of the product's."""
    if not text.text:
        return []
    fit = [
        rule
        for each, rules in _searched_fields(record_table)
        if not each.is_hidden(viewer)
        for rule in rules(each, text, viewer)
    ]
    plain = [each for each in record_table.plain_texts if not each.is_hidden(viewer)]
    fit += custom_search.rules(record_table.record, text.text, viewer, maximum)
    return fit + [compare(column, "ct", text.text) for each in plain for column in each.columns]


@lru_cache(maxsize=100)
def _searched_fields(record_table: RecordTable) -> tuple[tuple[Field, _Rules], ...]:
    """The fields in which a text is searched, each with the function that makes its conditions."""
    found = [(each, _rules_of(each, record_table.record)) for each in record_table.fields]
    return tuple((each, rules) for each, rules in found if rules is not None)


def _rules_of(each: Field, record: Any) -> _Rules | None:
    if hasattr(each, "found_by"):
        return _as_it_says
    if each.name == "number":
        return _by_number
    kinds: dict[type[Field], _Rules] = {
        NameField: _named,
        PhoneField: _numbered,
        EmailField: _addressed,
        SecretField: _identified,
    }
    known = next((rules for kind, rules in kinds.items() if isinstance(each, kind)), None)
    if known is not None:
        return known
    if (isinstance(each, TextField) and each.name == "title") or _is_text_of_message(each):
        return _titled
    return _coded if isinstance(each, TextField) and each.name in _CODES and _is_own(each, record) else None


def _as_it_says(each: Any, text: TypedText, _viewer: Viewer) -> list[Any]:
    """By the field's own rule: its `found_by` turns the typed text into conditions."""
    return list(each.found_by(text.text))


def _is_own(each: Field, record: Any) -> bool:
    """Whether the record has the field's columns itself: a code of its customer is only shown with it."""
    return all(column.class_ is record for column in each.columns)


def _addressed(each: Field, text: TypedText, _viewer: Viewer) -> list[Any]:
    return [_begins(column, text, "lower_begun") for column in each.columns] if text.is_address else []


def _identified(each: Field, text: TypedText, viewer: Viewer) -> list[Any]:
    is_whole = is_pan(text.text) if each.name == "pan" else is_aadhaar(text.text)
    return access.parts_of(each.where("eq", text.text, viewer)) if is_whole else []


def _begins(column: Any, text: TypedText, name: str) -> Any:
    """The column begins with this form of the text."""
    if text.has_apostrophe:
        return begins(column, text.beginning(name))
    return index_ranges.like(column, text.form(name), name)


def _ends(column: Any, text: TypedText) -> Any:
    """The column ends with the digits: a range of the reversed column."""
    backwards, names = reversed_column(column), ("end_of_number", "after_end_of_number")
    if backwards is None:
        return column.endswith(text.text.replace(" ", ""), autoescape=True)
    return index_ranges.between(backwards, text.form(names[0]), text.form(names[1]), *names)


def _is_text_of_message(each: Field) -> bool:
    return each.name == "body" and bool(each.columns) and each.columns[0].class_ is Message


def _titled(each: Field, text: TypedText, _viewer: Viewer) -> list[Any]:
    """The text in a title; by full text if the table has such an index."""
    return [
        access.TitlePart(column.property.columns[0], text.text)
        if _has_words(column)
        else compare(column, "ct", text.text)
        for column in each.columns
    ]


@lru_cache(maxsize=100)
def _has_words(column: Any) -> bool:
    table: Any = inspect(column.class_).local_table
    return any(index.name == f"ix_{table.name}_words" for index in table.indexes)


def _by_number(each: Field, typed: TypedText, viewer: Viewer) -> list[Any]:
    """By the complete number, also of a merged record, or by the serial part, of any year."""
    column, text = each.columns[0], typed.text
    former, whole = _by_predecessor_name(column.class_, text), index_ranges.equals(column, typed.form("upper"), "upper")
    kind = _KINDS.get(column.class_)
    if typed.is_serial and kind is None:
        return [*former, whole, column.endswith(f"-{int(text):05d}")]
    if not typed.is_serial:
        kept = surviving_id(column.class_, text)
        return [*former, whole] + ([column.class_.id == kept] if kept is not None else [])
    years = range(_FIRST_YEAR, viewer.now.year + 2)
    numbers = [f"{NUMBER_PREFIXES[kind or '']}-{year}-{int(text):05d}" for year in years]
    return [*former, index_ranges.one_of(column, (text.upper(), *numbers))]


def _by_predecessor_name(record: Any, text: str) -> list[Any]:
    """By the record's name in the predecessor, if its number here is different."""
    if record not in _FORMER or kind_of_number(text) != _KINDS[record]:
        return []
    with access.as_system(db.session()) as session:  # the list's own rule decides which of them are visible
        ids = predecessor_names.ids_of(session, record.__tablename__, text)
    return [record.id.in_(ids)] if ids else []


def _numbered(each: Field, text: TypedText, _viewer: Viewer) -> list[Any]:
    """By the complete number in any spelling, or by its last digits, which also find the complete number."""
    columns, name = each.searched_columns(), "whole_number"  # type: ignore[attr-defined]
    whole = [index_ranges.equals(column, text.form(name), name) for column in columns] if text.is_whole_number else []
    return whole + ([_ends(column, text) for column in columns] if text.is_end_of_number else [])


def _coded(each: Field, text: TypedText, _viewer: Viewer) -> list[Any]:
    """By the complete code, or by a part at its beginning or end that has a digit: words are no codes."""
    if not text.is_part_of_code:
        return [index_ranges.equals(column, text.form("upper"), "upper") for column in each.columns]
    ends = [reversed_column(column) for column in each.columns]
    found = [_begins(column, text, "upper_begun") for column in each.columns]
    return found + [_begins(column, text, "upper_ended") for column in ends if column is not None]


def _named(each: Field, text: TypedText, _viewer: Viewer) -> Iterator[Any]:
    """By the beginning of first or last name, or of what follows the first word of one.

    Several words are split between two of these in every way, in either order.
    """
    words, names = text.words, each.names  # type: ignore[attr-defined]
    for column in names:
        yield _begins(column, text, "begun")
        yield from _within(column, text)
    for first, last in zip(names[::2], names[1::2], strict=True):
        for cut in range(1, min(len(words), _MOST_WORDS)):
            head, tail = " ".join(words[:cut]), " ".join(words[cut:])
            for one, other in ((first, last), (last, first)):
                yield from _pair(one, head, other, tail)
                if len(words) <= _MOST_WORDS_IN_REST:
                    yield from _with_rest(one, other, (head, tail))


def _within(column: Any, text: TypedText) -> Iterator[Any]:
    """By words of one name alone, of which the first is not its first word."""
    rest, words = rest_column(column), text.words
    if rest is None:
        return
    yield _begins(rest, text, "begun")
    if 1 < len(words) <= _MOST_WORDS_IN_REST:
        turned = " ".join([*words[1:], words[0]])
        yield begins(column, turned) if text.has_apostrophe else index_ranges.begins(column, turned)


def _pair(one: Any, head: str, other: Any, tail: str) -> list[Any]:
    """Both parts of the name begin so.

    On MariaDB exact matches are a separate condition, which narrows the index range.
    """
    if db.engine.dialect.name == "sqlite" or "'" in fold_apostrophes(head):
        return [and_(begins(one, head), begins(other, tail))]
    if "'" in fold_apostrophes(tail):
        return [and_(one == head, begins(other, tail)), and_(one > head, begins(one, head), begins(other, tail))]
    return list(index_ranges.both_begin(one, head, other, tail))


def _with_rest(one: Any, other: Any, texts: tuple[str, str]) -> Iterable[Any]:
    """The rest of one name begins with one of the texts, the other name with the other text."""
    rest = rest_column(one)
    if rest is None:
        return []
    if db.engine.dialect.name == "sqlite" or any("'" in fold_apostrophes(text) for text in texts):
        return [and_(begins(rest, head), begins(other, tail)) for head, tail in (texts, texts[::-1])]
    return index_ranges.both_begin_in_some_order(rest, other, texts)


def exact_first(record_table: RecordTable, typed: Any) -> list[Any]:
    """The ORDER BY of hits: names that are equal to what was typed first, then the newest."""
    newest = record_table.record.id.desc()
    names = [column for each in record_table.of_kind(NameField) for column in each.filter_columns()]
    return [case((or_(*[column == typed for column in names]), 0), else_=1), newest] if names else [newest]


@lru_cache(maxsize=100)
def best_first(record_table: RecordTable) -> tuple[Any, ...]:
    """`exact_first` for the parameter "typed"."""
    return tuple(exact_first(record_table, bindparam("typed", type_=String)))
