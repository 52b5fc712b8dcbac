"""OpenAPI told from the table of columns, so that it cannot lie about it.

Decision: it tells of our records and of signing in. FAB's menu and the description itself serve our own pages, may
change with them, and are left out.
"""

from __future__ import annotations

from typing import Any

from apispec import APISpec
from apispec.exceptions import DuplicateComponentNameError
from flask import Response, current_app, request
from flask_appbuilder.api import expose, protect
from flask_appbuilder.api import manager as fab
from flask_babel import gettext as _

from app.domain.base import NotThere
from app.web.gate import Spoken, json_answer, refuse_as_json

_STRING = {"type": "string"}
_ID = {"type": "integer"}
SHARED: dict[str, Any] = {
    "Card": {"type": "object", "nullable": True, "properties": {"id": _ID, "label": _STRING}},
    "StatusCard": {"type": "object", "nullable": True,
                   "properties": {"id": _ID, "label": _STRING, "color": _STRING}},
    "UserCard": {"type": "object", "nullable": True,
                 "properties": {"id": _ID, "username": _STRING, "full_name": _STRING}},
    "RecordCard": {"type": "object", "nullable": True,
                   "properties": {"id": _ID, "number": _STRING, "label": _STRING}},
    "Refusal": {"type": "object", "required": ["message"], "properties": {
        "message": {"type": "string", "description": "A sentence: what is wrong and what to do."},
        "errors": {"type": "object", "additionalProperties": {"type": "array", "items": _STRING}}}},
    "ListQuery": {"type": "object", "additionalProperties": False, "properties": {
        "page": {"type": "integer", "minimum": 0}, "page_size": {"type": "integer", "minimum": 1, "maximum": 100},
        "order_column": _STRING, "order_direction": {"type": "string", "enum": ["asc", "desc"]},
        "columns": {"type": "array", "items": _STRING},
        "cursor": {"type": "integer", "minimum": 1, "description": "Rows before this id, in the default order."},
        "count": {"type": "string", "enum": ["exact", "capped"]},
        "filters": {"type": "array", "items": {"type": "object", "required": ["col", "opr", "value"], "properties": {
            "col": _STRING, "opr": _STRING, "value": {}}}}}},
}  # fmt: skip
_TOLD = {
    400: "The question makes no sense", 401: "Not signed in", 403: "Not allowed", 404: "No such record",
    409: "Somebody was faster", 413: "Too large", 422: "A rule refuses", 429: "Too many requests",
}  # fmt: skip
_STATUSES = {
    "info": (400, 401, 403), "get_list": (400, 401, 403), "get": (400, 401, 403, 404),
    "post": (400, 401, 403, 404, 409, 413, 422), "put": (400, 401, 403, 404, 409, 413, 422),
    "delete": (400, 401, 403, 404, 409, 422), "assign": (400, 401, 403, 404, 409, 413, 422),
    "join": (400, 401, 403, 404, 409, 413, 422), "release": (400, 401, 403, 404, 409, 422),
    "withdraw": (400, 401, 403, 404, 409, 422),
}  # fmt: skip
_ASSIGN = {"type": "object", "properties": {
    "assign_to": {"anyOf": [_ID, _STRING], "description": "A colleague's id or user name."},
    "assign_to_role": {"type": "string", "description": "A role; the next in turn gets the record."}}}  # fmt: skip
#: Functions that answer with one row.
_ANSWERED = ("get", "post", "put", "assign", "join", "release", "withdraw")
_JOIN = {"type": "object", "required": ["user"], "properties": {
    "user": {"anyOf": [_ID, _STRING], "description": "A colleague's id or user name."}}}  # fmt: skip
_SUMMARY = {"info": "What you may do here", "get_list": "List", "get": "Read one", "post": "Create", "put": "Change",
            "delete": "Delete", "assign": "Hand to a colleague, or to the next of a role",
            "join": "Add an assignee beside the others", "release": "Take one of several assignees away",
            "withdraw": "Take one's own pending request back"}  # fmt: skip


def add(resource: Any, api_spec: Any) -> None:
    """Register the schemas of one resource."""
    _once(api_spec, SHARED)
    plan, name = resource.desk.plan, type(resource).__name__
    fields = {each.name: dict(each.schema) for each in plan.fields}
    shown = {"type": "object", "properties": {"id": _ID, **fields, **getattr(resource, "extra_schema", {})}}
    taken = {which: _body([each for each in plan.taken if getattr(each, which)]) for which in ("add", "edit")}
    if needed := [each.name for each in plan.taken if each.add and each.required]:
        taken["add"]["required"] = needed
    taken["edit"]["properties"]["version"] = {"type": "integer", "minimum": 1, "description": "The version you saw."}
    _once(api_spec, {f"{name}.get": shown, f"{name}.post": taken["add"], f"{name}.put": taken["edit"]})


def _body(fields: list[Any]) -> dict[str, Any]:
    return {"type": "object", "properties": {each.name: _taken(each) for each in fields}}


def _taken(each: Any) -> dict[str, Any]:
    """Masters and people are taken by id, by label or user name, or as the card."""
    if each.schema.get("type") == "string" and "format" not in each.schema:
        return {**each.schema, "maxLength": each.most}
    if "$ref" not in each.schema:
        return dict(each.schema)
    return {"nullable": True, "anyOf": [_ID, _STRING, {"type": "object"}]}


def _once(api_spec: Any, schemas: dict[str, Any]) -> None:
    for name, schema in schemas.items():
        try:
            api_spec.components.schema(name, component=schema)
        except DuplicateComponentNameError:
            continue


def operation(resource: Any, function: str, method: str) -> dict[str, Any]:
    """The operation object of one method."""
    name = type(resource).__name__
    told: dict[str, Any] = {
        "operationId": f"{resource.resource_name}_{function}",
        "summary": f"{_SUMMARY.get(function, function)} ({resource.resource_name})",
        "security": [{"jwt": []}, {"api_key": []}],
        "parameters": _parameters(function),
        "responses": _responses(name, function),
    }
    if function in ("post", "put"):
        told["requestBody"] = {"required": True, "content": _json({"$ref": f"#/components/schemas/{name}.{function}"})}
    if function == "assign":
        told["requestBody"] = {"required": True, "content": _json(_ASSIGN)}
    if function == "join":
        told["requestBody"] = {"required": True, "content": _json(_JOIN)}
    return told


def _parameters(function: str) -> list[dict[str, Any]]:
    query = {
        "in": "query",
        "name": "q",
        "required": False,
        "content": _json({"$ref": "#/components/schemas/ListQuery"}),
    }
    key = {"in": "path", "name": "pk", "required": True, "schema": {"type": "integer", "minimum": 1}}
    user = {"in": "path", "name": "user", "required": True, "schema": {"type": "integer", "minimum": 1}}
    return {"get_list": [query], "info": [], "post": [], "get": [key, query], "release": [key, user]}.get(
        function, [key])  # fmt: skip


def _responses(name: str, function: str) -> dict[str, Any]:
    one = {"type": "object", "required": ["id"], "properties": {
        "id": _ID, "result": {"nullable": True, "allOf": [{"$ref": f"#/components/schemas/{name}.get"}]}}}  # fmt: skip
    many = {"type": "object", "required": ["count", "result"], "properties": {
        "count": _ID, "count_capped": {"type": "boolean"}, "ids": {"type": "array", "items": _ID}, "cursor": _ID,
        "result": {"type": "array", "items": {"$ref": f"#/components/schemas/{name}.get"}}}}  # fmt: skip
    good = many if function == "get_list" else one if function in _ANSWERED else {"type": "object"}
    told = {"201" if function in ("post", "join") else "200": {"description": "Done", "content": _json(good)}}
    if function == "join":
        told["200"] = {"description": "The person has it already", "content": _json(good)}
    refusal = _json({"$ref": "#/components/schemas/Refusal"})
    for status in (*_STATUSES.get(function, (400, 401, 403)), 429):
        told[str(status)] = {"description": _TOLD[status], "content": refusal}
    return told


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


# --- the document

#: Signing in, told by hand: its door looks at the body by hand, too.
_TOKEN = {"type": "object", "required": ["access_token"], "properties": {
    "access_token": _STRING, "refresh_token": _STRING}}  # fmt: skip
_SIGN_IN = {"type": "object", "required": ["username", "password"], "properties": {
    "username": {"type": "string", "minLength": 1}, "password": {"type": "string", "minLength": 1},
    "provider": {"type": "string", "enum": ["db"]}, "refresh": {"type": "boolean"}}}  # fmt: skip
_SCHEMES = {
    "api_key": {"type": "apiKey", "in": "header", "name": "Authorization", "description": "token KEY:SECRET"},
    "jwt": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
    "jwt_refresh": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "The refresh token."},
}


class OpenApi(Spoken, fab.OpenApi):
    """/api/v1/_openapi"""

    @expose("/<version>/_openapi")
    @protect()
    @refuse_as_json
    def get(self, version: str) -> Response:
        """The description; made once a process."""
        if version != "v1":
            raise NotThere(_("There is no such page or record."))
        held = current_app.extensions.setdefault("crm_openapi", {})
        if not held:
            held.update(_document(self.appbuilder))
        return json_answer(200, {**held, "servers": [{"url": request.script_root or "/"}]})


def _document(appbuilder: Any) -> dict[str, Any]:
    about = {"description": "The records of the CRM, under the same rules as its pages."}
    spec = APISpec(title=str(appbuilder.app_name), version="v1", openapi_version="3.0.3", info=about)
    for name, scheme in _SCHEMES.items():
        spec.components.security_scheme(name, scheme)
    for resource in appbuilder.baseviews:
        if getattr(resource, "is_told", False):
            resource.add_api_spec(spec)
    spec.path("/api/v1/security/login", operations={"post": _signing("login", _SIGN_IN, [])})
    spec.path("/api/v1/security/refresh", operations={"post": _signing("refresh", None, [{"jwt_refresh": []}])})
    return dict(spec.to_dict())


def _signing(which: str, body: Any, security: list[Any]) -> dict[str, Any]:
    refusal = _json({"$ref": "#/components/schemas/Refusal"})
    told: dict[str, Any] = {"operationId": f"security_{which}", "summary": f"Sign in ({which})", "security": security}
    told["responses"] = {"200": {"description": "Done", "content": _json(_TOKEN)}} | {
        str(status): {"description": _TOLD[status], "content": refusal} for status in (400, 401, 413, 429)
    }
    return told | ({"requestBody": {"required": True, "content": _json(body)}} if body else {})
