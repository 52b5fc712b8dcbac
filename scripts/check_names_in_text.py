"""Check that names in docstrings and comments of app/ exist: exceptions after "Raises", and `module.name`.

    python scripts/check_names_in_text.py

Prints file, line and name of each that doesn't exist, and then exits with 1.
"""

from __future__ import annotations

import ast
import builtins
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
#: Not modules, although they look like `module.name`: keys of fields, columns and events.
OTHER = {
    *("lead.status", "lead.status_id", "lead.created", "leads.x_risk", "customer.city", "table.selection"),
    *("api.exotel", "SMTPServerDisconnected"),
}
_SUFFIXES = {"py", "po", "js", "css", "html", "md", "sqlite3"}
_RAISES = re.compile(r"\bRaises ((?:[A-Z]\w+\b(?!')(?:, | and | or |; )?)+)")
_DOTTED = re.compile(r"(?<![\w/.])(\w+)\.(_?[a-zA-Z]\w*)(?![\w/])")
_COMMENT = re.compile(r"(?:^|\s)#:? (.*)")


class Module:
    """One file: the names that it defines, imports or uses, and its texts as (line, text)."""

    def __init__(self, path: Path) -> None:
        source = path.read_text(encoding="utf-8")
        self.path, self.names = path.relative_to(ROOT), set[str]()
        self.texts = [(n, found[1]) for n, line in enumerate(source.split("\n"), 1) if (found := _COMMENT.search(line))]
        for node in ast.walk(ast.parse(source)):
            self._take(node)

    def _take(self, node: ast.AST) -> None:
        if isinstance(node, ast.Name):
            self.names.add(node.id)
        elif isinstance(node, ast.Attribute):
            self.names.add(node.attr)
        elif isinstance(node, ast.arg):
            self.names.add(node.arg)
        elif isinstance(node, ast.alias):
            self.names |= {node.name.split(".")[-1], node.asname or node.name}
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            self.names.add(node.name)
            self.texts.append((node.lineno, ast.get_docstring(node) or ""))
        elif isinstance(node, ast.Module):
            self.texts.append((1, ast.get_docstring(node) or ""))


def unknown_names(modules: list[Module]) -> Iterator[str]:
    """`file:line name` of each unknown name in a text."""
    known = set[str]().union(*(each.names for each in modules))
    by_name: dict[str, list[Module]] = defaultdict(list)
    for module in modules:
        by_name[module.path.stem].append(module)
        if module.path.parent.name != "app":
            by_name[module.path.parent.name].append(module)
    for module in modules:
        for line, text in module.texts:
            unknown = [*_unknown_exceptions(text, known), *_unknown_in_modules(text, by_name)]
            yield from (f"{module.path}:{line} {name}" for name in unknown)


def _unknown_exceptions(text: str, known: set[str]) -> list[str]:
    names = [name for found in _RAISES.findall(text) for name in re.findall(r"[A-Z]\w+", found)]
    return [name for name in names if name not in known and name not in OTHER and not hasattr(builtins, name)]


def _unknown_in_modules(text: str, by_name: dict[str, list[Module]]) -> list[str]:
    dotted = [(owner, name) for owner, name in _DOTTED.findall(text) if name not in _SUFFIXES]
    return [
        f"{owner}.{name}"
        for owner, name in dotted
        if owner in by_name
        and f"{owner}.{name}" not in OTHER
        and not any(name in each.names or name == each.path.stem for each in by_name[owner])
    ]


def main() -> int:
    """Print the unknown names. Returns the exit code."""
    found = list(unknown_names([Module(path) for path in sorted((ROOT / "app").rglob("*.py"))]))
    print("\n".join(found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
