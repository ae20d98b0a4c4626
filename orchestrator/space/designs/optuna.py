"""Points that a sampler proposes one after another, by the results so far."""

from collections.abc import Iterator
from importlib.util import find_spec
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator

from orchestrator.space.axes import AxisValues, as_tuple
from orchestrator.space.designs._base import Allowed, Axes, Design, Finding, Point
from orchestrator.space.units import seconds_of, written
from trainables.settings import Settings


class PruningConfig(Settings):
    """What a pruner looks at. The epoch's mean loss is compared, lower being better; of several seeds it is the first
    one's, and the others start only once that is done."""

    metric: str | None = None
    """A column of the curves that no searched setting scales, the lower the better; the family's own choice when left
    out."""
    startup_trials: int = Field(default=4, ge=0)
    """median: trials that always finish first."""
    min_epochs: int = Field(default=1, ge=1)
    """No trial is stopped before it has trained as long."""
    reduction_factor: int = Field(default=3, ge=2)
    """successive_halving: one in so many goes on at each rung."""


class RetestConfig(Settings):
    """The winner against the untuned default, on seeds that the search never used."""

    seeds: int = Field(default=6, ge=1)
    """How many fresh seeds winner and default are trained with."""


class EarlierConfig(Settings):
    """What did best in other searches of the same results folder is tried first."""

    names: Literal["all"] | Annotated[tuple[str, ...], BeforeValidator(as_tuple)] = "all"
    """What was tuned in them: a study's name without `tune_`."""
    best: int = Field(default=2, ge=0)
    """How many points of each; 0 for none."""


class Config(Design):
    """A search. Only the baseline is known beforehand; `orchestrator.search` asks for every other point."""

    kind: Literal["optuna"]
    trials: int = Field(default=30, ge=1)
    """Different points to try in all, the baseline among them, however many launches that takes. Each is trained with
    every seed of the space and judged by the mean over them."""
    timeout: Annotated[str | int, written(seconds_of)] | None = None
    """How long a launch may start new trials: seconds, or `90s`, `30m`, `2h`."""
    objectives: Annotated[tuple[str, ...], BeforeValidator(as_tuple)] = ()
    """Metrics, losses or costs to weigh against each other; the primary metric alone when left out. The first one
    decides between the points of the Pareto set."""
    sampler: Literal["tpe", "cmaes", "gp", "random", "grid"] = "tpe"
    """tpe: multivariate and grouped; grid: every combination once; cmaes: needs the package of that name, and Optuna
    keeps its state in the journal as a pickle: go on with no such journal that you do not trust."""
    startup_trials: int = Field(default=8, ge=1)
    """Random points before a model of the results guides the search."""
    seed: int = Field(default=0, ge=0)
    """Seed of the sampler; trials have seeds of their own."""
    pruner: Literal["none", "median", "successive_halving"] = "none"
    """median: stops what is worse than half of the others at the same epoch."""
    pruning: PruningConfig = PruningConfig()
    """What the pruner looks at."""
    retest: RetestConfig = RetestConfig()
    """The test of the winner on fresh seeds."""
    earlier: EarlierConfig = EarlierConfig()
    """Points of earlier searches that are tried first."""
    takes_ranges = True

    @field_validator("objectives")
    @classmethod
    def _each_objective_once(cls, objectives: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(objectives)) < len(objectives):
            raise ValueError("expected each objective once")
        return objectives

    def num_points(self, axes: Axes) -> int:
        """As many as it may try."""
        return self.trials

    def points(self, axes: Axes, baseline: AxisValues, allowed: Allowed) -> Iterator[Point]:
        """The baseline: what the winner is compared with."""
        yield dict(baseline)

    def probes(self, axes: Axes, baseline: AxisValues, allowed: Allowed) -> Iterator[Point]:
        """The baseline, then each end or value of each axis where it acts: whatever is proposed lies in between."""
        yield dict(baseline)
        for name, axis in axes.items():
            acting = {**baseline, **_where_it_acts(name, axes)}
            for value in axis.names if axis.range is None else (axis.range.low, axis.range.high):
                yield {**acting, name: value}

    def findings(self, axes: Axes, baseline: AxisValues) -> Iterator[Finding]:
        """What a sampler or a pruner cannot do."""
        if not axes:
            yield ("axes",), "nothing to search: expected at least one axis"
        if self.sampler == "cmaes":
            yield from self._cmaes_findings(axes)
        if self.pruner != "none" and len(self.objectives) > 1:
            message = f"{self.pruner} compares one number; with {len(self.objectives)} objectives use none"
            yield ("design", "pruner"), message
        for name, axis in axes.items():
            found = axis.range
            is_endless = found is not None and ((found.step is None and not found.is_whole) or found.log)
            if self.sampler == "grid" and is_endless:
                yield ("axes", name, "values"), "a grid needs listed values, or a range with a step"

    def _cmaes_findings(self, axes: Axes) -> Iterator[Finding]:
        place = ("design", "sampler")
        if find_spec("cmaes") is None:
            missing = "cmaes needs the package cmaes, which is not installed"
            yield place, f"{missing}: pip install cmaes, or use tpe"
        if len(self.objectives) > 1:
            yield place, "cmaes searches for one objective; use tpe, gp or random"
        if all(axis.range is None for axis in axes.values()):
            yield place, "cmaes searches ranges of numbers, and no axis has one; use tpe"


def _where_it_acts(name: str, axes: Axes) -> Point:
    """Values of other axes with which this one acts, those that they in turn wait for included."""
    found: Point = {}
    for other, meant in axes[name].when.items():
        if other in axes and other != name:
            without = {**axes, name: axes[name].model_copy(update={"when": {}})}
            found |= {**_where_it_acts(other, without), other: meant[0]}
    return found
