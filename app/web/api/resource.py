"""The REST resource of a record: FAB's routes and response formats, answered from the compiled RecordTable."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson
from flask import Response, request
from flask_appbuilder.api import ModelRestApi, expose, protect
from flask_appbuilder.security.decorators import permission_name
from flask_babel import gettext as _

from app.domain.base import NotFound, RuleBroken
from app.domain.persistence import change_events
from app.domain.picklists import PicklistEntry
from app.extensions import db
from app.lib.ids import parse_id
from app.web.api import etags, idempotency, schemas
from app.web.api.list_parameters import RECORD_KEYS, page_of, read_parameters, triples
from app.web.api.operations import DocumentedOperations
from app.web.core.declarations import pretty
from app.web.core.fab_access import JsonErrorResponses, current_viewer, json_answer, parse_json_integer, refuse_as_json
from app.web.core.fields.relation_fields import label_of
from app.web.core.queries import written_rows
from app.web.core.queries.list_query import ListQuery
from app.web.core.queries.replica_lists import from_replica
from app.web.core.repeated_writes import again_if_overtaken
from app.web.core.urls.merged_redirects import merged_numbers, refuse_merged
from app.web.core.view_registry import registered
from app.web.core.views import save_warnings
from app.web.core.views.record_service import RecordService
from app.web.core.views.record_view import RecordView

#: Parts of a list response besides the rows for generic records, as in FAB; for others only on request.
_METADATA = ("list_title", "list_columns", "label_columns", "description_columns", "order_columns")
#: Filters for one or several records by number.
_BY_NUMBER = (("number", "eq"), ("number", "in"))


class Resource(JsonErrorResponses, DocumentedOperations, RecordView, ModelRestApi):
    """One record over REST, declared as FAB documents a ModelRestApi: `datamodel`, `list_select_columns`,
    `show_columns`, `add_columns`, `edit_columns`, `search_columns`, `order_columns`, `add_query_rel_fields` and so on.

    Raises TypeError at registration for columns it cannot show.
    """

    VERBS = {"info": "read", "get": "read", "get_list": "read", "post": "create", "put": "write", "delete": "delete"}
    allow_browser_login = True
    csrf_exempt = False
    is_documented = True
    #: The columns of a list, if fewer than those of one record; all are available on request.
    list_select_columns: Any = None
    max_page_size: Any = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.__dict__.get("datamodel") is not None:
            if not cls.__dict__.get("resource_name") and not getattr(cls, "resource_name", None):
                cls.resource_name = cls.__name__.lower()
            owner = cls.service if type(cls.service) is RecordService else type(cls.service)
            owner.resource = cls

    # FAB would build marshmallow schemas and related picklists here; the compiled table replaces them.
    def _init_properties(self) -> None:
        declared = self.record_table.declared
        self.list_columns, self.show_columns = [*declared.list], [*declared.show]
        self.add_columns, self.edit_columns = [*declared.add], [*declared.edit]
        self.search_columns, self.order_columns = [*declared.search], [*declared.order]
        self.validators_columns: dict[str, Any] = {}
        self.label_columns = {name: each.label for name, each in self.record_table.by_name.items()}
        self.model2schemaconverter = lambda *_: None

    def _init_titles(self) -> None:
        self.list_title = str(getattr(self, "list_title", "") or pretty(self.service.record.__name__))

    def _init_model_schemas(self) -> None:
        pass

    def create_blueprint(self, *args: Any, **kwargs: Any) -> Any:
        """FAB's registration; also registers the resource as the format of the model's webhook payloads."""
        made = super().create_blueprint(*args, **kwargs)
        model = self.service.record
        registered("resources").setdefault(model, self)
        if self.service.is_generic and not issubclass(model, PicklistEntry):
            change_events.add_kind(model.__tablename__, self.resource_name)
        return made

    @property
    def brief(self) -> tuple[str, ...] | None:
        """The default columns of a list; None = all fields."""
        if self.list_select_columns is not None:
            return (*self.list_select_columns, *self.record_table.declared.custom)
        shown = tuple(self.record_table.declared.list)
        if shown == tuple(self.record_table.declared.show):
            return self.record_table.shown
        return tuple(name for name in shown if self.record_table.by_name[name].columns)

    def add_apispec_components(self, api_spec: Any) -> None:
        """Add the schemas, derived from the RecordTable that also answers requests."""
        schemas.add(self, api_spec)

    # --- reading ---

    @expose("/_info", methods=["GET"])
    @protect()
    @refuse_as_json
    @permission_name("info")
    def info(self, **kwargs: Any) -> Response:
        """What the person may do with this resource, and its columns."""
        viewer, record_table = current_viewer(), self.record_table
        verbs = {"read": "can_get", "create": "can_post", "write": "can_put", "delete": "can_delete"}
        return json_answer(
            200,
            {
                "add_title": str(getattr(self, "add_title", "") or self.list_title),
                "edit_title": str(getattr(self, "edit_title", "") or self.list_title),
                "permissions": [name for verb, name in verbs.items() if viewer.person.may(self.module, verb)],
                "add_columns": [self._column(each, "add") for each in record_table.input_fields if each.add],
                "edit_columns": [self._column(each, "edit") for each in record_table.input_fields if each.edit],
                "list_columns": [each.name for each in record_table.readable],
                "order_columns": ["id", *(each.name for each in record_table.fields if each.sort)],
                "filters": {
                    each.name: [{"name": each.operator_label(op), "operator": op} for op in each.operators]
                    for each in record_table.filterable(viewer)
                },
            },
        )

    @staticmethod
    def _column(each: Any, mode: str) -> dict[str, Any]:
        column = {
            "name": each.name,
            "label": str(each.label),
            "kind": each.kind,
            "required": each.is_required,
            "max_length": each.max_length,
            "type": each.schema.get("type", "object"),
            "description": str(each.help or ""),
        }
        return column | (_choices(each, mode) if hasattr(each, "offered") else {})

    @expose("/", methods=["GET"])
    @protect()
    @refuse_as_json
    @permission_name("get")
    @from_replica
    def get_list(self, **kwargs: Any) -> Response:
        """One page of the rows that the person sees."""
        viewer, record_table = current_viewer(), self.record_table
        query = read_parameters(table=record_table)
        list_query, names = self._list_query(query, viewer), self._names(query, self.brief)
        rows = record_table.rows(db.session(), list_query, names)
        count, capped = record_table.count_for_page(db.session(), list_query, rows)
        result = record_table.serialize_rows(db.session(), rows, names, viewer)
        body = {"count": count, "count_capped": capped, "ids": [row["id"] for row in result], "result": result}
        if list_query.newest and len(rows) == list_query.size:
            body["cursor"] = result[-1]["id"]
        elif list_query.newest and list_query.rest is not None:
            body["cursor"] = list_query.rest
        if not rows and (gone := merged_numbers(self.service.record, _numbers_in(query.get("filters")))):
            body["merged"] = gone
        return json_answer(200, body | self._list_metadata(names, query.get("keys")))

    def _list_metadata(self, names: tuple[str, ...] | None, wanted: Any) -> dict[str, Any]:
        """What FAB returns besides the rows of a list: columns, labels and descriptions; `keys` chooses."""
        if wanted is None:
            wanted = _METADATA if self.service.is_generic else ()
        if not isinstance(wanted, list | tuple) or not {*wanted} <= {*_METADATA, "none"}:
            raise RuleBroken(_("“keys” must be names of: %(names)s.", names=", ".join((*_METADATA, "none"))), "keys")
        if not wanted:
            return {}
        shown = names if names is not None else self.record_table.declared.show
        named = self.record_table.by_name
        declared = {
            "list_title": self.list_title,
            "list_columns": list(shown),
            "label_columns": {name: str(named[name].label) for name in shown},
            "description_columns": {name: str(named[name].help) for name in shown if named[name].help},
            "order_columns": list(self.order_columns),
        }
        return {name: value for name, value in declared.items() if name in wanted}

    def _list_query(self, query: dict[str, Any], viewer: Any) -> ListQuery:
        record_table = self.record_table
        rules = [record_table.filter_clause(*triple, viewer) for triple in triples(query.get("filters"))]
        conditions = [*self.record_table.base_conditions(), *rules]
        column, direction = _text(query.get("order_column")), _text(query.get("order_direction"))
        order = record_table.order_by(column, direction or ("desc" if column else None), viewer)
        page, size = page_of(query, self.page_size)
        is_default = column is None and direction in (None, "desc")
        before = parse_json_integer(query["cursor"], 0, 1, 2**31 - 1) if query.get("cursor") is not None else None
        if before is not None and (not is_default or record_table.base_order is not None):
            raise RuleBroken(_("A cursor can only be used with the default order."), "cursor")
        if before is not None and page:
            raise RuleBroken(_("A cursor already says where the page begins; leave “page” out."), "page")
        if query.get("count") not in (None, "exact", "capped"):
            raise RuleBroken(_("“count” must be exact or capped."), "count")
        newest = is_default and record_table.base_order is None
        return ListQuery(conditions, order, size, page, before, exact=query.get("count") == "exact", newest=newest)

    def _names(self, query: dict[str, Any], default: tuple[str, ...] | None) -> tuple[str, ...] | None:
        """The columns that the request selects. Raises RuleBroken for those that this resource does not show."""
        both = [query[name] for name in ("columns", "select_columns") if query.get(name) is not None]
        if len(both) > 1:
            raise RuleBroken(_("“%(name)s” is given more than once.", name="columns"), "columns")
        wanted: Any = both[0] if both else []
        if wanted == []:
            return default
        if not isinstance(wanted, list) or not all(isinstance(name, str) for name in wanted):
            raise RuleBroken(_("“columns” must be a list of names."), "columns")
        names = tuple(dict.fromkeys(name for name in wanted if name != "id"))
        for name in names:
            if self.record_table.column_field(name) not in self.record_table.readable:
                raise RuleBroken(_("“%(name)s” isn't shown here.", name=name), "columns")
        return names

    @expose("/<int:pk>", methods=["GET"])
    @protect()
    @refuse_as_json
    @permission_name("get")
    def get(self, pk: Any, **kwargs: Any) -> Response:
        """One row that the person sees."""
        query = read_parameters(RECORD_KEYS)
        if query.get("keys") not in (None, [], ["none"]):
            raise RuleBroken(_("“keys” is for lists; one record is answered without labels."), "keys")
        key, names = parse_id(pk) or 0, self._names(query, None)
        body = {"id": key, "result": self._shown(key, names)}
        return etags.with_etag(json_answer(200, body))

    def _shown(self, pk: int, names: tuple[str, ...] | None = None) -> dict[str, Any]:
        table, session = self.record_table, db.session()
        names = names if names is not None else table.shown
        row = table.one(session, pk, names) if 0 < pk < 2**31 else None
        if row is None:
            refuse_merged(self.service.record, pk)
            raise NotFound(_("There is no such record."))
        return table.serialize_rows(session, [row], names, current_viewer())[0]

    # --- writing ---

    @expose("/", methods=["POST"])
    @protect()
    @refuse_as_json
    @permission_name("post")
    def post(self, **kwargs: Any) -> Response:
        """Create a record; with an Idempotency-Key only once, however often it is sent."""
        raw = request_json()
        raw.pop("version", None)
        made: dict[int, Any] = {}

        def make() -> int:
            row = self._made(raw)
            made[row.id] = row
            return int(row.id)

        return idempotency.create_once(make, lambda key: self._saved(key, raw, "add", made.get(key)))

    def _made(self, raw: dict[str, Any]) -> Any:
        values = self.record_table.parse(raw, "add", current_viewer())
        if self.service.is_generic:
            self._refuse_missing(values, self.add_columns)
        row = self.create_row(values, current_viewer())
        db.session.flush()
        return row

    def _refuse_missing(self, values: dict[str, Any], names: Iterable[str]) -> None:
        """Raise RuleBroken, naming all of them, if required columns have no value."""
        named = self.record_table.by_name
        missing = [name for name in names if named[name].required and values.get(named[name].key) in (None, "", [])]
        if missing:
            text = _("Please fill in: %(names)s.", names=", ".join(missing))
            raise RuleBroken(text, errors={name: [str(_("Please fill this in."))] for name in missing})

    @expose("/<int:pk>", methods=["PUT"])
    @protect()
    @refuse_as_json
    @permission_name("put")
    def put(self, pk: Any, **kwargs: Any) -> Response:
        """Change a record that the person sees and may change."""
        raw = request_json()
        version = parse_json_integer(raw.pop("version", None), 0, 1, 2**31 - 1) or None
        row = again_if_overtaken(lambda: self._changed(pk, dict(raw), version))
        self.post_update(row)
        return etags.write_response(self._saved(row.id, raw, "edit", row), 200)

    def _changed(self, pk: Any, raw: dict[str, Any], version: int | None) -> Any:
        """The record after its change was committed."""
        row = self._row(pk, "write")
        self._refuse_etag_mismatch(row)
        values = self.record_table.parse(raw, "edit", current_viewer())
        if self.service.is_generic:
            given = [name for name in self.edit_columns if self.record_table.by_name[name].key in values]
            self._refuse_missing(values, given)
        self.change_row(row, values, version, current_viewer())
        db.session.commit()
        return row

    def _saved(self, key: int, raw: dict[str, Any], mode: str, row: Any = None) -> dict[str, Any]:
        """The response body after a save: the row, and remarks on values that were kept or proposed instead of written.

        `row`: the object that was written, if this request has it.
        """
        shown = self._held(row) or self._after(key)
        save_warnings.warn_of_ignored_fields(self.record_table.unwritten(raw, shown or {}, mode))
        remarks = save_warnings.pop_all()
        return {"id": key, "result": shown} | ({"remarks": remarks} if remarks else {})

    def _refuse_etag_mismatch(self, row: Any) -> None:
        etags.refuse_etag_mismatch(lambda: json_answer(200, {"id": row.id, "result": self._shown(row.id)}))

    def _held(self, row: Any) -> dict[str, Any] | None:
        """The result of `_after` without reading the row again; None if it has to be read."""
        cls, names = type(self), self.record_table.shown
        if row is None or cls._after is not Resource._after or cls._shown is not Resource._shown:
            return None
        raw = written_rows.raw_row(self.record_table, db.session(), row, names)
        return (
            None if raw is None else self.record_table.serialize_rows(db.session(), [raw], names, current_viewer())[0]
        )

    def _after(self, pk: int) -> dict[str, Any] | None:
        """The saved row; None if the person no longer sees it after the change."""
        try:
            return self._shown(pk)
        except NotFound:
            return None

    @expose("/<int:pk>", methods=["DELETE"])
    @protect()
    @refuse_as_json
    @permission_name("delete")
    def delete(self, pk: Any, **kwargs: Any) -> Response:
        """Delete a record that the person sees and may delete."""
        row = self._row(pk, "delete")
        self._refuse_etag_mismatch(row)
        self.remove_row(row, current_viewer())
        db.session.commit()
        self.post_delete(row)
        return json_answer(200, {"message": _("Deleted.")})

    def _row(self, pk: Any, verb: str) -> Any:
        return self.row_for(pk, verb)


def request_json() -> dict[str, Any]:
    """The JSON object of the request. Raises RuleBroken for anything else."""
    try:
        body = orjson.loads(request.get_data() or b"null")
    except orjson.JSONDecodeError:
        body = None
    if not isinstance(body, dict):
        raise RuleBroken(_("Please send a JSON object."))
    return body


def _numbers_in(filters: Any) -> list[str]:
    """The record numbers by which a list was filtered."""
    filtered = [value for name, operator, value in triples(filters) if (name, operator) in _BY_NUMBER]
    values = [each for value in filtered for each in (value if isinstance(value, list) else [value])]
    return [each for each in values if isinstance(each, str)]


def _choices(each: Any, mode: str) -> dict[str, Any]:
    """The first rows that a relation may refer to, as FAB lists them."""
    rows = each.offered(mode=mode)
    return {"count": len(rows), "values": [{"id": row.id, "value": label_of(row)} for row in rows]}


def _text(raw: Any) -> str | None:
    return None if raw is None or raw == "" else str(raw)
