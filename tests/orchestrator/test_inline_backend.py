import os
import signal
from collections.abc import Callable
from typing import Any

import pytest

from orchestrator.execution.contract import Observer, PreparationFailed
from orchestrator.execution.ending import Interrupted
from orchestrator.execution.inline import InlineBackend
from orchestrator.execution.queue import TrialQueue
from orchestrator.execution.tasks import TrialTask, WorkerSettings
from trainables.h_space.trajectory_files import PreparationTask

Make = Callable[..., TrialTask]
Settings = Callable[..., WorkerSettings]
Recording = Any  # conftest's RecordingObserver


def run(settings: WorkerSettings, tasks: list[TrialTask], observer: Observer) -> TrialQueue:
    queue = TrialQueue(tasks)
    with InlineBackend(settings) as backend:
        backend.run(queue, observer)
    return queue


def test_every_trial_runs_once(make_task: Make, make_settings: Settings, observer: Recording) -> None:
    tasks = [make_task(name, seed) for seed, name in enumerate("abc")]

    queue = run(make_settings(), tasks, observer)

    assert observer.statuses == {"a": "done", "b": "done", "c": "done"}
    assert observer.started == ["a", "b", "c"]
    assert observer.epochs == [(name, epoch) for name in "abc" for epoch in (1, 2)]
    assert queue.is_finished


def test_a_failing_trial_stops_no_other_and_skips_its_children(
    make_task: Make, make_settings: Settings, observer: Recording
) -> None:
    tasks = [make_task("bad", seed=1), make_task("child", parent="bad"), make_task("good", seed=0)]

    run(make_settings("FailingTrial"), tasks, observer)

    assert observer.statuses == {"bad": "failed", "good": "done"}
    assert observer.skipped == {"child": "its parent cell-bad failed: the loss is NaN in epoch 1"}


def test_a_signal_stops_between_epochs_and_keeps_the_checkpoint(
    make_task: Make, make_settings: Settings, observer: Recording
) -> None:
    settings = make_settings("InterruptingTrial")

    with pytest.raises(Interrupted) as stop:
        run(settings, [make_task("a", epochs=3), make_task("b")], observer)

    assert stop.value.exit_code == 143
    assert observer.statuses == {}
    [kept] = (settings.study_folder / "checkpoints" / "a").glob("epoch-*")
    assert kept.name.startswith("epoch-00001-")


def test_the_handlers_of_before_come_back(make_settings: Settings) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]

    with InlineBackend(make_settings()):
        assert signal.getsignal(signal.SIGTERM) != before[1]

    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_preparation_that_fails_says_why(make_settings: Settings, observer: Recording) -> None:
    task = PreparationTask("no-such-domain", "f", "train", ("0",), 4, 0, 4, 500)

    with (
        InlineBackend(make_settings()) as backend,
        pytest.raises(PreparationFailed, match=r"^'no-such-domain' is not a domain"),
    ):
        backend.prepare([task], observer)

    assert observer.prepared == []


def test_a_signal_before_the_first_trial_runs_none(
    make_task: Make, make_settings: Settings, observer: Recording
) -> None:
    with InlineBackend(make_settings()) as backend:
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(Interrupted):
            backend.run(TrialQueue([make_task("a")]), observer)

    assert observer.records == []
