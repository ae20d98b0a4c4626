"""Results that other source code has made: seen, run again, reused only where that is asked for, never mixed unseen."""

import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from rich.console import Console

from analysis.accounting import provenance, warnings
from analysis.contrasts import judge_study
from analysis.frames import load_frames
from orchestrator.execution.worker import TrialRun
from orchestrator.ledger import Ledger
from orchestrator.plan.build import build_plan
from orchestrator.plan.loading import load_space
from orchestrator.space.config import Space
from orchestrator.study import planning
from orchestrator.study.launch import Study, open_study
from orchestrator.study.observing import Outcome
from orchestrator.study.runner import RunOptions, run_missing
from orchestrator.views import status
from orchestrator.views.explaining import explain, find
from trainables.h_space.family import HSpace

Launch = Callable[..., tuple[Study, Outcome]]
OLD, NEW = "a" * 16, "b" * 16


@pytest.fixture
def source(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Let every trial use the source code with this fingerprint."""
    return lambda code: monkeypatch.setattr(HSpace, "code", lambda self, config: code)


@pytest.fixture
def launch(space_file: Path, tmp_path: Path, display: Any) -> Launch:
    def run(trial: str = "FakeTrial", name: str = "rates", reuse: bool = False, **loading: Any) -> Any:
        path = tmp_path / f"{name}.yaml"
        path.write_text(space_file.read_text())
        study = open_study(load_space(path, **loading), tmp_path / "results", reuses_changed_code=reuse)
        return study, run_missing(study, RunOptions(inline=True, trial_class=f"fake_trials:{trial}"), display)

    return run


def told(study: Study) -> str:
    console = Console(file=io.StringIO(), width=200)
    planning.show(planning.view(study), console)
    return console.file.getvalue()  # type: ignore[attr-defined]


def records(study: Study) -> list[dict[str, Any]]:
    ledger = Ledger(study.ledger_folder)
    ledger.prefer({trial.signature: trial.code for trial in study.plan.trials})
    return ledger.records()


def test_trials_of_changed_code_run_again_and_count_again_once_the_change_is_undone(
    launch: Launch, source: Callable[[str], None]
) -> None:
    source(OLD)
    launch()
    source(NEW)

    study, outcome = launch()

    assert outcome.num_run == 4
    assert {(record["code"], record["attempt"]) for record in records(study)} == {(NEW, 2)}
    source(OLD)
    study, outcome = launch()
    assert outcome.num_run == 0
    assert {(record["code"], record["attempt"]) for record in records(study)} == {(OLD, 1)}


def test_a_plan_says_what_was_made_by_other_code(launch: Launch, source: Callable[[str], None]) -> None:
    source(OLD)
    study, _ = launch()
    source(NEW)

    study = open_study(study.space, study.folder.parent)
    reusing = replace(study, reuses_changed_code=True)

    # The space holds the plan that was made of it, so it is made anew.
    study, reusing = (replace(one, plan=build_plan(replace(one.space))) for one in (study, reusing))
    assert "4 trials: 0 done, 4 to run" in told(study)
    assert "4 finished trials were made by code that has changed since" in told(study)
    assert "--reuse-changed-code keeps them" in told(study)
    assert "4 trials: 4 done, 0 to run" in told(reusing)
    assert "4 of the done trials were made by code that has changed since; they count" in told(reusing)
    content = planning.as_json(planning.view(study))
    assert (content["num_other_code"], content["num_done"], content["num_missing"]) == (4, 0, 4)
    assert {trial["state"] for trial in content["trials"]} == {"waiting"}


def test_reused_trials_are_named_by_status_explain_and_report(
    launch: Launch, source: Callable[[str], None]
) -> None:
    source(OLD)
    launch()
    source(NEW)

    study, outcome = launch(reuse=True, seeds=3)

    assert outcome.num_run == 2  # the third seed of both cells
    frames = load_frames(study.folder)
    assert set(frames.trials["status"]) == {"done"}
    assert [
        line for line in warnings(frames) if line.startswith("Reused as --reuse-changed-code asked: 4 trials")
    ]
    assert dict(provenance(frames))["source code"] == f"{OLD}, {NEW}"
    shown = status.view(study.folder)
    assert len(shown.of_other_code) == 4
    assert set(shown.states.values()) == {"done"}
    assert sum(trial["is_of_other_code"] for trial in status.as_json(shown)["trials"]) == 4
    line = "\n".join(explain(find("baseline:0", study.folder.parent)))
    assert f"made by other code ({OLD}; the latest launch has {NEW}): it counts all the same" in line


def test_what_a_launch_has_not_run_again_yet_enters_no_contrast(
    launch: Launch, source: Callable[[str], None]
) -> None:
    """As after a launch that was stopped, or whose trials fail: the code that changed is the failure's."""
    source(OLD)
    launch()
    source(NEW)

    study, _ = launch("FailingTrial")  # seed 1 fails
    ended = {record["signature"] for record in records(study) if record["seed"] == 0}
    for table in ("trials", "curves", "evaluations", "samples"):
        for path in (study.ledger_folder / table).glob("part-*-2.parquet"):
            if path.name.split("-")[1] == max(ended):
                path.unlink()  # One of the two never ran again.

    frames = load_frames(study.folder)
    left_out = frames.trials[frames.trials["signature"] == max(ended)]
    assert list(left_out["status"]) == ["missing"]
    assert max(ended) not in set(frames.curves["signature"])
    [contrast] = judge_study(frames).contrasts
    assert (contrast.n, contrast.sample.missing, contrast.sample.failed_both) == (0, 1, 1)
    assert [
        line
        for line in warnings(frames)
        if line.startswith("Left out until a launch runs them again: 1 trial")
    ]
    shown = status.view(study.folder)
    assert sorted(shown.states.values()) == ["done", "failed", "failed", "waiting"]
    assert "the next launch runs it again" in "\n".join(explain(find(max(ended), study.folder.parent)))


def test_a_ledger_from_before_code_was_recorded_stays_readable(
    launch: Launch, source: Callable[[str], None]
) -> None:
    source(OLD)
    study, _ = launch()
    for path in (study.ledger_folder / "trials").glob("*.parquet"):
        part = pq.read_table(path).drop_columns(["code"])
        pq.write_table(part, path)
    file = study.folder / "study.json"
    content = json.loads(file.read_text())
    del content["reuses_changed_code"]
    for cell in content["cells"]:
        del cell["code"]
    file.write_text(json.dumps(content))

    frames = load_frames(study.folder)

    assert set(frames.trials["status"]) == {"done"}
    assert dict(provenance(frames))["source code"] == "unknown"
    assert not status.view(study.folder).of_other_code
    assert "4 finished trials were made by code that was not recorded" in told(study)
    assert launch()[1].num_run == 4


def test_a_plan_counts_trials_that_other_settings_have_made(
    launch: Launch, source: Callable[[str], None], space_file: Path
) -> None:
    source(OLD)
    study, _ = launch()

    other = open_study(load_space(space_file, settings=["training.epochs=3"]), study.folder.parent)

    assert "4 trials: 0 done, 4 to run" in told(other)
    assert "4 finished trials of these cells and seeds had other settings" in told(other)
    assert "had other settings" not in told(study)


def test_other_studies_give_only_what_the_same_code_has_made(
    launch: Launch, source: Callable[[str], None]
) -> None:
    source(OLD)
    launch(name="first")
    source(NEW)

    second, outcome = launch(name="second")
    third, reused = launch(name="third", reuse=True)
    source("c" * 16)
    fourth, any_code = launch(name="fourth", reuse=True)

    assert outcome.num_run == 4
    assert reused.num_run == any_code.num_run == 0
    assert {record["code"] for record in records(third)} == {NEW}  # that of the same code before any other
    assert {record["code"] for record in records(fourth)} == {OLD}
    assert {record["code"] for record in records(second)} == {NEW}


def test_a_child_is_made_by_its_parents_code_too(
    load: Callable[..., Space], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (Path(__file__).parent / "warm_start.yaml").read_text(encoding="utf-8")

    def codes(of_goblin: str) -> dict[str, str]:
        monkeypatch.setattr(
            HSpace, "code", lambda self, config: of_goblin if config.attribute == "goblin" else OLD
        )
        return {trial.cell: trial.code for trial in build_plan(load(text)).trials}

    before, after = codes(OLD), codes(NEW)

    changed = {cell for cell in before if after[cell] != before[cell]}
    assert changed == {"attribute=goblin", "start=warm"}


def test_a_checkpoint_of_other_code_is_not_gone_on_with(
    make_task: Callable[..., Any], make_settings: Callable[..., Any]
) -> None:
    task, settings = make_task("a", epochs=2), make_settings()
    TrialRun(replace(task, code=OLD), settings).advance()

    run = TrialRun(replace(task, code=NEW), settings)
    epochs = [run.advance() for _ in range(2)]

    assert [step.metrics["epoch"] for step in epochs] == [1, 2]
    record = epochs[-1].record
    assert record is not None
    assert (record["code"], record["notes"]) == (
        NEW,
        ["started afresh: the checkpoint was written by other code"],
    )
