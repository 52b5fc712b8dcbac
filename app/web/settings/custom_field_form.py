"""The form of a custom field: its inputs, and the table of choices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask_babel import gettext as _

from app.domain.custom_fields import LANGUAGES, MAX_CHOICES, MAX_HELP, MAX_LABEL, MAX_NAME, CustomField

#: The languages of labels, each in its own name.
LANGUAGE_NAMES = {"hi": "हिन्दी", "gu": "ગુજરાતી", "mr": "मराठी"}
#: Empty rows for more choices.
SPARE = 5


def sections(row: CustomField | None, raw: Mapping[str, Any], errors: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The inputs by part."""
    return [
        {"title": _("Field"), "fields": [_input(each, raw, errors) for each in _inputs(row)]},
        {
            "title": _("Name in other languages"),
            "fields": [
                _input(
                    {"name": f"label_{code}", "label": LANGUAGE_NAMES[code], "kind": "text", "maxlength": MAX_LABEL},
                    raw,
                    errors,
                )
                for code in LANGUAGES
            ],
        },
    ]


def _input(each: dict[str, Any], raw: Mapping[str, Any], errors: Mapping[str, Any]) -> dict[str, Any]:
    value = raw.get(each["name"])
    return {"errors": errors.get(each["name"], []), "value": "" if value is None else value} | each


def _inputs(row: CustomField | None) -> list[dict[str, Any]]:
    return [*_naming_inputs(row), *_use_inputs()]


def _naming_inputs(row: CustomField | None) -> list[dict[str, Any]]:
    """What the field is called and what it holds; the kind and the name of a stored one are fixed."""
    kinds = {"text": _("Text"), "number": _("Number"), "date": _("Date"), "choice": _("Choice"), "link": _("Link")}
    return [
        {"name": "label", "label": _("Name"), "kind": "text", "required": True, "maxlength": MAX_LABEL},
        {
            "name": "kind",
            "label": _("What it holds"),
            "kind": "choice",
            "options": list(kinds.items()),
            "required": row is None,
            "readonly": row is not None,
            "help": _("It can't be changed later.") if row is None else None,
        },
        {
            "name": "name",
            "label": _("Name for programs"),
            "kind": "text",
            "maxlength": MAX_NAME,
            "readonly": row is not None,
            "placeholder": "x_risk_profile" if row is None else None,
            "help": _("For the API, imports and webhooks; made of the name if you leave it empty.")
            if row is None
            else None,
        },
    ]


def _use_inputs() -> list[dict[str, Any]]:
    """Where the field stands, whether it is asked for, and who sees it."""
    return [
        {"name": "position", "label": _("Place"), "kind": "number", "help": _("Smaller numbers come first.")},
        {"name": "help", "label": _("Help text"), "kind": "text", "wide": True, "maxlength": MAX_HELP},
        {
            "name": "is_required",
            "label": _("Required"),
            "kind": "flag",
            "help": _("New records need a value, and a value can't be emptied. Records without one stay as they are."),
        },
        {"name": "is_quick", "label": _("Ask for it in the quick form"), "kind": "flag"},
        {
            "name": "is_restricted",
            "label": _("Limit who sees it"),
            "kind": "flag",
            "help": _(
                "It is hidden from everybody but admins, until you choose for each role under "
                "Settings → Roles, “Field masking”."
            ),
        },
    ]


def choice_rows(raw: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows of the table of choices: the existing ones, and some empty ones."""
    found = [
        {"value": each.get("value") or "", "label": each.get("label") or "", "is_offered": each.get("is_offered", True)}
        | {f"label_{code}": (each.get("labels") or {}).get(code, "") for code in LANGUAGES}
        for each in raw.get("choices") or ()
    ]
    empty = {"value": "", "label": "", "is_offered": True} | {f"label_{code}": "" for code in LANGUAGES}
    return [*found, *(dict(empty) for _spare in range(SPARE))]


def typed_choices(form: Mapping[str, str]) -> list[dict[str, Any]]:
    """The rows as typed, without empty ones; clearing the name of a choice removes it."""
    rows = []
    for place in range(MAX_CHOICES + SPARE + 1):
        if f"choice_label_{place}" not in form:
            break
        label = form[f"choice_label_{place}"].strip()
        if label:
            rows.append(
                {
                    "value": form.get(f"choice_value_{place}", ""),
                    "label": label[:500],
                    "is_offered": bool(form.get(f"choice_offered_{place}")),
                    "labels": {code: form.get(f"choice_label_{code}_{place}", "")[:500] for code in LANGUAGES},
                }
            )
    return rows
