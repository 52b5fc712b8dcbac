"""The scales of charts: their ends, their steps, and which points of a line are named."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

#: Steps of an axis that people read at once, times a power of ten; an axis has about so many.
_STEPS, _COUNT = (1, 2, 5, 10), 4
#: Pixels of a character, and between two names of points.
_CHARACTER, _BETWEEN = 7, 20
#: Least width of a chart in pixels, by the class of what is shown from that width on; as in dashboards.css.
WIDTHS = {"s": 250, "m": 420, "l": 860}


@dataclass(frozen=True)
class Scale:
    """The ends of an axis and the step of its lines, in the unit of the values; 0 is always on it."""

    low: float
    high: float
    step: float

    def part(self, value: float) -> float:
        """Where a value lies between the ends, in percent."""
        return round(100 * (value - self.low) / (self.high - self.low), 2)

    def ticks(self) -> list[float]:
        """The values of the lines, from low to high."""
        return [self.low + place * self.step for place in range(round((self.high - self.low) / self.step) + 1)]


def exact_scale(values: Sequence[float]) -> Scale:
    """From 0 to the largest value, or from the smallest if there are negative ones."""
    low, high = min(0, *values), max(0, *values)
    return Scale(low, high if high > low else low + 1, (high - low) or 1)


def round_scale(values: Sequence[float]) -> Scale:
    """Whole steps that hold all values."""
    low, high = min(0, *values), max(0, *values)
    step = _step((high - low) / _COUNT)
    first, last = math.floor(low / step) * step, math.ceil(high / step) * step
    return Scale(first, last if last > first else first + step, step)


def _step(least: float) -> int:
    """The smallest readable step of at least this size, and at least 1."""
    if least <= 1:
        return 1
    power: int = 10 ** math.floor(math.log10(least))
    return next(each * power for each in _STEPS if each * power >= least)


def named_points(labels: Sequence[str]) -> list[str]:
    """For each point the classes of widths ("s m l") at which its name has room below a line."""
    longest = max(map(len, labels))
    strides = {width: _stride(len(labels), longest, room) for width, room in WIDTHS.items()}
    return [" ".join(width for width, stride in strides.items() if place % stride == 0) for place in range(len(labels))]


def _stride(count: int, longest: int, room: int) -> int:
    fits = max(1, room // (longest * _CHARACTER + _BETWEEN))
    return math.ceil(count / fits)
