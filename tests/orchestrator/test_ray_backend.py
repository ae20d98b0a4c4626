"""On a real Ray cluster that the tests share; see `ray_cluster` in conftest."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator.backend import BackendError, PreparationFailed, TrialTask, WorkerSettings
from orchestrator.interrupts import SignalWatch
from orchestrator.ray_backend import ObserverCallback, QueueSearcher, RayBackend, RayOptions
from orchestrator.trial_queue import TrialQueue

Make = Callable[..., TrialTask]
Settings = Callable[..., WorkerSettings]
Recording = Any  # conftest's RecordingObserver
FAKE_TRIALS = Path(__file__).with_name("fake_trials.py")


def run(address: str, settings: WorkerSettings, tasks: list[TrialTask], observer: Recording) -> TrialQueue:
    queue = TrialQueue(tasks)
    with RayBackend(settings, RayOptions(address, extra_modules=(FAKE_TRIALS,))) as backend:
        backend.run(queue, observer)
    return queue


def test_every_trial_runs_once_in_few_processes(
    ray_cluster: str, make_task: Make, make_settings: Settings, observer: Recording
) -> None:
    tasks = [make_task(f"t{seed}", seed) for seed in range(6)]

    queue = run(ray_cluster, make_settings(), tasks, observer)

    assert observer.statuses == {task.signature: "done" for task in tasks}
    assert sorted(observer.started) == sorted(observer.statuses)
    assert sorted(observer.epochs) == [(task.signature, epoch) for task in tasks for epoch in (1, 2)]
    assert len({record["provenance"]["process"] for record in observer.records}) <= 2
    assert queue.is_finished


def test_a_child_runs_after_its_parent(
    ray_cluster: str, make_task: Make, make_settings: Settings, observer: Recording
) -> None:
    tasks = [
        make_task("child", parent="parent"),
        make_task("parent"),
        make_task("grandchild", parent="child"),
    ]

    run(ray_cluster, make_settings(), tasks, observer)

    assert list(observer.statuses) == ["parent", "child", "grandchild"]


def test_failing_trials_end_in_records_and_stop_no_other(
    ray_cluster: str, make_task: Make, make_settings: Settings, observer: Recording
) -> None:
    tasks = [make_task(f"t{seed}", seed) for seed in (1, 2, 3, 4)] + [make_task("child", parent="t1")]

    run(ray_cluster, make_settings("FailingTrial"), tasks, observer)

    assert observer.statuses == {"t1": "failed", "t2": "failed", "t3": "failed", "t4": "done"}
    assert observer.skipped == {"child": "its parent cell-t1 failed: the loss is NaN in epoch 1"}
    assert observer.notes == []  # A trial's own failure is no reason to try another worker.


def test_a_killed_worker_is_replaced_and_the_trial_resumed(
    ray_cluster: str, make_task: Make, make_settings: Settings, observer: Recording, weights: Any
) -> None:
    settings = make_settings("OnceKilledTrial")

    run(ray_cluster, settings, [make_task("a", epochs=4)], observer)

    assert observer.statuses == {"a": "done"}
    assert observer.epochs == [("a", 1), ("a", 2), ("a", 3), ("a", 4)]
    assert observer.records[0]["notes"] == ["resumed after epoch 2"]
    assert weights(settings.study_folder, "a") == [0, 1, 2, 3]
    assert "the worker of cell-a seed 0 died" in observer.notes[0]


def test_a_trial_whose_workers_keep_dying_is_lost_with_a_reason(
    ray_cluster: str, make_task: Make, make_settings: Settings, observer: Recording
) -> None:
    tasks = [make_task("a"), make_task("child", parent="a")]

    run(ray_cluster, make_settings("AlwaysKilledTrial", max_retries=1), tasks, observer)

    assert observer.lost["a"].startswith("its worker died 2 times: ")
    assert "its parent cell-a failed" in observer.skipped["child"]
    assert len(observer.notes) == 1


def test_a_trial_larger_than_any_machine_is_refused(ray_cluster: str, make_settings: Settings) -> None:
    backend = RayBackend(make_settings(cpus_per_trial=64), RayOptions(ray_cluster))

    with pytest.raises(BackendError, match=r"asks for 64 CPUs.*at most 2 CPUs"), backend:
        pass


def test_a_missing_gpu_is_refused_before_anything_runs(ray_cluster: str, make_settings: Settings) -> None:
    backend = RayBackend(make_settings(gpus_per_trial=0.5), RayOptions(ray_cluster))

    with pytest.raises(BackendError, match=r"0\.5 GPUs.*No trial was started"), backend:
        pass


def test_a_preparation_that_fails_says_why(
    ray_cluster: str, make_settings: Settings, observer: Recording
) -> None:
    from trainables.trajectories import PreparationTask

    task = PreparationTask("no-such-domain", "f", "train", ("0",), 4, 4, 500)

    with (
        RayBackend(make_settings(), RayOptions(ray_cluster)) as backend,
        pytest.raises(PreparationFailed, match="no-such-domain"),
    ):
        backend.prepare([task], observer)


def test_an_observer_that_fails_stops_no_trial_and_is_heard_afterwards(
    ray_cluster: str, make_task: Make, make_settings: Settings, observer: Recording
) -> None:
    def fail(record: Any) -> None:
        if record["signature"] == "a":
            raise OSError("disk full")
        observer.records.append(record)

    observer.on_finished = fail

    with pytest.raises(OSError, match="disk full"):
        run(ray_cluster, make_settings(), [make_task("a"), make_task("b")], observer)

    assert list(observer.statuses) == ["b"]


def test_nothing_of_tune_is_kept(
    ray_cluster: str, make_task: Make, make_settings: Settings, observer: Recording, tmp_path: Path
) -> None:
    settings = make_settings()

    with RayBackend(settings, RayOptions(ray_cluster, extra_modules=(FAKE_TRIALS,))) as backend:
        folder = backend._folder
        backend.run(TrialQueue([make_task("a")]), observer)

    assert folder is not None
    assert not folder.exists()
    kept = {path.name for path in settings.study_folder.iterdir()}
    assert kept == {"ledger", "logs", "editors", "checkpoints"}


def test_the_searcher_never_waits_for_nothing(make_task: Make) -> None:
    queue = TrialQueue([make_task("a"), make_task("child", parent="a")])
    searcher = QueueSearcher(queue)

    assert searcher.suggest("1")["_signature"] == "a"
    assert searcher.suggest("2") is None
    queue.mark_failed("a", "NaN")
    assert searcher.suggest("3") == QueueSearcher.FINISHED


def test_trials_that_tune_drops_are_told(make_task: Make, observer: Recording) -> None:
    queue = TrialQueue([make_task("a")])
    queue.take()

    ObserverCallback(queue, observer, SignalWatch()).report_unaccounted()

    assert observer.lost == {"a": "Ray Tune ended it without a result or an error"}
