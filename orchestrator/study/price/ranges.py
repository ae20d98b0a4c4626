"""A number that is not known exactly: what it may be at least, what is likely, what it may be at most."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Range:
    """low <= typical <= high."""

    low: float = 0.0
    typical: float = 0.0
    high: float = 0.0

    def __add__(self, other: "Range") -> "Range":
        return Range(self.low + other.low, self.typical + other.typical, self.high + other.high)

    def times(self, low: float, typical: float, high: float) -> "Range":
        """Each part times its own factor."""
        return Range(self.low * low, self.typical * typical, self.high * high)

    @classmethod
    def by(cls, function: Callable[[Callable[["Range"], float]], float]) -> "Range":
        """The value of a function for each end: it is given what picks that end of a range."""
        return cls(
            function(lambda one: one.low), function(lambda one: one.typical), function(lambda one: one.high)
        )


NOTHING = Range()
