"""An earlier version of the product, to measure in turn with this one: its commit in a work tree, with data of its own.

It runs with this version's packages, so its requirements have to be the same or fewer.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from bench import server
from tests.servers import ROOT, ServerFailed

#: What `make setup` makes and git doesn't keep.
_MADE_BY_SETUP = ("app/static/vendor", "node_modules")
#: The function was called `filled` in versions of November 2026.
_FILL = """
from bench import generate, server
fill = getattr(server, "filled_data_folder", None) or server.filled
print(fill(generate.Sizes.of({leads}))[0])
"""


def work_tree(commit: str) -> Path:
    """The source of the commit, checked out in the cache. Raises ServerFailed for an unknown commit."""
    folder = server.CACHE / "earlier" / commit
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        _git("worktree", "add", "--detach", "--force", str(folder), commit)
    for name in _MADE_BY_SETUP:
        if not (folder / name).exists():
            (folder / name).symlink_to((ROOT / name).resolve())
    for catalog in (ROOT / "translations").rglob("*.mo"):
        copy = folder / catalog.relative_to(ROOT)
        if copy.parent.exists() and not copy.exists():
            shutil.copyfile(catalog, copy)
    return folder


def _git(*words: str) -> None:
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ServerFailed(done.stderr.strip())


def filled_data_folder(source: Path, leads: int) -> Path:
    """A data folder filled by that version's own generator: the same rows, in its schema."""
    done = subprocess.run(
        [sys.executable, "-c", _FILL.format(leads=leads)],
        cwd=source,
        env=os.environ | {"XDG_CACHE_HOME": str(server.CACHE / "earlier")},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise ServerFailed(f"The earlier version cannot fill its database:\n{done.stderr[-2000:]}")
    return Path(done.stdout.strip().splitlines()[-1])
