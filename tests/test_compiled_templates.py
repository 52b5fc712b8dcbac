"""A template is compiled once in a run, for all applications and servers."""

from __future__ import annotations

import os
from pathlib import Path

import jinja2
import pytest
from flask import Flask

from tests import compiled_templates, forked_programs
from tests.app_fixtures import Crm
from tests.app_pool import AppMaker


def test_another_application_compiles_no_template_again(app_with: AppMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[str] = []
    compile_it = jinja2.Environment.compile

    def noting(self: jinja2.Environment, *args: object, **named: object) -> object:
        compiled.append(str(args[1]))
        return compile_it(self, *args, **named)  # type: ignore[call-overload]

    monkeypatch.setattr(jinja2.Environment, "compile", noting)
    pages = []
    for limit in ("77001 per hour", "77002 per hour"):  # of no other test, so that both applications are new
        compiled.clear()
        answer = Crm(app_with(CRM_API_LIMIT=limit)).client("root").screen("/leads/")
        assert answer.status_code == 200
        pages.append(len(answer.text))
    assert compiled == []
    assert pages[0] == pages[1]


def test_programs_that_are_forked_use_them(tmp_path: Path) -> None:
    words = "from flask import Flask; print(Flask.jinja_options['bytecode_cache'].directory)"
    done = forked_programs.run(("-c", words), os.environ)
    assert done.stdout.strip() == os.environ[compiled_templates.NAME] == Flask.jinja_options["bytecode_cache"].directory


def test_who_made_the_folder_removes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not compiled_templates.open_folder()  # a run inside of this one uses that of this one
    monkeypatch.delenv(compiled_templates.NAME)
    assert compiled_templates.open_folder()
    folder = Path(os.environ[compiled_templates.NAME])
    assert folder.is_dir()
    compiled_templates.remove_folder()
    assert not folder.exists() and compiled_templates.NAME not in os.environ


def test_a_changed_template_is_compiled_anew(tmp_path: Path) -> None:
    page, folder = tmp_path / "page.html", tmp_path / "compiled"
    folder.mkdir()
    shown = []
    for words in ("one", "two"):
        page.write_text(f"{{{{ number }}}} {words}")
        options = {"bytecode_cache": jinja2.FileSystemBytecodeCache(str(folder))}
        environment = jinja2.Environment(loader=jinja2.FileSystemLoader(tmp_path), autoescape=True, **options)
        shown.append(environment.get_template("page.html").render(number=1))
    assert shown == ["1 one", "1 two"]
