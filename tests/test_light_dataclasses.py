"""Light dataclasses print themselves and refuse changes as Python's own do."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

import light_dataclasses

SOURCE = """
from dataclasses import InitVar, dataclass, field
from typing import ClassVar

@dataclass
class Plain:
    name: str
    secret: str = field(default="hidden", repr=False)
    parts: list[object] = field(default_factory=list)
    kind: ClassVar[str] = "kind"
    given: InitVar[int] = 1

@dataclass(frozen=True)
class Frozen:
    number: int

@dataclass(repr=False)
class Quiet(Plain):
    more: str = "more"

class Below(Frozen):
    pass

@dataclass(frozen=True, slots=True)
class Slotted:
    number: int
"""


@pytest.fixture(params=["light", "ordinary"])
def made(request: pytest.FixtureRequest) -> Any:
    """The classes of SOURCE, once light and once as always."""
    found: dict[str, Any] = {"__name__": __name__}
    code = compile(SOURCE, "classes.py", "exec", dont_inherit=True)
    if request.param == "light":
        with light_dataclasses.used():
            exec(code, found)  # noqa: S102  # our own text
    else:
        exec(code, found)  # noqa: S102
    return found


def test_they_print_the_same_fields(made: Any) -> None:
    plain = made["Plain"]("it")
    assert repr(plain) == "Plain(name='it', parts=[])"
    plain.parts.append(plain)
    assert repr(plain) == "Plain(name='it', parts=[...])"
    assert repr(made["Quiet"]("it", more="not shown")) == "Quiet(name='it', parts=[])"
    assert repr(made["Below"](1)) == "Below(number=1)" and repr(made["Slotted"](2)) == "Slotted(number=2)"


def test_frozen_ones_refuse_the_same_changes(made: Any) -> None:
    frozen, below, slotted = made["Frozen"](1), made["Below"](1), made["Slotted"](1)
    for each in (frozen, below, slotted):
        with pytest.raises(dataclasses.FrozenInstanceError, match="cannot assign to field 'number'"):
            each.number = 2
        with pytest.raises(dataclasses.FrozenInstanceError, match="cannot delete field 'number'"):
            del each.number
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot assign to field 'other'"):
        frozen.other = 2
    below.other = 2  # a class below that isn't a dataclass has attributes of its own
    del below.other
    assert not hasattr(below, "other") and below == made["Below"](1) and hash(frozen) == hash(made["Frozen"](1))


def test_an_object_whose_text_fails_can_be_printed_later(made: Any) -> None:
    class Failing:
        def __repr__(self) -> str:
            raise ValueError

    plain = made["Plain"]("it", parts=[Failing()])
    with pytest.raises(ValueError):
        repr(plain)
    plain.parts.clear()
    assert repr(plain) == "Plain(name='it', parts=[])"


def test_python_s_own_functions_are_back_afterwards_and_stay_in_a_version_that_differs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = {name: getattr(dataclasses, name, None) for name in light_dataclasses.REPLACED}
    with light_dataclasses.used():
        pass
    assert {name: getattr(dataclasses, name, None) for name in before} == before
    for name in before:
        monkeypatch.setattr(dataclasses, name, lambda builder: builder, raising=False)
    with light_dataclasses.used():
        assert not {getattr(dataclasses, name) for name in before} & {
            light_dataclasses._repr_fn,
            light_dataclasses._frozen_get_del_attr,
        }
