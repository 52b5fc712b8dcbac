"""Errors reported to a tracker that speaks Sentry's protocol, where CRM_SENTRY_DSN names one. Off by default.

Only the kind of an error and the places in our code leave the server: no request, no person, no value of a variable, no
text of an error, no crumbs of what happened before.
"""

from __future__ import annotations

import importlib
import logging
from typing import Any

from app.ops import request_log

log = logging.getLogger("crm.errors")

#: What of an event is sent on.
_KEPT = ("event_id", "timestamp", "level", "platform", "logger", "release", "environment", "server_name", "sdk")
#: What of a place in the code is sent on.
_FRAME = ("filename", "function", "module", "lineno", "in_app")


def install(dsn: str | None, server: str) -> bool:
    """Report to this address. False where none is given, or sentry_sdk is not installed, which is logged."""
    if dsn is None:
        return False
    try:
        sdk = importlib.import_module("sentry_sdk")
    except ImportError:
        log.error("CRM_SENTRY_DSN is set, but no error is reported: sentry_sdk is missing. Run: pip install sentry-sdk")
        return False
    sdk.init(
        dsn=dsn,
        server_name=server,
        before_send=only_the_place,
        before_breadcrumb=lambda _crumb, _hint: None,
        send_default_pii=False,
        include_local_variables=False,
        include_source_context=False,
        max_breadcrumbs=0,
        traces_sample_rate=0,
        max_request_body_size="never",
    )
    return True


def only_the_place(event: dict[str, Any], _hint: Any) -> dict[str, Any]:
    """The event without whatever somebody may have typed."""
    kept = {name: event[name] for name in _KEPT if name in event}
    values = (event.get("exception") or {}).get("values") or []
    kept["exception"] = {"values": [_exception(each) for each in values]}
    kept["tags"] = {"request_id": request_log.request_id()}
    return kept


def _exception(value: dict[str, Any]) -> dict[str, Any]:
    frames = (value.get("stacktrace") or {}).get("frames") or []
    places = [{name: frame[name] for name in _FRAME if name in frame} for frame in frames]
    return {"type": value.get("type"), "module": value.get("module"), "value": "", "stacktrace": {"frames": places}}
