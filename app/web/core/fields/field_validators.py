"""The validators that a view declares as documented by FAB: those of WTForms and of marshmallow."""

from __future__ import annotations

from collections.abc import Iterable
from copy import copy
from types import SimpleNamespace
from typing import Any

from flask_babel import gettext
from marshmallow import ValidationError as SchemaError
from marshmallow.validate import Validator
from wtforms.validators import StopValidation, ValidationError

from app.domain.base import RuleBroken, gettext_noop, join_texts
from app.web.core.localization.languages import FORM_TEXTS

#: Messages of marshmallow's validators, which fill in values themselves.
_SCHEMA_TEXTS = (
    gettext_noop("Shorter than minimum length {min}."),
    gettext_noop("Longer than maximum length {max}."),
    gettext_noop("Length must be between {min} and {max}."),
    gettext_noop("Length must be {equal}."),
    gettext_noop("Must be greater than {min}."),
    gettext_noop("Must be greater than or equal to {min}."),
    gettext_noop("Must be less than {max}."),
    gettext_noop("Must be less than or equal to {max}."),
    gettext_noop("Must be greater than or equal to {min} and less than or equal to {max}."),
    gettext_noop("Must be equal to {other}."),
    gettext_noop("Must be one of: {choices}."),
    gettext_noop("String does not match expected pattern."),
    gettext_noop("Not a valid URL."),
    gettext_noop("Not a valid email address."),
    gettext_noop("Invalid input."),
)
#: The attributes with these messages.
_SCHEMA_ATTRIBUTES = ("error", "message_min", "message_max", "message_all", "message_equal")


def run_validators(name: str, label: Any, validators: Iterable[Any], value: Any) -> None:
    """Run a view's validators on the parsed value of a field: WTForms' `(form, field)` or marshmallow's `(value)`.

    Raises RuleBroken with the validator's own message.
    """
    stub = SimpleNamespace(
        data=value,
        raw_data=[value],
        label=SimpleNamespace(text=str(label)),
        name=name,
        errors=[],
        gettext=FORM_TEXTS.gettext,
        ngettext=FORM_TEXTS.ngettext,
        flags=SimpleNamespace(),
    )
    for validator in validators:
        try:
            if _takes_form(validator):
                validator(SimpleNamespace(_id=None), stub)
            elif _translated(validator)(value) is False:
                raise RuleBroken(gettext("This value isn't accepted."), name)
        except (ValidationError, StopValidation) as refused:
            if refused.args and refused.args[0]:
                raise RuleBroken(str(refused.args[0]), name) from None
        except SchemaError as refused:
            raise RuleBroken(join_texts(map(str, refused.messages)), name) from None


def _translated(validator: Any) -> Any:
    """A marshmallow validator with its messages in the language of this response; any other unchanged."""
    if not isinstance(validator, Validator):
        return validator
    made = copy(validator)
    for name in _SCHEMA_ATTRIBUTES:
        text = getattr(made, name, None)
        if text in _SCHEMA_TEXTS:
            setattr(made, name, gettext(text))
    return made


def _takes_form(validator: Any) -> bool:
    """Whether the validator is one of WTForms, called with the form and the field."""
    called = validator if hasattr(validator, "__code__") else type(validator).__call__
    code = getattr(called, "__code__", None)
    count = code.co_argcount if code is not None else 1
    return count - (0 if called is validator else 1) == 2
