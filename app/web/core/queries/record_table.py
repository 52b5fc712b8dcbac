"""The columns of a record, compiled once: how they are read, filtered, sorted, parsed and serialized."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from flask_babel import lazy_gettext as _
from sqlalchemy import ColumnElement, String, select

from app import access
from app.domain.base import RuleBroken, join_texts
from app.extensions import db
from app.ops.database.statement_limit import StatementTooSlow, limited
from app.web.core.fields.base import Field
from app.web.core.fields.filter_operators import is_empty
from app.web.core.queries import capped_counts, record_pages
from app.web.core.queries.list_query import ListQuery
from app.web.core.queries.record_columns import RecordColumns
from app.web.core.queries.row_readers import Reader, reader_of, readers_of_one, serialize
from app.web.core.viewer import Viewer

#: Lists stop counting here and show "1,000+".
COUNT_CAP = 1000
#: Seconds that the exact count of a list may take.
EXACT_SECONDS = 5.0
MAX_PAGE_SIZE = 100
#: Most filters of one list.
MAX_FILTERS = 30
#: The highest page number or offset of a list.
MAX_PAGE = 10_000_000


def _empty_last(column: Any) -> list[Any]:
    """The ORDER BY that puts rows without a value last; empty for a column that always has one."""
    is_text = isinstance(getattr(column, "type", None), String)
    always = getattr(column, "nullable", True) is False
    return [] if always and not is_text else [is_empty(column).asc()]


def _is_shown(given: Any, shown: Any) -> bool:
    """Whether the value sent is the displayed one: the same, or a card's id, name or number."""
    if isinstance(shown, dict) and not isinstance(given, dict):
        return str(given) in {str(value) for value in shown.values()}
    if isinstance(shown, dict):
        return bool(given.get("id") == shown.get("id"))
    return bool(given == shown)


def _collect(errors: dict[str, list[str]], name: str, broken: RuleBroken) -> None:
    """Add what is wrong with the value of a field; re-raise that there were too many, which is no wrong value."""
    if getattr(broken, "http_status", 422) == 429:
        raise broken
    errors.setdefault(name, []).append(broken.message)


class RecordTable(RecordColumns):
    """The compiled columns of one record, with what reads, filters, parses and serializes them."""

    def __init__(self, record: Any, fields: list[Field], joins: tuple[tuple[Any, Any], ...] = (), many: Any = None):
        """`joins`: (record, on) outer joins of the fields; `many(session, ids, viewer)`: extra REST keys by id."""
        super().__init__(record, fields, joins)
        self.many = many
        #: (name of a field, whether descending) -> its ORDER BY.
        self._orders: dict[tuple[str, bool], list[Any]] = {}
        self._prepares = any(hasattr(each, "prepare") for each in fields)
        #: Texts searched by substring; none for records with their own search indexes.
        self.plain_texts: list[Field] = []
        #: `LinkedHits` of the view: by which other record's hits its rows are also found.
        self.linked_hits: Any = None
        #: The names in REST responses for one record; None = all fields.
        self.shown: tuple[str, ...] | None = None
        #: The fields that REST may return.
        self.readable: list[Field] = self.fields
        #: The view's declaration; None for a table without one.
        self.declared: Any = None
        #: FAB's `base_order` of the view as (name, "asc" or "desc").
        self.base_order: tuple[str, str] | None = None

    def extended(self, more: list[Field], declared: Any) -> RecordTable:
        """This table with additional fields."""
        made = RecordTable(self.record, [*self.input_fields, *more], joins=self.joins, many=self.many)
        made.declared, made.base_filters, made.base_order = declared, self.base_filters, self.base_order
        made.plain_texts, made.linked_hits = self.plain_texts, self.linked_hits
        made.shown = None if self.shown is None else (*self.shown, *(each.name for each in more))
        made.readable = made.fields if self.readable is self.fields else [*self.readable, *more]
        return made

    def one(self, session: Any, key: int, names: tuple[str, ...] | None = None) -> Any:
        """The raw row of this id if the person sees it, else None."""
        return record_pages.visible_row(self, session, key, names)

    def rows(self, session: Any, list_query: ListQuery, names: tuple[str, ...] | None = None) -> list[Any]:
        """One page of raw rows; at a deep offset the ids are paged on the index first."""
        return record_pages.rows(self, session, list_query, names)

    def count_for_page(self, session: Any, list_query: ListQuery, rows: list[Any]) -> tuple[int, bool]:
        """The count of the list that these rows are a page of; needs no query if the last page is not full.

        An exact one that takes longer than EXACT_SECONDS is a count up to the cap.
        """
        offset = list_query.offset
        is_last = list_query.before is None and len(rows) < list_query.size and bool(rows or not offset)
        if is_last and list_query.rest is None:
            return offset + len(rows), False
        if list_query.exact:
            with suppress(StatementTooSlow), limited(session, EXACT_SECONDS):
                return self.count(session, list_query)
            list_query = replace(list_query, exact=False)
        if list_query.rest is not None:  # not all rows were looked through
            return offset + len(rows), True
        return self.count(session, list_query)

    def count(self, session: Any, list_query: ListQuery) -> tuple[int, bool]:
        """(number of matching rows, whether there may be more: at the cap, or where only own rows were counted)."""
        person = access.acting(session)
        if person is None or list_query.exact:
            return self._counted(session, list_query)
        if list_query.least is not None:
            return list_query.least, True
        key = capped_counts.key_of(self.record, list_query.conditions)
        if capped_counts.is_capped(person, key):
            return COUNT_CAP, True
        count, is_capped = self._counted(session, list_query)
        if is_capped:
            capped_counts.remember(person, key)
        return count, is_capped

    def _counted(self, session: Any, list_query: ListQuery) -> tuple[int, bool]:
        found = record_pages.count(
            self, session, list_query, record_pages.NO_CAP if list_query.exact else COUNT_CAP + 1
        )
        return (COUNT_CAP, True) if found > COUNT_CAP and not list_query.exact else (found, False)

    def prepare(self, rows: list[Any], names: tuple[str, ...] | None, viewer: Viewer) -> None:
        """Load the objects for relations, properties and methods among these columns, once for the whole page."""
        if not self._prepares or not rows:
            return
        for each, cut in self.selection(names)[1]:
            load = getattr(each, "prepare", None)
            if load is not None:
                load([tuple(row)[cut] for row in rows], viewer)

    def serialize_rows(
        self, session: Any, rows: list[Any], names: tuple[str, ...] | None, viewer: Viewer
    ) -> list[dict[str, Any]]:
        """Raw rows as JSON objects, with their child lists (one statement per list)."""
        self.prepare(rows, names, viewer)
        readers: Sequence[Reader] = readers_of_one(self, names, viewer)
        if len(rows) > 1:  # otherwise it doesn't pay
            readers = [reader_of(each.field, each.cut, viewer) if each.place is None else each for each in readers]
        made = [serialize(row, readers, viewer) for row in rows]
        if self.many is not None and made and names is None:
            extra = self.many(session, [row["id"] for row in made], viewer)
            for row in made:
                row.update(extra[row["id"]])
        return made

    # --- filtering and sorting ---

    def column_field(self, name: str) -> Field:
        """The field of this name. Raises RuleBroken for an unknown one."""
        if name not in self.by_name or not self.by_name[name].columns:
            raise RuleBroken(_("There is no field “%(name)s” here.", name=str(name)[:60]), "filters")
        return self.by_name[name]

    def filter_clause(self, name: str, op: str, raw: Any, viewer: Viewer) -> ColumnElement[bool]:
        """One filter as SQL. Raises RuleBroken for a hidden or unknown field or an invalid filter."""
        each = self.column_field(name)
        if not each.filter:
            raise RuleBroken(_("“%(name)s” can't be filtered.", name=name), "filters")
        if each.is_hidden(viewer):
            raise RuleBroken(_("“%(name)s” is hidden from you, so you can't filter by it.", name=name), "filters")
        if each.custom_filters and op in each.custom_filters:
            try:
                applied = each.custom_filters[op].apply(select(self.record.id), raw)
            except (TypeError, ValueError) as error:
                raise RuleBroken(_("“%(name)s” can't be filtered by this value.", name=name), "filters") from error
            return self.record.id.in_(applied)
        known = ALIASES.get(op, op)
        if known not in each.operators:
            raise RuleBroken(_("“%(name)s” can't be filtered with “%(op)s”.", name=name, op=op[:20]), name)
        rule = each.where(known, raw, viewer)
        exact = known in ("eq", "in", "sw")
        return access.looked_up(db.session(), self.record, rule, COUNT_CAP) if exact else rule

    def order_by(self, name: str | None, direction: str | None, viewer: Viewer) -> list[Any]:
        """The ORDER BY: the named field, then newest first. Raises RuleBroken for a field that cannot be sorted by."""
        key = self.record.id
        if direction not in (None, "asc", "desc"):
            raise RuleBroken(_("The order must be asc or desc."), "order_direction")
        if name is None and self.base_order is not None:
            name, direction = self.base_order[0], direction or self.base_order[1]
        if name is None or name == "id":
            return [key.asc() if direction == "asc" else key.desc()]
        each = self.column_field(name)
        if not each.sort or each.is_hidden(viewer):
            raise RuleBroken(_("A list can't be sorted by “%(name)s”.", name=name), "order_column")
        found = self._orders.get((name, direction == "desc"))
        if found is None:
            found = self._orders[name, direction == "desc"] = self._order(each, direction == "desc")
        if not found:
            raise RuleBroken(_("A list can't be sorted by “%(name)s”.", name=name), "order_column")
        return [*found]

    def _order(self, each: Field, is_descending: bool) -> list[Any]:
        """The ORDER BY by this field; empty if it has none."""
        key, column = self.record.id, each.order()
        if column is None:
            return []
        if is_descending:  # empty values are the smallest on both databases
            return [column.desc(), key.desc()]
        return [*_empty_last(column), column.asc(), key.asc()]

    # --- parsing ---

    def parse(self, raw: dict[str, Any], mode: str, viewer: Viewer) -> dict[str, Any]:
        """The domain values of the input. Raises RuleBroken with all errors at once.

        `mode`: add or edit. Read-only fields are ignored; unknown ones are errors.
        """
        values: dict[str, Any] = {}
        errors: dict[str, list[str]] = {}
        for name, given in raw.items():
            each = self.by_name.get(name)
            if each is None:
                errors[str(name)[:60]] = [str(_("There is no such field."))]
            elif getattr(each, mode):
                try:
                    each.parse_into(values, given, viewer, mode)
                except RuleBroken as broken:
                    _collect(errors, each.name, broken)
        if errors:
            raise RuleBroken(join_texts(sentence for list_ in errors.values() for sentence in list_), errors=errors)
        return values

    def unwritten(self, raw: dict[str, Any], shown: dict[str, Any], mode: str) -> list[str]:
        """The names of sent fields that this `mode` ("add" or "edit") can't write, and whose value isn't the shown one.

        Fields that no mode writes, such as numbers and stamps, are left out: clients send back what they have read.
        """
        return [
            name
            for name, given in raw.items()
            if (each := self.by_name.get(name)) is not None
            and not getattr(each, mode)
            and (each.add or each.edit or each.kind == "person")
            and given not in (None, "", [], {})
            and not _is_shown(given, shown.get(name))
        ]

    def filterable(self, viewer: Viewer) -> list[Field]:
        """The fields that this person may filter by."""
        return [each for each in self.fields if each.filter and not each.is_hidden(viewer)]

    def of_kind(self, *kinds: type[Field]) -> list[Field]:
        """The fields that are instances of these classes."""
        return [each for each in self.fields if isinstance(each, kinds)]


#: FAB's operator names -> ours.
ALIASES = {"rel_o_m": "eq", "nrel_o_m": "neq", "rel_m_m": "eq", "eqf": "eq", "inf": "in"}
