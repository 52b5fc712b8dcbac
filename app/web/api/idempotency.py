"""Idempotent POSTs: a request with the header Idempotency-Key is done once, however often it is sent."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from flask import Response, request

from app.domain import idempotency
from app.domain.idempotency import IdempotentRequest
from app.extensions import db
from app.web.api.etags import write_response
from app.web.core.fab_access import current_viewer

HEADER = "Idempotency-Key"


def create_once(make: Callable[[], int], body_of: Callable[[int], Any]) -> Response:
    """Create a record and commit. A repeated key returns the first record and creates none.

    `make` returns the record's id, `body_of` the response body for an id. Raises RuleBroken, Conflict.
    """
    key = request.headers.get(HEADER)
    if key is None:
        made = make()
        db.session.commit()
        return write_response(body_of(made), 201)
    repeatable = IdempotentRequest(current_viewer().person.id, key, _request_hash())
    stored = idempotency.claim(db.session(), repeatable, current_viewer().now)
    if stored is not None:
        return write_response(body_of(stored.record_id or 0), stored.status or 201, **{"Idempotent-Replayed": "true"})
    made = make()
    idempotency.store_response(db.session(), repeatable, 201, made)
    db.session.commit()
    return write_response(body_of(made), 201)


def _request_hash() -> str:
    """A hash of path and body, to refuse a key that is reused for another request."""
    return hashlib.sha256(request.path.encode() + b"\0" + request.get_data()).hexdigest()
