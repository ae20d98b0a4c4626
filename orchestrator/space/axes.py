"""What one axis of a space says: which setting varies, over which values, and where it acts."""

import math
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    field_validator,
    model_validator,
)

from orchestrator.space.mappings import nested
from trainables.settings import Settings
from trainables.wording import flow

AxisValue = str | int | float | bool
"""What names one value of an axis: the setting itself, or the name of a group of settings."""

AxisValues = Mapping[str, AxisValue]
"""A point of a space: the value of every axis."""

SIGNIFICANT_DIGITS = 4
"""Digits of a value drawn from a range: enough to search with, few enough to read."""


def as_tuple(value: object) -> object:
    """YAML knows only lists; strict models want tuples."""
    return tuple(value) if isinstance(value, list) else value


def _one_or_several(value: object) -> object:
    return (value,) if isinstance(value, str | int | float) else as_tuple(value)


OneOrSeveral = Annotated[tuple[AxisValue, ...], BeforeValidator(_one_or_several), Field(min_length=1)]
Condition = dict[str, OneOrSeveral]
"""Axis -> the values meant; all of its axes must match. A single value needs no list."""


def matches(condition: Condition, values: AxisValues) -> bool:
    """Whether a point has one of the values meant on every axis of the condition."""
    return all(values.get(axis) in meant for axis, meant in condition.items())


class RangeConfig(Settings):
    """Every number from `low` to `high`: for designs that draw values (random, optuna)."""

    low: int | float
    """Included."""
    high: int | float
    """Included. Whole numbers at both ends (and as `step`) mean whole numbers in between."""
    log: bool = False
    """Drawn evenly on a logarithmic scale."""
    step: int | float | None = Field(default=None, gt=0)
    """Only low, low + step, low + 2 step, ..."""

    @model_validator(mode="after")
    def _ends_fit(self) -> "RangeConfig":
        if self.low >= self.high:
            raise ValueError(f"expected low below high; found low {self.low} and high {self.high}")
        if self.log and self.low <= 0:
            raise ValueError(f"log needs a low above 0; found low {self.low}")
        if not math.isfinite((self.high - self.low) / (self.step or 1)) or (
            self.log and not math.isfinite(self.high / self.low)
        ):
            raise ValueError(f"expected a narrower range; found low {self.low} and high {self.high}")
        if self.log and self.step is not None:
            raise ValueError("step goes with an even scale; leave out log or step")
        return self

    @property
    def is_whole(self) -> bool:
        """Whether its values are whole numbers."""
        return all(isinstance(number, int) for number in (self.low, self.high, self.step or 1))

    @property
    def num_steps(self) -> int:
        """How many whole steps lie between its ends; steps of 1 where it gives none."""
        return math.floor((self.high - self.low) / (self.step or 1) + 1e-9)

    def at(self, fraction: float) -> AxisValue:
        """The value at a fraction in [0, 1) of the range, each value equally likely for an even fraction."""
        if self.step is not None or (self.is_whole and not self.log):
            value = self.low + int(fraction * (self.num_steps + 1)) * (self.step or 1)
        elif self.log:
            value = self.low * (self.high / self.low) ** fraction
        else:
            value = self.low + (self.high - self.low) * fraction
        if self.is_whole:
            return min(max(round(value), int(self.low)), int(self.high))
        return self.shortened(value)

    def shortened(self, value: float) -> float:
        """A number with as many digits as a reader needs, still in the range."""
        short = float(f"{value:.{SIGNIFICANT_DIGITS}g}")
        return min(max(short, float(self.low)), float(self.high))

    def holds(self, value: AxisValue) -> bool:
        """Whether a number lies in the range."""
        return isinstance(value, int | float) and self.low <= value <= self.high


def _values_form(value: object) -> str:
    if not isinstance(value, dict):
        return "range" if isinstance(value, RangeConfig) else "listed"
    is_range = {"low", "high"} & value.keys() and not any(isinstance(v, dict) for v in value.values())
    return "range" if is_range else "named"


Listed = Annotated[tuple[AxisValue, ...], BeforeValidator(as_tuple), Field(min_length=1), Tag("listed")]
Named = Annotated[dict[str, dict[str, Any]], Field(min_length=1), Tag("named")]
Range = Annotated[RangeConfig, Tag("range")]


class AxisConfig(Settings):
    """One thing that is varied: values of the setting at `path`, or named groups of settings."""

    path: str | None = None
    """Dotted setting of a cell, such as `optimizer.learning_rate`; with listed values or a range."""
    values: Annotated[Listed | Named | Range, Discriminator(_values_form)]
    """Values of the setting at `path`; a range of them; or name -> partial settings, merged over the baseline."""
    off: AxisValue | None = None
    """The value that leaves the ingredient out, for the design leave_one_out; the first one when not given."""
    when: Condition = Field(default_factory=dict)
    """Other axes' values for which this axis acts; elsewhere it stays at the baseline's value."""

    @field_validator("values", mode="before")
    @classmethod
    def _lists_are_named(cls, values: object, info: ValidationInfo) -> object:
        path = info.data.get("path")
        if not isinstance(values, list) or not any(isinstance(value, list | dict) for value in values):
            return values
        groups = {
            f"name_{number}": value if path is None else nested(path, value)
            for number, value in enumerate(values, start=1)
        }
        raise ValueError(
            "expected texts, numbers or true/false; found a list or a mapping among them; leave out `path` and "
            f"name each value as a group of settings: {flow({'values': groups})}"
        )

    @field_validator("values")
    @classmethod
    def _each_value_once(cls, values: object) -> object:
        if isinstance(values, tuple):
            for index, value in enumerate(values):
                if value in values[:index]:
                    raise ValueError(f"expected each value once; found {value!r} twice")
        return values

    @model_validator(mode="after")
    def _path_goes_with_values(self) -> "AxisConfig":
        if isinstance(self.values, tuple) and self.path is None:
            raise ValueError("listed values need a `path`, the setting they are values of")
        if isinstance(self.values, RangeConfig) and self.path is None:
            raise ValueError("a range needs a `path`, the setting it is a range of")
        if isinstance(self.values, dict) and self.path is not None:
            raise ValueError("`path` goes with listed values; named values hold their own settings")
        return self

    @property
    def range(self) -> RangeConfig | None:
        """The range, where the axis has one instead of values."""
        return self.values if isinstance(self.values, RangeConfig) else None

    @property
    def names(self) -> tuple[AxisValue, ...]:
        """The values in the order written; none for a range."""
        return () if isinstance(self.values, RangeConfig) else tuple(self.values)

    @property
    def off_value(self) -> AxisValue:
        """The value that leaves the ingredient out."""
        return self.names[0] if self.off is None else self.off

    def holds(self, value: AxisValue) -> bool:
        """Whether it is one of the axis's values."""
        return self.values.holds(value) if isinstance(self.values, RangeConfig) else value in self.names

    def at(self, fraction: float) -> AxisValue:
        """The value at a fraction in [0, 1), each one equally likely for an even fraction."""
        if isinstance(self.values, RangeConfig):
            return self.values.at(fraction)
        return self.names[int(fraction * len(self.names))]

    def override(self, value: AxisValue) -> dict[str, Any]:
        """The partial settings that give a cell this value."""
        if isinstance(self.values, dict):
            return self.values[str(value)]
        return nested(self.path or "", value)


def axis_text(value: AxisValue) -> str:
    """An axis value as YAML writes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)
