"""What a search has found: the Pareto set, the winner, and which settings mattered. Kept as `tuning.json`.

What did best in other searches of the same results folder is read from theirs.
"""

import json
import math
import operator
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.ledger import LedgerError, read_study
from orchestrator.ledger.copies import copy_of
from orchestrator.ledger.durable import write_text_atomically
from orchestrator.ledger.files import writing
from orchestrator.ledger.study import STUDY_FILE
from orchestrator.search.candidates import Candidate
from orchestrator.search.objectives import Objective
from orchestrator.search.search import Search
from orchestrator.space.axes import AxisValues
from orchestrator.space.designs.optuna import EarlierConfig
from orchestrator.study.launch import Study

RESULTS_FILE = "tuning.json"
PREFIX = "tune_"
"""What the name of a search's study begins with; what was tuned follows."""


@dataclass(frozen=True)
class Found:
    """A point whose trials are all done, with its objectives."""

    candidate: Candidate
    values: tuple[float, ...]
    """Means over the seeds, in the order of the objectives."""
    cell: str


@dataclass(frozen=True)
class Results:
    """Everything a search has found so far."""

    objectives: tuple[Objective, ...]
    default: Candidate
    default_values: tuple[float, ...] | None
    """Values of the objectives for the untuned default; None where its trial is not done."""
    found: tuple[Found, ...]
    """Done points, in the order they were asked for."""
    pareto: tuple[Found, ...]
    """Those that no other one beats in every objective, the best of the first objective first."""
    importance: tuple[dict[str, float], ...]
    """For each objective, axis -> share of the spread; empty where too few trials are done."""
    counts: dict[str, int]
    """Done, pruned and failed points, and proposals that were answered without one."""

    @property
    def winner(self) -> Found | None:
        """The best of the first objective; None where nothing is done."""
        return self.pareto[0] if self.pareto else None


def results_of(search: Search) -> Results:
    """Look at a search's ledger."""
    found = []
    for candidate in search.done():
        values = tuple(search.mean_values(candidate))
        if all(map(math.isfinite, values)):
            found.append(Found(candidate, values, search.records[candidate.signature]["cell"]))
    best = sorted(pareto_set(found, search.objectives), key=lambda one: _badness(one, search.objectives))
    defaults = [one.values for one in found if one.candidate.signature == search.default.signature]
    return Results(
        objectives=tuple(search.objectives),
        default=search.default,
        default_values=defaults[0] if defaults else None,
        found=tuple(found),
        pareto=tuple(best),
        importance=tuple(search.optimizer.importance()),
        counts=search.counts(),
    )


def pareto_set(found: Sequence[Found], objectives: Sequence[Objective]) -> list[Found]:
    """The trials that no other one is at least as good as in every objective and better than in one."""
    front: dict[tuple[float, ...], None] = {}
    # In this order whatever beats a point comes before it, and is beaten by none or by one that beats both.
    for cost in sorted({_badness(one, objectives) for one in found}):
        if not any(all(map(operator.le, other, cost)) for other in front):
            front[cost] = None
    return [one for one in found if _badness(one, objectives) in front]


def write_results(folder: Path, results: Results) -> None:
    """Write `tuning.json`, for figures that must not need Optuna. Raises LedgerError when it cannot be written."""
    text = json.dumps(document(results), indent=1)
    with writing(folder):
        write_text_atomically(folder / RESULTS_FILE, text)


def document(results: Results) -> dict[str, Any]:
    """The content of `tuning.json`."""
    pareto = {one.candidate.signature for one in results.pareto}
    return {
        "schema_version": 1,
        "objectives": [
            {"name": objective.name, "higher_is_better": objective.higher_is_better}
            for objective in results.objectives
        ],
        "default": {
            "axis_values": results.default.values,
            "signature": results.default.signature,
            "values": results.default_values,
        },
        "winner": None if results.winner is None else results.winner.candidate.signature,
        "importance": {
            objective.name: shares
            for objective, shares in zip(results.objectives, results.importance, strict=True)
        },
        "counts": results.counts,
        "trials": [
            {
                "signature": one.candidate.signature,
                "cell": one.cell,
                "axis_values": one.candidate.values,
                "values": list(one.values),
                "is_pareto": one.candidate.signature in pareto,
            }
            for one in results.found
        ],
    }


def _badness(one: Found, objectives: Sequence[Objective]) -> tuple[float, ...]:
    """The objectives, all of them lower for better."""
    pairs = zip(one.values, objectives, strict=True)
    return tuple(-value if objective.higher_is_better else value for value, objective in pairs)


# Earlier searches


def earlier_points(study: Study, wanted: EarlierConfig) -> list[tuple[AxisValues, str]]:
    """(point, what was tuned) of the best trials of other searches with the same first objective."""
    if wanted.best == 0:
        return []
    if (copy := copy_of(study.folder)) is not None:
        for name in copy.studies():
            if name.startswith(PREFIX) and name != study.folder.name:
                for file in (STUDY_FILE, RESULTS_FILE):
                    copy.pull(name, file)
    metric = study.space.config.primary.metric
    found: list[tuple[AxisValues, str]] = []
    for folder in sorted(study.folder.parent.glob(f"{PREFIX}*")):
        tuned = folder.name.removeprefix(PREFIX)
        is_wanted = wanted.names == "all" or tuned in wanted.names
        if folder != study.folder and is_wanted:
            best = sorted(_earlier_trials(folder, metric), key=lambda trial: trial[0])[: wanted.best]
            found += [(values, tuned) for _, values in best]
    return found


def _earlier_trials(folder: Path, metric: str) -> Iterator[tuple[float, Mapping[str, Any]]]:
    """(badness, point) of a search's trials; nothing where the folder holds no search for this metric."""
    try:
        read_study(folder)
        content = json.loads((folder / RESULTS_FILE).read_text(encoding="utf-8"))
        first = content["objectives"][0]
        if first["name"] != metric:
            return
        sign = -1 if first["higher_is_better"] else 1
        for trial in content["trials"]:
            if math.isfinite(trial["values"][0]):
                yield sign * trial["values"][0], trial["axis_values"]
    except (OSError, ValueError, KeyError, IndexError, TypeError, LedgerError):
        return  # Another study's trouble is no reason not to search here.
