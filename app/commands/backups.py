"""The commands `flask backup create|list|verify|restore|drill`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import click
from flask import current_app
from flask.cli import AppGroup

from app.backups import runs
from app.backups.create import exists
from app.backups.drill import drill
from app.backups.errors import BackupError
from app.backups.folder import Backup
from app.backups.installation import Installation, installation_of
from app.backups.restore import RestoreRequest, restore
from app.backups.verify import VerificationReport, verify
from app.domain.audit_log import audit_chain
from app.extensions import db

_IDENTITY = click.option(
    "--identity",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File with the private key of encrypted backups. Default: CRM_BACKUP_IDENTITY.",
)


def _readable_trouble(function: Callable[..., Any]) -> Callable[..., Any]:
    """Report expected errors as one sentence on stderr, with exit code 1."""

    @functools.wraps(function)
    def command(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except BackupError as trouble:
            raise click.ClickException(str(trouble)) from trouble

    return command


def commands() -> AppGroup:
    """The group of commands."""
    group = AppGroup("backup", help="Make, check and restore backups.")
    for add in (_add_create, _add_list, _add_verify, _add_restore, _add_drill):
        add(group)
    return group


def _installation(identity: Path | None = None) -> Installation:
    """This installation, after closing this process's database connections."""
    db.session.remove()
    db.engine.dispose()
    installation = installation_of(current_app._get_current_object())  # type: ignore[attr-defined]
    return (
        replace(installation, encryption=replace(installation.encryption, identity=identity))
        if identity
        else installation
    )


def _add_create(group: AppGroup) -> None:
    @group.command("create")
    @click.option("--before-upgrade", is_flag=True, help="Do nothing where there is no database yet.")
    @_readable_trouble
    def create(before_upgrade: bool) -> None:
        """Back up the database and the files now, while the servers go on."""
        installation = _installation()
        if before_upgrade and not exists(installation):
            click.echo("No database yet, so nothing to back up.")
            return
        if not before_upgrade:
            _refuse_other_key()
        made = runs.record(
            installation, "backup", lambda own: runs.back_up(own, "upgrade" if before_upgrade else "person")
        )
        click.echo(f"Backup: {installation.folder.path / made.name}")
        for sentence in made.remarks:
            click.echo(f"Note: {sentence}", err=True)


def _refuse_other_key() -> None:
    """Raise BackupError where nobody could restore the backup with the key of the other servers."""
    is_ours = audit_chain.is_our_key(db.session())
    db.session.remove()
    if not is_ours:
        raise BackupError(
            "This server has another CRM_FIELD_KEY than the one with which the database was made, so the backup "
            "could not be restored with that key. Nothing was backed up. Give this server the right key first."
        )


def _add_list(group: AppGroup) -> None:
    @group.command("list")
    @_readable_trouble
    def list_() -> None:
        """Print the backups, oldest first: name, time, size, rows, files, schema."""
        installation = _installation()
        for backup in installation.folder.all():
            click.echo("\t".join(_line(backup, installation.zone)))
        for name in installation.folder.damaged():
            click.echo(f"{name}\tdamaged: no readable manifest")


def _line(backup: Backup, zone: str) -> list[str]:
    manifest = backup.manifest
    rows = sum(int(table["rows"]) for table in manifest["contents"]["tables"].values())
    return [
        backup.name,
        f"{backup.made_on.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M}",
        f"{backup.size / 1_000_000:.1f} MB",
        f"{rows} rows",
        f"{manifest['files']['count']} files",
        f"schema {', '.join(manifest['schema']) or 'none'}",
        manifest["encryption"] or "not encrypted",
    ]


def _add_verify(group: AppGroup) -> None:
    @group.command("verify")
    @click.argument("name")
    @_IDENTITY
    @_readable_trouble
    def verify_(name: str, identity: Path | None) -> None:
        """Read all of a backup and compare it with its manifest; exits with 1 if it isn't whole."""
        installation = _installation(identity)
        installation.folder.find(name)
        _print_report(runs.record(installation, "verify", lambda own: runs.outcome_of(verify(own, name))).report)


def _add_drill(group: AppGroup) -> None:
    @group.command("drill")
    @click.argument("name", required=False)
    @_IDENTITY
    @_readable_trouble
    def drill_(name: str | None, identity: Path | None) -> None:
        """Restore a backup (default: the newest) into a scratch database and compare all tables."""
        installation = _installation(identity)
        if name:
            installation.folder.find(name)
        _print_report(runs.record(installation, "drill", lambda own: runs.outcome_of(drill(own, name))).report)


def _print_report(report: VerificationReport | None) -> None:
    if report is None:
        return
    for sentence in report.checked:
        click.echo(f"ok: {sentence}")
    for sentence in report.unchecked:
        click.echo(f"not checked: {sentence}")
    if report.faults:
        raise click.ClickException("\n".join([f"{report.name} is not a good backup.", *report.faults]))
    click.echo(f"{report.name} is a good backup." if not report.unchecked else f"{report.name}: nothing wrong found.")


def _add_restore(group: AppGroup) -> None:
    @group.command("restore")
    @click.argument("name")
    @click.option(
        "--into",
        help="URL of the database, or “own” for the CRM's. Default: CRM_RESTORE_INTO, which no other user can see.",
    )
    @click.option("--overwrite", is_flag=True, help="Replace all that is in the database.")
    @click.option(
        "--files", "files_into", type=click.Path(file_okay=False, path_type=Path), help="Folder for the files."
    )
    @_IDENTITY
    @_readable_trouble
    def restore_(name: str, into: str | None, overwrite: bool, files_into: Path | None, identity: Path | None) -> None:
        """Restore a backup into a database."""
        installation = _installation(identity)
        done = restore(installation, RestoreRequest(name, _target(installation, into), overwrite, files_into))
        for line in done.lines:
            click.echo(line)


def _target(installation: Installation, into: str | None) -> str:
    url = into or current_app.config["CRM"].backup.restore_url
    if not url:
        raise BackupError("Name the database: --into URL, or --into own for the CRM's own.")
    if url == "own":
        return installation.database_url
    return "mysql+pymysql://" + url.split("://", 1)[1] if url.startswith(("mysql://", "mariadb://")) else str(url)
