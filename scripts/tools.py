"""The programs that check and renew pins (pip-audit, uv), in a virtual environment of their own: `.venv/tools`.

Their packages are neither the product's nor its tests'; they are installed, by hashes, when they are first needed.
"""

from __future__ import annotations

import subprocess
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PINS, FOLDER = ROOT / "requirements-tools.txt", ROOT / ".venv" / "tools"
SECONDS = 180


class Missing(Exception):
    """A program can't be had, or its service can't be reached; the message says why."""


def program(name: str) -> Path:
    """The path of a program, installed if it is not yet. Raises Missing."""
    found, stamp, wanted = FOLDER / "bin" / name, FOLDER / "stamp", PINS.read_text()
    if found.exists() and stamp.exists() and stamp.read_text() == wanted:
        return found
    try:
        venv.create(FOLDER, clear=True, with_pip=True)
        pip = [str(FOLDER / "bin" / "python"), "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
        command = [*pip, "--require-hashes", "-r", str(PINS)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)  # noqa: S603
    except (OSError, subprocess.SubprocessError) as error:
        raise Missing(f"{name} could not be installed: {type(error).__name__}") from error
    if done.returncode:
        raise Missing(f"{name} could not be installed: {last_words(done)}")
    stamp.write_text(wanted)
    return found


def last_words(done: subprocess.CompletedProcess[str]) -> str:
    """The last line that a program has said."""
    lines = (done.stderr or done.stdout).strip().splitlines()
    return lines[-1].strip()[:160] if lines else f"it ended with {done.returncode} and no words"
