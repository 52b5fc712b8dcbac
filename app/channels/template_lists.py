"""Reads the lists of WhatsApp templates that Meta and Twilio return."""

from __future__ import annotations

import re
from typing import Any

from app.channels.inbound_fields import clean, mapping, objects, one_line
from app.channels.provider import ListedTemplate

#: Pages of a list, and templates on a page.
MAX_PAGES, PAGE_SIZE = 5, 200
#: The provider's state, in lower case -> ours; any other is "pending".
_STATES = {
    "approved": "approved",
    **dict.fromkeys(("paused", "limit_exceeded"), "paused"),
    **dict.fromkeys(("rejected", "disabled", "deleted", "pending_deletion", "archived"), "rejected"),
}
_FILES = ("image", "video", "document")
_VARIABLE = re.compile(r"\{\{([^{}]{0,60})\}\}")


def of_meta(listed: dict[str, Any]) -> ListedTemplate:
    """An entry of message_templates."""
    parts = {one_line(each.get("type")).lower(): each for each in objects(listed.get("components"))}
    body, heading = clean(mapping(parts.get("body")).get("text")), mapping(parts.get("header"))
    kind = one_line(heading.get("format")).lower()
    state = _STATES.get(one_line(listed.get("status")).lower(), "pending")
    is_filled = _is_countable(body) and not _variables(clean(heading.get("text")))
    is_filled &= kind in ("", "text", *_FILES) and not _has_variable_button(mapping(parts.get("buttons")))
    return ListedTemplate(
        one_line(listed.get("name")),
        one_line(listed.get("language"), 20),
        body,
        state if is_filled else "unsupported",
        one_line(listed.get("category"), 40).lower(),
        one_line(listed.get("id")),
        kind if kind in _FILES else "",
    )


def _has_variable_button(buttons: dict[str, Any]) -> bool:
    """Whether a button opens an address that contains a variable."""
    return any(_variables(one_line(each.get("url"), 2000)) for each in objects(buttons.get("buttons")))


def of_twilio(listed: Any) -> ListedTemplate:
    """An entry of ContentAndApprovals, as the library reads it."""
    approval = mapping(listed.approval_requests)
    contents = [each for each in mapping(listed.types).values() if isinstance(each, dict)]
    body = next((clean(each["body"]) for each in contents if isinstance(each.get("body"), str)), "")
    state = _STATES.get(one_line(approval.get("status")).lower(), "pending")
    return ListedTemplate(
        one_line(approval.get("name")) or one_line(listed.friendly_name),
        one_line(listed.language, 20),
        body,
        state if body and _is_countable(body) else "unsupported",
        one_line(approval.get("category"), 40).lower(),
        one_line(listed.sid),
    )


def _variables(text: str) -> list[str]:
    return _VARIABLE.findall(text)


def _is_countable(text: str) -> bool:
    """Whether the variables are {{1}}, {{2}} …, without a gap."""
    found = set(_variables(text))
    return found == {str(number) for number in range(1, len(found) + 1)}
