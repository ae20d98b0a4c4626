"""What a number of seeds can decide, said before they are trained, from the spread that earlier studies had."""

from dataclasses import dataclass
from math import isfinite
from pathlib import Path

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


def foresight(study: StudyPlan, folder: Path) -> list[str]:
    """What this many seeds can decide, and how many each halving takes, in lines; none where nothing is compared.

    `study` is the plan as it would be launched, with all plans until then; `folder` is its own.
    """
    plans = study.plans
    alpha, margin = float(study.primary["alpha"]), float(study.primary["margin"])
    keys = [comparison.key for comparison in comparisons(study) if comparison.is_primary]
    if not keys:
        return []
    num_seeds, fewest = len(plans[-1].seeds), min_pairs(alpha)
    if num_seeds < fewest:
        return [f"can decide: nothing; verdicts take {fewest} seeds, this is a try with {num_seeds}"]
    looks = spend(plans, alpha, fewest).looks.get(keys[-1], [])
    level = looks[-1].level if looks else 0.0
    spread = spread_of(study, folder)
    smallest = detectable(spread.value, num_seeds, level)
    if not isfinite(smallest):
        return []
    steps = [
        f"{name} takes {count:,} seeds ({count / num_seeds:.1f} times the trials)"
        for name, part in (("half of it", 2), ("a quarter", 4))
        if (count := seeds_to_decide(smallest / part, spread.value, 0.0, level))
    ]
    equal = seeds_to_decide(0.0, spread.value, margin, level)
    return [
        f"can decide: {num_seeds} seeds find a difference of {number(smallest)} four times in five; "
        f"{', '.join(steps)}; to show that two cells are equivalent (within ±{margin:g}) takes {equal:,} seeds",
        f"  (error rate {level:.2g} for each comparison; standard deviation of a pair's difference "
        f"{number(spread.value)}, {spread.source})",
    ]
