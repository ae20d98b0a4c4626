"""What a search can be for: metrics of edits, losses of the last epoch, and costs."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.plan.checks.metrics import untold
from orchestrator.plan.checks.space import CURVE_METRICS
from orchestrator.space.config import SpaceConfig
from orchestrator.space.designs.optuna import Config as SearchConfig
from trainables.h_space.config import CellConfig
from trainables.h_space.domains import DomainSummary
from trainables.h_space.metrics import METRICS
from trainables.h_space.workload import image_steps
from trainables.wording import expected
from trainables.yaml_tree import Loc

COSTS = {
    "image_steps": "images x timesteps that the training visits",
    "num_parameters": "weights of the editor",
    "train_seconds": "seconds of training, on the machine that trained",
}
"""Lower is better, as for losses."""


@dataclass(frozen=True)
class Objective:
    """One number of a finished trial."""

    name: str
    higher_is_better: bool

    def of(self, record: Mapping[str, Any], config: CellConfig) -> float:
        """The trial's value; NaN where its record has none."""
        if self.name == "image_steps":
            return float(image_steps(config))
        column = self.name if self.name in COSTS else f"metric_{self.name}"
        value = record.get(column)
        return float("nan") if value is None else float(value)


def search_config(config: SpaceConfig) -> SearchConfig:
    """The design of a tuning space."""
    assert isinstance(config.design, SearchConfig), "a tuning space has the design optuna"
    return config.design


def objectives(config: SpaceConfig) -> list[Objective]:
    """The objectives of a checked tuning space, the first one first."""
    return [Objective(name, name in METRICS and METRICS[name].higher_is_better) for name in _names(config)]


def objective_findings(
    config: SpaceConfig, default: CellConfig, summary: DomainSummary
) -> Iterator[tuple[Loc, str]]:
    """What is wrong with the objectives of a space that is sound apart from them; `default` is its baseline.

    The primary metric is any space's, and has been checked with it.
    """
    known = [*METRICS, *CURVE_METRICS, *COSTS]
    listed = search_config(config).objectives
    for index, name in enumerate(listed):
        place: Loc = ("design", "objectives", index)
        if name not in known:
            yield (
                place,
                f"{expected('an objective', name, known)} (asyrp-sweep list metrics; or {', '.join(COSTS)})",
            )
        elif name in METRICS and (reason := untold(METRICS[name], default, summary)):
            yield place, f"{name} {reason}"
    if listed and listed[0] != config.primary.metric:
        yield (
            ("design", "objectives", 0),
            f"expected the primary metric first, {config.primary.metric}, which the winner is tested on; "
            f"found {listed[0]!r}",
        )


def _names(config: SpaceConfig) -> tuple[str, ...]:
    return search_config(config).objectives or (config.primary.metric,)
