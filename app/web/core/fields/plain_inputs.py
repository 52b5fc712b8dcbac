"""Inputs of forms that aren't generated from the fields of a record."""

from __future__ import annotations

from typing import Any

#: A text input with nothing in it; what differs is added by `PLAIN_INPUT | {…}`. Keys: as of `Field.form_input`.
PLAIN_INPUT: dict[str, Any] = {
    "value": "",
    "errors": [],
    "required": False,
    "options": None,
    "lookup_url": None,
    "selected": [],
    "multiple": False,
    "autocomplete": "off",
    "kind": "text",
}
