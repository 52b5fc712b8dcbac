"""What a run needs to know about this installation: settings, keys, files, and its heartbeat."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.backups.database_contents import Beat, ignore
from app.backups.encryption import Encryption
from app.backups.folder import BackupFolder
from app.extensions import migrate
from app.lib.field_encryption import read_key
from app.lib.product_version import product_version
from app.ops.storage.file_store import FileStore


@dataclass(frozen=True)
class Installation:
    """What backups need to know about the installation."""

    database_url: str
    folder: BackupFolder
    store: FileStore
    encryption: Encryption
    keep: dict[str, int]
    #: The database to dump instead of the CRM's own.
    source_url: str | None
    #: s3://bucket/prefix and the address of the service.
    s3: tuple[str, str | None] | None
    secret_key: str
    field_key: str
    zone: str
    version: str
    #: The revisions of the schema that this version needs.
    schema: frozenset[str]
    #: The folder of this server: the record of the audit log's heads, the lock of the scheduler.
    instance_dir: Path
    #: Called about once per MB and per file.
    beat: Beat = ignore

    @property
    def pool(self) -> Path:
        """The folder that holds the files of all backups."""
        return self.folder.pool

    def beating(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the chunks, and send a heartbeat for each."""
        for chunk in chunks:
            self.beat()
            yield chunk

    def keys(self) -> dict[str, str]:
        """Name of each key that a restored CRM needs -> a fingerprint, which doesn't reveal the key."""
        return {
            "CRM_FIELD_KEY": _fingerprint(read_key(self.field_key)),
            "CRM_SECRET_KEY": _fingerprint(self.secret_key.encode()),
        }

    def seal(self, manifest: dict[str, Any]) -> str:
        """An HMAC over the manifest, by a key derived from CRM_FIELD_KEY, so that altered backups are detected."""
        key = hmac.new(read_key(self.field_key), b"manifests of backups", hashlib.sha256).digest()
        text = json.dumps({name: value for name, value in manifest.items() if name != "seal"}, sort_keys=True)
        return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def _fingerprint(key: bytes) -> str:
    return hmac.new(key, b"fingerprint in backups", hashlib.sha256).hexdigest()[:16]


def installation_of(app: Any, beat: Beat = ignore) -> Installation:
    """The installation of an application; needs its context."""
    settings = app.config["CRM"]
    backup = settings.backup
    kind, recipients = backup.encryption or ("", ())
    return Installation(
        database_url=settings.database_url,
        folder=BackupFolder(backup.folder),
        store=app.extensions["crm_files"],
        encryption=Encryption(kind, recipients, backup.identity),
        keep=dict(backup.keep),
        source_url=backup.source_url,
        s3=(backup.s3_url, backup.s3_endpoint) if backup.s3_url else None,
        secret_key=settings.secret_key,
        field_key=settings.field_key,
        zone=settings.time_zone,
        version=product_version(),
        schema=migrate.heads(),
        instance_dir=settings.instance_dir,
        beat=beat,
    )
