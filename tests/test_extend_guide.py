"""Following docs/extend.md literally in a copy of the product adds a record with everything the page promises."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from importlib.util import cache_from_source
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
COPIED = (
    "app",
    "migrations",
    "translations",
    "tests",
    "config.py",
    "backup_settings.py",
    "key_files.py",
    "library_docstrings.py",
    "server_urls.py",
    "database_engine.py",
    "flask_config.py",
    "setting_values.py",
    "run.py",
    "pyproject.toml",
)
#: A step of the page and the code block below it.
STEP = re.compile(
    r"(?:Create `(?P<new>[^`]+)`"
    r"|(?:(?:in|In|contents) `(?P<file>[^`]+)`[^`]*?)?[aA]fter\s+the\s+line\s+that\s+starts\s+with\s+`(?P<line>[^`]+)`)"
    r"[^`]*?:\n\n```python\n(?P<code>.*?)```",
    re.DOTALL,
)


def follow(page: str, copy: Path) -> list[str]:
    """Apply the page's steps to the copy; returns the files changed, in order."""
    changed_files, file = [], ""
    for step in STEP.finditer(page):
        if step["new"]:
            (copy / step["new"]).write_text(step["code"])
            changed_files.append(step["new"])
            continue
        file = step["file"] or file
        lines = (copy / file).read_text().splitlines(keepends=True)
        places = [n for n, line in enumerate(lines) if line.startswith(step["line"])]
        assert len(places) == 1, (file, step["line"], places)
        lines.insert(places[0] + 1, step["code"])
        (copy / file).write_text("".join(lines))
        changed_files.append(file)
    return changed_files


def copy_bytecode(source: Path, copy: Path) -> None:
    """Let Python find what it has compiled of the source; only the files that differ are compiled anew."""
    for path in copy.rglob("*.py"):
        compiled = Path(cache_from_source(str(source / path.relative_to(copy))))
        if compiled.exists():
            target = Path(cache_from_source(str(path)))
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(compiled, target)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The product with the page's changes."""
    folder = tmp_path_factory.mktemp("extended")
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "vendor", "addons", "test_*")
            shutil.copytree(source, folder / name, ignore=ignored)
            copy_bytecode(source, folder / name)
        else:
            shutil.copy(source, folder / name)
    changed_files = follow((ROOT / "docs" / "extend.md").read_text(), folder)
    assert changed_files == [
        "app/domain/branches.py",
        "app/models.py",
        "app/models.py",
        "migrations/versions/0050_branches.py",
        "app/access/row_rules.py",
        "app/access/row_rules.py",
        "app/web/records/branches.py",
        "app/views.py",
        "app/views.py",
        "app/views.py",
    ]
    return folder


def test_the_declaration_is_short() -> None:
    page = (ROOT / "docs" / "extend.md").read_text()
    blocks = {step["new"]: step["code"] for step in STEP.finditer(page) if step["new"]}
    web = blocks["app/web/records/branches.py"]
    code = [line for line in web.splitlines() if line.strip() and not line.startswith(("from", '"""'))]
    assert len(code) <= 40


def test_following_the_page_gives_a_whole_record(copy: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from tests.branch_record_checks import main; main()"],
        cwd=copy,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    assert done.stdout.strip().endswith("all of it works")


def test_a_model_without_a_rule_stops_the_start_with_a_message(copy: Path) -> None:
    rules = copy / "app" / "access" / "row_rules.py"
    kept, bytecode = rules.read_text(), {n: v for n, v in os.environ.items() if n == "PYTHONPYCACHEPREFIX"}
    rules.write_text(kept.replace('    Branch: OwnedRows(Branch, "Branch"),\n', ""))
    try:
        done = subprocess.run(
            [sys.executable, "-c", "from app import create_app; create_app()"],
            cwd=copy,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            env=bytecode | {"CRM_INSTANCE_DIR": str(copy / "instance"), "PATH": "/usr/bin:/bin"},
        )
    finally:
        rules.write_text(kept)
    last = done.stderr.strip().splitlines()[-1]
    assert last == ("TypeError: Branch needs an entry in RULES (app/access/row_rules.py): which rows a person sees"), (
        done.stderr[-1500:]
    )
