"""Templates are compiled once in a test run, by the process that first shows one.

Each application compiles its templates anew, and each server that a test starts: a page then takes ten times the CPU of
the next one.
"""

from __future__ import annotations

import os
import shutil
import tempfile

#: The environment variable with the folder of what is compiled, for all processes of a run.
NAME = "TESTS_COMPILED_TEMPLATES"


def open_folder() -> bool:
    """Make the folder, unless the process that started this one has; whether it was made.

    For this run alone: Jinja compares the source of a template, but not the settings that it was compiled with.
    """
    if os.environ.get(NAME):
        return False
    os.environ[NAME] = tempfile.mkdtemp(prefix="crm-templates-", dir=os.environ.get("PYTEST_DEBUG_TEMPROOT"))
    return True


def remove_folder() -> None:
    """Remove it."""
    shutil.rmtree(os.environ.pop(NAME), ignore_errors=True)


def share() -> None:
    """Let all applications of this process use what is compiled there."""
    from flask import Flask
    from jinja2 import FileSystemBytecodeCache

    from app.web.core.localization.languages import language_key

    class ByLanguage(FileSystemBytecodeCache):
        """Texts are filled in when a template is compiled, so each language has its own."""

        def get_cache_key(self, name: str, filename: str | None = None) -> str:
            return super().get_cache_key(f"{language_key()} {name}", filename)

    if folder := os.environ.get(NAME):
        Flask.jinja_options = {"bytecode_cache": ByLanguage(folder)}
