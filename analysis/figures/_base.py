"""What every kind of figure declares."""

import difflib
import inspect
from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import pandas as pd
from pydantic import BaseModel, BeforeValidator, ConfigDict, field_validator

from analysis.figures._text import TextTable
from analysis.frames import StudyFrames
from analysis.labels import known_metrics
from trainables.names import wrong_name
from trainables.registry import literal_kind, wrong_call

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Place = tuple[str | int, ...]
Axes = Mapping[str, Sequence[Any]]
"""Axis -> its values, as in `study.json`."""

Problems = list[tuple[Place, str]]
"""(place inside a figure's options, message)."""

AxisValue = str | int | float | bool


def as_tuple(value: object) -> object:
    """YAML knows only lists; strict models want tuples."""
    return tuple(value) if isinstance(value, list) else value


Names = Annotated[tuple[str, ...], BeforeValidator(as_tuple)]
Values = Annotated[tuple[AxisValue, ...], BeforeValidator(as_tuple)]


class FigureConfig(BaseModel):
    """Options of one figure of a space; each kind adds its own."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )

    name: str | None = None
    """File name without an ending; made up from the kind and its axes when left out."""
    title: str | None = None
    """Heading in the report; made up when left out."""

    @field_validator("name")
    @classmethod
    def _name_is_a_files(cls, name: str | None) -> str | None:
        if name is not None and (wrong := wrong_name(name)):
            raise ValueError(wrong)
        return name

    def problems(self, axes: Axes) -> Problems:
        """What is wrong with these options for a space with these axes."""
        return []

    @abstractmethod
    def default_name(self) -> str:
        """File name where the space gives none."""

    @abstractmethod
    def heading(self) -> str:
        """Heading where the space gives none."""


@dataclass(frozen=True)
class FigureKind:
    """One kind of figure: numbers first, drawing second, so that tests look at numbers."""

    config: type[FigureConfig]
    compute: Callable[[StudyFrames, Any], pd.DataFrame]
    """Tidy frame of exactly what is drawn; empty where there is nothing to draw."""
    caption: Callable[[pd.DataFrame, Any], str]
    draw: "Callable[[pd.DataFrame, Any], Figure] | None" = None
    """None for kinds that are text."""
    text: Callable[[pd.DataFrame, Any], TextTable] | None = None
    """The frame as a table to be read, written as Markdown and LaTeX and shown in the report."""
    vector: bool = True
    """Whether the report embeds the SVG; False for pictures."""

    @property
    def name(self) -> str:
        """The one value that its config's `kind` takes; empty where it has none."""
        return literal_kind(self.config)


def fault(kind: FigureKind) -> str:
    """What is wrong with a figure from outside the package, or nothing."""
    if inspect.isabstract(kind.config):
        missing = ", ".join(sorted(kind.config.__abstractmethods__))
        return f"expected its options to have {missing}; found a class without"
    if kind.draw is None and kind.text is None:
        return "expected `draw`, `text` or both; found neither"
    called = [("compute", kind.compute, "frames"), ("caption", kind.caption, "frame")]
    called += [(name, function, "frame") for name in ("draw", "text") if (function := getattr(kind, name))]
    return next(
        (
            wrong
            for name, function, first in called
            if (wrong := wrong_call(function, (first, "config"), name))
        ),
        "",
    )


def unknown_axis(place: Place, axis: str, known: Iterable[str]) -> Problems:
    """A problem when `axis` is not among the known ones."""
    known = list(known)
    if axis in known:
        return []
    return [(place, f"expected an axis ({', '.join(known)}); found {axis!r}{nearest(axis, known)}")]


def unknown_fixed(fixed: Mapping[str, AxisValue], axes: Axes, others: Iterable[str] = ()) -> Problems:
    """Problems of a `fixed` option: axes that do not exist, and values that they do not have."""
    problems: Problems = []
    for axis, value in fixed.items():
        problems += unknown_axis(("fixed", axis), axis, [*axes, *others])
        if axis in axes and value not in axes[axis]:
            values = [str(known) for known in axes[axis]]
            message = f"expected one of {', '.join(values)}; found {value!r}{nearest(value, values)}"
            problems.append((("fixed", axis), message))
    return problems


def unknown_metric(place: Place, name: str | None, others: Iterable[str] = ()) -> Problems:
    """A problem when a metric is named that does not exist. Imports torch: only where a space names one."""
    if name is None or name in others or name in (known := known_metrics()):
        return []
    known = [*known, *others]
    return [(place, f"expected a metric ({', '.join(known)}); found {name!r}{nearest(name, known)}")]


def unknown_metrics(field: str, names: Iterable[str] | None) -> Problems:
    """`unknown_metric` for every entry of a list."""
    return [found for index, name in enumerate(names or ()) for found in unknown_metric((field, index), name)]


def used_twice(fields: Mapping[str, str | None]) -> Problems:
    """Problems of options that must name different dimensions."""
    problems: Problems = []
    taken: dict[str, str] = {}
    for field, name in fields.items():
        if name in taken:
            problems.append(((field,), f"expected another axis than {taken[name]}; found {name!r} for both"))
        elif name is not None:
            taken[name] = field
    return problems


def nearest(name: object, known: Iterable[str]) -> str:
    """`; did you mean conv?`, or nothing where no name is near."""
    close = difflib.get_close_matches(str(name), list(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""
