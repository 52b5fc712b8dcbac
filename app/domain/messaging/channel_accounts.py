"""Accounts with providers of messages and calls: their settings, sealed secrets, hook tokens, limits and health."""

from __future__ import annotations

import hmac
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Boolean, Integer, String, Text, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.channels.provider import ProviderKind
from app.domain.audit_log import audit
from app.domain.base import (
    AlreadyExists,
    NotFound,
    Record,
    RuleBroken,
    Stamp,
    UtcDateTime,
    Versioned,
    join_texts,
    refuse_stale,
    translatable,
)
from app.lib import phone, phone_number_series
from app.lib.field_encryption import Vault
from app.lib.token_hash import hash_token

#: What a caller ID or an account is for; in India promotional traffic has its own number series and headers.
PURPOSES = ("promotional", "service")
CALLER_ID_PURPOSES = (*PURPOSES, "any")
MAX_NAME_LENGTH = 60
TOKEN_BYTES = 32
#: The highest limit of messages per second or minute.
MAX_RATE = 100_000
#: Characters of a stored error.
MAX_ERROR_LENGTH = 300


class ChannelAccount(Versioned, Record):
    """One account with a provider."""

    __tablename__ = "channel_account"
    #: Its name for operators and API clients.
    name: Mapped[str] = mapped_column(String(MAX_NAME_LENGTH), nullable=False, unique=True)
    #: The kind of provider, a key of `app.channels.provider_registry.KINDS`.
    kind: Mapped[str] = mapped_column(String(24), nullable=False)
    #: Those of whatsapp, sms, email and voice that it is used for.
    channels: Mapped[list[str]] = mapped_column(JSON, nullable=False, default=list)
    #: One of PURPOSES if it sends nothing else, else null.
    purpose: Mapped[str | None] = mapped_column(String(16))
    #: False = it sends nothing; incoming messages are still accepted.
    is_active: Mapped[bool] = mapped_column(Boolean, nullable=False, default=True)
    #: Setting -> value; the secret ones as one JSON object, encrypted by the vault.
    settings: Mapped[dict[str, str]] = mapped_column(JSON, nullable=False, default=dict)
    secrets_sealed: Mapped[str | None] = mapped_column(Text)
    #: SHA-256 of the token in its hook address, and the token itself, encrypted.
    token_hash: Mapped[str] = mapped_column(String(64), nullable=False, unique=True)
    token_sealed: Mapped[str] = mapped_column(String(300), nullable=False)
    #: The most messages that it may send per second and per minute; null = no limit.
    per_second: Mapped[int | None] = mapped_column(Integer)
    per_minute: Mapped[int | None] = mapped_column(Integer)
    #: Phone numbers that customers see: [{"number": E.164, "purpose": one of CALLER_ID_PURPOSES}].
    caller_ids: Mapped[list[dict[str, str]]] = mapped_column(JSON, nullable=False, default=list)
    #: When the provider last accepted something, UTC; and its last refusal, as a sentence.
    last_success_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    last_error: Mapped[str | None] = mapped_column(String(MAX_ERROR_LENGTH))
    last_error_on: Mapped[datetime | None] = mapped_column(UtcDateTime)

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class AccountSettings:
    """An account as submitted by an admin."""

    name: str
    #: Setting -> value. A missing or empty secret keeps its stored value.
    values: Mapping[str, str] = field(default_factory=dict)
    #: Channels that it serves; empty = all that its kind supports.
    channels: tuple[str, ...] = ()
    purpose: str | None = None
    is_active: bool = True
    per_second: int | None = None
    per_minute: int | None = None
    #: (number, purpose) of each caller id.
    caller_ids: tuple[tuple[str, str], ...] = ()
    #: The version that the admin saw; None skips the check.
    version: int | None = None


# --- for admins


def create(
    session: Session, kind: ProviderKind, settings: AccountSettings, stamp: Stamp, vault: Vault
) -> ChannelAccount:
    """Add an account. Raises RuleBroken with the errors by field."""
    account = ChannelAccount(kind=kind.name, version=1)
    _new_token(account, vault)
    _apply(session, account, kind, settings, vault)
    account.stamp(stamp)
    session.add(account)
    session.flush()
    _write_audit(session, account, "made", stamp)
    return account


def change(
    session: Session, account: ChannelAccount, kind: ProviderKind, settings: AccountSettings, stamp: Stamp, vault: Vault
) -> None:
    """Apply the settings. Raises RuleBroken, Conflict."""
    refuse_stale(account, settings.version)
    _apply(session, account, kind, settings, vault)
    account.stamp(stamp)
    session.flush()
    _write_audit(session, account, "changed", stamp)


def set_active(session: Session, account: ChannelAccount, is_active: bool, stamp: Stamp) -> None:
    """Activate or deactivate it. What it has sent and received stays."""
    account.is_active = is_active
    account.stamp(stamp)
    _write_audit(session, account, "turned on" if is_active else "turned off", stamp)


def rotate_token(session: Session, account: ChannelAccount, stamp: Stamp, vault: Vault) -> str:
    """Replace the token of its hook address; the old one is refused at once. Returns the new one."""
    token = _new_token(account, vault)
    account.stamp(stamp)
    _write_audit(session, account, "new hook address", stamp)
    return token


def _new_token(account: ChannelAccount, vault: Vault) -> str:
    token = secrets.token_urlsafe(TOKEN_BYTES)
    account.token_hash, account.token_sealed = hash_token(token), vault.seal(token)
    return token


def _apply(
    session: Session, account: ChannelAccount, kind: ProviderKind, settings: AccountSettings, vault: Vault
) -> None:
    old = values_of(account, vault) if account.secrets_sealed or account.settings else {}
    given = {key: value.strip() for key, value in settings.values.items()}
    known = {each.key: each for each in kind.settings}
    kept = {key: old[key] for key, each in known.items() if each.is_secret and not given.get(key) and key in old}
    values = {key: each.default for key, each in known.items() if each.default and not each.is_secret} | given | kept
    errors = _errors_of_settings(kind, values) | _errors_of_account(session, account, kind, settings)
    errors = _errors_of_kept_secrets(kind, kept, old, values) | errors
    if not errors:
        try:
            kind.make(values)
        except ValueError as wrong:
            errors["settings"] = [str(wrong)]
    if errors:
        raise RuleBroken(join_texts(text for texts in errors.values() for text in texts), errors=errors)
    account.name, account.purpose, account.is_active = settings.name.strip(), settings.purpose, settings.is_active
    account.channels = [each for each in kind.channels if each in (settings.channels or kind.channels)]
    account.per_second, account.per_minute = settings.per_second, settings.per_minute
    account.caller_ids = [{"number": phone.normalize(n) or n, "purpose": p} for n, p in settings.caller_ids]
    account.settings = {key: value for key, value in values.items() if not known[key].is_secret}
    hidden = {key: value for key, value in values.items() if known[key].is_secret and value}
    account.secrets_sealed = vault.seal(json.dumps(hidden)) if hidden else None


def _errors_of_kept_secrets(
    kind: ProviderKind, kept: Mapping[str, str], old: Mapping[str, str], values: Mapping[str, str]
) -> dict[str, list[str]]:
    """Refuse to send a stored secret to another server than the one for which it was entered.

    Otherwise, people who may change the settings, but don't know the password, could read it on a server of their own.
    """
    moved = [each.label for each in kind.settings if each.is_destination and values.get(each.key) != old.get(each.key)]
    if not moved:
        return {}
    sentence = translatable(
        "Please enter it again, for “%(label)s” has changed: a stored password is only sent to its own server.",
        label=translatable(moved[0]),
    )
    return {key: [sentence] for key in kept}


def _errors_of_settings(kind: ProviderKind, values: Mapping[str, str]) -> dict[str, list[str]]:
    """Setting -> what is wrong with its value."""
    known = {each.key: each for each in kind.settings}
    errors: dict[str, list[str]] = {}
    for key in values:
        if key not in known:
            names = ", ".join(known) or "-"
            errors[key] = [
                translatable(
                    "An account of this kind has no setting “%(key)s”. It has: %(names)s.",
                    key=key,
                    names=names,
                )
            ]
    for key, each in known.items():
        value = values.get(key, "")
        if not value and each.is_required:
            errors[key] = [translatable("Please enter “%(label)s”.", label=translatable(each.label))]
        elif value and (wrong := each.check(value)):
            errors[key] = [wrong]
    return errors


def _errors_of_account(
    session: Session, account: ChannelAccount, kind: ProviderKind, settings: AccountSettings
) -> dict[str, list[str]]:
    errors: dict[str, list[str]] = {}
    name = settings.name.strip()
    if not name or len(name) > MAX_NAME_LENGTH or not name.isprintable():
        errors["name"] = ["Please enter a name of at most 60 characters."]
    elif _is_taken(session, account, name):
        raise AlreadyExists("Another account has this name. Please choose another one.", "name")
    if set(settings.channels) - set(kind.channels):
        errors["channels"] = ["An account of this kind doesn't serve all of these channels."]
    if settings.purpose not in (None, *PURPOSES):
        errors["purpose"] = ["Please choose promotional or service, or leave it open."]
    for key, rate in (("per_second", settings.per_second), ("per_minute", settings.per_minute)):
        if rate is not None and not 0 < rate <= MAX_RATE:
            errors[key] = ["Please enter a number from 1 to 100,000, or leave it empty for no limit."]
    if wrong := next(filter(None, (_problem_of_caller_id(*each) for each in settings.caller_ids)), None):
        errors["caller_ids"] = [wrong]
    return errors


def _problem_of_caller_id(number: str, purpose: str) -> str | None:
    """What is wrong with a caller ID: some number series are reserved for one purpose."""
    e164 = phone.normalize(number)
    if purpose not in CALLER_ID_PURPOSES or not e164:
        return translatable("Each caller ID needs a phone number and a purpose: promotional, service or any.")
    series = phone_number_series.phone_series(e164)
    only = phone_number_series.PURPOSES.get(series, purpose)
    if purpose == only:
        return None
    return translatable(
        "Numbers of the %(series)s series are for %(purpose)s calls only. Please correct its purpose.",
        series=series,
        purpose=only,
    )


def _is_taken(session: Session, account: ChannelAccount, name: str) -> bool:
    with session.no_autoflush:
        query = select(ChannelAccount.id).where(ChannelAccount.name == name)
        if account.id is not None:
            query = query.where(ChannelAccount.id != account.id)
        return session.execute(query).first() is not None


def _write_audit(session: Session, account: ChannelAccount, what: str, stamp: Stamp) -> None:
    payload: dict[str, Any] = {"what": what, "name": account.name, "kind": account.kind, "active": account.is_active}
    audit.write(session, "channel change", stamp.by, stamp.now, f"channel account {account.id}", **payload)


# --- for the system


def values_of(account: ChannelAccount, vault: Vault) -> dict[str, str]:
    """{key: value} of all settings, secrets decrypted. Raises VaultError."""
    hidden = json.loads(vault.open(account.secrets_sealed)) if account.secrets_sealed else {}
    return {**account.settings, **hidden}


def token_of(account: ChannelAccount, vault: Vault) -> str:
    """The token in the account's hook address. Raises VaultError."""
    return vault.open(account.token_sealed)


def find_by_token(session: Session, token: str) -> ChannelAccount | None:
    """The account of this token. Only its hash is looked up, so timing reveals nothing about a guess."""
    digest = hash_token(token)
    found = session.scalars(select(ChannelAccount).where(ChannelAccount.token_hash == digest)).first()
    return found if found is not None and hmac.compare_digest(found.token_hash, digest) else None


def find(session: Session, name: str) -> ChannelAccount:
    """The account of this name. Raises NotFound."""
    found = session.scalars(select(ChannelAccount).where(ChannelAccount.name == name.strip())).first()
    if found is None:
        raise NotFound(translatable("There is no channel account named “%(name)s”.", name=name.strip()))
    return found


def active(session: Session, channel: str, purpose: str | None = None) -> list[ChannelAccount]:
    """The accounts that may send on this channel for this purpose: those made for it first, then the oldest."""
    rows = session.scalars(select(ChannelAccount).where(ChannelAccount.is_active.is_(True)).order_by(ChannelAccount.id))
    fitting = [each for each in rows if channel in each.channels and each.purpose in (None, purpose or each.purpose)]
    return sorted(fitting, key=lambda each: each.purpose is None)


def record_success(session: Session, account_id: int, now: datetime) -> None:
    """Record that the provider accepted something, for the health of the account."""
    _set(session, account_id, last_success_on=now)


def record_error(session: Session, account_id: int, error: str, now: datetime) -> None:
    """Record what went wrong, as a sentence without personal data, for the health of the account."""
    _set(session, account_id, last_error=error[:MAX_ERROR_LENGTH], last_error_on=now)


def _set(session: Session, account_id: int, **values: Any) -> None:
    """Without a new version, because an admin with an open form changes other columns."""
    step = update(ChannelAccount).where(ChannelAccount.id == account_id).values(**values)
    session.execute(step, execution_options={"synchronize_session": False})
