"""Numbers grouped as in India: thousands, lakh, crore. All languages of the product group them so."""

from __future__ import annotations

from typing import Self


def grouped(number: float) -> str:
    """Such as 12,34,567; with up to three decimals, as many as it has: 1,250.5."""
    text = f"{abs(number):.3f}".rstrip("0").rstrip(".") if isinstance(number, float) else str(abs(number))
    digits, point, decimals = text.partition(".")
    sign = "-" if number < 0 and text != "0" else ""
    rest, last = digits[:-3], digits[-3:]
    pairs = [rest[max(0, end - 2) : end] for end in range(len(rest), 0, -2)]
    return sign + ",".join([*reversed(pairs), last]) + point + decimals


class GroupedInt(int):
    """A whole number that is formatted grouped, for ngettext, which inserts the number itself."""

    def __str__(self) -> str:
        return grouped(int(self))


def capped(number: int, maximum: int) -> str:
    """The count; one that stopped at its cap with a plus: 1,000+."""
    return f"{grouped(maximum)}+" if number > maximum else grouped(number)


class CappedInt(int):
    """A count for ngettext, which inserts it as `capped` shows it."""

    maximum: int

    def __new__(cls, number: int, maximum: int) -> Self:
        """The number; above `maximum`, counting may have stopped."""
        self = super().__new__(cls, number)
        self.maximum = maximum
        return self

    def __str__(self) -> str:
        return capped(int(self), self.maximum)
