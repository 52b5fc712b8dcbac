"""SMS templates as registered on India's DLT platforms (TCCCPR 2018), and whether a text matches its template.

A template is fixed text with variables, each written {#var#} and filled with at most 30 characters. Operators drop
texts that don't match, so they are refused before they are sent.
"""

from __future__ import annotations

import re

VARIABLE = "{#var#}"
#: The most characters that may replace one variable.
MAX_VARIABLE = 30
#: The most characters of a text that the providers accept.
MAX_TEXT = 2000
_TEMPLATE_ID = re.compile(r"[0-9]{10,30}")


def is_template_id(text: str) -> bool:
    """Whether it has the form of the ID of a registered template: 10 to 30 digits."""
    return _TEMPLATE_ID.fullmatch(text) is not None


def fill(template: str, values: tuple[str, ...]) -> str:
    """The template with its variables filled in order. Raises ValueError for another number of values."""
    fixed = _fixed_parts(template)
    if len(values) != len(fixed) - 1:
        raise ValueError(f"{len(fixed) - 1} values are needed, {len(values)} were given")
    return fixed[0] + "".join(value + part for value, part in zip(values, fixed[1:], strict=True))


def matches(text: str, template: str) -> bool:
    """Whether a text is the template with at most 30 characters for each variable.

    Case, punctuation and inner spaces matter; the type of line end and surrounding space don't.
    """
    text, template = _unified(text), _unified(template)
    if len(text) > MAX_TEXT:
        return False
    return _follows(text, template) or _follows(text.strip(), template.strip())


def _follows(text: str, template: str) -> bool:
    fixed = _fixed_parts(template)
    places = {part: _places(part, text) for part in set(fixed)}
    # Bit n: the template up to here can end before character n of the text. Each fixed part and each variable is one
    # operation on all ends at once, however often the text repeats itself.
    ends = (1 & places[fixed[0]]) << len(fixed[0])
    for part in fixed[1:]:
        ends = (_after_variable(ends) & places[part]) << len(part)
        if not ends:
            return False
    return bool(ends >> len(text) & 1)


def _unified(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _fixed_parts(template: str) -> list[str]:
    return template.split(VARIABLE)


def _after_variable(ends: int) -> int:
    """Every end, and the 30 positions after it."""
    reach = 1
    while reach <= MAX_VARIABLE:
        step = min(reach, MAX_VARIABLE + 1 - reach)
        ends |= ends << step
        reach += step
    return ends


def _places(part: str, text: str) -> int:
    """Bit n: the part occurs at character n of the text. An empty part occurs everywhere."""
    if not part:
        return (1 << len(text) + 1) - 1
    bits, at = ["0"] * len(text), text.find(part)
    while at >= 0:
        bits[-1 - at] = "1"
        at = text.find(part, at + 1)
    return int("".join(bits) or "0", 2)
