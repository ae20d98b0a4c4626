"""A trial that sees to its own part of the trajectory cache.

A search does not know beforehand which settings it will come to. What the untuned default and each end of an axis
need is prepared in parallel before the first trial; a combination that needs more prepares the rest itself.
"""

from pathlib import Path
from typing import Any

from trainables.h_space.config import CellConfig
from trainables.h_space.editing_interval import interval_tasks, run_interval
from trainables.h_space.trajectories import preparation_tasks, run_preparation
from trainables.h_space.trial import Trial


class PreparingTrial(Trial):
    """As `h_space.trial.Trial`, whatever the cache holds. It gives the same numbers, and the same signature."""

    def __init__(
        self, config: CellConfig, seed: int, *, cache_dir: Path, device: str = "cpu", **given: Any
    ) -> None:
        for interval in interval_tasks(config, cache_dir):
            run_interval(interval, cache_dir, device)
        for task in preparation_tasks(config, cache_dir):
            run_preparation(task, cache_dir, device)
        super().__init__(config, seed, cache_dir=cache_dir, device=device, **given)
