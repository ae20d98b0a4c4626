"""A space's own words in Optuna's: distributions of its axes, the points of a grid, the sampler and the pruner."""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from decimal import Decimal

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from orchestrator.space.axes import AxisConfig, AxisValue, AxisValues, matches
from orchestrator.space.designs.optuna import Config as SearchConfig

Axes = Mapping[str, AxisConfig]


def in_order(axes: Axes) -> list[str]:
    """Axes, each after those that its condition looks at."""
    ordered: list[str] = []
    waiting = list(axes)
    while waiting:
        ready = [name for name in waiting if axes[name].when.keys() <= set(ordered)]
        ordered += ready or waiting  # A circle is refused when the space is loaded.
        waiting = [name for name in waiting if name not in ordered]
    return ordered


# The grid


def grid_size(axes: Axes) -> int:
    """How many combinations there are; some of them may be the same point."""
    return math.prod(len(_grid_values(axis)) for axis in axes.values())


def grid_point(axes: Axes, baseline: AxisValues, index: int) -> dict[str, AxisValue]:
    """The combination of this number, without the axes that do not act there; the last axis changes first."""
    names = in_order(axes)
    chosen: dict[str, AxisValue] = {}
    for name in reversed(names):
        values = _grid_values(axes[name])
        index, at = divmod(index, len(values))
        chosen[name] = values[at]
    point = dict(baseline)
    acting: dict[str, AxisValue] = {}
    for name in names:
        if matches(axes[name].when, point):
            point[name] = acting[name] = chosen[name]
    return acting


def _grid_values(axis: AxisConfig) -> Sequence[AxisValue]:
    """The listed values, or the steps of a range."""
    found = axis.range
    if found is None:
        return axis.names
    values = [found.low + index * (found.step or 1) for index in range(found.num_steps + 1)]
    return [shortened(axis, value) for value in values]


# Values


def distribution_of(axis: AxisConfig) -> BaseDistribution:
    """Where the values of an axis come from."""
    found = axis.range
    if found is None:
        return CategoricalDistribution(axis.names)
    high = found.high
    if found.step is not None:  # Optuna warns of an end that no step reaches, and adds in decimals.
        high = float(Decimal(str(found.low)) + found.num_steps * Decimal(str(found.step)))
    if found.is_whole:
        return IntDistribution(int(found.low), int(high), log=found.log, step=int(found.step or 1))
    step = None if found.step is None else float(found.step)
    return FloatDistribution(float(found.low), float(high), log=found.log, step=step)


def suggested(trial: optuna.Trial, name: str, of: BaseDistribution) -> AxisValue:
    """The trial's value on an axis."""
    if isinstance(of, FloatDistribution):
        return trial.suggest_float(name, of.low, of.high, step=of.step, log=of.log)
    if isinstance(of, IntDistribution):
        return trial.suggest_int(name, of.low, of.high, step=of.step, log=of.log)
    assert isinstance(of, CategoricalDistribution)
    chosen = trial.suggest_categorical(name, of.choices)
    assert chosen is not None, "an axis has no empty value"
    return chosen


def shortened(axis: AxisConfig, value: AxisValue) -> AxisValue:
    """A drawn number with as many digits as a reader needs."""
    return value if axis.range is None or not isinstance(value, float) else axis.range.shortened(value)


def contains(distribution: BaseDistribution, value: AxisValue) -> bool:
    """Whether the axis could have proposed this value."""
    try:
        return distribution._contains(distribution.to_internal_repr(value))
    except (ValueError, TypeError):
        return False


# Samplers and pruners


def sampler_of(search: SearchConfig, number: int) -> optuna.samplers.BaseSampler:
    """The sampler that proposes trial `number`, seeded by it: a search that was killed and goes on proposes what it
    would have proposed."""
    text = json.dumps([search.seed, number])
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")
    startup = search.startup_trials
    if search.sampler == "tpe":
        return optuna.samplers.TPESampler(n_startup_trials=startup, multivariate=True, group=True, seed=seed)
    if search.sampler == "cmaes":
        return optuna.samplers.CmaEsSampler(
            n_startup_trials=startup, seed=seed, warn_independent_sampling=False
        )
    if search.sampler == "gp":
        return optuna.samplers.GPSampler(
            n_startup_trials=startup,
            seed=seed,
            deterministic_objective=False,
            warn_independent_sampling=False,
        )
    return optuna.samplers.RandomSampler(seed=seed)


def pruner_of(search: SearchConfig) -> optuna.pruners.BasePruner:
    """The pruner that the space asks for, or one that stops nothing."""
    pruning = search.pruning
    if search.pruner == "median":
        return optuna.pruners.MedianPruner(
            n_startup_trials=pruning.startup_trials, n_warmup_steps=pruning.min_epochs
        )
    if search.pruner == "successive_halving":
        return optuna.pruners.SuccessiveHalvingPruner(
            min_resource=pruning.min_epochs, reduction_factor=pruning.reduction_factor
        )
    return optuna.pruners.NopPruner()
