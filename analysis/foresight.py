"""What a number of seeds can decide, said before they are trained, from the spread that earlier studies had."""

from dataclasses import asdict, dataclass
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np

from analysis.contrasts import paired_sample
from analysis.frames import load_trials
from analysis.labels import number
from analysis.stats import POWER, decision_power, min_pairs, seeds_to_decide
from analysis.stats.spending import spend
from orchestrator.ledger import LedgerError, StudyPlan, read_study
from orchestrator.ledger.comparisons import comparisons, contrast_pairs


@dataclass(frozen=True)
class Spread:
    """Standard deviation of a paired difference on one metric, and where it was seen."""

    value: float
    source: str


def spread_of(study: StudyPlan, own_folder: Path) -> Spread:
    """The median spread of the study's own contrasts, else of other studies there with its metric and family.

    Where no study has any, the margin: a stated guess.
    """
    metric = str(study.primary["metric"])
    if own := _spreads(own_folder, study.family, metric):
        return Spread(float(np.median(own)), "this study so far")
    found: dict[str, list[float]] = {}
    for folder in sorted(
        path.parent for path in own_folder.parent.glob("*/study.json") if path.parent != own_folder
    ):
        if spreads := _spreads(folder, study.family, metric):
            found[folder.name] = spreads
    if found:
        every = [spread for spreads in found.values() for spread in spreads]
        return Spread(float(np.median(every)), f"as in {', '.join(found)}")
    guess = "a guess: the margin, since no study in this results folder tells it"
    return Spread(float(study.primary["margin"]), guess)


def _spreads(folder: Path, family: str, metric: str) -> list[float]:
    """Standard deviations of the paired differences of a study's contrasts; none where it measures something else."""
    try:
        study = read_study(folder)
        if study.family != family or f"metric_{metric}" not in (trials := load_trials(folder)):
            return []
    except LedgerError:
        return []
    samples = (paired_sample(trials, metric, *pair) for pair in contrast_pairs(study))
    return [float(np.std(one.differences, ddof=1)) for one in samples if len(one.differences) > 2]


def detectable(spread: float, num_pairs: int, level: float) -> float:
    """The smallest difference that so many pairs decide with 80 % power at a level; NaN below two pairs."""
    if num_pairs < 2 or spread <= 0 or level <= 0:
        return float("nan")
    low, high = 0.0, 1.0
    while decision_power(high, 0.0, num_pairs, level) < POWER:
        high *= 2
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (
            (low, middle) if decision_power(middle, 0.0, num_pairs, level) >= POWER else (middle, high)
        )
    return high * spread


@dataclass(frozen=True)
class Foresight:
    """What the seeds of a plan can decide; differences are in the unit of the primary metric, chances are 80 %."""

    num_seeds: int
    min_seeds: int
    """Below which nothing is ever decided."""
    difference: float | None = None
    """The smallest true difference that these seeds find; None where they decide nothing."""
    seeds_for_half: int | None = None
    seeds_for_quarter: int | None = None
    """What half of that difference and a quarter of it would take."""
    seeds_for_equivalent: int | None = None
    """What it takes to show that two equal cells are equivalent within the margin."""
    margin: float = 0.0
    level: float = 0.0
    """Error rate of each comparison."""
    spread: Spread | None = None

    def as_json(self) -> dict[str, Any]:
        """As `plan --json` prints it."""
        return asdict(self)

    def lines(self) -> list[str]:
        """As a terminal shows it."""
        if self.difference is None or self.spread is None:
            few = f"verdicts take {self.min_seeds} seeds, this is a try with {self.num_seeds}"
            return [f"can decide: nothing; {few}"]
        steps = [
            f"{name} takes {count:,} seeds ({count / self.num_seeds:.1f} times the trials)"
            for name, count in (("half of it", self.seeds_for_half), ("a quarter", self.seeds_for_quarter))
            if count
        ]
        return [
            f"can decide: {self.num_seeds} seeds find a difference of {number(self.difference)} four times in five; "
            f"{', '.join(steps)}; to show that two cells are equivalent (within ±{self.margin:g}) takes "
            f"{self.seeds_for_equivalent:,} seeds",
            f"  (error rate {self.level:.2g} for each comparison; standard deviation of a pair's difference "
            f"{number(self.spread.value)}, {self.spread.source})",
        ]


def foresight(study: StudyPlan, folder: Path) -> Foresight | None:
    """What this many seeds can decide; None where nothing is compared or nothing can be said.

    `study` is the plan as it would be launched, with all plans until then; `folder` is its own.
    """
    plans = study.plans
    alpha, margin = float(study.primary["alpha"]), float(study.primary["margin"])
    keys = [comparison.key for comparison in comparisons(study) if comparison.is_primary]
    if not keys:
        return None
    num_seeds, fewest = len(plans[-1].seeds), min_pairs(alpha)
    if num_seeds < fewest:
        return Foresight(num_seeds, fewest)
    looks = spend(plans, alpha, fewest).looks.get(keys[-1], [])
    level = looks[-1].level if looks else 0.0
    spread = spread_of(study, folder)
    smallest = detectable(spread.value, num_seeds, level)
    if not isfinite(smallest):
        return None

    def seeds(difference: float, margin: float) -> int:
        return max(fewest, seeds_to_decide(difference, spread.value, margin, level))

    return Foresight(
        num_seeds,
        fewest,
        difference=smallest,
        seeds_for_half=seeds(smallest / 2, 0.0),
        seeds_for_quarter=seeds(smallest / 4, 0.0),
        seeds_for_equivalent=seeds(0.0, margin),
        margin=margin,
        level=level,
        spread=spread,
    )
