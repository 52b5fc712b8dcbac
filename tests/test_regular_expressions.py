"""No regular expression of the product takes more than linear time, whatever the text.

Every compiled pattern is collected: from the modules, from their classes, and from calls such as `re.sub("…")` in the
source. For each, hostile texts are built from its own parts: a matching beginning, a repeated part, an end that doesn't
match.
"""

from __future__ import annotations

import ast
import importlib
import itertools
import pkgutil
import re
import time
from collections.abc import Callable, Iterable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest

import app

ROOT = Path(app.__file__).resolve().parent
_PARSER: Any = importlib.import_module("re._parser")
#: Lengths of the hostile texts: the short ones end exponential patterns before they run for hours.
LENGTHS = (16, 22, 28, 400)
#: Then each text of the first length is tried; one that takes this share of `most_seconds` is measured in the second
#: length. A pattern that is slow there needs at least a hundredth here, since its time grows with the square.
TRIED_LENGTH, MEASURED_LENGTH, NOTED_SHARE = 1600, 16_000, 1 / 200
#: Characters that fit no class of a pattern, or end a text in an unexpected way.
ENDS = ("", "\x00", "!", "\n", " ", "<", "a")


@cache
def most_seconds() -> float:
    """CPU seconds that one use on a text of 16,000 characters may take: as long as a quadratic pattern needs for 4,000.

    A quadratic pattern needs twice to sixteen times as long on any machine, a linear one half at most.
    """
    return min(seconds_of(re.compile(r"\s+$").search, " " * 4000 + "x") for _ in range(3))


def modules() -> Iterator[Any]:
    """All modules of the product."""
    for found in pkgutil.walk_packages([str(ROOT)], "app."):
        yield importlib.import_module(found.name)


def compiled_patterns() -> dict[tuple[str, int], str]:
    """(pattern, flags) -> where it was found."""
    found: dict[tuple[str, int], str] = {}
    for module in modules():
        holders = [module, *(each for each in vars(module).values() if isinstance(each, type))]
        for holder, (name, value) in ((each, item) for each in holders for item in list(vars(each).items())):
            for one in value if isinstance(value, tuple | list | frozenset | set) else [value]:
                if isinstance(one, re.Pattern) and str(getattr(holder, "__module__", module.__name__)).startswith(
                    "app"
                ):
                    found[(one.pattern, one.flags)] = f"{module.__name__}.{name}"
    return found


def inline_patterns() -> dict[tuple[str, int], str]:
    """The same for `re.…("pattern")` in the source, with the flags that are named there."""
    found: dict[tuple[str, int], str] = {}
    for path in sorted(ROOT.rglob("*.py")):
        source = path.read_text()
        for node in ast.walk(ast.parse(source)) if re.search(r"\bre\.", source) else ():
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args):
                continue
            if getattr(node.func.value, "id", "") == "re" and node.func.attr != "escape":
                pattern = node.args[0]
                assert isinstance(pattern, ast.Constant | ast.JoinedStr), f"{path}:{node.lineno} can't be checked"
                if isinstance(pattern, ast.Constant):
                    flags = [
                        each.attr for each in ast.walk(node) if isinstance(each, ast.Attribute) and each.attr.isupper()
                    ]
                    value = sum(int(getattr(re, flag)) for flag in flags if hasattr(re, flag))
                    found[(pattern.value, re.compile(pattern.value, value).flags)] = f"{path.name}:{node.lineno}"
    return found


@pytest.fixture(scope="module")
def patterns() -> dict[tuple[str, int], str]:
    """All patterns of the product; found when they are needed, since it takes seconds."""
    return inline_patterns() | compiled_patterns()


# --- hostile texts


def samples(parsed: Any) -> list[str]:
    """Texts that fit a parsed pattern: a few for each of its parts, in order."""
    return [text for op, value in parsed for text in samples_of(op, value)][:40]


def samples_of(op: Any, value: Any) -> list[str]:
    """Texts that fit one part."""
    name = str(op)
    if name in ("LITERAL", "NOT_LITERAL"):
        return [chr(value)] if name == "LITERAL" else ["a" if value != 97 else "b"]
    if name == "ANY":
        return ["a", "<"]
    if name == "IN":
        return in_class(value)
    if name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
        inner = samples(value[2])
        return [*inner, first_fit(value[2])]
    if name in ("SUBPATTERN", "ATOMIC_GROUP"):
        return samples(value[-1] if name == "SUBPATTERN" else value)
    if name == "BRANCH":
        return [text for branch in value[1] for text in samples(branch)]
    return []


def in_class(parts: Any) -> list[str]:
    """Characters of a class, or others than those of a negated one."""
    chars = []
    for op, value in parts:
        name = str(op)
        if name == "NEGATE":
            return ["a", " ", "-", "1", "@"]
        if name == "LITERAL":
            chars.append(chr(value))
        elif name == "RANGE":
            chars.append(chr(value[0]))
        elif name == "CATEGORY":
            chars.append({"SPACE": " ", "DIGIT": "1", "WORD": "a"}.get(str(value).rpartition("_")[2], "-"))
    return chars


def first_fit(parsed: Any) -> str:
    """One text that fits a whole parsed pattern, roughly."""
    parts = []
    for op, value in parsed:
        if str(op).endswith("REPEAT"):
            parts.append(first_fit(value[2]) * max(value[0], 1))
        elif str(op) in ("SUBPATTERN", "ATOMIC_GROUP"):
            parts.append(first_fit(value[-1] if str(op) == "SUBPATTERN" else value))
        elif str(op) == "BRANCH":
            parts.append(first_fit(value[1][0]))
        else:
            parts.append("".join(samples_of(op, value)[:1]))
    return "".join(parts)


def hostile_texts(pattern: str, flags: int, length: int) -> Iterator[str]:
    """Texts of about this length, made of the pattern's own parts."""
    parsed = _PARSER.parse(pattern, flags & ~re.DEBUG)
    parts = [text for text in dict.fromkeys(samples(parsed)) if text][:10]
    pumps = parts + ["".join(pair) for pair in itertools.permutations(parts[:4], 2)]
    whole = first_fit(parsed)
    starts = dict.fromkeys(["", whole, *(whole[:end] for end in range(1, min(len(whole), 4)))])
    for pump in dict.fromkeys([*pumps, whole or "a", "a", " ", "<", "1"]):
        body = pump * (length // len(pump))
        for start, end in itertools.product(starts, ENDS if length < 100 else ENDS[1:2]):
            yield start + body + end


#: A way to use a compiled pattern.
Use = Callable[[str], Any]


def longest_seconds(pattern: str | bytes, flags: int) -> tuple[float, str]:
    """The longest time that one use takes, and for which text; stops at the first that is too long."""
    if isinstance(pattern, bytes):  # a pattern of bytes reads the same, one byte for each character
        pattern, flags = pattern.decode("latin-1"), flags | re.ASCII
    compiled = re.compile(pattern, flags)
    uses = compiled.fullmatch, partial(compiled.sub, "")  # to replace is to search, again and again
    short = (text for length in LENGTHS for text in dict.fromkeys(hostile_texts(pattern, flags, length)))
    tried = (hostile_texts(pattern, flags, length) for length in (TRIED_LENGTH, MEASURED_LENGTH))
    slowest = (0.0, "")
    for use, text in noted_uses(uses, short, zip(*tried, strict=True)):
        seconds = seconds_of(use, text)
        if seconds > slowest[0]:
            slowest = (seconds, f"{text[:40]!r}… of {len(text)}")
        if seconds > most_seconds():
            break
    return slowest


def noted_uses(
    uses: tuple[Use, ...], short: Iterable[str], tried: Iterable[tuple[str, str]]
) -> Iterator[tuple[Use, str]]:
    """What is measured: every short text, and each long one whose shorter form took long."""
    yield from itertools.product(uses, short)
    for (text, longer), use in itertools.product(dict(tried).items(), uses):
        if seconds_of(use, text) > most_seconds() * NOTED_SHARE:
            yield use, longer


def seconds_of(use: Use, text: str) -> float:
    """CPU seconds that one use takes."""
    started = time.thread_time()
    use(text)
    return time.thread_time() - started


def test_patterns_are_found_everywhere(patterns: dict[tuple[str, int], str]) -> None:
    assert len(patterns) >= 25
    assert {"app.lib.phone._TYPED", "app.domain.mentions._MENTION"} <= set(patterns.values())


def test_patterns_take_linear_time(patterns: dict[tuple[str, int], str]) -> None:
    taken = [(*longest_seconds(*pattern), place, pattern[0]) for pattern, place in patterns.items()]
    slow = [each for each in taken if each[0] > most_seconds()]
    assert [f"{place}: {pattern!r} takes {seconds:.2f} s for {text}" for seconds, text, place, pattern in slow] == []


@pytest.mark.parametrize(
    "slow", [r"<(/?)([a-zA-Z][a-zA-Z0-9]*)[^<>]*>", r"(a+)+b", r"[^@]+@[^@]+\.", r"\s+$", r"(a|a)*c"]
)
def test_a_slow_pattern_is_noticed(slow: str) -> None:
    assert longest_seconds(slow, 0)[0] > most_seconds()
