"""What the product says when it refuses, read from its source."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from app import create_app  # noqa: F401  (all kinds of refusals must be known)
from app.domain.base import RuleBroken

ROOT = Path(__file__).resolve().parent.parent
#: Read by nobody but the operator, in English.
LEFT_OUT = {"demo", "cli.py"}
#: Functions of app/web whose sentences are answers though nobody raises them.
ANSWERING = {
    "refusal",
    "_sentences",
    "_stale_form",
    "response_403",
    "unauthorized_response",
    "set_rate_limit_text",
    "signed_in",
    "_answer_preflight",
}
#: What gives a sentence its words: gettext in the web, `translatable` in the domain.
SAYING = {"_", "_g", "gettext", "translatable"}


def kinds(kind: type = RuleBroken) -> set[str]:
    """The names of all kinds of refusals."""
    return {kind.__name__} | {name for each in kind.__subclasses__() for name in kinds(each)}


def sources() -> Iterator[tuple[Path, ast.Module]]:
    """The product's files, read."""
    for path in sorted((ROOT / "app").rglob("*.py")):
        if not LEFT_OUT & set(path.relative_to(ROOT / "app").parts):
            yield path, ast.parse(path.read_text())


def name_of(node: ast.AST) -> str:
    """What is called, or the plain name; "" for all else."""
    called = node.func if isinstance(node, ast.Call) else node
    return getattr(called, "id", getattr(called, "attr", ""))


def refusals_in(tree: ast.AST) -> list[ast.Call]:
    """The calls that make a refusal, raised at once or not."""
    return [node for node in ast.walk(tree) if isinstance(node, ast.Call) and name_of(node) in kinds()]


def sentence_args(call: ast.Call) -> list[ast.expr]:
    """The argument that is the sentence: the first, but for Refused(status, sentence)."""
    return [each for each in call.args if not isinstance(each, ast.Constant) or isinstance(each.value, str)][:1]


def texts(node: ast.AST) -> Iterator[str]:
    """The constant texts of an expression, but for what is woven into them and names of fields."""
    if isinstance(node, ast.Constant):
        yield from [node.value] if isinstance(node.value, str) else []
    elif isinstance(node, ast.Call):
        yield from texts(node.args[0]) if node.args and name_of(node) in {*SAYING, "str"} else ()
    elif isinstance(node, ast.IfExp):
        yield from (*texts(node.body), *texts(node.orelse))
    elif isinstance(node, ast.List | ast.Dict):
        for each in node.elts if isinstance(node, ast.List) else node.values:
            yield from texts(each)


def named(tree: ast.AST) -> dict[str, list[ast.expr]]:
    """name -> what is assigned to it anywhere in the file."""
    found: dict[str, list[ast.expr]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                base = target.value if isinstance(target, ast.Subscript) else target
                found.setdefault(name_of(base), []).append(node.value)
    return {name: values for name, values in found.items() if name}


def sentences_of(tree: ast.Module) -> Iterator[str]:
    """What this file says when it refuses."""
    assigned = named(tree)
    for call in refusals_in(tree):
        for arg in sentence_args(call):
            yield from texts(arg)
            yield from (text for value in assigned.get(source_of(arg), []) for text in texts(value))
    yield from (text for value in assigned.get("errors", []) for text in texts(value))
    for node in ast.walk(tree):
        yield from said_at(node)


def source_of(arg: ast.expr) -> str:
    """The name of what holds the sentence: `text`, or the table of `say(TABLE[key])`."""
    inner = arg.args[0] if isinstance(arg, ast.Call) and name_of(arg) == "translatable" else arg
    base = inner.value if isinstance(inner, ast.Subscript) else inner
    return base.id if isinstance(base, ast.Name) else ""


def said_at(node: ast.AST) -> Iterator[str]:
    """What is said without a refusal being made in the same place."""
    if isinstance(node, ast.Call) and name_of(node) in ("translatable", "Absence"):
        yield from texts(node.args[0])
    if isinstance(node, ast.Call) and name_of(node) in ("bad", "error_response", "__init__"):
        yield from (text for arg in [*node.args, *(each.value for each in node.keywords)] for text in spoken(arg))
    if isinstance(node, ast.FunctionDef) and node.name in ANSWERING:
        yield from spoken(node)


def spoken(node: ast.AST) -> Iterator[str]:
    """What gettext is asked for anywhere inside."""
    yield from (
        text
        for each in ast.walk(node)
        if isinstance(each, ast.Call) and name_of(each) in SAYING
        for text in texts(each)
    )


def wanted() -> set[str]:
    """Every sentence with which somebody may be refused."""
    return {text for _path, tree in sources() for text in sentences_of(tree)}
