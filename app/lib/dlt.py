"""Templates of text messages as registered on India's DLT platforms (TCCCPR 2018): does a text follow its template?

A template is fixed text with variables, each written {#var#} and filled with at most 30 characters. A text that does
not match is dropped by the operators, so it is refused before it is sent.
"""

from __future__ import annotations

VARIABLE = "{#var#}"
#: Characters that may stand for one variable.
MAX_VARIABLE = 30
#: Characters of the longest text that the providers accept.
MAX_TEXT = 2000


def count_variables(template: str) -> int:
    """The number of {#var#} in a template."""
    return len(_fixed_parts(template)) - 1


def fill(template: str, values: tuple[str, ...]) -> str:
    """The template with its variables filled in order. Raises ValueError for another number of values."""
    fixed = _fixed_parts(template)
    if len(values) != len(fixed) - 1:
        raise ValueError(f"{len(fixed) - 1} values are needed, {len(values)} were given")
    return fixed[0] + "".join(value + part for value, part in zip(values, fixed[1:], strict=True))


def matches(text: str, template: str) -> bool:
    """Whether a text is the template with at most 30 characters for each variable.

    Case, punctuation and inner spaces count; the kind of line end and space around the whole do not.
    """
    text, template = _unified(text), _unified(template)
    if len(text) > MAX_TEXT:
        return False
    return _follows(text, template) or _follows(text.strip(), template.strip())


def _follows(text: str, template: str) -> bool:
    fixed = _fixed_parts(template)
    # Bit n: the template up to here can end before character n of the text. Nothing is tried twice: each fixed part
    # and each variable is one operation on all ends at once, however often the text repeats itself.
    ends = _after_fixed(1, fixed[0], text)
    for part in fixed[1:]:
        ends = _after_fixed(_after_variable(ends), part, text)
        if not ends:
            return False
    return bool(ends >> len(text) & 1)


def _unified(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _fixed_parts(template: str) -> list[str]:
    return template.split(VARIABLE)


def _after_variable(ends: int) -> int:
    """Every end, and the 30 characters after it."""
    reach = 1
    while reach <= MAX_VARIABLE:
        step = min(reach, MAX_VARIABLE + 1 - reach)
        ends |= ends << step
        reach += step
    return ends


def _after_fixed(ends: int, part: str, text: str) -> int:
    """The ends from which the fixed part follows, moved behind it."""
    return (ends & _places(part, text)) << len(part)


def _places(part: str, text: str) -> int:
    """Bit n: the part stands at character n of the text. An empty part stands everywhere."""
    if not part:
        return (1 << len(text) + 1) - 1
    places, at = 0, text.find(part)
    while at >= 0:
        places |= 1 << at
        at = text.find(part, at + 1)
    return places
