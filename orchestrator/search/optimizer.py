"""An Optuna study by ask and tell. Only this module and those it reads from (journal, sampling) know
Optuna.

The journal `optuna.journal` of a study's folder is a plain Optuna journal file that `optuna-dashboard` opens; the
ledger stays the truth, and a journal that is lost or damaged is written anew from it. What Optuna does with
results by itself is avoided: a NaN is told as a failure (else the trial would stay RUNNING for ever), a stopped
trial as pruned, and a killed launch's trials are found by their signature and told, or run again.
"""

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna.storages import JournalStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from orchestrator.search.journal import JOURNAL, open_journal
from orchestrator.search.sampling import (
    contains,
    distribution_of,
    grid_point,
    grid_size,
    in_order,
    pruner_of,
    sampler_of,
    shortened,
    suggested,
)
from orchestrator.space.axes import AxisConfig, AxisValue, AxisValues, matches
from orchestrator.space.designs.optuna import Config as SearchConfig

SIGNATURE, REASON, ORIGIN = "signature", "reason", "origin"
"""What is kept with an Optuna trial: the ledger's trial, why it failed or was pruned, who proposed it."""

MIN_FOR_IMPORTANCE = 5
"""Finished trials below which shares of a spread say nothing."""

Outcome = Literal["done", "pruned", "failed"]
_STATES = {"done": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}

_quiet = partial(warnings.catch_warnings, action="ignore", category=optuna.exceptions.ExperimentalWarning)
"""Without Optuna's notices that something is experimental: what we use of it is tested."""


@dataclass(frozen=True)
class Proposal:
    """A point that Optuna proposed, and the number of its trial there."""

    number: int
    values: dict[str, AxisValue]
    """Value of every axis; the baseline's where the axis does not act."""
    signature: str | None = None
    """The ledger's trial, once it is known."""


class Optimizer:
    """One Optuna study. Numbers are those of its trials, from 0."""

    def __init__(
        self,
        folder: Path,
        name: str,
        axes: Mapping[str, AxisConfig],
        baseline: AxisValues,
        search: SearchConfig,
        higher_is_better: Sequence[bool],
    ) -> None:
        """Open the study of this name in the folder's journal, or begin it. Only for the holder of the ledger's lock.

        `higher_is_better` has an entry for every objective.
        """
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._axes = axes
        self._baseline = baseline
        self._search = search
        self._distributions = {axis: distribution_of(config) for axis, config in axes.items()}
        storage, self.notes = open_journal(folder / JOURNAL)
        """What a user should know of the journal's state."""
        with _quiet():
            self.is_new = name not in optuna.get_all_study_names(storage)
            self._study = optuna.create_study(
                study_name=name,
                storage=storage,
                directions=["maximize" if higher else "minimize" for higher in higher_is_better],
                pruner=pruner_of(search),
                load_if_exists=True,
            )
        self._abandon_others(storage)
        self._tried = {frozenset(trial.params.items()) for trial in self._trials()}
        """Points that have been asked for, or were taken over."""
        self._grid_at = 0
        """How many points of the grid have been looked at. A number: Ray pickles whoever asks."""

    # Asking

    def enqueue(self, values: AxisValues, origin: str) -> bool:
        """Let a point be proposed next, after those already waiting; False where it is not a point of the axes."""
        params = self._params(values)
        # A trial that waits has no parameters yet, only those that it was enqueued with.
        known = [(trial.params, trial.system_attrs.get("fixed_params")) for trial in self._trials()]
        if params is None or any(params in asked for asked in known):
            return False
        self._study.enqueue_trial(params, user_attrs={ORIGIN: origin})
        return True

    def ask(self) -> Proposal | None:
        """The next point; None when a grid is through."""
        trials = self._trials()
        if self._search.sampler == "grid" and not any(t.state == TrialState.WAITING for t in trials):
            fresh = self._next_of_grid()
            if fresh is None:
                return None
            self._study.enqueue_trial(fresh)
        with _quiet():
            self._study.sampler = sampler_of(self._search, len(trials))
            trial = self._study.ask()
            values: dict[str, AxisValue] = dict(self._baseline)
            for name in in_order(self._axes):
                axis = self._axes[name]
                if matches(axis.when, values):
                    values[name] = shortened(axis, suggested(trial, name, self._distributions[name]))
        self._tried.add(frozenset(trial.params.items()))
        return Proposal(trial.number, values)

    def _next_of_grid(self) -> dict[str, AxisValue] | None:
        """The next point of the grid that was not tried; each is looked at once, and none comes again."""
        while self._grid_at < grid_size(self._axes):
            point = grid_point(self._axes, self._baseline, self._grid_at)
            self._grid_at += 1
            if frozenset(point.items()) not in self._tried:
                return point
        return None

    def claim(self, number: int, signature: str) -> None:
        """Write down which trial of the ledger stands for a proposal, before it runs."""
        self._trial(number).set_user_attr(SIGNATURE, signature)

    def running(self) -> list[Proposal]:
        """Proposals that nothing was told of: with nothing running, those of a launch that was killed."""
        return [
            Proposal(trial.number, self._values(trial.params), trial.user_attrs.get(SIGNATURE))
            for trial in self._trials()
            if trial.state == TrialState.RUNNING
        ]

    # Telling

    def should_stop(self, number: int, epoch: int, loss: float) -> bool:
        """Report an epoch's loss; whether the pruner would stop the trial there. Never with several objectives."""
        if self._search.pruner == "none" or len(self._study.directions) > 1:
            return False
        trial = self._trial(number)
        if epoch in self._trials()[number].intermediate_values:  # a lost worker trains it once more
            return False
        sign = -1.0 if self._study.direction == StudyDirection.MAXIMIZE else 1.0
        trial.report(sign * loss, epoch)
        return epoch >= self._search.pruning.min_epochs and trial.should_prune()

    def tell(self, number: int, outcome: Outcome, values: Sequence[float] = (), reason: str = "") -> None:
        """How a proposal ended. A value that is no finite number is a failure, whatever the outcome said."""
        trial = self._trial(number)
        outcome, told, reason = _as_told(outcome, values, reason)
        if reason:
            trial.set_user_attr(REASON, reason)
        with _quiet():
            self._study.tell(number, told, state=_STATES[outcome])

    def add(
        self, point: AxisValues, signature: str, outcome: Outcome, values: Sequence[float], reason: str
    ) -> bool:
        """Take over a finished trial of the ledger; False where it is not a point of the axes."""
        params = self._params(point)
        if params is None:
            return False
        outcome, told, reason = _as_told(outcome, values, reason)
        self._tried.add(frozenset(params.items()))
        self._study.add_trial(
            optuna.trial.create_trial(
                state=_STATES[outcome],
                params=params,
                distributions={name: self._distributions[name] for name in params},
                values=told,
                user_attrs={SIGNATURE: signature, ORIGIN: "ledger"} | ({REASON: reason} if reason else {}),
            )
        )
        return True

    # Looking

    def signatures(self) -> list[str]:
        """The ledger's trials that this study has asked for, each once, in the order asked."""
        found = [trial.user_attrs.get(SIGNATURE) for trial in self._trials()]
        return list(dict.fromkeys(signature for signature in found if signature is not None))

    @property
    def num_told(self) -> int:
        """Proposals whose end it knows."""
        return sum(trial.state.is_finished() for trial in self._trials())

    def importance(self) -> list[dict[str, float]]:
        """For each objective, the share of every axis in the spread of its values (PED-ANOVA); empty where too few
        trials are done to tell."""
        done = [trial for trial in self._trials() if trial.state == TrialState.COMPLETE]
        return [self._importance_of(index, done) for index in range(len(self._study.directions))]

    def _importance_of(self, index: int, done: Sequence[FrozenTrial]) -> dict[str, float]:
        if len(done) < MIN_FOR_IMPORTANCE or len({trial.values[index] for trial in done}) < 2:
            return {}
        # PED-ANOVA looks at the low end of a target.
        sign = -1.0 if self._study.directions[index] == StudyDirection.MAXIMIZE else 1.0
        # It warns that few trials tell little, and which end of the target counts.
        with warnings.catch_warnings(action="ignore", category=UserWarning):
            return optuna.importance.get_param_importances(
                self._study, target=lambda trial: sign * float(trial.values[index])
            )

    # Inside

    def _trials(self) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False)

    def _trial(self, number: int) -> optuna.Trial:
        """The trial to write to, also one that an earlier process asked for."""
        with _quiet():
            return optuna.Trial(self._study, self._trials()[number]._trial_id)

    def _params(self, values: AxisValues) -> dict[str, Any] | None:
        """What Optuna would have called this point; None where an axis does not have the value."""
        params: dict[str, Any] = {}
        for name, axis in self._axes.items():
            if not matches(axis.when, values):
                continue
            value = values.get(name)
            distribution = self._distributions[name]
            if value is None or not contains(distribution, value):
                return None
            params[name] = value
        return params

    def _values(self, params: Mapping[str, Any]) -> dict[str, AxisValue]:
        """The point of an Optuna trial; axes that do not act there are at the baseline."""
        found = {name: shortened(self._axes[name], value) for name, value in params.items()}
        return {**self._baseline, **found}

    def _abandon_others(self, storage: JournalStorage) -> None:
        """Nobody will run what an earlier version of the space still has running: tell it."""
        for name in optuna.get_all_study_names(storage):
            if name == self._study.study_name:
                continue
            other = optuna.load_study(study_name=name, storage=storage)
            for trial in other.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
                other.tell(trial.number, state=TrialState.FAIL)


def _as_told(
    outcome: Outcome, values: Sequence[float], reason: str
) -> tuple[Outcome, list[float] | None, str]:
    """An end as Optuna takes it: values only of what is done, and all of them finite."""
    if outcome == "done" and not all(map(math.isfinite, values)):
        outcome, reason = "failed", f"an objective is not finite: {', '.join(map(str, values))}"
    return outcome, [float(value) for value in values] if outcome == "done" else None, reason
