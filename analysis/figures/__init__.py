"""Kinds of figures: one file each, found by their names; those in `trainables/<family>/figures` and of plugins too.
The file's name is the `kind` in a space.

Importing this package imports neither matplotlib nor ray: spaces are checked by it before anything runs.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from analysis.figures._base import Axes, FigureConfig, FigureKind, Place, Problems, nearest
from analysis.figures._found import Figures

FIGURES = Figures(__name__)

DEFAULT_FIGURES: tuple[dict[str, Any], ...] = ({"kind": "effects"}, {"kind": "table"})
"""What a space without `figures` gets."""

__all__ = ["DEFAULT_FIGURES", "FIGURES", "FigureConfig", "FigureKind", "check", "parse"]


def check(figures: Sequence[Mapping[str, Any]], axes: Axes) -> Problems:
    """Everything wrong with the `figures` of a space, as (place, message); empty when all can be drawn.

    A place starts with the figure's index: `(0, "by")`. `axes` maps each axis to its values.
    """
    problems: Problems = []
    for index, options in enumerate(figures):
        problems += [((index, *place), message) for place, message in _check_one(options, axes)]
    return problems


def parse(options: Mapping[str, Any]) -> tuple[FigureKind, FigureConfig]:
    """The kind and typed options of a figure that `check` finds nothing wrong with."""
    kind = FIGURES[options["kind"]]
    return kind, kind.config.model_validate(dict(options))


def _check_one(options: Mapping[str, Any], axes: Axes) -> Problems:
    name = options.get("kind")
    if not isinstance(name, str) or name not in FIGURES:
        found = "nothing" if name is None else repr(name)
        return [(("kind",), f"expected one of {', '.join(FIGURES)}; found {found}{nearest(name, FIGURES)}")]
    try:
        config = FIGURES[name].config.model_validate(dict(options))
    except ValidationError as error:
        return [_readable(detail, FIGURES[name]) for detail in error.errors()]
    return config.problems(axes)


def _readable(detail: Any, kind: FigureKind) -> tuple[Place, str]:
    """Pydantic's finding in the words of the space file."""
    place = tuple(detail["loc"])
    fields = list(kind.config.model_fields)
    if detail["type"] == "extra_forbidden":
        message = f"unknown option; expected one of {', '.join(fields)}{nearest(place[-1], fields)}"
    elif detail["type"] == "missing":
        message = "expected a value; found nothing"
    elif detail["type"] == "literal_error":
        expected = detail["ctx"]["expected"].replace("'", "")
        options = expected.replace(" or ", ", ").split(", ")
        message = f"expected {expected}; found {detail['input']!r}{nearest(detail['input'], options)}"
    elif detail["type"] == "value_error":
        message = str(detail["ctx"]["error"])
    else:
        message = f"{detail['msg']}; found {detail['input']!r}"
    return place, message
