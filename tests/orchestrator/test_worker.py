import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from orchestrator.execution import worker
from orchestrator.execution.machine import usable_bytes, usable_cores
from orchestrator.execution.tasks import Record, TrialTask, WorkerSettings
from orchestrator.execution.worker import TRACEBACK_LINES, TrialRun, failure_reason, import_class
from orchestrator.ledger import Ledger
from orchestrator.ledger.study import end_of_log, log_file

Make = Callable[..., TrialTask]
Settings = Callable[..., WorkerSettings]
Weights = Callable[[Path, str], list[int]]


def to_the_end(run: TrialRun) -> tuple[list[int], Record]:
    """The epochs a run reports, and its record."""
    epochs = []
    while True:
        step = run.advance()
        if step.metrics:
            epochs.append(int(step.metrics["epoch"]))
        if step.record is not None:
            return epochs, step.record


def log_of(settings: WorkerSettings, task: TrialTask) -> str:
    return (settings.study_folder / log_file(task.signature)).read_text()


def test_a_trial_ends_with_rows_editor_and_record(make_task: Make, make_settings: Settings) -> None:
    task, settings = make_task("a", seed=4, epochs=3), make_settings()

    epochs, record = to_the_end(TrialRun(task, settings))
    ledger = Ledger(settings.study_folder / "ledger")
    ledger.commit(record)

    assert epochs == [1, 2, 3]
    assert ledger.table("curves")["epoch"].to_pylist() == [1, 2, 3]
    assert (settings.study_folder / "editors" / "a.safetensors").is_file()
    [row] = ledger.records()
    assert row["status"] == "done"
    assert row["metric_counterfactual_gain"] == 4.0
    assert row["num_parameters"] == 3
    assert row["axis_axis"] == "a"
    assert json.loads(row["config"])["attribute"] == "smiling"
    assert row["wall_seconds"] >= row["train_seconds"] >= 0


def test_the_record_says_where_and_with_what(make_task: Make, make_settings: Settings) -> None:
    _, record = to_the_end(TrialRun(make_task(), make_settings(threads_per_trial=1)))

    assert record["device"] == "cpu"
    assert record["provenance"]["threads"] == 1
    assert {"python", "torch"} <= record["provenance"]["versions"].keys()
    assert record["provenance"]["host"]
    hardware = record["provenance"]["hardware"]
    assert (hardware["cpus"], hardware["memory_bytes"]) == (usable_cores(), usable_bytes())
    assert hardware["allotted"] == {"cpus": 1, "gpus": 0}
    assert record["provenance"]["float32"] == {"convolutions": "ieee", "products": "ieee"}


def test_a_worker_chooses_how_float32_is_computed(make_settings: Settings) -> None:
    torch.backends.mkldnn.conv.fp32_precision = "bf16"
    torch.backends.cuda.matmul.fp32_precision = "tf32"
    torch.backends.cudnn.conv.fp32_precision = "ieee"

    worker.prepare_torch(make_settings())

    assert torch.backends.mkldnn.conv.fp32_precision == "ieee"
    assert torch.backends.cuda.matmul.fp32_precision == "ieee"
    assert torch.backends.cudnn.conv.fp32_precision == "tf32"


def test_a_run_resumes_after_the_last_epoch_kept(
    make_task: Make, make_settings: Settings, weights: Weights
) -> None:
    task, settings = make_task("a", epochs=3), make_settings()
    TrialRun(task, settings).advance()

    epochs, record = to_the_end(TrialRun(task, settings))

    assert epochs == [2, 3]
    assert record["notes"] == ["resumed after epoch 1"]
    assert weights(settings.study_folder, "a") == [0, 1, 2]


def test_a_trial_that_only_lacked_its_evaluation_trains_no_more(
    make_task: Make, make_settings: Settings
) -> None:
    task, settings = make_task("a", epochs=1), make_settings()
    first = to_the_end(TrialRun(task, settings))[1]

    epochs, record = to_the_end(TrialRun(task, settings))

    assert epochs == []
    assert record["status"] == "done"
    assert record["train_seconds"] == pytest.approx(first["train_seconds"])


def test_a_damaged_checkpoint_is_set_aside_and_noted(
    make_task: Make, make_settings: Settings, weights: Weights
) -> None:
    task, settings = make_task("a", epochs=2), make_settings()
    TrialRun(task, settings).advance()
    [file] = (settings.study_folder / "checkpoints" / "a").rglob("weights.json")
    file.write_text("[")

    epochs, record = to_the_end(TrialRun(task, settings))

    assert epochs == [1, 2]
    assert "damaged" in record["notes"][0]
    assert "afresh" in record["notes"][0]
    assert weights(settings.study_folder, "a") == [0, 1]


def test_a_checkpoint_the_trial_cannot_load_is_set_aside(make_task: Make, make_settings: Settings) -> None:
    task, settings = make_task("a", epochs=2), make_settings()
    TrialRun(task, settings).advance()
    refusing = make_settings("RefusingTrial")

    epochs, record = to_the_end(TrialRun(task, refusing))

    assert epochs == [1, 2]
    assert "written by another version" in record["notes"][0]


@pytest.mark.parametrize("trial", ["BlockedDiskTrial", "FullMemoryTrial"])
def test_a_checkpoint_that_disk_or_memory_refuse_stays_for_the_next_launch(
    make_task: Make, make_settings: Settings, trial: str
) -> None:
    task, settings = make_task("a", epochs=2), make_settings()
    TrialRun(task, settings).advance()

    _, record = to_the_end(TrialRun(task, make_settings(trial)))
    epochs, again = to_the_end(TrialRun(task, settings))

    assert record["status"] == "failed"
    assert (epochs, again["status"]) == ([2], "done")
    assert "resumed after epoch 1" in again["notes"]


@pytest.mark.parametrize(
    ("seed", "reason"),
    [
        (1, "the loss is NaN in epoch 1"),
        (2, "ValueError: nothing works"),
        (3, "out of memory: MemoryError()"),
    ],
)
def test_a_failure_is_a_record_with_its_reason(
    make_task: Make, make_settings: Settings, seed: int, reason: str
) -> None:
    task, settings = make_task("a", seed=seed), make_settings("FailingTrial")

    epochs, record = to_the_end(TrialRun(task, settings))

    assert (record["status"], record["reason"]) == ("failed", reason)
    assert epochs == []
    assert "Traceback" in log_of(settings, task)
    assert "fake_trials.py" in end_of_log(settings.study_folder, "a", TRACEBACK_LINES)


def test_memory_running_out_is_told_as_such_and_the_next_trial_is_fine(
    make_task: Make, make_settings: Settings
) -> None:
    """For real: torch is asked for more than the machine can have."""
    settings = make_settings("HungryTrial")

    records = [to_the_end(TrialRun(make_task(f"seed {seed}", seed), settings))[1] for seed in (1, 2)]

    assert [record["status"] for record in records] == ["failed", "done"]
    assert records[0]["reason"].startswith("out of memory: ")
    assert "tried to allocate" in records[0]["reason"]


def test_gpu_memory_running_out_is_told_as_such() -> None:
    class OutOfMemoryError(RuntimeError):
        """Named as torch's."""

    assert failure_reason(OutOfMemoryError("CUDA out of memory. Tried")).startswith("out of GPU memory: CUDA")


def test_a_missing_gpu_fails_instead_of_training_on_the_cpu(
    make_task: Make, make_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    task, settings = make_task("a"), make_settings(gpus_per_trial=0.5)

    _, record = to_the_end(TrialRun(task, settings))

    assert record["status"] == "failed"
    assert "torch finds no GPU" in record["reason"]


def test_a_study_folder_that_this_machine_does_not_see_is_named(
    make_task: Make, make_settings: Settings
) -> None:
    settings = make_settings()
    settings.study_folder.rmdir()

    _, record = to_the_end(TrialRun(make_task(), settings))

    assert record["status"] == "failed"
    assert "--results must be a folder that every node" in record["reason"]


def test_the_log_tells_the_epochs(make_task: Make, make_settings: Settings) -> None:
    task, settings = make_task("a", epochs=2), make_settings()

    to_the_end(TrialRun(task, settings))

    text = log_of(settings, task)
    assert "cell-a, seed 0, attempt 1, on cpu" in text
    assert "epoch 2: epoch 2, loss_total 0.5" in text


# What is counted


@pytest.fixture
def hand_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that only trials move: 50 s to load, 1000 s an epoch, 10 s to evaluate."""
    now = [0.0]

    def taking(seconds: float, method: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any, **named: Any) -> Any:
            now[0] += seconds
            return method(*arguments, **named)

        return timed

    trial = import_class("fake_trials:FakeTrial")
    for name, seconds in (("__init__", 50.0), ("step", 1000.0), ("finish", 10.0)):
        monkeypatch.setattr(trial, name, taking(seconds, getattr(trial, name)))
    monkeypatch.setattr(worker.time, "monotonic", lambda: now[0])


@pytest.mark.parametrize("kills", [(), (1,), (1, 1), (2,), (1, 2), (3,)])
def test_kills_neither_lose_nor_double_what_a_trial_took(
    make_task: Make, make_settings: Settings, hand_clock: None, kills: tuple[int, ...]
) -> None:
    task, settings = make_task("a", epochs=3), make_settings()
    for steps in kills:
        killed = TrialRun(task, settings)
        for _ in range(min(steps, 3)):
            killed.advance()

    _, record = to_the_end(TrialRun(task, settings))

    assert (record["wall_seconds"], record["train_seconds"]) == (3060.0, 3000.0)


def test_what_was_noted_before_a_kill_is_on_record(make_task: Make, make_settings: Settings) -> None:
    task, settings = make_task("a", epochs=3), make_settings()
    TrialRun(task, settings).advance()
    [file] = (settings.study_folder / "checkpoints" / "a").rglob("weights.json")
    file.write_text("[")
    TrialRun(task, settings).advance()

    _, record = to_the_end(TrialRun(task, settings))

    assert "the trial started afresh" in record["notes"][0]
    assert record["notes"][1:] == ["resumed after epoch 1"]


# A folder that cannot be written


@pytest.mark.parametrize("folder", ["checkpoints", "editors", "ledger"])
def test_a_trial_whose_work_cannot_be_kept_has_not_failed_and_goes_on_later(
    make_task: Make, make_settings: Settings, folder: str
) -> None:
    task, settings = make_task("a", epochs=2), make_settings()
    (settings.study_folder / folder).write_text("in the way")
    run = TrialRun(task, settings)

    while not (step := run.advance()).unwritable:
        assert step.record is None

    assert step.record is None
    assert str(settings.study_folder) in step.unwritable
    (settings.study_folder / folder).unlink()
    _, record = to_the_end(TrialRun(task, settings))
    assert record["status"] == "done"
    if folder != "checkpoints":
        assert record["notes"] == ["resumed after epoch 2"]
