"""On a real Ray cluster that the tests share (`ray_cluster` in conftest); one launch answers most of them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from orchestrator.execution.contract import BackendError, PreparationFailed
from orchestrator.execution.interrupts import SignalWatch
from orchestrator.execution.queue import TrialQueue
from orchestrator.execution.ray.backend import RayBackend, RayOptions
from orchestrator.execution.ray.tune import ObserverCallback, QueueSearcher
from orchestrator.execution.tasks import TrialTask, WorkerSettings

Make = Callable[..., TrialTask]
Settings = Callable[..., WorkerSettings]
Recording = Any  # conftest's RecordingObserver
FAKE_TRIALS = Path(__file__).with_name("fake_trials.py")


@dataclass(frozen=True)
class Launch:
    """A launch that has ended."""

    observer: Recording
    queue: TrialQueue
    study: Path
    left_by_tune: bool


@pytest.fixture(scope="module")
def mixed(ray_cluster: str, new_observer: Any, new_task: Make, new_settings: Settings) -> Launch:
    """Every way a trial can end, at once: see `MixedTrial` for what the seeds do."""
    tasks = [
        new_task("child", 20, parent="parent"),
        new_task("parent", 21),
        new_task("grandchild", 22, parent="child"),
        *(new_task(f"fails{seed}", seed) for seed in (1, 2, 3)),
        new_task("child of fails1", 23, parent="fails1"),
        new_task("killed once", 10, epochs=4),
        new_task("killed always", 11),
        new_task("child of killed", 24, parent="killed always"),
    ]
    observer, queue, settings = new_observer(), TrialQueue(tasks), new_settings("MixedTrial", max_retries=1)
    with RayBackend(settings, RayOptions(ray_cluster, extra_modules=(FAKE_TRIALS,))) as backend:
        folder = backend._folder
        backend.run(queue, observer)
    assert folder is not None
    return Launch(observer, queue, settings.study_folder, folder.exists())


def test_every_trial_ends_exactly_once(mixed: Launch) -> None:
    ended = [record["signature"] for record in mixed.observer.records]
    ended += [*mixed.observer.lost, *mixed.observer.skipped]

    assert sorted(ended) == sorted(mixed.queue.tasks)
    assert mixed.queue.is_finished


def test_parents_run_before_their_children(mixed: Launch) -> None:
    chain = [name for name, state in mixed.observer.statuses.items() if state == "done"]

    assert [name for name in chain if name != "killed once"] == ["parent", "child", "grandchild"]


def test_every_epoch_is_told_once(mixed: Launch) -> None:
    assert [epoch for name, epoch in mixed.observer.epochs if name == "parent"] == [1, 2]


def test_processes_are_used_again(mixed: Launch) -> None:
    """Two CPUs, a worker lost three times: five processes at most for eight trials that ended by themselves."""
    assert len({record["provenance"]["process"] for record in mixed.observer.records}) <= 5


def test_failing_trials_end_in_records_and_are_not_retried(mixed: Launch) -> None:
    reasons = {record["signature"]: record["reason"] for record in mixed.observer.records if record["reason"]}

    assert reasons == {
        "fails1": "the loss is NaN in epoch 1",
        "fails2": "ValueError: nothing works",
        "fails3": "out of memory: MemoryError()",
    }
    assert not any("fails" in note for note in mixed.observer.notes)


def test_children_of_failed_trials_are_skipped_with_the_reason(mixed: Launch) -> None:
    skipped = mixed.observer.skipped

    assert skipped["child of fails1"] == "its parent cell-fails1 failed: the loss is NaN in epoch 1"
    assert skipped["child of killed"].startswith(
        "its parent cell-killed always failed: its worker died 2 times"
    )


def test_a_trial_whose_worker_was_killed_resumes_in_another(mixed: Launch, weights: Any) -> None:
    [record] = [record for record in mixed.observer.records if record["signature"] == "killed once"]

    assert [epoch for name, epoch in mixed.observer.epochs if name == "killed once"] == [1, 2, 3, 4]
    assert record["notes"] == ["resumed after epoch 2"]
    assert weights(mixed.study, "killed once") == [10_000, 10_001, 10_002, 10_003]
    assert any("the worker of cell-killed once seed 10 died" in note for note in mixed.observer.notes)


def test_a_trial_whose_workers_keep_dying_is_lost_with_a_reason(mixed: Launch) -> None:
    assert mixed.observer.lost.keys() == {"killed always"}
    assert mixed.observer.lost["killed always"].startswith("its worker died 2 times: ")


def test_nothing_of_tune_is_kept(mixed: Launch) -> None:
    assert not mixed.left_by_tune
    assert {path.name for path in mixed.study.iterdir()} == {"ledger", "logs", "editors", "checkpoints"}


def test_an_observer_that_only_shows_and_fails_stops_no_trial_and_is_heard_afterwards(
    ray_cluster: str, make_task: Make, make_settings: Settings, observer: Recording
) -> None:
    def fail(signature: str, metrics: Any, host: str) -> None:
        raise OSError("no terminal")

    observer.on_epoch = fail
    options = RayOptions(ray_cluster, extra_modules=(FAKE_TRIALS,))

    with RayBackend(make_settings(), options) as backend, pytest.raises(OSError, match="no terminal"):
        backend.run(TrialQueue([make_task("a"), make_task("b")]), observer)

    assert observer.statuses == {"a": "done", "b": "done"}


def test_a_preparation_that_fails_says_why(
    ray_cluster: str, make_settings: Settings, observer: Recording
) -> None:
    from trainables.h_space.trajectory_files import PreparationTask

    task = PreparationTask("no-such-domain", "f", "train", ("0",), 4, 0, 4, 500)

    with (
        RayBackend(make_settings(), RayOptions(ray_cluster)) as backend,
        pytest.raises(PreparationFailed, match=r"^'no-such-domain' is not a domain"),
    ):
        backend.prepare([task], observer)


@pytest.mark.parametrize(
    ("execution", "message"),
    [
        ({"cpus_per_trial": 64}, r"asks for 64 CPUs.*at most 2 CPUs.*No trial was started"),
        ({"gpus_per_trial": 0.5}, r"asks for 1 CPUs and 0\.5 GPUs.*0 GPUs"),
    ],
)
def test_a_trial_larger_than_any_machine_is_refused(
    ray_cluster: str, make_settings: Settings, execution: dict[str, float], message: str
) -> None:
    backend = RayBackend(make_settings(**execution, wait_minutes=0), RayOptions(ray_cluster))

    with pytest.raises(BackendError, match=message), backend:
        pass


def test_the_searcher_never_waits_for_nothing(make_task: Make, observer: Recording) -> None:
    queue = TrialQueue([make_task("a"), make_task("child", parent="a")])
    searcher = QueueSearcher(ObserverCallback(queue, observer, SignalWatch()))

    first = searcher.suggest("1")
    assert isinstance(first, dict)
    assert first["_signature"] == "a"
    assert searcher.suggest("2") is None
    queue.mark_failed("a", "NaN")
    assert searcher.suggest("3") == QueueSearcher.FINISHED


def test_trials_that_tune_drops_are_told(make_task: Make, observer: Recording) -> None:
    queue = TrialQueue([make_task("a")])
    queue.take()

    ObserverCallback(queue, observer, SignalWatch()).report_unaccounted()

    assert observer.lost == {"a": "Ray Tune ended it without a result or an error"}
