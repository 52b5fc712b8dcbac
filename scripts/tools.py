"""The programs that check and renew pins (pip-audit, uv), in their own virtual environment: `.venv/tools`.

Their packages belong neither to the product nor to its tests; they are installed, with hashes, when they are first
needed.
"""

from __future__ import annotations

import subprocess
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PINS, FOLDER = ROOT / "requirements-tools.txt", ROOT / ".venv" / "tools"
SECONDS = 180


class Missing(Exception):
    """A program isn't available, or its service can't be reached; the message is the reason."""


def program(name: str) -> Path:
    """The path of a program; it is installed first if necessary. Raises Missing."""
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
    """The last line of a program's output."""
    lines = (done.stderr or done.stdout).strip().splitlines()
    return lines[-1].strip()[:160] if lines else f"it ended with {done.returncode} and no words"
