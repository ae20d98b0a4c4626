"""What a search has found: the Pareto set, the winner, and which settings mattered. Kept as `tuning.json`.

What did best in other searches of the same results folder is read from theirs.
"""

import json
import math
import operator
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel

from orchestrator.ledger import LedgerError, read_study
from orchestrator.ledger.copies import copy_at
from orchestrator.ledger.durable import write_text_atomically
from orchestrator.ledger.files import writing
from orchestrator.ledger.study import STUDY_FILE
from orchestrator.search.objectives import Objective
from orchestrator.search.search import Search
from orchestrator.space.axes import AxisValue, AxisValues
from orchestrator.space.designs.optuna import EarlierConfig
from orchestrator.study.launch import Study

RESULTS_FILE = "tuning.json"
PREFIX = "tune_"
"""What the name of a search's study begins with; what was tuned follows."""


class Found(BaseModel, frozen=True):
    """A point whose trials are all done, with its objectives."""

    signature: str
    """Of its first seed's trial."""
    cell: str
    axis_values: dict[str, AxisValue]
    values: tuple[float, ...]
    """Means over the seeds, in the order of the objectives."""
    is_pareto: bool
    """Whether no other one is at least as good in every objective and better in one."""


class Default(BaseModel, frozen=True):
    """The untuned default."""

    axis_values: dict[str, AxisValue]
    signature: str
    values: tuple[float, ...] | None
    """As those of `Found`; None where its trials are not done."""


class Results(BaseModel, frozen=True):
    """Everything a search has found so far: the content of `tuning.json`."""

    schema_version: Literal[1] = 1
    objectives: tuple[Objective, ...]
    default: Default
    winner: str | None
    """Signature of the best of the first objective; None where nothing is done."""
    importance: dict[str, dict[str, float]]
    """Objective -> axis -> share of the spread; empty where too few trials are done."""
    counts: dict[str, int]
    """Done, pruned and failed points, and proposals that were answered without one."""
    trials: tuple[Found, ...]
    """In the order they were asked for."""

    @property
    def pareto(self) -> list[Found]:
        """The Pareto set, the best of the first objective first."""
        front = [one for one in self.trials if one.is_pareto]
        return sorted(front, key=lambda one: costs(one.values, self.objectives))

    @property
    def best(self) -> Found | None:
        """The winner."""
        return next((one for one in self.trials if one.signature == self.winner), None)


def results_of(search: Search) -> Results:
    """Look at a search's ledger."""
    objectives, default = search.objectives, search.default
    done = {one.signature: one for one in search.done()}
    means = {name: tuple(search.mean_values(one)) for name, one in done.items()}
    values = {name: found for name, found in means.items() if all(map(math.isfinite, found))}
    cost = {name: costs(found, objectives) for name, found in values.items()}
    front = pareto_front(cost.values())
    importance = search.optimizer.importance()
    return Results(
        objectives=tuple(objectives),
        default=Default(
            axis_values=default.values, signature=default.signature, values=values.get(default.signature)
        ),
        winner=min(cost, key=cost.__getitem__, default=None),
        importance={one.name: shares for one, shares in zip(objectives, importance, strict=True)},
        counts=search.counts(),
        trials=tuple(
            Found(
                signature=name,
                cell=search.records[name]["cell"],
                axis_values=done[name].values,
                values=found,
                is_pareto=cost[name] in front,
            )
            for name, found in values.items()
        ),
    )


def pareto_front(found: Iterable[tuple[float, ...]]) -> set[tuple[float, ...]]:
    """Those costs that no other ones are at most as high as in every objective and lower than in one."""
    front: set[tuple[float, ...]] = set()
    # In this order whatever beats a point comes before it, and is beaten by none or by one that beats both.
    for cost in sorted(set(found)):
        if not any(all(map(operator.le, other, cost)) for other in front):
            front.add(cost)
    return front


def costs(values: Sequence[float], objectives: Sequence[Objective]) -> tuple[float, ...]:
    """The objectives, all of them lower for better."""
    pairs = zip(values, objectives, strict=True)
    return tuple(-value if objective.higher_is_better else value for value, objective in pairs)


def write_results(folder: Path, results: Results) -> None:
    """Write `tuning.json`, for figures that must not need Optuna. Raises LedgerError when it cannot be written."""
    with writing(folder):
        write_text_atomically(folder / RESULTS_FILE, json.dumps(results.model_dump(mode="json"), indent=1))


# Earlier searches


def earlier_points(study: Study, wanted: EarlierConfig) -> list[tuple[AxisValues, str]]:
    """(point, what was tuned) of the best trials of other searches with the same first objective."""
    if wanted.best == 0:
        return []
    if (copy := copy_at(study.folder.parent)) is not None:
        for name in copy.studies():
            if name.startswith(PREFIX) and name != study.folder.name:
                for file in (STUDY_FILE, RESULTS_FILE):
                    copy.pull(copy.root / name / file)
    metric = study.space.config.primary.metric
    found: list[tuple[AxisValues, str]] = []
    for folder in sorted(study.folder.parent.glob(f"{PREFIX}*")):
        tuned = folder.name.removeprefix(PREFIX)
        if folder != study.folder and (wanted.names == "all" or tuned in wanted.names):
            found += [(one.axis_values, tuned) for one in _best_first(folder, metric)[: wanted.best]]
    return found


def _best_first(folder: Path, metric: str) -> list[Found]:
    """The trials of a search, the best ones first; none where the folder holds no search for this metric."""
    try:
        read_study(folder)
        found = Results.model_validate_json((folder / RESULTS_FILE).read_bytes())
        if found.objectives[0].name != metric:
            return []
        return sorted(found.trials, key=lambda one: costs(one.values, found.objectives)[0])
    except (OSError, ValueError, IndexError, LedgerError):
        return []  # Another study's trouble is no reason not to search here.
