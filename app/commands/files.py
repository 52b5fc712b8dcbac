"""The commands `flask files check | move`: whether every file is there, and from a folder to S3."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click
from flask import current_app
from flask.cli import AppGroup

from app import access
from app.extensions import db
from app.file_store_and_vault import file_store
from app.inbound import message_file_fetch
from app.ops.storage.file_store import FileStore, FolderStore

_Command = Callable[..., Any]


def commands(readable_errors: Callable[[_Command], _Command]) -> AppGroup:
    """The group of commands; `readable_errors` reports expected errors as one sentence."""
    group = AppGroup("files", help="The files of messages and emails.")

    @group.command("check")
    @readable_errors
    def check() -> None:
        """Look whether every file is there to which a row refers; exits with 1 if one is missing."""
        lost: list[str] = []

        def report(digest: str, column: str) -> None:
            lost.append(digest)
            click.echo(f"missing\t{digest}\t{column}")

        with access.as_system(db.session()) as session, _storage_errors():
            count = message_file_fetch.missing(session, file_store(), report)
        click.echo(f"{count} files are there, {len(set(lost))} are missing.")
        if lost:
            raise SystemExit(1)

    @group.command("move")
    @click.option("--keep/--delete", default=True, help="Whether the folder keeps its copies (default: it does).")
    @readable_errors
    def move(keep: bool) -> None:
        """Copy the files of the instance folder to where CRM_FILES says. Can be repeated, and started again."""
        store, folder = file_store(), FolderStore(current_app.config["CRM"].instance_dir / "files")
        if isinstance(store, FolderStore):
            raise click.ClickException("Set CRM_FILES to s3://bucket first: the files are in the folder now.")
        with _storage_errors():
            count, known = _move(folder, store, keep)
        click.echo(f"{count} files were copied, {known} were there already.")

    return group


def _move(folder: FolderStore, store: FileStore, keep: bool) -> tuple[int, int]:
    """(files copied, files in total). A file is deleted only when its copy is complete."""
    there, count, known = {digest for digest, _stored_on in store.list()}, 0, 0
    for digest, _stored_on in folder.list():
        if digest in there:
            known += 1
        else:
            with folder.open(digest) as file:
                if store.put(file).digest != digest:
                    raise click.ClickException(f"The file {digest} is damaged in the folder. It stays there.")
            count += 1
        if not keep:
            folder.delete(digest)
    return count, known


@contextmanager
def _storage_errors() -> Iterator[None]:
    """End the command with a sentence if the storage can't be used."""
    try:
        yield
    except OSError as error:
        raise click.ClickException(f"Reading or storing a file failed: {error}") from error
