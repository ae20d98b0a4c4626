"""What a plan is made of: cells, and trials with their identities."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from orchestrator.space.axes import AxisValues
from orchestrator.space.points import Point
from trainables.h_space.config import CellConfig

Role = Literal["design", "parent", "control"]
"""Why a cell is in the plan: the space asks for it, another one starts from it, or it is what one is compared with."""


class WarmStart(NamedTuple):
    """Where a cell's first weights come from: another cell of the plan, or an editor file."""

    cell: str | None = None
    epoch: int | None = None
    """After which epoch of that cell's training; None for its last."""
    editor: str | None = None
    """Absolute path of an editor file."""
    digest: str | None = None
    """SHA-256 of its content, which is what it counts by."""
    control: str | None = None
    """The cell that spends the same compute from scratch; None where none was asked for or none can be known."""


@dataclass(frozen=True)
class Cell:
    """One point of a space with its full configuration."""

    name: str
    axis_values: AxisValues
    config: CellConfig
    is_baseline: bool
    num_parameters: int
    """Weights the editor learns."""
    notes: tuple[str, ...] = ()
    """What a reader of this cell's results should be told."""
    coinciding: tuple[Point, ...] = ()
    """Other points with the very same configuration; they are this cell."""
    dropped: tuple[str, ...] = ()
    """Settings of the space that this cell's editor does not have, such as `editor.num_heads`."""
    role: Role = "design"
    start: WarmStart | None = None
    """What its weights start from; random ones where there is nothing."""

    @property
    def merged(self) -> tuple[str, ...]:
        """Names of the coinciding points."""
        return tuple(point.name for point in self.coinciding)


@dataclass(frozen=True)
class TrialSpec:
    """A cell with a seed."""

    cell: str
    seed: int
    signature: str
    """16 hex digits; equal exactly when the same numbers would come out."""
    parent: str | None
    """Signature of the trial whose editor this one starts from."""
    config: CellConfig
    parent_epoch: int | None = None
    """After which epoch of the parent's training; None for its last."""
    start_from: str | None = None
    """The editor file that this one starts from, where that is not a trial's."""
    start_digest: str | None = None
    """SHA-256 of that file."""


@dataclass(frozen=True)
class Plan:
    """Everything a space asks for, whether it has run or not."""

    name: str
    cells: tuple[Cell, ...]
    trials: tuple[TrialSpec, ...]
    """Seed by seed, so that an interrupted study holds complete pairs."""
    plan_hash: str
    """Covers what was decided before running: primary metric, margin, alpha, design, axes and claims."""
    fingerprints: Mapping[str, str]
    """Fingerprint of every domain that a cell uses, by `CellConfig.domain`."""
    excluded: tuple[Point, ...] = ()
    """Points that the space's constraints leave out, each with the reason."""
