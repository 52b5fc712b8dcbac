"""The settings of backups. `config` reads the environment; this module checks what it finds there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

#: How many backups are kept: the newest of each of the last so many hours, days, weeks and months that have one.
KEEP = {"hourly": 24, "daily": 14, "weekly": 8, "monthly": 12}
_AGE_RECIPIENT = re.compile(r"age1[0-9a-z]{20,100}")


class WrongBackupSetting(Exception):
    """A setting has an invalid value. The message is one sentence that names the setting."""


@dataclass(frozen=True)
class BackupSettings:
    """Where backups go, how long they stay, and for whom they are encrypted."""

    #: The folder of the backups.
    folder: Path
    #: hourly, daily, weekly, monthly -> how many are kept.
    keep: Mapping[str, int] = field(default_factory=lambda: dict(KEEP))
    #: age or gpg, and its public keys (age) or the files that hold them (gpg); None = not encrypted.
    encryption: tuple[str, tuple[str, ...]] | None = None
    #: The file with the private key, if this server has it; without it, encrypted backups can't be opened here.
    identity: Path | None = None
    #: s3://bucket/prefix to which each backup is copied, and the address of the service if it is not Amazon's.
    s3_url: str | None = None
    s3_endpoint: str | None = None
    #: The database that is dumped instead of the CRM's own, such as a replica.
    source_url: str | None = None
    #: The database into which `flask backup restore` restores unless --into says so.
    restore_url: str | None = None


def load(values: Mapping[str, str | None], instance_dir: Path) -> BackupSettings:
    """Check the settings. `values`: name without CRM_ -> text. Raises WrongBackupSetting."""
    s3_url = values["BACKUP_S3"] or None
    if s3_url and not re.fullmatch(r"s3://[a-z0-9][a-z0-9.-]{1,62}(/[\w./-]*)?", s3_url):
        raise WrongBackupSetting("CRM_BACKUP_S3 must look like s3://bucket/folder.")
    folder = Path(values["BACKUP_DIR"]).expanduser() if values["BACKUP_DIR"] else instance_dir / "backups"
    return BackupSettings(
        folder=folder.absolute(),
        keep={period: _count(period, values[f"BACKUP_KEEP_{period.upper()}"]) for period in KEEP},
        encryption=_encryption(values["BACKUP_ENCRYPT"]),
        identity=_file("CRM_BACKUP_IDENTITY", values["BACKUP_IDENTITY"]),
        s3_url=s3_url.rstrip("/") if s3_url else None,
        s3_endpoint=values["BACKUP_S3_ENDPOINT"] or None,
        source_url=_url("CRM_BACKUP_SOURCE", values["BACKUP_SOURCE"]),
        restore_url=_url("CRM_RESTORE_INTO", values["RESTORE_INTO"]),
    )


#: Every setting, without CRM_.
NAMES = (
    *("BACKUP_DIR", "BACKUP_ENCRYPT", "BACKUP_IDENTITY", "BACKUP_S3", "BACKUP_S3_ENDPOINT", "BACKUP_SOURCE"),
    *(f"BACKUP_KEEP_{period.upper()}" for period in KEEP),
    "RESTORE_INTO",
)


def _count(period: str, text: str | None) -> int:
    if not text:
        return KEEP[period]
    if not (text.isascii() and text.isdigit() and int(text[:6]) <= 10_000):
        raise WrongBackupSetting(f"CRM_BACKUP_KEEP_{period.upper()} must be a whole number from 0 to 10000.")
    return int(text)


def _encryption(text: str | None) -> tuple[str, tuple[str, ...]] | None:
    if not text:
        return None
    kind, _colon, rest = text.strip().partition(":")
    recipients = tuple(part.strip() for part in rest.split(",") if part.strip())
    if kind == "age" and recipients and all(_AGE_RECIPIENT.fullmatch(each) for each in recipients):
        return "age", recipients
    if kind == "gpg" and recipients:
        return "gpg", tuple(str(_file("CRM_BACKUP_ENCRYPT", each)) for each in recipients)
    raise WrongBackupSetting(
        "CRM_BACKUP_ENCRYPT must be age: and public keys (age1…), or gpg: and files with public keys."
    )


def _file(name: str, text: str | None) -> Path | None:
    if not text:
        return None
    path = Path(text).expanduser().absolute()
    if not path.is_file():
        raise WrongBackupSetting(f"{name} names the file {path}, which doesn't exist.")
    return path


def _url(name: str, url: str | None) -> str | None:
    """Check the URL. It may contain a password, so no message repeats it."""
    if not url:
        return None
    if url.startswith(("mysql://", "mariadb://")):
        url = "mysql+pymysql://" + url.split("://", 1)[1]
    if not url.startswith(("sqlite:///", "mysql+pymysql://")):
        raise WrongBackupSetting(f"{name} must start with sqlite:/// or mysql+pymysql://.")
    return url
