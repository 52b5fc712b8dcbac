"""Starts of the product with add-ons, each in its own process, forked from one that has imported the product.

    python -m tests.addons.start_processes FOLDER ADDONS ADDONS …

prepares the database of the folder for each list of add-ons, one after the other, and prints for each one line of JSON:
the message for the operator, or "starts".
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import app.jobs  # noqa: F401  # once for all
import run
from tests.app_fixtures import settings_for


def main() -> None:
    """Start with each list of add-ons."""
    folder = Path(sys.argv[1])
    for paths in sys.argv[2:]:
        child = os.fork()
        if child == 0:
            print(json.dumps(outcome(folder, paths)), flush=True)  # noqa: T201
            os._exit(0)
        os.waitpid(child, 0)


def outcome(folder: Path, paths: str) -> str:
    """What a start with these add-ons says."""
    url = os.environ.get("CRM_DATABASE_URL", "")
    try:
        run._prepared_with_addons(settings_for(folder, CRM_ADDONS=paths, CRM_DATABASE_URL=url))
    except run.CannotStart as refused:
        return str(refused)
    except BaseException as error:  # noqa: BLE001  # whatever it is, the operator would see a traceback
        return f"a traceback: {error!r}"
    return "starts"


if __name__ == "__main__":
    main()
