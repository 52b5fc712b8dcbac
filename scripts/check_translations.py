"""Check that every text of the product, of FAB's screens and of WTForms is translated in each catalog.

The messages of refusals are found by following the variables, tables and functions through which they come.

Prints one line for each text that is missing, empty or fuzzy, and exits with 1 if there is any.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from functools import reduce
from operator import or_
from pathlib import Path

import flask_appbuilder
import wtforms
from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import config  # noqa: E402

METHODS = [("**/static/vendor/**", "ignore"), ("**.py", "python"), ("**/templates/**.html", "jinja2")]
OPTIONS = {"**/templates/**.html": {"encoding": "utf-8", "silent": "false"}}
KEYWORDS = {
    "_": None,
    "_g": None,
    "_l": None,
    "_n": (1, 2),
    "gettext": None,
    "lazy_gettext": None,
    "lazy_formatter_gettext": (1,),
    "ngettext": (1, 2),
    "lazy_ngettext": (1, 2),
    "npgettext": ((1, "c"), 2, 3),
    "pgettext": ((1, "c"), 2),
    "lazy_pgettext": ((1, "c"), 2),
    "translatable": None,
    "gettext_noop": None,
}
#: `%(name)s` and `%s`: a translation must contain the same ones.
PLACEHOLDER = re.compile(r"%(?:\(\w+\))?[sdif]")

#: The text (of a plural: its singular) and its context.
Text = tuple[str, str | None]


def texts(folder: Path) -> dict[Text, str]:
    """The texts in a folder's Python files and templates -> the first place of each."""
    found: dict[Text, str] = {}
    for name, line, words, _comments, context in extract_from_dir(folder, METHODS, OPTIONS, KEYWORDS):
        singular = words[0] if isinstance(words, tuple) else words
        if singular:
            found.setdefault((singular, context), f"{folder.name}/{name}:{line}")
    return found


def refusals() -> dict[Text, str]:
    """The messages of refusals, which need no mark -> where they are looked for."""
    from tests.refusal_sentences import sentences

    return {(message, None): "a refusal" for message in sentences().messages}


def problems(catalog: Catalog, wanted: dict[Text, str]) -> Iterator[str]:
    """One line for each text without a complete translation in the catalog."""
    for (words, context), place in sorted(wanted.items(), key=lambda item: item[1]):
        message = catalog.get(words, context)
        if problem := problem_of(message):
            yield f"{place}: {problem}: {words!r}"


def problem_of(message: Message | None) -> str | None:
    """What is wrong with a translation; None if it is right."""
    if message is None:
        return "missing"
    if message.fuzzy:
        return "fuzzy"
    strings = message.string if isinstance(message.string, (tuple, list)) else (message.string,)
    translated = [form for form in strings if form]
    if len(translated) < len(strings):
        return "empty"
    original = message.id if isinstance(message.id, (tuple, list)) else (message.id,)
    allowed = {name for form in original for name in PLACEHOLDER.findall(form)}
    if any(set(PLACEHOLDER.findall(form)) - allowed for form in translated):
        return "a placeholder that the text does not have"
    if not message.pluralizable and set(PLACEHOLDER.findall(translated[0])) != allowed:
        return "lacks a placeholder"
    return None


def catalog(path: Path, language: str) -> Catalog:
    """The texts of the pages, and of the error messages, which have their own file."""
    with path.open("rb") as file:
        words = read_po(file, locale=language)
    refusals = path.with_name("errors.po")
    if refusals.exists():
        with refusals.open("rb") as file:
            for message in read_po(file, locale=language):
                if message.id and message.id not in words:
                    words[message.id] = message
    return words


def main() -> int:
    """Check all languages. Returns the exit status."""
    languages = [code for code in config.LANGUAGE_NAMES if code != "en"]
    libraries = (Path(library.__file__).parent for library in (flask_appbuilder, wtforms))
    wanted = refusals() | reduce(or_, map(texts, libraries)) | texts(ROOT / "app")
    lines = []
    for language in languages:
        path = ROOT / "translations" / language / "LC_MESSAGES" / "messages.po"
        if not path.exists():
            lines.append(f"{language}: {path.relative_to(ROOT)} is missing, with all {len(wanted)} texts")
            continue
        lines += [f"{language}: {line}" for line in problems(catalog(path, language), wanted)]
    print("\n".join(lines) if lines else f"{len(wanted)} texts are translated in {', '.join(languages)}")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
