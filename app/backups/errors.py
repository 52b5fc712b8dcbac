"""Errors of backups, worded for the operator."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.lib.operator_command import operator_command
from app.ops.storage.file_store import StorageUnavailable


class BackupError(Exception):
    """Something can't be done.

    The message tells the operator what is wrong, what was left unchanged, and what to do.
    """


class BackupBusy(BackupError):
    """Another backup, restore or drill is in progress."""


@contextmanager
def readable_disk_errors(folder: Path) -> Iterator[None]:
    """Turn errors of the disk into BackupError."""
    try:
        yield
    except OSError as error:
        raise BackupError(_sentence(error, folder)) from error


def _sentence(error: OSError, folder: Path) -> str:
    if isinstance(error, StorageUnavailable):
        return (
            f"The storage of files (CRM_FILES) can't be read: {error}. Nothing was kept of this run, and the earlier "
            f"backups are as they were. Try again when it answers: {operator_command('self-test')} tells."
        )
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        left = _free_megabytes(folder)
        return (
            f"There is no room left in {folder} ({left} MB free). Nothing was kept of this run, and the earlier "
            "backups are as they were. Make room, or keep fewer backups (CRM_BACKUP_KEEP_…)."
        )
    where = error.filename or folder
    return f"{where} can't be used: {error.strerror or type(error).__name__}. The earlier backups are as they were."


def _free_megabytes(folder: Path) -> int:
    try:
        return shutil.disk_usage(folder).free // 1_000_000
    except OSError:
        return 0
