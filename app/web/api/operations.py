"""OpenAPI operations: parameters, request bodies and responses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import prison

from app.web.api import examples
from app.web.api.list_parameters import MAX_LENGTH
from app.web.api.schemas import _PAGE, ID, SHARED, STRING, base_of, list_parameters, ref, register_schemas, shape

#: Errors that any operation can return.
_ALWAYS = (400, 401, 403, 429, 500, 503)
_ROW = (404, 409, 410, 422)
_SENT = (413, 422)
#: Status -> meaning.
STATUS_MEANINGS = {
    400: "Invalid request",
    401: "Not signed in",
    403: "Not allowed",
    404: "Not found, or no access",
    409: "Conflict: the record was changed, or an identical request is still in progress",
    410: "The record was merged into another one, which `merged_into` names; or the file has expired",
    412: "The record doesn't match If-Match",
    413: "Too large",
    414: "The address is too long; request less at once",
    422: "Validation failed",
    429: "Too many requests",
    500: "Internal error, logged under its reference",
    503: "Temporarily unavailable; nothing was stored, retry later",
}
_HEADERS_OF_ALL = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")
HEADERS: dict[str, Any] = {
    "X-RateLimit-Limit": {"schema": ID, "description": "Requests allowed in the current window."},
    "X-RateLimit-Remaining": {"schema": ID, "description": "Requests left in the current window."},
    "X-RateLimit-Reset": {"schema": ID, "description": "When the next window starts, in Unix seconds."},
    "Retry-After": {"schema": ID, "description": "Seconds to wait before retrying."},
    "ETag": {"schema": STRING, "description": "Changes with the record. Send it back as If-None-Match or If-Match."},
    "Idempotent-Replayed": {
        "schema": {"type": "string", "enum": ["true"]},
        "description": "This is the response to an earlier request with the same Idempotency-Key.",
    },
    "Content-Language": {"schema": {"type": "string"}, "description": "The language of the message."},
}
_PK = {"type": "integer", "minimum": 1, "maximum": 2**31 - 1}
PARAMETERS: dict[str, Any] = {
    "pk": {"in": "path", "name": "pk", "required": True, "schema": _PK, "description": "ID of the record."},
    "evidence": {"in": "path", "name": "evidence", "required": True, "schema": _PK, "description": "ID of evidence."},
    "user": {"in": "path", "name": "user", "required": True, "schema": _PK, "description": "ID of a colleague."},
    "number": {"in": "path", "name": "number", "required": True, "schema": ID, "description": "Which file, from 0."},
    "pictures": {
        "in": "query",
        "name": "pictures",
        "schema": {"type": "string", "enum": ["0", "1"]},
        "description": "1 = with the pictures of other servers, which learn that the email is read.",
    },
    "text": {
        "in": "query",
        "name": "text",
        "required": True,
        "schema": {"type": "string", "minLength": 2, "maxLength": 100},
        "description": "Words, each of which may go on: kyc finds KYC-2.",
    },
    "page": {"in": "query", "name": "page", "schema": _PAGE["page"]},
    "page_size": {"in": "query", "name": "page_size", "schema": _PAGE["page_size"]},
    "page_query": {
        "in": "query",
        "name": "q",
        "description": "The page to return, as JSON or Rison in the shape of PageQuery.",
        "schema": {"type": "string", "maxLength": MAX_LENGTH, "example": "(page:0,page_size:50)"},
    },
    "If-None-Match": {
        "in": "header",
        "name": "If-None-Match",
        "schema": STRING,
        "description": "An ETag you already have. The response is 304 without a body if the record hasn't changed.",
    },
    "If-Match": {
        "in": "header",
        "name": "If-Match",
        "schema": STRING,
        "description": (
            "ETag of the whole record you read. If the record has changed since, nothing is done and the response "
            "is 412."
        ),
    },
    "Idempotency-Key": {
        "in": "header",
        "name": "Idempotency-Key",
        "schema": {"type": "string", "maxLength": 100},
        "description": (
            "Your own unique key for this request, at most 100 printable ASCII characters. Repeating the request "
            "with the same key and body within a day returns the first record and creates nothing."
        ),
    },
    "Accept-Language": {
        "in": "header",
        "name": "Accept-Language",
        "schema": STRING,
        "example": "hi",
        "description": "Language of error messages: en, hi, gu or mr.",
    },
}


@dataclass(frozen=True)
class OperationSpec:
    """The documentation of one function of a resource."""

    summary: str
    #: Error statuses besides `_ALWAYS`.
    statuses: tuple[int, ...] = ()
    parameters: tuple[str, ...] = ()
    #: The schema of the body; + stands for the name of the resource (+Create is LeadCreate).
    body: Any = None
    #: The schema of a successful response; the row by default.
    answer: Any = "row"
    good: tuple[int, ...] = (200,)
    headers: tuple[str, ...] = ()
    #: The type of a successful response; other types than JSON are bytes.
    mime_type: str = "application/json"
    #: The body of a 202, which reports the progress, if it isn't `answer`.
    accepted: dict[str, Any] | None = None
    #: The type of the body.
    body_type: str = "application/json"


_ASSIGN = shape(
    {
        "assign_to": {"anyOf": [ID, STRING], "description": "ID or username of a colleague."},
        "assign_to_role": {"type": "string", "description": "A role; the next user by round robin gets the record."},
    }
)
_JOIN = shape({"user": {"anyOf": [ID, STRING], "description": "ID or username of a colleague."}}, "user")
#: One of many calls. Invalid items are reported individually in the result, so the schema requires nothing.
_ANY_TEXT = {"type": "string", "nullable": True}
_ANY_TIME = {"anyOf": [{"type": "number", "description": "Seconds or milliseconds since 1970, UTC"}, _ANY_TEXT]}
_CALL = shape(
    {
        "direction": {**_ANY_TEXT, "description": "Incoming or Outgoing."},
        "status": {**_ANY_TEXT, "description": "Completed, or any other word for an unanswered call."},
        "from_number": {**_ANY_TEXT, "description": "Who called."},
        "to_number": {**_ANY_TEXT, "description": "Who was called."},
        "started_on": {**_ANY_TIME, "description": "Such as 2026-11-23 11:00:00, the telephone's local time."},
        "ended_on": {**_ANY_TIME, "description": "In the same format, or omitted."},
        "duration_seconds": {"anyOf": [{"type": "number", "nullable": True}, STRING], "description": "A number."},
        "device_call_id": {
            "anyOf": [ID, _ANY_TEXT],
            "description": "The phone's own ID of the call. The same ID is never stored twice.",
        },
    }
)
_BULK = shape({"call_logs": {"type": "array", "maxItems": 1000, "items": _CALL}}, "call_logs")
_RESULT = shape(
    {
        "index": ID,
        "status": {"type": "string", "enum": ["created", "updated", "duplicate", "error"]},
        "id": {"type": "integer", "nullable": True},
        "device_call_id": {**STRING, "nullable": True},
        "code": {**STRING, "nullable": True},
        "error": {**STRING, "nullable": True},
    },
    "index",
    "status",
    "id",
)
_BULK_DONE = shape({"results": {"type": "array", "items": _RESULT}}, "results")
_OUTCOME = shape(
    {
        "outcome": {"type": "string", "maxLength": 500},
        "note": {**STRING, "nullable": True, "description": "For the timeline of the call's record."},
        "follow_up_on": {"type": "string", "format": "date-time", "nullable": True, "description": "Creates a task."},
        "title": {**STRING, "nullable": True, "description": "Of that task."},
        "cold": {"type": "boolean", "nullable": True},
        "is_order": {"type": "boolean", "nullable": True, "description": "Whether the customer placed an order."},
        "close_tasks": {
            "type": "array",
            "items": ID,
            "nullable": True,
            "description": "With a follow-up: tasks of the same lead or ticket that are done. Omitted: your open tasks "
            "of it that are due today or overdue. [] closes none.",
        },
    },
    "outcome",
)
#: Function of a resource -> its documentation; a resource may document further ones in its own `documentation`.
FUNCTIONS = {
    "info": OperationSpec("Describe what you can do", answer=ref("Rights")),
    "get_list": OperationSpec("List", (414,), ("q", "list_parameters"), answer="list"),
    "get": OperationSpec(
        "Read one record", (404, 410, 414), ("pk", "columns", "If-None-Match"), headers=("ETag",), good=(200, 304)
    ),
    "post": OperationSpec(
        "Create",
        (404, 409, *_SENT),
        ("Idempotency-Key",),
        "+Create",
        good=(201,),
        headers=("ETag", "Idempotent-Replayed"),
    ),
    "put": OperationSpec("Change", (*_ROW, 412, 413), ("pk", "If-Match"), "+Change", headers=("ETag",)),
    "delete": OperationSpec("Delete", (*_ROW, 412), ("pk", "If-Match"), answer=ref("Done")),
    "assign": OperationSpec("Assign to a colleague, or to the next user of a role", (*_ROW, 413), ("pk",), _ASSIGN),
    "join": OperationSpec(
        "Add an assignee; 200 if already assigned",
        (*_ROW, 413),
        ("pk",),
        _JOIN,
        good=(200, 201),
    ),
    "release": OperationSpec("Remove an assignee", _ROW, ("pk", "user")),
    "withdraw": OperationSpec("Withdraw your own pending request", _ROW, ("pk",)),
    "outcome": OperationSpec("Log the outcome of a call, and the next follow-up", (*_ROW, 413), ("pk",), _OUTCOME),
    "bulk": OperationSpec(
        "Store up to 1,000 of your own calls; each is stored once, however often it is sent",
        (*_SENT, 404, 409),
        (),
        _BULK,
        _BULK_DONE,
    ),
}


class DocumentedOperations:
    """A REST view whose operations are documented by its `documentation`, with ids and all statuses."""

    def add_apispec_components(self, api_spec: Any) -> None:
        """Add the shared schemas."""
        register_schemas(api_spec, SHARED)

    def operation_helper(
        self, path: Any = None, operations: Any = None, methods: Any = None, func: Any = None, **kwargs: Any
    ) -> None:
        """Called by FAB to document a method of the resource."""
        for method in methods:
            operations[method.lower()] = operation(self, func.__name__, method.lower())


def operation(resource: Any, function: str, method: str) -> dict[str, Any]:
    """The operation object of one method."""
    spec: OperationSpec = (FUNCTIONS | getattr(resource, "documentation", {}))[function]
    made: dict[str, Any] = {
        "operationId": f"{resource.resource_name}_{function}",
        "summary": f"{spec.summary} ({resource.resource_name})",
        "tags": [resource.resource_name],
        "security": [{"api_key": []}, {"basic": []}, {"jwt": []}],
        "parameters": [*(each for name in spec.parameters for each in _parameters(name, resource)), "Accept-Language"],
        "responses": responses(spec, _answer(spec.answer, base_of(resource))),
    }
    if function == "get_list":
        made["description"] = _filters(resource)
    if spec.body:
        made["requestBody"] = body(_named(spec.body, resource), examples.body_of(resource, function))
        if spec.body_type != "application/json":
            made["requestBody"] = {"required": True, "content": {spec.body_type: {"schema": spec.body}}}
    return made


#: Query parameters that name a resource's own fields: (schema suffix of q, description).
_QUERY_PARAMETERS = {
    "q": (
        "List",
        "The whole question as JSON or Rison in the shape of {schema}; or use the other parameters.",
    ),
    "columns": ("Columns", "The fields to return, as JSON or Rison in the shape of {schema}; or use `columns`."),
}


def _parameters(name: str, resource: Any) -> list[Any]:
    """The parameter objects; a name refers to a shared one.

    q is declared as text, because few generators support a parameter described by its content.
    """
    if name == "list_parameters":
        return list_parameters(resource)
    if name not in _QUERY_PARAMETERS:
        return [name]
    suffix, text = _QUERY_PARAMETERS[name]
    base = base_of(resource)
    schema = {"type": "string", "maxLength": MAX_LENGTH, "example": prison.dumps(_question(resource, suffix))}
    made: list[Any] = [{"in": "query", "name": "q", "description": text.format(schema=base + suffix), "schema": schema}]
    if name == "columns":
        made += [each for each in list_parameters(resource) if each["name"] == "columns"]
    return made


def _question(resource: Any, suffix: str) -> Any:
    query = examples.query_of(resource)
    return query if suffix == "List" else {"columns": query["columns"]}


def _named(given: Any, resource: Any) -> dict[str, Any]:
    if not isinstance(given, str):
        return dict(given)
    return ref(base_of(resource) + given[1:] if given.startswith("+") else given)


def _filters(resource: Any) -> str:
    """The filterable fields and their operators."""
    table = getattr(resource, "record_table", None)
    known = [f"{each.name} ({' '.join(each.operators)})" for each in table.fields if each.filter] if table else []
    return "Filters: " + ", ".join(known) + "." if known else ""


#: What lists of generic records contain besides the rows, as in FAB.
_NAMES = {"type": "array", "items": {"type": "string"}}
_TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}
_LIST_METADATA = {
    "list_title": {"type": "string"},
    "list_columns": _NAMES,
    "order_columns": _NAMES,
    "label_columns": _TEXTS,
    "description_columns": _TEXTS,
}


_MERGED = shape(
    {"number": STRING, "merged_into": shape({"id": ID, "number": STRING}, "id", "number")}, "number", "merged_into"
)
_MERGED_ABOUT = "In an empty list that was filtered by number: where records of these numbers went."


def _answer(which: Any, base: str) -> dict[str, Any]:
    if which == "row":
        row = {"allOf": [ref(base)], "nullable": True, "description": "null if you can no longer see the record."}
        remarks = {
            "type": "array",
            "items": STRING,
            "description": "What was kept or proposed instead of being written.",
        }
        return shape({"id": ID, "result": row, "remarks": remarks}, "id", "result")
    if which == "list":
        return shape(
            {
                "count": ID,
                "count_capped": {"type": "boolean", "description": "True if there are more records than counted."},
                "ids": {"type": "array", "items": ID},
                "cursor": {**ID, "description": "Cursor of the next page; missing on the last page."},
                "merged": {"type": "array", "items": _MERGED, "description": _MERGED_ABOUT},
                "result": {"type": "array", "items": ref(base)},
                **_LIST_METADATA,
            },
            "count",
            "count_capped",
            "ids",
            "result",
        )
    return dict(which)


def body(schema: dict[str, Any], example: Any = None) -> dict[str, Any]:
    """A required request body."""
    return {"required": True, "content": in_json(schema, example)}


def in_json(schema: dict[str, Any], example: Any = None) -> dict[str, Any]:
    """The schema as JSON content."""
    return {"application/json": {"schema": schema} | ({"example": example} if example is not None else {})}


def responses(spec: OperationSpec, answer: dict[str, Any]) -> dict[str, Any]:
    """All responses of an operation."""
    content = in_json(answer) if spec.mime_type == "application/json" else {spec.mime_type: {"schema": answer}}
    good = {"description": "Done", "headers": _heads(*spec.headers), "content": content}
    unchanged = {"description": "Not modified", "headers": _heads("ETag")}
    accepted = {"description": "Accepted", "content": in_json(spec.accepted)} if spec.accepted else good
    special = {304: unchanged, 202: accepted}
    made: dict[str, Any] = {str(status): special.get(status, good) for status in spec.good}
    return made | refusals(*spec.statuses)


def refusals(*statuses: int) -> dict[str, Any]:
    """References to the given error responses and to those of `_ALWAYS`."""
    return {str(status): {"$ref": f"#/components/responses/E{status}"} for status in sorted({*_ALWAYS, *statuses})}


def _heads(*names: str) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in (*names, *_HEADERS_OF_ALL)}


def shared_responses() -> dict[str, Any]:
    """The shared error responses: E400 … E503."""
    waits = (429, 503)
    return {
        f"E{status}": {
            "description": text,
            "content": in_json(ref("Error")),
            "headers": _heads("Content-Language", *(["Retry-After"] if status in waits else [])),
        }
        for status, text in STATUS_MEANINGS.items()
    }
