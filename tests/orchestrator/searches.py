"""Searches of tests: real Optuna, a real journal and trials that take no time (`TunedTrial` of fake_trials.py)."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna

from orchestrator.ledger import Ledger
from orchestrator.ledger.copies import results_folder
from orchestrator.plan.loading import load_space
from orchestrator.search.journal import JOURNAL
from orchestrator.search.running import SearchLaunch, run_search
from orchestrator.space.designs.optuna import Config as SearchConfig
from orchestrator.study.launch import Study, open_study
from orchestrator.study.runner import RunOptions
from trainables.h_space.family import HSpace
from trainables.h_space.layers import Summarise

SPACE = """
question: Which settings suit?
baseline:
  domain: tiny
  attribute: goblin
  editor: {kind: conv}
  training: {epochs: 2, optimizer: {learning_rate: 0.001}}
axes:
  rate: {path: training.optimizer.learning_rate, values: {low: 1.0e-4, high: 1.0e-1, log: true}}
  encoder: {path: editor.kind, values: [conv, pixel_channel]}
  heads: {path: editor.num_heads, values: [1, 2], when: {encoder: pixel_channel}}
design: {kind: optuna, trials: 8, startup_trials: 3}
seeds: 1
primary: {metric: counterfactual_gain, margin: 0.1}
"""
FEW = SPACE.replace("{low: 1.0e-4, high: 1.0e-1, log: true}", "[0.001, 0.01]")
"""Six different trials: two rates, conv or pixel_channel with one or two heads."""
TWO_SEEDS = SPACE.replace("seeds: 1", "seeds: [3, 7]")

Launch = Callable[..., tuple[Study, SearchLaunch]]


def launcher(tmp_path: Path, display: Any, summarise: Summarise, results: str | Path | None = None) -> Launch:
    """Go on with a search in this process; keywords are settings of the design."""

    def run(
        text: str = SPACE, trial: str = "TunedTrial", name: str = "tune_goblin", **design: Any
    ) -> tuple[Study, SearchLaunch]:
        file = tmp_path / f"{name}.yaml"
        file.write_text(text)
        space = load_space(file, family=HSpace(summarise))
        changed = SearchConfig.model_validate({**space.config.design.model_dump(), **design})
        space = replace(space, config=space.config.model_copy(update={"design": changed}))
        study = open_study(space, results_folder(results or tmp_path / "results"))
        options = RunOptions(inline=True, trial_class=f"fake_trials:{trial}")
        return study, run_search(study, options, display)

    return run


def records_of(study: Study) -> list[dict[str, Any]]:
    return Ledger(study.ledger_folder).records()


def optuna_trials(study: Study) -> list[optuna.trial.FrozenTrial]:
    """As anyone would read them, `optuna-dashboard` included."""
    backend = optuna.storages.journal.JournalFileBackend(str(study.folder / JOURNAL))
    storage = optuna.storages.JournalStorage(backend)
    names = optuna.get_all_study_names(storage)
    return [
        trial for name in names for trial in optuna.load_study(study_name=name, storage=storage).get_trials()
    ]


def states_of(study: Study) -> list[str]:
    return [trial.state.name for trial in optuna_trials(study)]


def points_of(launched: SearchLaunch) -> list[dict[str, Any]]:
    return [found.axis_values for found in launched.results.trials]
