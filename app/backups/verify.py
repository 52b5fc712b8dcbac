"""Verifies a backup: the manifest is ours, and nothing is missing, truncated or altered."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field
from pathlib import Path

from app.backups.encryption import suffix_of
from app.backups.errors import BackupError, readable_disk_errors
from app.backups.files import check_file, files_of
from app.backups.folder import Backup
from app.backups.installation import Installation
from app.backups.streams import reading_part, sha256_of

#: The most sentences about files in a report.
MAX_LISTED = 20


@dataclass
class VerificationReport:
    """The findings of a check or drill."""

    name: str
    #: What was checked and is fine, as sentences.
    checked: list[str] = field(default_factory=list)
    #: What could not be checked, and why.
    unchecked: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    @property
    def outcome(self) -> str:
        """done, failed, or partly: nothing is wrong, but not everything could be checked."""
        if self.faults:
            return "failed"
        return "partly" if self.unchecked else "done"


def verify(installation: Installation, name: str) -> VerificationReport:
    """Read the whole backup and compare it with its manifest. Raises BackupError if there is none."""
    backup = installation.folder.find(name)
    report = VerificationReport(name)
    with readable_disk_errors(installation.folder.path):
        check_seal(installation, backup, report)
        check_parts(installation, backup, report)
        if not report.faults:
            check_content(installation, backup, report)
            check_files(installation, backup, report, is_deep=True)
    return report


def check_seal(installation: Installation, backup: Backup, report: VerificationReport) -> None:
    """Check that the manifest is as this installation wrote it."""
    if backup.manifest.get("keys", {}).get("CRM_FIELD_KEY") != installation.keys()["CRM_FIELD_KEY"]:
        report.unchecked.append(
            "The manifest was sealed with another CRM_FIELD_KEY than the one here, so nobody can say whether it was "
            "altered, and PAN and Aadhaar could not be read here."
        )
    elif hmac.compare_digest(str(backup.manifest.get("seal")), installation.seal(backup.manifest)):
        report.checked.append("The manifest is as it was written.")
    else:
        report.faults.append("The manifest was altered after the backup was made.")


def check_parts(installation: Installation, backup: Backup, report: VerificationReport) -> None:
    """Check that all parts are there, complete and unaltered."""
    before = len(report.faults)
    for part in backup.manifest["parts"].values():
        path = backup.path / part["file"]
        if not path.exists():
            report.faults.append(f"{part['file']} is missing.")
        elif path.stat().st_size != part["size"]:
            report.faults.append(f"{part['file']} has {path.stat().st_size} bytes instead of {part['size']}.")
        elif sha256_of(path) != part["sha256"]:
            report.faults.append(f"{part['file']} was altered: its checksum is another one.")
        installation.beat()
    if len(report.faults) == before:
        report.checked.append("All parts have their sizes and checksums.")


def check_content(installation: Installation, backup: Backup, report: VerificationReport) -> None:
    """Check that the database part can be decrypted and decompressed to the dumped bytes."""
    part = backup.manifest["parts"]["database"]
    path = backup.path / part["file"]
    if sentence := locked_sentence(installation, path):
        report.unchecked.append(sentence)
        return
    hashed = hashlib.sha256()
    try:
        with reading_part(path, installation.encryption.identity) as chunks:
            for chunk in chunks:
                hashed.update(chunk)
                installation.beat()
    except BackupError as trouble:
        report.faults.append(str(trouble))
        return
    if hashed.hexdigest() == part["plain_sha256"]:
        report.checked.append("The database's dump can be unpacked and is what was dumped.")
    else:
        report.faults.append("The database's dump unpacks to other bytes than were dumped.")


def locked_sentence(installation: Installation, path: Path) -> str | None:
    """Why an encrypted part can't be opened here; None if it can."""
    if not suffix_of(path) or installation.encryption.identity is not None:
        return None
    return (
        "The backup is encrypted, and the private key isn't on this server: only its checksums were compared, not "
        "whether it can be decrypted and restored. Run the drill where the key is: --identity FILE."
    )


def check_files(installation: Installation, backup: Backup, report: VerificationReport, is_deep: bool) -> None:
    """Check that the pool has all files of the backup; `is_deep`: also their content."""
    count, faults = 0, 0
    for file in files_of(backup):
        count += 1
        if fault := check_file(installation.pool, file, is_deep):
            faults += 1
            if faults <= MAX_LISTED:
                report.faults.append(fault)
        installation.beat()
    if faults > MAX_LISTED:
        report.faults.append(f"{faults - MAX_LISTED} more files are missing or altered.")
    if not faults:
        how = "with their checksums" if is_deep else "with their sizes"
        report.checked.append(f"All {count} files are there {how}.")
    if missing := backup.manifest.get("files", {}).get("missing"):
        report.unchecked.append(f"{len(missing)} files were missing in the store already when the backup was made.")
