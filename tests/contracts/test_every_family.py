"""What the orchestrator relies on, for every family that is installed, those of other packages too."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cli.parser import main
from orchestrator.ledger import TABLES, Ledger
from orchestrator.ledger.schemas import to_arrow
from trainables.families import family_names, find_family
from trainables.family import Family
from trainables.trials import close

SEED = 3


@pytest.fixture(scope="module", params=sorted(family_names()))
def family(request: pytest.FixtureRequest) -> Family:
    return find_family(request.param, Path.cwd())


@pytest.fixture
def config(family: Family, tmp_path: Path) -> Any:
    settings = family.absolute(json.loads(json.dumps(dict(family.example))), tmp_path)
    return family.canonical(family.Config.model_validate(family.settled(settings)[0]))


def prepared(family: Family, config: Any, cache_dir: Path) -> Path:
    for stage in family.preparation([family.with_seed(config, SEED)], cache_dir):
        for task in stage:
            family.run_preparation(task, cache_dir, "cpu")
    return cache_dir


def trained(family: Family, config: Any, folder: Path, *, interrupted: bool = False) -> Any:
    """A trial to its end; taken up from its first checkpoint where it was interrupted."""
    given = {"cache_dir": folder}
    trial = family.trial(family.with_seed(config, SEED), SEED, **given)
    if interrupted:
        trial.step()
        checkpoint = folder / "checkpoint"
        checkpoint.mkdir()
        trial.save_checkpoint(checkpoint)
        rows = json.loads(json.dumps(list(trial.checkpoint_rows(0))))
        close(trial)
        trial = family.trial(family.with_seed(config, SEED), SEED, **given)
        trial.load_checkpoint(checkpoint, rows)
    while not trial.is_done:
        metrics = trial.step()
        assert metrics["epoch"] == trial.epoch
    result = trial.finish()
    close(trial)
    return result


def test_it_says_what_it_is_and_every_metric_what_it_means(family: Family, config: Any) -> None:
    metrics = {**family.metrics_of(dict(family.example)), **family.curve_metrics}

    assert family.description
    assert metrics
    assert all(metric.name == name and metric.label for name, metric in metrics.items())
    assert all(family.has_setting(path) for path in family.setting_paths())


def test_a_configuration_survives_json_and_has_one_identity(family: Family, config: Any) -> None:
    again = family.Config.model_validate_json(json.dumps(config.model_dump(mode="json")))

    assert again == config
    text = json.dumps(family.identity(config), sort_keys=True)
    assert json.dumps(family.identity(again), sort_keys=True) == text
    assert family.canonical(again) == config


def test_it_says_what_a_trial_costs(family: Family, config: Any) -> None:
    work, kind = family.work(config), family.kind(config)

    assert work.train > 0
    assert work.other > 0
    assert family.num_epochs(config) >= 1
    assert family.epoch_work(config) >= 1
    assert all(isinstance(part, str) for part in kind)


def test_what_a_trial_leaves_fits_the_ledger_and_names_its_metrics(
    family: Family, config: Any, tmp_path: Path
) -> None:
    result = trained(family, config, prepared(family, config, tmp_path))

    for table in ("curves", "evaluations", "samples"):
        rows = [{"signature": "s", "attempt": 1, **row} for row in getattr(result, table)]
        assert to_arrow(table, rows).num_rows == len(rows)
    assert all(math.isfinite(value) for value in result.summary.values())
    told = {name for name in family.metrics_of(dict(family.example)) if not family.unmeasured(name, config)}
    _, expected = family.measured_columns([config])
    assert told <= set(result.summary)
    assert set(result.summary) - {"train_seconds"} <= {*expected, *family.curve_columns()}
    assert TABLES.keys() >= {"curves", "evaluations", "samples"}


def test_an_interrupted_trial_gives_the_same_numbers(family: Family, config: Any, tmp_path: Path) -> None:
    cache_dir = prepared(family, config, tmp_path)

    whole, taken_up = (trained(family, config, cache_dir, interrupted=flag) for flag in (False, True))

    assert {**taken_up.summary, "train_seconds": 0} == {**whole.summary, "train_seconds": 0}
    assert taken_up.curves == whole.curves
    assert taken_up.evaluations == whole.evaluations


def searched_setting(family: Family) -> tuple[str, list[Any]]:
    """A setting of the example, its own value and another one."""
    path = family.epochs_path if family.has_setting(family.epochs_path) else family.setting_paths()[0]
    return path, [2, 1]


def test_tune_finds_its_best_settings_tests_them_and_leaves_them(
    family: Family, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    path, values = searched_setting(family)
    metric = next(name for name, one in family.metrics_of(dict(family.example)).items() if not one.is_of_sets)
    space = {
        "question": "Which settings suit?",
        "family": family.name,
        "baseline": json.loads(json.dumps(dict(family.example), default=dict)),
        "axes": {"value": {"path": path, "values": values}},
        "design": {"kind": "optuna", "trials": 2, "sampler": "grid", "retest": {"seeds": 1}},
        "seeds": 1,
        "primary": {"metric": metric, "margin": 0.1},
    }
    (tmp_path / "mine.yaml").write_text(json.dumps(space))

    code = main(["tune", "mine.yaml", "--inline", "--no-price"])

    said = capsys.readouterr().out
    study = tmp_path / "results" / "tune_mine"
    assert code == 0, said
    assert "2 done" in said
    assert (study / "mine.yaml").is_file()
    assert (study / "report" / "report.html").is_file()
    assert len(json.loads((study / "tuning.json").read_text())["trials"]) == 2
    if "Nothing did better" not in said:
        written = (study / "tune_mine_retest.yaml").read_text()
        assert "settings found for mine beat" in written
        assert len(Ledger(tmp_path / "results" / "tune_mine_retest" / "ledger").records()) == 2
