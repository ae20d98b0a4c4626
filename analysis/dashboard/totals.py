"""The trials of a study, counted: what its row in the list and its metrics are made of."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeGuard

Trial = Mapping[str, Any]
"""A trial of `asyrp-sweep status --json`."""


@dataclass
class Totals:
    """What some trials add up to."""

    counts: Counter[str] = field(default_factory=Counter)
    """State -> trials."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Kind of device -> wall time of trials that have ended on it."""
    restarts: int = 0
    """Attempts beyond the first one of each trial."""
    losses: list[float] = field(default_factory=list)
    """Of the last epoch of each running trial."""
    shares: list[float] = field(default_factory=list)
    """Share of epochs that each running trial has done."""

    def add(self, trial: Trial) -> None:
        """Count a trial in; what a launch says of it is taken only where it is a number."""
        self.counts[trial["state"]] += 1
        if is_number(trial["wall_seconds"]):
            device = str(trial["device"] or "unknown").partition(":")[0]
            self.seconds[device] = self.seconds.get(device, 0.0) + trial["wall_seconds"]
        if is_number(trial["attempt"]):
            self.restarts += max(0, int(trial["attempt"]) - 1)
        if is_number(trial["loss"]):
            self.losses.append(trial["loss"])
        if is_number(trial["epoch"]) and is_number(trial["num_epochs"]) and trial["num_epochs"]:
            self.shares.append(trial["epoch"] / trial["num_epochs"])

    def join(self, other: "Totals") -> None:
        """Count in what others have counted."""
        self.counts += other.counts
        for device, seconds in other.seconds.items():
            self.seconds[device] = self.seconds.get(device, 0.0) + seconds
        self.restarts += other.restarts
        self.losses += other.losses
        self.shares += other.shares


def by_cell(trials: Iterable[Trial]) -> dict[str, Totals]:
    """Cell -> its totals, in the plan's order."""
    found: dict[str, Totals] = {}
    for trial in trials:
        found.setdefault(trial["cell"], Totals()).add(trial)
    return found


def is_number(value: object) -> TypeGuard[float]:
    """Whether a value is a number that can be counted with."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
