"""How the operator of this machine calls the CRM's commands."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
#: Made by deploy/install.sh, and in the containers.
INSTALLED = Path("/usr/local/bin/crm")
#: The settings of an installed server.
SETTINGS = "/etc/crm/env"


def operator_command(words: str) -> str:
    """The command as it is typed: `crm backup list` on an installed server, by Flask's own program elsewhere."""
    file = os.environ.get("CRM_SETTINGS_FILE") or os.environ.get("ESHIN_ENV") or SETTINGS
    if file != SETTINGS:  # a stack in a folder of its own
        return f"ESHIN_ENV={file} deploy/crm {words}"
    if INSTALLED.resolve().is_relative_to(ROOT):
        return f"crm {words}"
    return f".venv/bin/flask --app run {words}"


def upgrade_command() -> str:
    """What fits the database to a new version: `make upgrade`, which a container has not."""
    if INSTALLED.resolve() == ROOT / "deploy" / "docker" / "crm":
        return "crm backup create --before-upgrade, then crm db upgrade"
    return "make upgrade"
