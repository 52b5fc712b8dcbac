"""The form of a channel account: its fields by kind, and parsing the posted form."""

from __future__ import annotations

from typing import Any

from flask import request
from flask_babel import gettext as _
from sqlalchemy import select

from app import access
from app.channels.provider import ProviderKind
from app.channels.setting_checks import yes_no_problem
from app.domain.messaging import channel_accounts
from app.domain.messaging.channel_accounts import AccountSettings
from app.extensions import db
from app.models import ChannelAccount, Role, TicketSubject, User
from app.web.core.fab_access import parse_integer
from app.web.core.localization.languages import translate_text
from app.web.records.message_words import CHANNEL_WORDS

#: Prefix of the fields that are settings of the kind.
PREFIX = "set."
MAX_VALUE = 4000
#: The most caller IDs of one account.
MAX_CALLER_IDS = 50
_BASE: dict[str, Any] = {"value": "", "errors": [], "required": False, "autocomplete": "off", "kind": "text"}


def channel_words() -> dict[str, str]:
    """Channel -> its label."""
    return {name: str(word) for name, word in CHANNEL_WORDS.items()} | {"voice": str(_("Calls"))}


def settings_of(account: ChannelAccount) -> AccountSettings:
    """A stored account as the form shows it: never with its secrets."""
    return AccountSettings(
        account.name,
        dict(account.settings),
        tuple(account.channels),
        account.purpose,
        account.is_active,
        account.per_second,
        account.per_minute,
        tuple((each["number"], each["purpose"]) for each in account.caller_ids),
        account.version,
    )


def posted_settings(kind: ProviderKind) -> AccountSettings:
    """The settings of the posted form; the domain checks them."""
    form = request.form
    values = {each.key: form.get(PREFIX + each.key, "")[:MAX_VALUE] for each in kind.settings}
    given = {key: value for key, value in values.items() if value.strip()}
    return AccountSettings(
        form.get("name", "")[:2000],
        given,
        tuple(each for each in kind.channels if f"channel.{each}" in form),
        form.get("purpose") or None,
        "is_active" in form,
        _rate("per_second"),
        _rate("per_minute"),
        _caller_ids(form.get("caller_ids", "")),
        parse_integer(form.get("version"), 0, 0, 2**31 - 1) or None,
    )


def _rate(name: str) -> int | None:
    """The limit; 0 if it isn't a number, which the domain refuses."""
    text = request.form.get(name, "").strip()
    return None if not text else int(text) if text.isascii() and text.isdigit() and len(text) < 8 else 0


def _caller_ids(text: str) -> tuple[tuple[str, str], ...]:
    """Parse one caller ID per line: the number, followed by promotional, service or any (the default)."""
    lines = [line.split() for line in text.splitlines()[:MAX_CALLER_IDS] if line.strip()]
    pairs = [(parts, parts[-1].lower() if parts[-1].isalpha() else "") for parts in lines]
    return tuple((" ".join(parts[:-1] if word else parts), word or "any") for parts, word in pairs)


def form_of(
    account: ChannelAccount | None, kind: ProviderKind, settings: AccountSettings, errors: dict[str, list[str]]
) -> dict[str, Any]:
    """The context of pages/form.html; `errors` by field, "" for general ones."""
    own = f"/settings/channels/{account.id}/" if account else "/settings/channels/"
    return {
        "title": _("Edit %(name)s", name=account.name)
        if account
        else _("New account: %(kind)s", kind=translate_text(kind.label)),
        "error": " ".join(errors.get("", ()) or errors.get("settings", ())),
        "cancel_url": own,
        "version": settings.version,
        "action": f"{own}edit" if account else f"/settings/channels/add/{kind.name}",
        "conflict": None,
        "submit_label": _("Save") if account else _("Add account"),
        "sections": [
            {"title": "", "fields": _general(kind, settings, errors)},
            {
                "title": translate_text(kind.label),
                "fields": [_setting(each, account, settings, errors) for each in kind.settings],
            },
            *([{"title": _("Used for"), "fields": _uses(kind, settings, errors)}] if kind.channels else []),
        ],
    }


def _general(kind: ProviderKind, settings: AccountSettings, errors: dict[str, list[str]]) -> list[dict[str, Any]]:
    name = {"name": "name", "label": _("Name"), "value": settings.name, "required": True, "errors": errors.get("name")}
    active = {"name": "is_active", "label": _("On"), "kind": "flag", "value": settings.is_active}
    active["help"] = (
        _("While off, nothing is sent by this account. What customers send is still received.")
        if kind.channels
        else _("While off, no emails are fetched; they wait in the mailbox.")
    )
    return [_BASE | name | {"maxlength": channel_accounts.MAX_NAME_LENGTH}, _BASE | active]


def _setting(each: Any, account: Any, settings: AccountSettings, errors: dict[str, list[str]]) -> dict[str, Any]:
    """The field of a setting. A secret is never shown: an empty field keeps the stored one."""
    is_kept = each.is_secret and account is not None and account.secrets_sealed is not None
    more = _("Leave empty to keep the stored value.") if is_kept else ""
    field = {"name": PREFIX + each.key, "label": translate_text(each.label), "errors": errors.get(each.key)}
    field |= {"kind": "password" if each.is_secret else "text", "required": each.is_required and not is_kept}
    field |= {"value": settings.values.get(each.key, each.default), "help": f"{translate_text(each.help)} {more}"}
    field |= {"help": field["help"].strip(), "maxlength": MAX_VALUE}
    if options := _options(each, str(field["value"])):
        field |= {"kind": "choice", "options": options, "placeholder": "–"}
    return _BASE | field | {"autocomplete": "new-password" if each.is_secret else "off"}


def _options(each: Any, current: str) -> list[tuple[str, str]]:
    """(value, label) of a setting's options, including the current value; empty if it is free text."""
    if each.options:
        return [(value, translate_text(value)) for value in each.options]
    if each.check is yes_no_problem:
        return [("yes", _("Yes")), ("no", _("No"))]
    if each.key not in _NAMED:
        return []
    with access.as_system(db.session()) as session:
        names = list(session.scalars(_NAMED[each.key]()))
    return [(value, value) for value in dict.fromkeys([*names, *filter(None, [current])])]


def _smtp_accounts() -> Any:
    return select(ChannelAccount.name).where(ChannelAccount.kind == "smtp").order_by(ChannelAccount.name)


#: Settings that refer to a row -> the names to choose from.
_NAMED: dict[str, Any] = {
    "owner": lambda: select(User.username).where(User.active.is_(True)).order_by(User.username),
    "assign_to_role": lambda: select(Role.name).where(Role.name != "Public").order_by(Role.name),
    "ticket_subject": lambda: select(TicketSubject.label).order_by(TicketSubject.position),
    "answer_account": _smtp_accounts,
}


def _uses(kind: ProviderKind, settings: AccountSettings, errors: dict[str, list[str]]) -> list[dict[str, Any]]:
    chosen = settings.channels or kind.channels
    words = channel_words()
    fields = [
        _BASE | {"name": f"channel.{each}", "label": words[each], "kind": "flag", "value": each in chosen}
        for each in kind.channels
    ]
    purposes = [("service", _("Service")), ("promotional", _("Promotional"))]
    fields.append(
        _BASE
        | {"name": "purpose", "label": _("Only for"), "kind": "choice", "options": purposes}
        | {"value": settings.purpose or ""}
        | {"errors": errors.get("purpose"), "placeholder": _("Service and promotional messages")}
    )
    for name, label in (("per_second", _("Messages per second")), ("per_minute", _("Messages per minute"))):
        value = getattr(settings, name)
        help_ = _("Leave empty for no limit.")
        field = {"name": name, "label": label, "value": "" if value is None else value, "kind": "number", "help": help_}
        fields.append(_BASE | field | {"errors": errors.get(name)})
    if "voice" in kind.channels:
        fields.append(_caller_id_field(settings, errors))
    return fields


def _caller_id_field(settings: AccountSettings, errors: dict[str, list[str]]) -> dict[str, Any]:
    lines = "\n".join(f"{number} {purpose}" for number, purpose in settings.caller_ids)
    help_ = _("One per line: the number, then service (1600 series), promotional (140 series) or any.")
    field = {"name": "caller_ids", "label": _("Caller IDs"), "kind": "textarea", "value": lines, "help": help_}
    return _BASE | field | {"errors": errors.get("caller_ids"), "placeholder": "+911600123456 service"}
