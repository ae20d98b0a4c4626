"""The points of a space: those its design asks for, where each axis acts, and what its constraints exclude."""

from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from orchestrator.space.axes import AxisValue, AxisValues, Condition, axis_text, matches
from orchestrator.space.config import Space, SpaceConfig
from orchestrator.space.mappings import place_of
from orchestrator.space.resolving import resolve
from trainables.wording import look_up, one_of

BASELINE = "baseline"
"""Name of the point where every axis has the baseline's value."""


@dataclass(frozen=True)
class Point:
    """A named place in a space."""

    name: str
    """What differs from the baseline, such as `encoder=conv`; `baseline` where nothing does."""
    axis_values: AxisValues
    because: str = ""
    """Why it is another cell than its values say; empty where it is not."""


@dataclass(frozen=True)
class Selection:
    """What a design comes to under the space's conditions and constraints."""

    points: tuple[tuple[Point, AxisValues], ...]
    """Each with the values that act: those of an axis outside its `when` are the baseline's."""
    excluded: tuple[Point, ...]
    """What constraints leave out, each with the reason the space gives."""


def select(space: Space, baseline: AxisValues, *, to_check: bool = False) -> Selection:
    """The points that the space's design asks for, or `to_check` has probed; coinciding ones included, each once."""
    config = space.config
    propose = config.design.probes if to_check else config.design.points
    chosen: dict[tuple[AxisValue, ...], tuple[Point, AxisValues]] = {}
    excluded: dict[tuple[AxisValue, ...], Point] = {}
    for asked in propose(config.axes, baseline, lambda values: is_allowed(config, values, baseline)):
        acting, because = settled_point(config, asked, baseline)
        key = tuple(asked.values())
        reason = _excluded_because(config, acting)
        if reason:
            excluded.setdefault(key, Point(point_name(asked, baseline), asked, reason))
        else:
            chosen.setdefault(key, (Point(point_name(asked, baseline), asked, because), acting))
    return Selection(tuple(chosen.values()), tuple(excluded.values()))


def is_allowed(config: SpaceConfig, values: AxisValues, baseline: AxisValues) -> bool:
    """Whether the space's constraints let a point be."""
    return not _excluded_because(config, settled_point(config, values, baseline)[0])


def settled_point(
    config: SpaceConfig, values: AxisValues, baseline: AxisValues
) -> tuple[dict[str, AxisValue], str]:
    """The point with every axis outside its `when` at the baseline's value, and which axes that moved, in words."""
    acting = dict(values)
    # A condition may name an axis that is itself inactive, so what is reset is looked at until nothing moves.
    while moved := [
        name
        for name, axis in config.axes.items()
        if axis.when and acting[name] != baseline[name] and not matches(axis.when, acting)
    ]:
        acting.update({name: baseline[name] for name in moved})
    resting = [name for name in values if values[name] != acting[name]]
    reasons = [f"{name} acts only where {condition_text(config.axes[name].when)}" for name in resting]
    return acting, "; ".join(reasons)


def acting_values(config: SpaceConfig, values: AxisValues) -> dict[str, AxisValue]:
    """The axes that act at a settled point."""
    return {name: value for name, value in values.items() if matches(config.axes[name].when, values)}


def condition_text(condition: Condition) -> str:
    """A condition in words: `encoder is pixel or channel`."""
    return " and ".join(f"{axis} is {one_of(map(axis_text, meant))}" for axis, meant in condition.items())


def _excluded_because(config: SpaceConfig, acting: AxisValues) -> str:
    """The reason of the first constraint that excludes a point, or nothing."""
    reasons = (rule.because for rule in config.constraints if matches(rule.excluded, acting))
    return next(reasons, "")


def point_name(values: AxisValues, baseline: AxisValues) -> str:
    """What differs from the baseline."""
    differing = [f"{name}={axis_text(value)}" for name, value in values.items() if value != baseline[name]]
    return ",".join(differing) or BASELINE


def baseline_values(space: Space) -> tuple[dict[str, AxisValue], list[str]]:
    """The value that every axis has in the baseline, and the axes where that is not among their values."""
    alone = _settled(space, {})
    found = {name: _baseline_value(space, name, alone) for name in space.config.axes}
    missing = [name for name, value in found.items() if value is None]
    return {name: value for name, value in found.items() if value is not None}, missing


def _baseline_value(space: Space, name: str, alone: dict[str, Any]) -> AxisValue | None:
    """The value that an axis has in the baseline, or None where it is not among the axis's values.

    An axis whose setting the baseline does not have stands at its first value, a range at its low end.
    """
    axis = space.config.axes[name]
    if axis.path is None:
        matching = [value for value in axis.names if _settled(space, {name: value}) == alone]
        return matching[0] if matching else None
    own = _own_setting(space, axis.path, alone)
    if axis.range is not None:
        return axis.range.low if own is None else own if axis.holds(own) else None
    matching = [value for value in axis.names if own is None or value == own]
    return matching[0] if matching else None


def baseline_setting(space: Space, path: str) -> Any:
    """The baseline's own setting at a path, None where it has none."""
    return _own_setting(space, path, _settled(space, {}))


def _own_setting(space: Space, path: str, alone: dict[str, Any]) -> Any:
    """As `baseline_setting`; also where the baseline ignores it."""
    own = look_up(alone, place_of(path))
    return look_up(space.config.baseline, place_of(path)) if own is None else own


def _settled(space: Space, values: AxisValues) -> dict[str, Any]:
    """A point's settings with every default filled in; as written where they do not validate."""
    settings = resolve(space, values).settings
    try:
        return space.family.Config.model_validate(settings).model_dump()
    except ValidationError:
        return settings
