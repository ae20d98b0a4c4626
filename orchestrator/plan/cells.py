"""What a plan is made of: cells, and trials with their identities."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from orchestrator.plan.identity import canonical_text
from orchestrator.space.axes import AxisValues
from orchestrator.space.config import Space
from orchestrator.space.points import BASELINE, Point
from orchestrator.space.resolving import resolve
from trainables.exchange import Role
from trainables.family import Family
from trainables.settings import Settings


class WarmStart(NamedTuple):
    """Where a cell's first weights come from: another cell of the plan, or a file."""

    cell: str | None = None
    epoch: int | None = None
    """After which epoch of that cell's training; None for its last."""
    file: str | None = None
    """Absolute path of a file with weights."""
    digest: str | None = None
    """SHA-256 of its content, which is what it counts by."""
    control: str | None = None
    """The cell that spends the same compute from scratch; None where none was asked for or none can be known."""


@dataclass(frozen=True)
class Cell:
    """One point of a space with its full configuration."""

    name: str
    axis_values: AxisValues
    config: Settings
    is_baseline: bool
    notes: tuple[str, ...] = ()
    """What a reader of this cell's results should know."""
    coinciding: tuple[Point, ...] = ()
    """Other points with the very same configuration; they are this cell."""
    dropped: tuple[str, ...] = ()
    """Settings of the space that have no meaning in this cell."""
    role: Role = "design"
    start: WarmStart | None = None
    """What its weights start from; random ones where there is nothing."""
    code: str = ""
    """Fingerprint of the source code that its trials use; that of what it starts from is not in it."""

    @property
    def merged(self) -> tuple[str, ...]:
        """Names of the coinciding points."""
        return tuple(point.name for point in self.coinciding)

    @property
    def key(self) -> str:
        """Equal for cells with the same configuration."""
        return canonical_text(self.config.model_dump(mode="json"))


@dataclass(frozen=True)
class TrialSpec:
    """A cell with a seed."""

    cell: str
    seed: int
    signature: str
    """16 hex digits; equal exactly when the same numbers would come out of the same code."""
    parent: str | None
    """Signature of the trial whose weights this one starts from."""
    config: Settings
    start: WarmStart = field(default_factory=WarmStart)
    """That of its cell; an empty one where its weights are random."""
    code: str = ""
    """Fingerprint of the source code that decides its numbers, its parents' included."""
    draws: int | None = None
    """The seed that it draws from, where that is another than the one it is paired by."""


@dataclass(frozen=True)
class Plan:
    """Everything a space asks for, whether it has run or not."""

    name: str
    cells: tuple[Cell, ...]
    trials: tuple[TrialSpec, ...]
    """Seed by seed, so that an interrupted study holds complete pairs."""
    family: Family = field(repr=False, compare=False)
    plan_hash: str
    """Covers what was decided before running: primary metric, margin, alpha, design, axes and claims."""
    excluded: tuple[Point, ...] = ()
    """Points that the space's constraints leave out, each with the reason."""


def cell_at(space: Space, point: Point) -> Cell:
    """The cell of a point; raises as `resolve_cell` does."""
    family, resolved = space.family, resolve(space, point.axis_values)
    config = _config(family, resolved.settings)
    return Cell(
        name=point.name,
        axis_values=point.axis_values,
        config=config,
        is_baseline=point.name == BASELINE,
        notes=family.notes(config),
        dropped=resolved.dropped,
        code=family.code(config),
    )


def resolve_cell(space: Space, values: AxisValues) -> Settings:
    """Full configuration of the point with these axis values.

    Raises pydantic's ValidationError when it is not a valid one, UserError when the family cannot read what it needs.
    """
    return _config(space.family, resolve(space, values).settings)


def _config(family: Family, settings: Mapping[str, Any]) -> Settings:
    """The configuration with what has no effect in it at its default, so that equal cells look equal."""
    found: Settings = family.canonical(family.Config.model_validate(settings))
    return found
