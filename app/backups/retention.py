"""Which backups to keep: the newest of each of the last hours, days, weeks and months, as configured."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import timedelta
from zoneinfo import ZoneInfo

from app.backups import files
from app.backups.folder import Backup
from app.backups.installation import Installation

log = logging.getLogger("crm.backups")

#: Backups made by a person or an upgrade are kept at least this long.
BY_HAND = timedelta(days=1)
#: Period -> strftime format of its name, in office time.
_NAMES = {"hourly": "%Y-%m-%d %H", "daily": "%Y-%m-%d", "weekly": "%G-%V", "monthly": "%Y-%m"}


def names_to_keep(backups: Sequence[Backup], keep: Mapping[str, int], zone: str) -> set[str]:
    """Names of the backups to keep: the newest of each period, the newest of all, and recent ones made by a person."""
    newest_first = sorted(backups, key=lambda each: (each.made_on, each.name), reverse=True)
    stay = {each.name for each in newest_first[:1]}
    lately = newest_first[0].made_on - BY_HAND if newest_first else None
    stay |= {each.name for each in newest_first if lately and each.made_on > lately and _is_by_hand(each)}
    for period, count in keep.items():
        seen: dict[str, str] = {}
        for backup in newest_first:
            local = backup.made_on.astimezone(ZoneInfo(zone))
            seen.setdefault(local.strftime(_NAMES[period]), backup.name)
        stay |= set(list(seen.values())[:count])
    return stay


def _is_by_hand(backup: Backup) -> bool:
    return backup.manifest.get("cause") in ("person", "upgrade")


def apply(installation: Installation, newest: Backup) -> list[str]:
    """Delete backups that are not kept, and files that no backup needs. Call it with the lock held."""
    backups = installation.folder.all()
    stay = names_to_keep(backups, installation.keep, installation.zone) | {newest.name}
    gone = [each for each in backups if each.name not in stay]
    for backup in gone:
        installation.folder.delete(backup)
        log.info("the backup %s is no longer kept and was deleted", backup.name)
    if gone:
        sweep(installation)
    return [each.name for each in gone]


def sweep(installation: Installation) -> int:
    """Remove files that no backup needs; none while one of the backups can't be read."""
    if installation.folder.damaged():
        return 0
    return files.FilePool(installation.pool, installation.encryption).sweep(installation.folder.all())
