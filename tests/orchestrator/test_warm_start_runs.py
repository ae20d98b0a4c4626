"""What a chain of warm starts does when it runs."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator.execution.models import model_path
from orchestrator.ledger import Ledger, read_study
from orchestrator.space.config import Space
from orchestrator.study.launch import Study, open_study
from orchestrator.study.observing import Outcome
from orchestrator.study.runner import RunOptions, run_missing

Load = Callable[..., Space]
WriteEditor = Callable[..., None]
Launch = Callable[..., tuple[Study, Outcome]]

SPACE = (Path(__file__).parent / "warm_start.yaml").read_text(encoding="utf-8")
WARM = "warm: {init: {from: {attribute: goblin}}}"


def with_warm(value: str) -> str:
    """The space with another warm start."""
    return SPACE.replace(WARM, f"warm: {{init: {value}}}")


@pytest.fixture
def launch(load: Load, tmp_path: Path, display: Any) -> Launch:
    """Run what a space misses in this process, with trials that take no time."""

    def run(text: str, trial: str = "FakeTrial") -> tuple[Study, Outcome]:
        study = open_study(load(text), tmp_path / "results")
        options = RunOptions(inline=True, trial_class=f"fake_trials:{trial}")
        return study, run_missing(study, options, display)

    return run


def states(study: Study) -> dict[tuple[str, int], str]:
    records = Ledger(study.ledger_folder).records()
    return {(record["cell"], record["seed"]): record["status"] for record in records}


def weights_of(study: Study, cell: str, seed: int) -> list[int]:
    [signature] = [t.signature for t in study.plan.trials if (t.cell, t.seed) == (cell, seed)]
    weights: list[int] = json.loads(model_path(study.folder, signature).read_text())
    return weights


def test_a_child_starts_from_its_parents_weights_of_the_same_seed(launch: Launch) -> None:
    study, outcome = launch(SPACE)

    assert outcome.num_run == len(study.plan.trials) == 8
    assert weights_of(study, "attribute=goblin", 1) == [1000, 1001]
    assert weights_of(study, "start=warm", 1) == [1000, 1001, 1000, 1001]
    assert {r["parent"] for r in Ledger(study.ledger_folder).records() if r["cell"] == "start=warm"} == {
        trial.signature for trial in study.plan.trials if trial.cell == "attribute=goblin"
    }


def test_a_child_starts_from_the_epoch_it_names(launch: Launch) -> None:
    study, _ = launch(with_warm("{from: {attribute: {zombie: sad, sad: smiling}}, epoch: 1}"))

    assert weights_of(study, "start=warm", 0) == [0, 0, 0, 1]  # an epoch of each ancestor, then its own two


def test_a_parent_that_is_done_trains_again_when_its_editor_is_missed(launch: Launch) -> None:
    without = SPACE.replace(WARM, "goblin: {attribute: goblin}")
    launch(without)
    study, outcome = launch(with_warm("{from: {attribute: goblin}, epoch: 1, control: false}"))

    assert outcome.num_run == 4  # two children, and their parents for the editor of epoch 1
    assert weights_of(study, "start=warm", 0) == [0, 0, 1]
    records = Ledger(study.ledger_folder).records()
    assert [r["attempt"] for r in records if r["cell"] == "attribute=goblin"] == [2, 2]


def test_a_child_added_later_finds_its_parent_in_the_ledger(launch: Launch) -> None:
    launch(SPACE.replace(WARM, "goblin: {attribute: goblin}"))

    study, outcome = launch(with_warm("{from: {attribute: goblin}, control: false}"))

    assert outcome.num_run == 2
    assert weights_of(study, "start=warm", 0) == [0, 1, 0, 1]


def test_a_failed_parent_skips_its_children_and_both_run_next_time(launch: Launch) -> None:
    study, outcome = launch(SPACE, "FailingTrial")

    assert outcome.exit_code == 1
    assert states(study)[("attribute=goblin", 1)] == "failed"
    assert states(study)[("start=warm", 1)] == "skipped"
    [skipped] = [record for record in outcome.failed if record["status"] == "skipped"]
    assert skipped["reason"] == "its parent attribute=goblin failed: the loss is NaN in epoch 1"

    study, outcome = launch(SPACE)

    assert outcome.exit_code == 0
    assert set(states(study).values()) == {"done"}
    assert weights_of(study, "start=warm", 1) == [1000, 1001, 1000, 1001]


def test_an_editor_file_is_copied_to_where_every_node_sees_it(
    launch: Launch, tmp_path: Path, write_editor: WriteEditor
) -> None:
    write_editor(tmp_path / "a.safetensors", 1)

    study, outcome = launch(with_warm("{from: {editor: a.safetensors}}"), "ReadingTrial")

    assert outcome.exit_code == 0
    [copy] = (study.folder / "editors").glob("from-*.safetensors")
    assert copy.read_bytes() == (tmp_path / "a.safetensors").read_bytes()
    assert weights_of(study, "start=warm", 0) == [len(copy.read_bytes()), 0, 1]


def test_readers_of_the_study_see_roles_and_the_controls_axis_value(launch: Launch) -> None:
    study, _ = launch(SPACE)

    read = read_study(study.folder)

    assert read.axes == {"start": ("scratch", "warm", "scratch_matched_to_warm")}
    assert {cell.cell: cell.role for cell in read.cells} == {
        "baseline": "design",
        "start=warm": "design",
        "start=scratch_matched_to_warm": "design",
        "attribute=goblin": "parent",
    }
