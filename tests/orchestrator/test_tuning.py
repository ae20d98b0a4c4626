"""Searches with real Optuna, a real journal and trials that take no time: `TunedTrial` of fake_trials.py."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest

from orchestrator.axes import AxisConfig
from orchestrator.config import Space
from orchestrator.designs.optuna import Config as SearchConfig
from orchestrator.launch import Study, open_study
from orchestrator.ledger import Ledger, read_study
from orchestrator.loading import load_space
from orchestrator.resolving import Summarise
from orchestrator.runner import RunOptions
from orchestrator.tuning.journal import JOURNAL
from orchestrator.tuning.optimizer import Optimizer
from orchestrator.tuning.results import pareto_set
from orchestrator.tuning.running import SearchLaunch, run_search

HERE = Path(__file__).parent
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

Launch = Callable[..., tuple[Study, SearchLaunch]]


@pytest.fixture
def launch(tmp_path: Path, display: Any, summarise: Summarise) -> Launch:
    """Go on with a search in this process; keywords are settings of the design."""

    def run(
        text: str = SPACE, trial: str = "TunedTrial", name: str = "tune_goblin", **design: Any
    ) -> tuple[Study, SearchLaunch]:
        file = tmp_path / f"{name}.yaml"
        file.write_text(text)
        space = load_space(file, summarise=summarise)
        changed = SearchConfig.model_validate({**space.config.design.model_dump(), **design})
        space = replace(space, config=space.config.model_copy(update={"design": changed}))
        study = open_study(space, tmp_path / "results", summarise=summarise)
        options = RunOptions(inline=True, trial_class=f"fake_trials:{trial}")
        return study, run_search(study, options, display, summarise)

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
    return [found.candidate.values for found in launched.results.found]


def test_a_search_runs_its_budget_and_begins_with_the_untuned_default(launch: Launch) -> None:
    study, launched = launch()

    assert launched.outcome.num_run == 8
    assert states_of(study) == ["COMPLETE"] * 8
    assert points_of(launched)[0] == {"rate": 0.001, "encoder": "conv", "heads": 1}
    assert {record["status"] for record in records_of(study)} == {"done"}


def test_every_trial_is_an_ordinary_one_of_the_ledger_and_of_the_study(launch: Launch) -> None:
    study, launched = launch(trials=4)

    told = {trial.user_attrs["signature"]: trial.value for trial in optuna_trials(study)}
    assert told == {r["signature"]: r["metric_counterfactual_gain"] for r in records_of(study)}
    plan = read_study(study.folder)
    assert [cell.trials[0].signature for cell in plan.cells if cell.trials[0].signature in told] == [
        found.candidate.signature for found in launched.results.found
    ]
    assert plan.baseline is None


def test_the_budget_counts_all_launches(launch: Launch) -> None:
    launch(trials=5)

    study, again = launch(trials=5)
    _, more = launch(trials=7)

    assert (again.outcome.num_run, more.outcome.num_run) == (0, 2)
    assert len(records_of(study)) == 7


def test_a_search_in_pieces_proposes_what_one_in_a_piece_proposes(launch: Launch, tmp_path: Path) -> None:
    _, whole = launch(name="whole")

    for trials in (2, 5, 8):
        _, pieces = launch(trials=trials)

    assert points_of(pieces) == points_of(whole)


TWO_SEEDS = SPACE.replace("seeds: 1", "seeds: [3, 7]")


def test_with_several_seeds_optuna_hears_the_mean(launch: Launch) -> None:
    study, launched = launch(TWO_SEEDS, trials=4)

    by_cell: dict[str, dict[int, float]] = {}
    for record in records_of(study):
        by_cell.setdefault(record["cell"], {})[record["seed"]] = record["metric_counterfactual_gain"]
    assert [sorted(values) for values in by_cell.values()] == [[3, 7]] * 4
    means = [sum(values.values()) / 2 for values in by_cell.values()]
    assert sorted(trial.value or 0.0 for trial in optuna_trials(study)) == pytest.approx(sorted(means))
    assert launched.results.winner is not None
    assert launched.results.winner.values[0] == pytest.approx(max(means))
    assert launched.results.counts["done"] == 4
    assert {len(cell.trials) for cell in read_study(study.folder).cells} == {2}


def test_the_other_seeds_of_a_point_wait_until_the_first_one_is_not_pruned(launch: Launch) -> None:
    study, launched = launch(TWO_SEEDS, trials=10, pruner="median", pruning={"startup_trials": 2})

    pruned = {r["cell"]: r["seed"] for r in records_of(study) if r["status"] == "pruned"}
    assert pruned
    assert set(pruned.values()) == {3}
    assert not [r for r in records_of(study) if r["cell"] in pruned and r["seed"] == 7]
    assert launched.results.counts["pruned"] == len(pruned)
    assert len([r for r in records_of(study) if r["status"] == "done"]) == 2 * (10 - len(pruned))


def test_a_point_of_which_a_seed_is_missing_gets_only_that_one(launch: Launch, tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "begun").write_text(
        "."
    )  # so that the default's second seed is the trial that dies
    if (process := os.fork()) == 0:
        launch(TWO_SEEDS, "KilledTrial", trials=3)
        os._exit(0)
    assert os.waitpid(process, 0)[1] == 9

    study, launched = launch(TWO_SEEDS, trials=3)

    assert launched.outcome.num_run == 5
    assert states_of(study) == ["COMPLETE"] * 3
    assert len({record["signature"] for record in records_of(study)}) == len(records_of(study)) == 6


def test_a_killed_launch_goes_on_without_zombies(launch: Launch, tmp_path: Path) -> None:
    _, whole = launch(name="whole")
    (tmp_path / "begun").touch()
    if (process := os.fork()) == 0:
        launch(trial="KilledTrial")
        os._exit(0)
    assert os.waitpid(process, 0)[1] == 9

    study, launched = launch()

    assert states_of(study) == ["COMPLETE"] * 8
    assert points_of(launched) == points_of(whole)
    assert [record["notes"] for record in records_of(study)].count(["resumed after epoch 1"]) == 1
    assert {record["attempt"] for record in records_of(study)} == {1}


def test_an_interrupted_launch_goes_on(launch: Launch) -> None:
    study, interrupted = launch(trial="InterruptingTrial")
    assert interrupted.outcome.exit_code == 143
    assert states_of(study) == ["RUNNING"]

    _, launched = launch(trials=3)

    assert states_of(study) == ["COMPLETE"] * 3
    assert launched.outcome.num_run == 3


def test_a_trial_committed_but_never_told_is_told_by_the_next_launch(launch: Launch) -> None:
    study, _ = launch(trials=3)
    journal = study.folder / JOURNAL
    lines = journal.read_text().splitlines(keepends=True)
    told = max(index for index, line in enumerate(lines) if json.loads(line)["op_code"] == 6)
    journal.write_text("".join(lines[:told]))
    assert "RUNNING" in states_of(study)

    _, launched = launch(trials=3)

    assert states_of(study) == ["COMPLETE"] * 3
    assert launched.outcome.num_run == 0


def test_a_proposal_that_never_became_a_trial_is_told_as_failed(launch: Launch) -> None:
    study, _ = launch(trials=2)
    backend = optuna.storages.journal.JournalFileBackend(str(study.folder / JOURNAL))
    storage = optuna.storages.JournalStorage(backend)
    optuna.load_study(study_name=optuna.get_all_study_names(storage)[0], storage=storage).ask()

    launch(trials=3)

    assert sorted(states_of(study)) == ["COMPLETE", "COMPLETE", "COMPLETE", "FAIL"]


def test_nan_and_failures_are_told_as_failures_and_the_search_goes_on(launch: Launch) -> None:
    text = SPACE.replace("axes:", "axes:\n  recon: {path: training.lambda_recon, values: [3.0, 8.0, 9.0]}")

    study, launched = launch(text, trials=12, sampler="grid")

    reasons = {t.user_attrs["reason"] for t in optuna_trials(study) if t.state.name == "FAIL"}
    assert set(states_of(study)) == {"COMPLETE", "FAIL"}
    assert reasons == {"an objective is not finite: nan", "the loss is NaN in epoch 1"}
    assert {found.candidate.values["recon"] for found in launched.results.found} == {3.0}
    assert launched.results.counts["failed"] == len(launched.outcome.failed)
    _, again = launch(text, trials=12, sampler="grid")
    assert again.outcome.num_run == 0


@pytest.mark.parametrize("pruner", ["median", "successive_halving"])
def test_what_is_stopped_early_is_recorded_as_pruned(launch: Launch, pruner: str) -> None:
    study, launched = launch(
        SPACE.replace("epochs: 2", "epochs: 4"), trials=10, pruner=pruner, pruning={"startup_trials": 2}
    )

    pruned = [record for record in records_of(study) if record["status"] == "pruned"]
    assert len(pruned) == states_of(study).count("PRUNED") > 0
    assert "loss_direction" in pruned[0]["reason"]
    assert list((study.folder / "checkpoints").iterdir()) == []
    assert not {record["signature"] for record in pruned} & {
        f.candidate.signature for f in launched.results.found
    }
    assert launched.outcome.exit_code == 0
    _, again = launch(SPACE.replace("epochs: 2", "epochs: 4"), trials=10, pruner=pruner)
    assert again.outcome.num_run == 0


@pytest.mark.parametrize("sampler", ["random", "grid"])
def test_a_point_proposed_twice_is_answered_from_the_ledger(launch: Launch, sampler: str) -> None:
    study, launched = launch(FEW, trials=20, sampler=sampler)

    assert launched.outcome.num_run == len(records_of(study)) == 6
    assert {record["attempt"] for record in records_of(study)} == {1}
    assert any("tried" in note for note in launched.notes)


def test_a_grid_wants_steps(tmp_path: Path) -> None:
    search, axis = (
        SearchConfig(kind="optuna", sampler="grid"),
        AxisConfig(path="x", values={"low": 0, "high": 4}),
    )
    endless = AxisConfig(path="y", values={"low": 0.0, "high": 1.0})

    findings = list(search.findings({"x": axis, "y": endless}, {}))

    assert findings == [(("axes", "y", "values"), "a grid needs listed values, or a range with a step")]


def test_trials_of_a_wider_space_are_taken_over(launch: Launch) -> None:
    launch(FEW, trials=6, sampler="grid")

    wider = FEW.replace("[0.001, 0.01]", "[0.001, 0.01, 0.1]")
    _, launched = launch(wider, trials=20, sampler="grid")

    assert launched.outcome.num_run == 3
    assert any("6 trials of the ledger" in note for note in launched.notes)


@pytest.mark.parametrize("harm", ["lost", "garbled", "cut short"])
def test_a_journal_that_came_to_harm_costs_no_trial(launch: Launch, harm: str) -> None:
    study, before = launch(trials=4)
    journal = study.folder / JOURNAL
    if harm == "lost":
        journal.unlink()
    elif harm == "garbled":
        journal.write_bytes(b"garbage\n" + journal.read_bytes())
    else:
        journal.write_bytes(journal.read_bytes() + b'{"op_code": 4, "wor')

    _, launched = launch(trials=4)

    assert launched.outcome.num_run == 0
    assert launched.results.winner == before.results.winner
    assert "RUNNING" not in states_of(study)


@pytest.mark.parametrize("sampler", ["tpe", "gp", "cmaes"])
def test_a_model_of_the_results_finds_the_best_rate(launch: Launch, sampler: str) -> None:
    _, launched = launch(trials=8 if sampler == "gp" else 14, startup_trials=4, sampler=sampler)

    assert launched.results.winner is not None
    assert launched.results.winner.values[0] > 0.7  # the default has 0
    assert launched.results.importance[0]["rate"] > 0.5


def test_the_pareto_set_is_optunas_and_the_first_objective_decides(launch: Launch) -> None:
    text = SPACE.replace(
        "axes:", "axes:\n  recon: {path: training.lambda_recon, values: {low: 1.0, high: 7.0}}"
    )
    objectives = ["counterfactual_gain", "s_dir", "image_steps"]

    study, launched = launch(text, trials=12, objectives=objectives)

    results = launched.results
    trials = optuna_trials(study)
    backend = optuna.storages.journal.JournalFileBackend(str(study.folder / JOURNAL))
    best = optuna.load_study(study_name=None, storage=optuna.storages.JournalStorage(backend)).best_trials
    assert {found.candidate.signature for found in results.pareto} == {
        t.user_attrs["signature"] for t in best
    }
    assert 1 < len(results.pareto) < len(trials)
    assert results.winner is not None
    assert results.winner.values[0] == max(found.values[0] for found in results.found)
    assert results.pareto == tuple(
        sorted(pareto_set(results.found, results.objectives), key=lambda found: -found.values[0])
    )
    content = json.loads((study.folder / "tuning.json").read_text())
    assert content["importance"].keys() == set(objectives)
    assert sum(trial["is_pareto"] for trial in content["trials"]) == len(results.pareto)


def test_what_did_best_for_another_attribute_is_tried_first(launch: Launch) -> None:
    _, goblin = launch(trials=8)
    text = SPACE.replace("attribute: goblin", "attribute: zombie")

    study, zombie = launch(text, trials=3, name="tune_zombie")

    assert goblin.results.winner is not None
    assert points_of(zombie)[1] == goblin.results.winner.candidate.values
    assert [trial.user_attrs.get("origin") for trial in optuna_trials(study)] == [
        "default",
        "goblin",
        "goblin",
    ]
    assert any("(goblin)" in note for note in zombie.notes)


def test_no_trial_starts_after_the_timeout(launch: Launch, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 1000, 10))
    monkeypatch.setattr("orchestrator.tuning.search.now", lambda: next(clock))

    study, launched = launch(timeout="35s")

    assert len(records_of(study)) == launched.outcome.num_run == 3
    assert "the time is up" in launched.notes


def test_parallel_workers_share_one_search_and_stop_what_does_not_promise(
    ray_cluster: str, tmp_path: Path, display: Any, summarise: Summarise
) -> None:
    # From the fourth on, every rate of the grid is further off than any before: its epochs are below their median.
    rates = "[0.001, 0.01, 0.02, 0.2, 0.3, 0.4, 0.5, 0.6]"
    pruned = "trials: 8, sampler: grid, pruner: median, pruning: {startup_trials: 2}"
    text = SPACE.replace("{low: 1.0e-4, high: 1.0e-1, log: true}", rates).replace("epochs: 2", "epochs: 3")
    text = "".join(line for line in text.splitlines(True) if not line.startswith(("  encoder:", "  heads:")))
    file = tmp_path / "tune_goblin.yaml"
    file.write_text(text.replace("trials: 8, startup_trials: 3", pruned))
    study = open_study(load_space(file, summarise=summarise), tmp_path / "results", summarise=summarise)
    options = RunOptions(
        address=ray_cluster, trial_class="fake_trials:TunedTrial", extra_modules=(HERE / "fake_trials.py",)
    )

    launched = run_search(study, options, display, summarise)

    states = states_of(study)
    assert len(records_of(study)) == launched.outcome.num_run == 8
    assert states.count("COMPLETE") + states.count("PRUNED") == len(states)
    assert states.count("PRUNED") == sum(record["status"] == "pruned" for record in records_of(study)) > 0


def test_an_axis_is_proposed_only_where_it_acts(tmp_path: Path, load: Callable[[str], Space]) -> None:
    axes = load(SPACE).config.axes
    baseline = {"rate": 0.001, "encoder": "conv", "heads": 1}
    optimizer = Optimizer(tmp_path, "s", axes, baseline, SearchConfig(kind="optuna"), [True])

    proposals = [optimizer.ask() for _ in range(12)]

    values = [proposal.values for proposal in proposals if proposal is not None]
    assert {point["heads"] for point in values if point["encoder"] == "conv"} == {1}
    assert {point["heads"] for point in values if point["encoder"] == "pixel_channel"} == {1, 2}
