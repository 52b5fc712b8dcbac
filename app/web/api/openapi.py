"""The OpenAPI document and its endpoint.

Decision: it documents records and sign-in. FAB's menu API and this endpoint serve our own pages, may change with them
and are left out.
"""

from __future__ import annotations

from typing import Any

from apispec import APISpec
from flask import Response, current_app, request
from flask_appbuilder.api import expose, protect
from flask_appbuilder.api import manager as fab
from flask_babel import force_locale
from flask_babel import gettext as _

from app.domain.base import NotFound
from app.web.api.operations import HEADERS, PARAMETERS, OperationSpec, body, responses, shared_responses
from app.web.api.schemas import SHARED, ref, register_schemas
from app.web.core import request_custom_fields
from app.web.core.fab_access import JsonErrorResponses, json_answer, refuse_as_json

_ABOUT = """The records of the CRM, under the same rules as its pages: the same rows, the same masks, the same gates.
A refusal is a sentence in the language of Accept-Language (en, hi, gu, mr) in the shape Error. Lists are read by page
or by cursor (keyset) from the newest row down. Every answer says how many calls are left (X-RateLimit-…)."""
_SCHEMES = {
    "api_key": {"type": "apiKey", "in": "header", "name": "Authorization", "description": "token KEY:SECRET"},
    "basic": {"type": "http", "scheme": "basic", "description": "The key as username, its secret as password."},
    "jwt": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
    "jwt_refresh": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "The refresh token."},
}


class OpenApi(JsonErrorResponses, fab.OpenApi):
    """/api/v1/_openapi"""

    @expose("/<version>/_openapi")
    @protect()
    @refuse_as_json
    def get(self, version: str) -> Response:
        """The document, built once per process and set of custom fields, in English."""
        if version != "v1":
            raise NotFound(_("This page or record doesn't exist."))
        fields = request_custom_fields.current().fields
        kept, cached = current_app.extensions.get("crm_openapi", (None, {}))
        if not cached or kept != fields:
            with force_locale("en"):
                cached = _document(self.appbuilder)
            current_app.extensions["crm_openapi"] = (fields, cached)
        return json_answer(200, {**cached, "servers": [{"url": request.script_root or "/"}]})


def _document(appbuilder: Any) -> dict[str, Any]:
    spec = APISpec(title=str(appbuilder.app_name), version="v1", openapi_version="3.0.3", info={"description": _ABOUT})
    for name, scheme in _SCHEMES.items():
        spec.components.security_scheme(name, scheme)
    register_schemas(spec, SHARED)
    for resource in appbuilder.baseviews:
        if getattr(resource, "is_documented", False):
            resource.add_api_spec(spec)
    spec.path("/api/v1/security/login", operations={"post": _signing("login", ref("SignIn"), [])})
    spec.path("/api/v1/security/refresh", operations={"post": _signing("refresh", None, [{"jwt_refresh": []}])})
    document: dict[str, Any] = spec.to_dict()
    document["components"] |= {"headers": HEADERS, "parameters": PARAMETERS, "responses": shared_responses()}
    return document


def _signing(which: str, shape: Any, security: list[Any]) -> dict[str, Any]:
    spec = OperationSpec(f"Sign in ({which})", (413,))
    made: dict[str, Any] = {
        "operationId": f"security_{which}",
        "summary": spec.summary,
        "tags": ["security"],
        "security": security,
        "parameters": ["Accept-Language"],
        "responses": responses(spec, ref("Tokens")),
    }
    return made | ({"requestBody": body(shape)} if shape else {})
