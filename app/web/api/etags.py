"""ETags: conditional reads (If-None-Match) and conditional writes (If-Match)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from flask import Response, request
from flask_babel import gettext as _

from app.domain.base import RuleBroken
from app.web.core.fab_access import json_answer

#: The headers of a request that make its answer conditional.
_CONDITIONS = frozenset(
    f"HTTP_{each}"
    for each in ("IF_MATCH", "IF_NONE_MATCH", "IF_MODIFIED_SINCE", "IF_UNMODIFIED_SINCE", "IF_RANGE", "RANGE")
)


class ETagMismatch(RuleBroken):
    """The record changed since the client read it (412)."""

    http_status = 412


def write_response(body: dict[str, Any], status: int, **headers: str) -> Response:
    """The response to a write, with the ETag that a GET of the record would have now."""
    answer, row = json_answer(status, body, **headers), body["result"]
    if row is not None:  # what only this write reports is not part of the record
        answer.set_etag(body_hash({"id": body["id"], "result": {k: v for k, v in row.items() if k != "warnings"}}))
    return answer


def body_hash(body: Any) -> str:
    """The ETag of a record: the hash of the response to a GET."""
    return hashlib.sha256(json_answer(200, body).get_data()).hexdigest()[:32]


def with_etag(answer: Response) -> Response:
    """The response with its ETag, which it lacks; 304 without a body if the client has this version (If-None-Match)."""
    answer.headers.add("ETag", f'"{hashlib.sha256(answer.get_data()).hexdigest()[:32]}"')
    if not _CONDITIONS.isdisjoint(request.environ):
        answer.make_conditional(request)
    return answer


def refuse_etag_mismatch(current: Callable[[], Response]) -> None:
    """Raise ETagMismatch if the ETag of the current record does not match the request's If-Match."""
    if "If-Match" not in request.headers or request.if_match.star_tag:
        return
    tag = hashlib.sha256(current().get_data()).hexdigest()[:32]
    # The ETag of a compressed response ends with a colon and the encoding. Werkzeug parses a malformed tag as None.
    etags = {each.partition(":")[0] for each in request.if_match.as_set(include_weak=True) if each}
    if tag not in etags:
        raise ETagMismatch(_("Someone else changed this record. Read it again, then send your change."))
