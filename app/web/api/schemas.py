"""OpenAPI schemas, generated from the RecordTable so that they match the responses."""

from __future__ import annotations

from typing import Any

from apispec.exceptions import DuplicateComponentNameError

from app.web.api import examples
from app.web.core.fields.base import MAX_FILTER_VALUES, ChoiceField, Field
from app.web.core.fields.filter_operators import WITHOUT_VALUE
from app.web.core.queries.record_table import ALIASES, MAX_FILTERS, MAX_PAGE, MAX_PAGE_SIZE, RecordTable

STRING = {"type": "string"}
ID = {"type": "integer"}
_WHOLE = {"type": "integer", "minimum": 1}


def shape(properties: dict[str, Any], *required: str, **more: Any) -> dict[str, Any]:
    """An object with these properties."""
    return {"type": "object", "properties": properties} | ({"required": list(required)} if required else {}) | more


def ref(name: str) -> dict[str, str]:
    """A reference to a schema."""
    return {"$ref": f"#/components/schemas/{name}"}


def query(properties: dict[str, Any], example: dict[str, Any]) -> dict[str, Any]:
    """The schema of q; a null key counts as missing."""
    nullable = {name: {**schema, "nullable": True} for name, schema in properties.items()}
    for schema in nullable.values():
        if "enum" in schema:
            schema["enum"] = [*schema["enum"], None]
    return shape(nullable, additionalProperties=False, example=example)


def card(**properties: Any) -> dict[str, Any]:
    """A short summary of another record; nullable."""
    return shape({"id": ID, **properties}, "id", *properties, nullable=True)


_PLAIN = [STRING, {"type": "number"}]
#: The value of a filter.
_FILTER_VALUE = {
    "anyOf": [
        *_PLAIN,
        {"type": "boolean"},
        {"type": "array", "maxItems": MAX_FILTER_VALUES, "items": {"anyOf": _PLAIN}},
    ]
}
_PAGE = {
    "page": {"type": "integer", "minimum": 0, "maximum": MAX_PAGE, "description": "Counted from 0."},
    "page_size": {**_WHOLE, "maximum": MAX_PAGE_SIZE, "default": 20},
}
#: Schemas that all operations share.
SHARED: dict[str, Any] = {
    "Card": card(label=STRING),
    "StatusCard": card(label=STRING, color=STRING),
    "UserCard": card(username=STRING, full_name=STRING),
    "RecordCard": card(number={**STRING, "nullable": True}, label={**STRING, "nullable": True}),
    "Error": shape(
        {
            "message": {
                **STRING,
                "description": "What is wrong and what to do, in English, Hindi, Gujarati or Marathi.",
            },
            "errors": {
                "type": "object",
                "additionalProperties": {"type": "array", "items": STRING},
                "description": "Field name -> its error messages.",
            },
            "reference": {**STRING, "description": "For internal errors (500): the reference in the log."},
            "merged_into": {
                "type": "object",
                "properties": {"id": {"type": "integer"}, "number": STRING},
                "required": ["id", "number"],
                "description": "For a record that was merged (410): the one that was kept.",
            },
        },
        "message",
        "errors",
        example={
            "message": "“Sent to HO” needs the POD ID of the documents.",
            "errors": {"pod_id": ["“Sent to HO” needs the POD ID of the documents."]},
        },
    ),
    "PageQuery": query(_PAGE, {"page": 0, "page_size": 50}),
    "Rights": shape(
        {
            "permissions": {
                "type": "array",
                "items": {"type": "string", "enum": ["can_get", "can_post", "can_put", "can_delete"]},
            },
            "add_columns": {"type": "array", "items": ref("Column")},
            "edit_columns": {"type": "array", "items": ref("Column")},
            "list_columns": {"type": "array", "items": STRING},
            "order_columns": {"type": "array", "items": STRING},
            "add_title": STRING,
            "edit_title": STRING,
            "filters": {
                "type": "object",
                "additionalProperties": {
                    "type": "array",
                    "items": shape({"name": STRING, "operator": STRING}, "name", "operator"),
                },
            },
        },
        "permissions",
        "add_columns",
        "edit_columns",
        "list_columns",
        "order_columns",
        "filters",
    ),
    "Column": shape(
        {
            "name": STRING,
            "label": STRING,
            "kind": STRING,
            "required": {"type": "boolean"},
            "max_length": ID,
            "type": STRING,
            "description": STRING,
            "count": {**ID, "description": "Of a relation: how many rows are listed in values."},
            "values": {"type": "array", "items": shape({"id": ID, "value": STRING}, "id", "value")},
        },
        "name",
        "label",
        "kind",
        "required",
        "max_length",
    ),
    "Done": shape({"message": STRING}, "message", example={"message": "Deleted."}),
    "Tokens": shape(
        {"access_token": STRING, "refresh_token": {**STRING, "description": "If requested."}}, "access_token"
    ),
    "SignIn": shape(
        {
            "username": {"type": "string", "minLength": 1},
            "password": {"type": "string", "minLength": 1},
            "provider": {"type": "string", "enum": ["db"]},
            "refresh": {"type": "boolean"},
            "otp": {
                "type": "string",
                "description": "With two-factor sign-in: the code of the app, or a recovery code.",
            },
        },
        "username",
        "password",
        example={"username": "ana", "password": "•••", "provider": "db", "refresh": True},
    ),
}


def base_of(resource: Any) -> str:
    """call_log -> CallLog: the base name of a resource's schemas."""
    return "".join(part.title() for part in str(resource.resource_name).split("_"))


def add(resource: Any, api_spec: Any) -> None:
    """Register the schemas of one resource: output, create and change."""
    register_schemas(api_spec, SHARED)
    record_table, name = resource.record_table, base_of(resource)
    known = {each.name: output_schema(each) for each in record_table.readable} | dict(
        getattr(resource, "extra_schema", {})
    )
    # The schema of a list requires nothing, because a request may select columns.
    register_schemas(api_spec, {name: shape({"id": {**ID, "readOnly": True}, **known}, "id")})
    register_schemas(api_spec, _queries(resource, name))
    for which, suffix, function in (("add", "Create", "post"), ("edit", "Change", "put")):
        if function not in resource.exclude_route_methods:
            register_schemas(
                api_spec, {name + suffix: _body(record_table, which, examples.body_of(resource, function))}
            )


_CURSOR = {
    **_WHOLE,
    "maximum": 2**31 - 1,
    "description": (
        "Continue after this ID: the cursor of the previous page. Only with the default order. No row "
        "is repeated or skipped while others write, and deep pages cost no more than the first. A page may be short, "
        "or empty, and have a cursor."
    ),
}
_COUNT = {
    "type": "string",
    "enum": ["exact", "capped"],
    "default": "capped",
    "description": (
        "capped: counting stops at 1,000 and count_capped is true. exact: counting stops after 5 seconds; count is "
        "then a lower bound, of at most 1,000, and count_capped is true."
    ),
}


def _queries(resource: Any, name: str) -> dict[str, Any]:
    """The schemas of q for this resource, limited to its own fields."""
    record_table, example = resource.record_table, examples.query_of(resource)
    names = [each.name for each in record_table.readable]
    columns = {"type": "array", "items": _one_of(["id", *names]), "description": "Fields to return; all if omitted."}
    listed = query(
        {
            **_PAGE,
            "columns": columns,
            "order_column": _one_of(["id", *(each.name for each in record_table.fields if each.sort)]),
            "order_direction": {"type": "string", "enum": ["asc", "desc"], "default": "desc"},
            "cursor": _CURSOR,
            "count": _COUNT,
            "filters": {
                "type": "array",
                "maxItems": MAX_FILTERS,
                "items": _filter_schema(record_table),
                "description": "All of them must match.",
            },
        },
        example,
    )
    return {f"{name}List": listed, f"{name}Columns": query({"columns": columns}, {"columns": example["columns"]})}


def _filter_schema(record_table: RecordTable) -> dict[str, Any]:
    """The schema of one filter: the fields that have operators, and all operators of any of them."""
    filters = [each for each in record_table.fields if each.filter]
    operators = [*dict.fromkeys(op for each in filters for op in each.operators), *ALIASES]
    return shape(
        {
            "col": _one_of([each.name for each in filters]),
            "opr": {**_one_of(operators), "description": "The operation lists the operators of each field."},
            "value": {**_FILTER_VALUE, "description": "Text, number, list (for in) or true/false (for null)."},
        },
        "col",
        "opr",
        "value",
        additionalProperties=False,
    )


def _one_of(nullable: list[str]) -> dict[str, Any]:
    return {"type": "string", "enum": nullable}


def _body(record_table: Any, mode: str, example: Any) -> dict[str, Any]:
    """The request body; read-only fields are left out and ignored when sent."""
    accepted = {each.name: input_schema(each) for each in record_table.input_fields if getattr(each, mode)}
    needed = [each.name for each in record_table.input_fields if each.add and each.is_required] if mode == "add" else []
    if mode == "edit" and "version" in record_table.by_name:
        accepted["version"] = {
            **_WHOLE,
            "maximum": 2**31 - 1,
            "description": "The version you read. If the record has changed since, nothing is saved (409).",
        }
    return shape(accepted, *needed, example=example)


def output_schema(each: Field) -> dict[str, Any]:
    """The schema of a field in responses."""
    schema = dict(each.schema)
    if isinstance(each, ChoiceField):
        schema["enum"] = [*each.options, None]
    schema = {"allOf": [schema]} if "$ref" in schema else schema
    return schema | _description(each) | ({"readOnly": True} if not (each.add or each.edit) else {})


#: Picklists, people and records are accepted by id, by label, user name or number, or as a card.
_REFERENCE = {
    "anyOf": [
        {**ID, "nullable": True, "description": "ID"},
        {**STRING, "nullable": True, "description": "Label, username or number"},
        shape(
            {"id": ID, **{name: {**STRING, "nullable": True} for name in ("label", "username", "number")}},
            nullable=True,
            description="A card, as responses have it.",
        ),
    ]
}


def input_schema(each: Field) -> dict[str, Any]:
    """The schema of a field in requests."""
    schema = dict(each.schema)
    if "$ref" in schema:
        schema = dict(_REFERENCE)
    elif "$ref" in schema.get("items", {}):
        schema["items"] = _REFERENCE
    elif isinstance(each, ChoiceField):
        schema["enum"] = [*each.options, None]
    elif schema.get("type") == "string" and "format" not in schema:
        schema["maxLength"] = each.max_length
    elif schema.get("type") == "integer":
        schema |= {"minimum": getattr(each, "least", 0), "maximum": getattr(each, "largest", 2**31 - 1)}
    return (
        schema | _description(each) | ({"example": examples.INPUTS[each.name]} if each.name in examples.INPUTS else {})
    )


def _description(each: Field) -> dict[str, Any]:
    """Label, help and example of a field."""
    schema: dict[str, Any] = {"description": f"{each.label}. {each.help}" if each.help else str(each.label)}
    if isinstance(each, ChoiceField):
        schema["example"] = each.options[0]
    elif each.name in examples.FIELDS and _is_of_type(each.schema, examples.FIELDS[each.name]):
        schema["example"] = examples.FIELDS[each.name]
    return schema


def _is_of_type(schema: dict[str, Any], example: Any) -> bool:
    """Whether the example has the schema's type: the number of a lead is text, that of a file's version an integer; a
    task is due at a moment, a request about personal data on a day.
    """
    if schema.get("format") == "date":
        return isinstance(example, str) and "T" not in example
    is_text = "$ref" not in schema and schema.get("type") not in ("integer", "number", "boolean")
    return not isinstance(example, str) or is_text


def register_schemas(api_spec: Any, shapes: dict[str, Any]) -> None:
    """Register schemas unless another resource did already."""
    for name, schema in shapes.items():
        try:
            api_spec.components.schema(name, component=schema)
        except DuplicateComponentNameError:
            continue


#: Operators whose parameter takes several values.
_SEVERAL = ("in", "not_in")


def list_parameters(resource: Any) -> list[dict[str, Any]]:
    """The plain query parameters of a list, besides q: page, order and one per column and operator."""
    table, listed = resource.record_table, _queries(resource, base_of(resource))[f"{base_of(resource)}List"]
    made = []
    for name in ("page", "page_size", "order_column", "order_direction", "cursor", "count"):
        # Without defaults: generated clients would send them, although a list with an order of its own has others.
        left_out = ("nullable", "default")
        schema = {key: value for key, value in listed["properties"][name].items() if key not in left_out}
        if "enum" in schema:
            schema["enum"] = [value for value in schema["enum"] if value is not None]
        made.append({"in": "query", "name": name, "schema": schema})
    columns = {"type": "array", "items": {**listed["properties"]["columns"]["items"]}}
    made.append(_several("columns", columns, "Fields to return; all if omitted."))
    filtered = [each for each in table.fields if each.filter]
    return made + [_filter_parameter(each, op) for each in filtered for op in each.operators]


def _several(name: str, schema: dict[str, Any], text: str) -> dict[str, Any]:
    return {"in": "query", "name": name, "schema": schema, "style": "form", "explode": False, "description": text}


def _filter_parameter(each: Field, op: str) -> dict[str, Any]:
    """filter.status for equality, filter.due_on.ge for any other operator."""
    name = f"filter.{each.name}" if op == "eq" else f"filter.{each.name}.{op}"
    text, value = f"{each.label} {each.operator_label(op)}", _value_schema(each)
    if op in WITHOUT_VALUE:
        return {"in": "query", "name": name, "schema": {"type": "boolean"}, "description": text}
    if op in _SEVERAL:
        many = {"type": "array", "items": value, "maxItems": MAX_FILTER_VALUES}
        return {"in": "query", "name": name, "schema": many, "style": "form", "explode": True, "description": text}
    return {"in": "query", "name": name, "schema": value, "description": text}


def _value_schema(each: Field) -> dict[str, Any]:
    """What a filter compares with: the field's own type; a reference by id, label, username or number."""
    if isinstance(each, ChoiceField):
        return {"type": "string", "enum": [*each.options]}
    kind = each.schema.get("type")
    return {"type": kind} if kind in ("integer", "number", "boolean") else {"type": "string"}
