"""The axes of a space as Optuna's distributions."""

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from orchestrator.search.axis_points import num_steps
from orchestrator.space.axes import AxisConfig, AxisValue


def distribution_of(axis: AxisConfig) -> BaseDistribution:
    """Where the values of an axis come from."""
    found = axis.range
    if found is None:
        return CategoricalDistribution(axis.names)
    high = found.high
    if found.step is not None:  # Optuna warns of an end that no step reaches.
        high = found.low + num_steps(axis) * found.step
    if found.is_whole:
        return IntDistribution(int(found.low), int(high), log=found.log, step=int(found.step or 1))
    step = None if found.step is None else float(found.step)
    return FloatDistribution(float(found.low), float(high), log=found.log, step=step)


def suggested(trial: optuna.Trial, name: str, distribution: BaseDistribution) -> AxisValue:
    """The trial's value on an axis."""
    value: AxisValue
    if isinstance(distribution, FloatDistribution):
        value = trial.suggest_float(
            name, distribution.low, distribution.high, step=distribution.step, log=distribution.log
        )
    elif isinstance(distribution, IntDistribution):
        value = trial.suggest_int(
            name, distribution.low, distribution.high, step=distribution.step, log=distribution.log
        )
    else:
        assert isinstance(distribution, CategoricalDistribution)
        chosen = trial.suggest_categorical(name, distribution.choices)
        assert chosen is not None, "an axis has no empty value"
        value = chosen
    return value


def contains(distribution: BaseDistribution, value: AxisValue) -> bool:
    """Whether the axis could have proposed this value."""
    try:
        return distribution._contains(distribution.to_internal_repr(value))
    except (ValueError, TypeError):
        return False
