"""Checks of an account's settings, and the setting that several kinds have."""

from __future__ import annotations

import re
from collections.abc import Mapping

from app.channels.provider import AccountSetting
from app.lib import phone

_SECRET = re.compile(r"[!-~]{1,1000}")


def secret_problem(value: str) -> str | None:
    """What is wrong with a key or token, which is sent in headers."""
    return None if _SECRET.fullmatch(value) else "A key has no spaces and only ASCII characters. Please copy it again."


def number_problem(value: str) -> str | None:
    """What is wrong with a phone number."""
    return None if phone.normalize(value) else "Please enter a phone number with its country code: +91…"


def numbers_problem(value: str) -> str | None:
    """What is wrong with comma-separated numbers, each of which may begin with whatsapp:."""
    parts = [part.strip().removeprefix("whatsapp:") for part in value.split(",")]
    return next((problem for part in parts if (problem := number_problem(part))), None)


def yes_no_problem(value: str) -> str | None:
    """What is wrong with the value of a switch."""
    return None if value in ("yes", "no") else "Please enter yes or no."


#: Of providers whose calls the CRM dials.
RECORD_OUTGOING = AccountSetting(
    "record_outgoing",
    "Record calls made from the CRM",
    "yes or no. Tell the people you call.",
    is_required=False,
    default="no",
    check=yes_no_problem,
)


def form_problem(form: re.Pattern[str], sentence: str, value: str) -> str | None:
    """The sentence for a value that does not match the regular expression `form`."""
    return None if form.fullmatch(value) else sentence


def check_settings(fields: tuple[AccountSetting, ...], settings: Mapping[str, str]) -> dict[str, str]:
    """All settings with their defaults. Raises ValueError with the first problem's sentence."""
    found = {each.key: (settings.get(each.key) or each.default).strip() for each in fields}
    for each in fields:
        value = found[each.key]
        if not value and each.is_required:
            raise ValueError(f"{each.label}: please enter a value.")
        if value and (problem := each.check(value)):
            raise ValueError(f"{each.label}: {problem}")
    return found
