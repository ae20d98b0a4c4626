"""What a search can be for: metrics, losses of the last epoch, and costs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.plan.checks.space import known_metrics
from orchestrator.space.config import Space, SpaceConfig
from orchestrator.space.designs.optuna import Config as SearchConfig
from trainables.family import Family
from trainables.settings import Settings

COSTS = {
    "num_parameters": "weights that a trial learns",
    "train_seconds": "seconds of training, on the machine that trained",
}
"""Costs of every family, beside its own units of training. Lower is better, as for losses."""


@dataclass(frozen=True)
class Objective:
    """One number of a finished trial."""

    name: str
    higher_is_better: bool

    def of(self, record: Mapping[str, Any], config: Settings, family: Family) -> float:
        """The trial's value; NaN where its record has none."""
        if self.name in family.work_unit:
            return float(family.work(config).train)
        column = self.name if self.name in COSTS else f"metric_{self.name}"
        value = record.get(column)
        return float("nan") if value is None else float(value)


def search_config(config: SpaceConfig) -> SearchConfig:
    """The design of a tuning space."""
    assert isinstance(config.design, SearchConfig), "a tuning space has the design optuna"
    return config.design


def objectives(space: Space) -> list[Objective]:
    """The objectives of a checked tuning space, the first one first."""
    metrics = known_metrics(space)
    names = search_config(space.config).objectives or (space.config.primary.metric,)
    return [Objective(name, name in metrics and metrics[name].higher_is_better) for name in names]
