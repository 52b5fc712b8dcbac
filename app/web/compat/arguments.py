"""The arguments of a method call: query string, form and JSON body in one; values may be JSON text."""

from __future__ import annotations

import json
from typing import Any

import orjson
from flask import request
from flask_babel import gettext as _

from app.web.compat.responses import CompatError

#: Characters; longer JSON text is refused.
MAX_JSON_LENGTH = 4_000_000
#: Records of one bulk method.
MAX_NAMES = 200


class Arguments:
    """The arguments of one method call; the body overrides the query string."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.values = values

    @classmethod
    def from_request(cls) -> Arguments:
        """The current request's arguments. Raises CompatError (417) for a JSON body that cannot be parsed."""
        values: dict[str, Any] = dict(request.args.items())
        values |= dict(request.form.items())
        if request.is_json and request.get_data():
            values |= _parse_body(request.get_data())
        return cls(values)

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

    def integer(self, name: str, default: int, least: int, most: int) -> int:
        """A whole number, clamped to the bounds. Raises CompatError (417) for anything else."""
        value = self.values.get(name)
        if value in (None, ""):
            return default
        text = str(value).strip()
        if isinstance(value, bool | float) or not text.lstrip("-").isdigit() or not text.isascii() or len(text) > 18:
            raise CompatError(417, _("“%(name)s” must be a whole number.", name=name))
        return min(max(int(text), least), most)

    def flag(self, name: str) -> bool:
        """Whether a flag is set; it is not for 0, false, none, "" and when missing."""
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
    """JSON; text with half of a surrogate pair is allowed, as the telephone apps cut contact names within emojis."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return json.loads(text)


def _parse_body(body: bytes) -> dict[str, Any]:
    try:
        parsed = _parse_json(body)
    except (ValueError, RecursionError) as error:
        raise CompatError(417, _("The request isn't valid JSON.")) from error
    return parsed if isinstance(parsed, dict) else {"data": parsed}
