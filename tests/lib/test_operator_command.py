"""Texts name the commands as the operator of their machine calls them."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from app.lib import operator_command as module
from app.lib.operator_command import operator_command, upgrade_command
from tests.servers import ROOT


@pytest.mark.parametrize(
    ("place", "file", "said"),
    [
        ("deploy/crm", None, "crm backup list"),
        ("deploy/docker/crm", None, "crm backup list"),
        ("deploy/crm", "/etc/crm/env", "crm backup list"),
        ("deploy/crm", "/srv/stack/env", "ESHIN_ENV=/srv/stack/env deploy/crm backup list"),
        (None, None, ".venv/bin/flask --app run backup list"),
    ],
)
def test_a_command_is_named_as_it_is_typed_here(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, place: str | None, file: str | None, said: str
) -> None:
    installed = tmp_path / "crm"
    if place:
        assert (ROOT / place).stat().st_mode & 0o111
        installed.symlink_to(ROOT / place)
    monkeypatch.setattr(module, "INSTALLED", installed)
    monkeypatch.delenv("ESHIN_ENV", raising=False)
    monkeypatch.delenv("CRM_SETTINGS_FILE", raising=False)
    if file:
        monkeypatch.setenv("CRM_SETTINGS_FILE", file)
    assert operator_command("backup list") == said
    assert (upgrade_command() == "make upgrade") is (place != "deploy/docker/crm")


def test_no_text_names_flask_as_the_program() -> None:
    found = []
    for path in [*(ROOT / "app").rglob("*.py"), *ROOT.glob("*.py")]:
        source = path.read_text()
        if not re.search(r"flask(?: (?!import\b)|[\"'\\{])", source):
            continue  # to parse all modules takes seconds
        nodes = [*ast.walk(ast.parse(source))]
        docstrings = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
        texts = [node for node in nodes if isinstance(node, ast.Constant) and id(node) not in docstrings]
        found += [(path.name, each.value) for each in texts if isinstance(each.value, str) and "flask " in each.value]
    assert found == [("operator_command.py", ".venv/bin/flask --app run ")]
