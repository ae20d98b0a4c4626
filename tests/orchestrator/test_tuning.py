"""What a search proposes, runs and finds."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from searches import FEW, SPACE, TWO_SEEDS, Launch, launcher, optuna_trials, points_of, records_of, states_of

from orchestrator.ledger import read_study
from orchestrator.plan.loading import load_space
from orchestrator.search import optimizer
from orchestrator.search.journal import JOURNAL
from orchestrator.search.optimizer import Optimizer
from orchestrator.search.results import costs, pareto_front
from orchestrator.search.running import run_search
from orchestrator.search.sampling import distribution_of, grid_point, grid_size
from orchestrator.space.axes import AxisConfig
from orchestrator.space.config import Space
from orchestrator.space.designs.optuna import Config as SearchConfig
from orchestrator.study.launch import open_study
from orchestrator.study.runner import RunOptions
from trainables.h_space.family import HSpace
from trainables.h_space.layers import Summarise

HERE = Path(__file__).parent


@pytest.fixture
def launch(tmp_path: Path, display: Any, summarise: Summarise) -> Launch:
    return launcher(tmp_path, display, summarise)


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
        found.signature for found in launched.results.trials
    ]
    assert plan.baseline is None


def test_the_budget_counts_all_launches(launch: Launch) -> None:
    launch(trials=5)

    study, again = launch(trials=5)
    _, more = launch(trials=7)

    assert (again.outcome.num_run, more.outcome.num_run) == (0, 2)
    assert len(records_of(study)) == 7


def test_with_several_seeds_optuna_hears_the_mean(launch: Launch) -> None:
    study, launched = launch(TWO_SEEDS, trials=4)

    by_cell: dict[str, dict[int, float]] = {}
    for record in records_of(study):
        by_cell.setdefault(record["cell"], {})[record["seed"]] = record["metric_counterfactual_gain"]
    assert [sorted(values) for values in by_cell.values()] == [[3, 7]] * 4
    means = [sum(values.values()) / 2 for values in by_cell.values()]
    assert sorted(trial.value or 0.0 for trial in optuna_trials(study)) == pytest.approx(sorted(means))
    assert launched.results.best is not None
    assert launched.results.best.values[0] == pytest.approx(max(means))
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


@pytest.mark.parametrize("pruner", ["median", "successive_halving"])
def test_what_is_stopped_early_is_recorded_as_pruned(launch: Launch, pruner: str) -> None:
    study, launched = launch(
        SPACE.replace("epochs: 2", "epochs: 4"), trials=10, pruner=pruner, pruning={"startup_trials": 2}
    )

    pruned = [record for record in records_of(study) if record["status"] == "pruned"]
    assert len(pruned) == states_of(study).count("PRUNED") > 0
    assert "loss_direction" in pruned[0]["reason"]
    assert list((study.folder / "checkpoints").iterdir()) == []
    assert not {record["signature"] for record in pruned} & {f.signature for f in launched.results.trials}
    assert launched.outcome.exit_code == 0
    _, again = launch(SPACE.replace("epochs: 2", "epochs: 4"), trials=10, pruner=pruner)
    assert again.outcome.num_run == 0


def test_a_grid_looks_at_each_of_its_points_once(launch: Launch, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[int] = []
    point_at = optimizer.grid_point

    def counted(axes: Any, baseline: Any, index: int) -> dict[str, Any]:
        looked.append(index)
        return point_at(axes, baseline, index)

    monkeypatch.setattr(optimizer, "grid_point", counted)

    _, launched = launch(FEW, trials=20, sampler="grid")

    assert looked == list(range(8))  # two rates, two encoders and two numbers of heads
    points = {tuple(point.items()) for point in points_of(launched)}
    assert len(points) == len(launched.results.trials) == 6


@pytest.mark.parametrize("sampler", ["random", "grid"])
def test_a_point_proposed_twice_is_answered_from_the_ledger(launch: Launch, sampler: str) -> None:
    study, launched = launch(FEW, trials=20, sampler=sampler)

    assert launched.outcome.num_run == len(records_of(study)) == 6
    assert {record["attempt"] for record in records_of(study)} == {1}
    assert any("tried" in note for note in launched.notes)


@pytest.mark.parametrize(
    ("low", "high", "step", "last"),
    [(0.001, 0.02, 0.003, 0.019), (0.1, 0.7, 0.2, 0.7), (0.0, 1.0, 0.3, 0.9), (1, 8, 3, 7)],
)
def test_a_range_ends_at_its_last_step(low: float, high: float, step: float, last: float) -> None:
    """Optuna warns of another end, also where it only differs in the last bit."""
    axis = AxisConfig.model_validate({"path": "x", "values": {"low": low, "high": high, "step": step}})

    assert distribution_of(axis).high == last
    grid = [grid_point({"x": axis}, {}, index)["x"] for index in range(grid_size({"x": axis}))]
    assert (grid[0], grid[-1]) == (low, last)


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


@pytest.mark.parametrize("sampler", ["tpe", "gp", "cmaes"])
def test_a_model_of_the_results_finds_the_best_rate(launch: Launch, sampler: str) -> None:
    _, launched = launch(trials=8 if sampler == "gp" else 14, startup_trials=4, sampler=sampler)

    assert launched.results.best is not None
    assert launched.results.best.values[0] > 0.7  # the default has 0
    assert launched.results.importance["counterfactual_gain"]["rate"] > 0.5


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
    assert {found.signature for found in results.pareto} == {t.user_attrs["signature"] for t in best}
    assert 1 < len(results.pareto) < len(trials)
    assert results.best is not None
    assert results.best.values[0] == max(found.values[0] for found in results.trials)
    costs_of = {found.signature: costs(found.values, results.objectives) for found in results.trials}
    front = pareto_front(costs_of.values())
    assert [costs_of[found.signature] for found in results.pareto] == sorted(front)
    content = json.loads((study.folder / "tuning.json").read_text())
    assert content["importance"].keys() == set(objectives)
    assert sum(trial["is_pareto"] for trial in content["trials"]) == len(results.pareto)


def test_what_did_best_for_another_attribute_is_tried_first(launch: Launch) -> None:
    _, goblin = launch(trials=8)
    text = SPACE.replace("attribute: goblin", "attribute: zombie")

    study, zombie = launch(text, trials=3, name="tune_zombie")

    assert goblin.results.best is not None
    assert points_of(zombie)[1] == goblin.results.best.axis_values
    assert [trial.user_attrs.get("origin") for trial in optuna_trials(study)] == [
        "default",
        "goblin",
        "goblin",
    ]
    assert any("(goblin)" in note for note in zombie.notes)


def test_no_trial_starts_after_the_timeout(launch: Launch, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 1000, 10))
    monkeypatch.setattr("orchestrator.search.search.now", lambda: next(clock))

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
    study = open_study(load_space(file, family=HSpace(summarise)), tmp_path / "results")
    options = RunOptions(
        address=ray_cluster, trial_class="fake_trials:TunedTrial", extra_modules=(HERE / "fake_trials.py",)
    )

    launched = run_search(study, options, display)

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
