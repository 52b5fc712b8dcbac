"""The arguments of a method call, merged from query string, form and JSON body; values may be JSON text.

A body is parsed by its content, not by its Content-Type: old scripts send JSON as text/plain, as a form or without any
type. Unreadable ones are refused, because ignoring a change would look like success.
"""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import unquote_to_bytes

import orjson
from flask import request
from flask_babel import gettext as _
from werkzeug.datastructures import MultiDict

from app.web.compat.responses import CompatError

#: Characters; longer JSON text is refused.
MAX_JSON_LENGTH = 4_000_000
#: Records per bulk call.
MAX_NAMES = 200
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
_FORM = "application/x-www-form-urlencoded"
#: White space and a byte order mark, which may precede JSON.
_BLANKS = b"\xef\xbb\xbf \t\r\n"


class Arguments:
    """The arguments of one method call; the body overrides the query string."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.values = values

    @classmethod
    def from_request(cls) -> Arguments:
        """The current request's arguments. Raises CompatError (417) for a body that cannot be read."""
        return cls(_single(request.args) | _body_values())

    def __contains__(self, name: str) -> bool:
        return self.values.get(name) not in (None, "")

    def raw(self, name: str, default: Any = None) -> Any:
        """The value as it was sent."""
        return self.values.get(name, default)

    def text(self, name: str, default: str | None = None) -> str:
        """A text or number as text. Raises CompatError (417) if it is missing without a default, or of another type."""
        value = self.values.get(name)
        if value in (None, "") and default is not None:
            return default
        if isinstance(value, bool) or not isinstance(value, str | int | float) or value == "":
            raise CompatError(417, _("Missing argument: %(name)s", name=name), "MandatoryError")
        return str(value)

    def first_text(self, *names: str) -> str:
        """The text of the first of these arguments that was sent. Raises CompatError (417) if none was."""
        return self.text(next((name for name in names if name in self), names[0]))

    def record_names(self, *names: str) -> list[str]:
        """Names of records: a list, a list as JSON text, or a single name. Raises CompatError (417, 413)."""
        name = next((each for each in names if each in self), names[0])
        found = self.json_value(name)
        found = [found] if isinstance(found, str | int) and not isinstance(found, bool) else found
        if not isinstance(found, list) or not found or not all(isinstance(each, str | int) for each in found):
            raise CompatError(417, _("“%(name)s” must be a list of names.", name=name))
        if len(found) > MAX_NAMES:
            raise CompatError(413, _("Please send at most %(most)s at once.", most=MAX_NAMES))
        return list(dict.fromkeys(str(each) for each in found))

    def json_object(self, name: str) -> dict[str, Any]:
        """An object; {} if it is missing. Raises CompatError (417) for anything else."""
        found = self.json_value(name, {})
        if not isinstance(found, dict):
            raise CompatError(417, _("“%(name)s” must be an object.", name=name))
        return found

    def integer(self, name: str, default: int, least: int, maximum: int) -> int:
        """An integer within the bounds. Raises CompatError (417) for anything else: limiting it would be misleading."""
        value = self.values.get(name)
        if value in (None, ""):
            return default
        text = str(value)[:40].strip()
        if isinstance(value, bool | float | list | dict) or _INTEGER.fullmatch(text) is None:
            raise CompatError(417, _("“%(name)s” must be a whole number.", name=name))
        if not least <= int(text) <= maximum:
            text = _("“%(name)s” must be a number from %(least)s to %(most)s.", name=name, least=least, most=maximum)
            raise CompatError(417, text)
        return int(text)

    def flag(self, name: str) -> bool:
        """Whether a flag is set; not for 0, false, none, "" and if missing."""
        return str(self.values.get(name, "0")).lower() not in ("0", "false", "none", "")

    def json_value(self, name: str, default: Any = None) -> Any:
        """A list or object, sent as such or as JSON text. Raises CompatError (417) for broken JSON."""
        value = self.values.get(name)
        if value in (None, ""):
            return default
        if not isinstance(value, str) or value[:1] not in ("[", "{", '"'):
            return value
        if len(value) > MAX_JSON_LENGTH:
            raise CompatError(413, _("“%(name)s” is too long.", name=name))
        try:
            return _parse_json(value)
        except (ValueError, RecursionError) as error:
            raise CompatError(417, _("“%(name)s” isn't valid JSON.", name=name)) from error


def _parse_json(text: str | bytes) -> Any:
    """JSON; lone surrogates are allowed, because the telephone apps cut contact names within emojis."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return json.loads(text)


def _body_values() -> dict[str, Any]:
    """The arguments in the body of the request."""
    body = request.get_data(cache=True)  # before Flask reads it as a form, which would consume it
    start = body.lstrip(_BLANKS)[:1]
    if not start:
        return {}
    if request.mimetype == "multipart/form-data" and start not in (b"{", b"["):
        if not request.form and not request.files:
            raise _unreadable()
        return _single(request.form)
    if request.mimetype == _FORM and start not in (b"{", b"["):
        return _form_values(body)
    return _parse_body(body)


def _form_values(body: bytes) -> dict[str, Any]:
    """The fields of a form. Raises CompatError (417) for a body without any, and for text that is not UTF-8."""
    try:
        unquote_to_bytes(body).decode()
    except UnicodeDecodeError:
        body = b""
    if b"=" not in body:
        raise _unreadable()
    return _single(request.form)


def _single(sent: MultiDict[str, str]) -> dict[str, Any]:
    """The values by name. Raises CompatError (417) for a name with two values, because one of them would be ignored."""
    for name, values in sent.lists():
        if any(value != values[0] for value in values):
            raise CompatError(417, _("“%(name)s” was sent twice with different values.", name=name[:60]))
    return dict(sent.items())


def _unreadable() -> CompatError:
    return CompatError(417, _("The request can't be read. Please send JSON, or a form with names and values."))


def _parse_body(body: bytes) -> dict[str, Any]:
    try:
        parsed = _parse_json(body)
    except (ValueError, RecursionError) as error:
        raise CompatError(417, _("The request isn't valid JSON.")) from error
    if not isinstance(parsed, dict | None):
        raise CompatError(417, _("The request must be an object with the names and values of its arguments."))
    return parsed or {}
