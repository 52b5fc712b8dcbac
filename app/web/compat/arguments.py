"""What a call was sent: query string, form and JSON in one, values as JSON text or as they are."""

from __future__ import annotations

import json
from typing import Any

import orjson
from flask import request
from flask_babel import gettext as _

from app.web.compat.responses import CompatError

#: Larger texts are parsed by nobody.
MAX_JSON_LENGTH = 4_000_000
#: Records of one step.
MAX_NAMES = 200


class Arguments:
    """The arguments of one call; the body wins over the query string."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.values = values

    @classmethod
    def from_request(cls) -> Arguments:
        """Of this request. Raises Refused (417) for a body that says it is JSON and is none."""
        values: dict[str, Any] = dict(request.args.items())
        values |= dict(request.form.items())
        if request.is_json and request.get_data():
            values |= _parse_body(request.get_data())
        return cls(values)

    def __contains__(self, name: str) -> bool:
        return self.values.get(name) not in (None, "")

    def raw(self, name: str, default: Any = None) -> Any:
        """The value as it came."""
        return self.values.get(name, default)

    def text(self, name: str, default: str | None = None) -> str:
        """A text. Raises Refused (417) where it is missing without a default, or is no text."""
        value = self.values.get(name)
        if value in (None, "") and default is not None:
            return default
        if isinstance(value, bool) or not isinstance(value, str | int | float) or value == "":
            raise CompatError(417, _("Missing argument: %(name)s", name=name), "MandatoryError")
        return str(value)

    def first_text(self, *names: str) -> str:
        """The text of the first of these names that was sent. Raises Refused (417) when none was."""
        return self.text(next((name for name in names if name in self), names[0]))

    def record_names(self, *names: str) -> list[str]:
        """Names of records: a list, JSON text of one, or one alone. Raises Refused (417)."""
        name = next((each for each in names if each in self), names[0])
        found = self.json_value(name)
        found = [found] if isinstance(found, str | int) and not isinstance(found, bool) else found
        if not isinstance(found, list) or not found or not all(isinstance(each, str | int) for each in found):
            raise CompatError(417, _("“%(name)s” must be a list of names.", name=name))
        if len(found) > MAX_NAMES:
            raise CompatError(413, _("Please send at most %(most)s at once.", most=MAX_NAMES))
        return list(dict.fromkeys(str(each) for each in found))

    def json_object(self, name: str) -> dict[str, Any]:
        """An object; {} where it is missing. Raises Refused (417) for anything else."""
        found = self.json_value(name, {})
        if not isinstance(found, dict):
            raise CompatError(417, _("“%(name)s” must be an object.", name=name))
        return found

    def integer(self, name: str, default: int, least: int, most: int) -> int:
        """A whole number, cut to the bounds as the predecessor did. Raises Refused (417) for what is none."""
        value = self.values.get(name)
        if value in (None, ""):
            return default
        text = str(value).strip()
        if isinstance(value, bool | float) or not text.lstrip("-").isdigit() or not text.isascii() or len(text) > 18:
            raise CompatError(417, _("“%(name)s” must be a whole number.", name=name))
        return min(max(int(text), least), most)

    def json_value(self, name: str, default: Any = None) -> Any:
        """A list or object, given as such or as JSON text. Raises Refused (417) for broken JSON."""
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
    """Telephones cut pictures in names in two: such halves are no reason to lose the calls beside them."""
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
