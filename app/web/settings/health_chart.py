"""Charts of health as SVG paths: one line, gaps where nothing was measured, and the threshold."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

#: The coordinates of a chart; the page stretches it.
WIDTH, HEIGHT = 600, 120
#: Room above the highest value.
HEADROOM = 1.15

Value = tuple[int, float | None]


@dataclass(frozen=True)
class Chart:
    """What the page draws."""

    #: "M0,10L5,20…"; "" without values.
    line: str
    #: The same, closed along the bottom, to be filled.
    area: str
    #: The height at which the threshold is drawn.
    threshold_y: float
    highest: float | None


def chart_of(values: Iterable[Value], minutes: tuple[int, int], step: int, threshold: float) -> Chart:
    """The chart of (minute, value) between two minutes, in steps of so many minutes."""
    found = [(minute, value) for minute, value in values if value is not None]
    highest = max((value for _minute, value in found), default=None)
    top = max(highest or 0, threshold) * HEADROOM
    first, last = minutes
    across = WIDTH / max(1, last - first)

    def place(minute: int, value: float) -> tuple[float, float]:
        x = min(max((minute - first) * across, 0), WIDTH)
        return round(x, 1), round(HEIGHT - value / top * HEIGHT, 1)

    runs = [[place(*each) for each in run] for run in _runs(found, step)]
    return Chart(
        "".join(_path(run) for run in runs),
        "".join(f"{_path(run)}L{run[-1][0]},{HEIGHT}L{run[0][0]},{HEIGHT}Z" for run in runs),
        round(HEIGHT - threshold / top * HEIGHT, 1),
        highest,
    )


def _runs(values: Sequence[tuple[int, float]], step: int) -> list[list[tuple[int, float]]]:
    """The values in runs without gaps; a run of one value becomes a short line."""
    runs: list[list[tuple[int, float]]] = []
    for minute, value in values:
        if runs and minute - runs[-1][-1][0] <= 2 * step:
            runs[-1].append((minute, value))
        else:
            runs.append([(minute, value)])
    return [run if len(run) > 1 else [*run, (run[0][0] + step, run[0][1])] for run in runs]


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x},{y}" for x, y in points)
