from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from orchestrator.ledger import TABLES, Ledger, LedgerError, LedgerLock, read_study
from orchestrator.ledger.schemas import own_columns
from orchestrator.plan.loading import load_space
from orchestrator.study.launch import Study, open_study
from orchestrator.study.observing import Outcome
from orchestrator.study.runner import RunOptions, run_missing
from trainables.errors import UserError
from trainables.h_space.family import HSpace

Launch = Callable[..., tuple[Study, Outcome, list[str]]]


@pytest.fixture
def launch(space_file: Path, tmp_path: Path, display: Any) -> Launch:
    """Run what is missing of the test space in this process."""

    def run(trial: str = "FakeTrial", **loading: Any) -> tuple[Study, Outcome, list[str]]:
        study = open_study(load_space(space_file, **loading), tmp_path / "results")
        display.lines = []
        options = RunOptions(inline=True, trial_class=f"fake_trials:{trial}")
        outcome = run_missing(study, options, display)
        return study, outcome, display.lines

    return run


def records_of(study: Study) -> list[dict[str, Any]]:
    return Ledger(study.ledger_folder).records()


def files_of(study: Study, table: str) -> list[str]:
    return sorted(path.name for path in (study.ledger_folder / table).glob("part-*"))


def test_a_first_launch_runs_and_commits_the_whole_plan(launch: Launch) -> None:
    study, outcome, lines = launch()

    assert (outcome.num_run, outcome.exit_code) == (4, 0)
    assert [record["status"] for record in records_of(study)] == ["done"] * 4
    assert len(files_of(study, "trials")) == 4
    assert lines[0].startswith("[1/4] baseline seed 0 done in ")
    assert read_study(study.folder).plan_hash == study.plan.plan_hash


def test_a_second_launch_runs_nothing(launch: Launch) -> None:
    launch()

    study, outcome, lines = launch()

    assert (outcome.num_run, lines) == (0, [])
    assert len(files_of(study, "trials")) == 4


def test_more_seeds_run_only_what_is_new(launch: Launch) -> None:
    launch()

    study, outcome, _ = launch(seeds=3)

    assert outcome.num_run == 2
    assert {record["seed"] for record in records_of(study)} == {0, 1, 2}
    assert {record["attempt"] for record in records_of(study)} == {1}


def schemas_of(study: Study, table: str) -> set[str]:
    parts = study.ledger_folder.joinpath(table).glob("*.parquet")
    return {str(pq.read_schema(part).remove_metadata()) for part in parts}


def test_the_parts_of_failed_and_of_finished_trials_have_one_schema(launch: Launch) -> None:
    study, _, _ = launch("FailingTrial")

    assert {record["status"] for record in records_of(study)} == {"done", "failed"}
    assert [len(schemas_of(study, table)) for table in TABLES] == [1, 1, 1, 1]
    (schema,) = schemas_of(study, "trials")
    assert "axis_rate: double" in schema
    assert "metric_counterfactual_gain_std: double" in schema


def test_a_launch_gives_the_parts_of_an_earlier_release_their_columns(launch: Launch) -> None:
    study, _, _ = launch()
    first = next(study.ledger_folder.glob("trials/*.parquet"))
    pq.write_table(own_columns("trials", pq.ParquetFile(first).read()).replace_schema_metadata(None), first)
    assert len(schemas_of(study, "trials")) == 2

    launch()

    assert len(schemas_of(study, "trials")) == 1
    assert len(records_of(study)) == 4


def test_failed_trials_are_named_and_tried_again(launch: Launch) -> None:
    study, outcome, lines = launch("FailingTrial")

    assert outcome.exit_code == 1
    assert {record["seed"] for record in outcome.failed} == {1}
    assert any("seed 1 FAILED: the loss is NaN in epoch 1" in line for line in lines)

    study, outcome, _ = launch("FakeTrial")

    assert (outcome.num_run, outcome.exit_code) == (2, 0)
    assert sorted(record["attempt"] for record in records_of(study)) == [1, 1, 2, 2]


def test_no_checkpoint_outlives_its_commit(launch: Launch) -> None:
    study, _, _ = launch()

    assert list((study.folder / "checkpoints").iterdir()) == []


def test_an_interrupted_launch_commits_what_is_done_and_the_next_goes_on(launch: Launch) -> None:
    study, outcome, _ = launch("InterruptingTrial")

    assert outcome.exit_code == 143
    assert records_of(study) == []

    study, outcome, _ = launch("FakeTrial")

    notes = {record["seed"]: record["notes"] for record in records_of(study) if record["cell"] == "baseline"}
    assert outcome.num_run == 4
    assert notes == {0: ["resumed after epoch 1"], 1: []}


def test_a_damaged_part_runs_its_trial_again(launch: Launch) -> None:
    study, _, _ = launch()
    damaged = study.ledger_folder / "curves" / files_of(study, "curves")[0]
    damaged.write_bytes(damaged.read_bytes()[:40])

    study, outcome, lines = launch()

    assert outcome.num_run == 1
    assert any("damaged and set aside" in line for line in lines)
    assert len(records_of(study)) == 4


def test_rows_that_nothing_commits_are_cleaned_up(launch: Launch) -> None:
    study, _, _ = launch()
    stray = study.ledger_folder / "trials" / files_of(study, "trials")[0]
    stray.unlink()

    study, outcome, _ = launch()

    assert outcome.num_run == 1
    assert files_of(study, "curves") == files_of(study, "trials")


def test_a_second_launch_at_the_same_time_is_refused(launch: Launch) -> None:
    study, _, _ = launch()

    with LedgerLock(study.ledger_folder), pytest.raises(LedgerError, match="another launch is running"):
        launch()


def test_a_launch_is_visible_while_it_runs_and_leaves_no_trace(launch: Launch) -> None:
    study, _, _ = launch()

    assert not (study.folder / "running.json").exists()


def test_a_preparation_that_fails_ends_the_launch_with_its_words(
    space_file: Path, tmp_path: Path, display: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: HSpace, configs: Any, cache_dir: Path) -> Any:
        raise UserError("no such image")

    monkeypatch.setattr(HSpace, "preparation", fail)
    study = open_study(load_space(space_file), tmp_path / "results")

    outcome = run_missing(study, RunOptions(inline=True), display)

    assert (outcome.exit_code, outcome.preparation_error) == (1, "no such image")
    assert records_of(study) == []
