"""A trial whose end could not be recorded has not ended, whatever was raised, and nothing trains on."""

import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
from searches import Launch, launcher, records_of, states_of

from orchestrator.cli import commands
from orchestrator.cli import parser as cli
from orchestrator.cli import run as run_command
from orchestrator.execution.contract import LaunchStopped
from orchestrator.execution.interrupts import SignalWatch
from orchestrator.execution.queue import TrialQueue
from orchestrator.execution.ray.backend import RayBackend, RayOptions
from orchestrator.execution.ray.tune import LeaveTune, ObserverCallback, QueueSearcher
from orchestrator.execution.tasks import TrialTask, WorkerSettings
from orchestrator.execution.worker import Step
from orchestrator.ledger import Ledger, LedgerError
from orchestrator.plan.loading import load_space
from orchestrator.search import journal
from orchestrator.study.launch import Study, open_study
from orchestrator.study.runner import RunOptions, run_missing
from trainables.h_space.layers import Summarise

Make = Callable[..., TrialTask]
Settings = Callable[..., WorkerSettings]
FAKE_TRIALS = Path(__file__).with_name("fake_trials.py")
CAUSES = [
    LedgerError("the folder is gone"),
    pa.ArrowInvalid("cannot convert"),
    pa.lib.ArrowMemoryError("malloc of size 64 failed"),
    OSError(28, os.strerror(28)),
    MemoryError(),
]
"""What a commit may raise."""


@pytest.fixture(params=CAUSES, ids=lambda cause: type(cause).__name__)
def cause(request: pytest.FixtureRequest) -> Exception:
    found: Exception = request.param
    return found


@pytest.fixture
def failing_commit(cause: Exception, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Let commits from the one of this number on raise."""

    def fail(first: int) -> None:
        commit, count = Ledger.commit, iter(range(1, 100))

        def maybe(self: Ledger, *records: Any) -> None:
            if next(count) >= first:
                raise cause
            commit(self, *records)

        monkeypatch.setattr(Ledger, "commit", maybe)

    return fail


@pytest.fixture
def study(space_file: Path, tmp_path: Path) -> Study:
    return open_study(load_space(space_file), tmp_path / "results")


def launch(study: Study, display: Any) -> Any:
    return run_missing(study, RunOptions(inline=True, trial_class="fake_trials:FakeTrial"), display)


def test_a_commit_that_raised_never_counts_as_run(
    study: Study, display: Any, failing_commit: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    failing_commit(2)

    with pytest.raises(LaunchStopped):
        launch(study, display)

    monkeypatch.undo()
    assert len(Ledger(study.ledger_folder).records()) == 1
    assert len(list((study.folder / "checkpoints").glob("*/epoch-00002-*"))) == 1  # nothing trained on
    outcome = launch(study, display)
    assert (outcome.num_run, outcome.exit_code) == (3, 0)
    notes = [record["notes"] for record in Ledger(study.ledger_folder).records()]
    assert notes.count(["resumed after epoch 2"]) == 1


def test_a_search_is_not_told_of_a_commit_that_raised(
    tmp_path: Path,
    display: Any,
    summarise: Summarise,
    failing_commit: Callable[[int], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    search: Launch = launcher(tmp_path, display, summarise)
    failing_commit(3)

    with pytest.raises(LaunchStopped):
        search()

    monkeypatch.undo()
    study, launched = search()
    assert launched.outcome.num_run == 6
    assert len(records_of(study)) == 8
    assert states_of(study) == ["COMPLETE"] * 8


def test_tune_is_left_where_a_commit_raised(make_task: Make, observer: Any, cause: Exception) -> None:
    """The same as with Ray itself, for every cause: what Tune calls, in its order."""

    def fail(records: Any) -> None:
        raise cause

    observer.keep = fail
    queue = TrialQueue([make_task("a"), make_task("b"), make_task("child", parent="a")])
    callback = ObserverCallback(queue, observer, SignalWatch())
    searcher = QueueSearcher(callback)
    asked = searcher.suggest("1")
    assert isinstance(asked, dict)
    trial = SimpleNamespace(config=asked)

    callback.on_trial_result(1, [], trial, {"step": Step(record={"signature": "a", "status": "done"})})
    with callback.guard.or_stop():
        callback.settle(wait=True)

    assert queue.count("done", "running") == 0
    assert observer.records == []
    assert searcher.suggest("2") == QueueSearcher.FINISHED
    with pytest.raises(LeaveTune):
        callback.on_step_end(1, [])
    with pytest.raises(type(cause)):
        callback.guard.raise_first()


def test_a_worker_that_cannot_keep_its_work_stops_tune(make_task: Make, observer: Any) -> None:
    queue = TrialQueue([make_task("a")])
    callback = ObserverCallback(queue, observer, SignalWatch())
    trial = SimpleNamespace(config=QueueSearcher(callback).suggest("1"))

    callback.on_trial_result(1, [], trial, {"step": Step(unwritable="/study cannot be written: full")})

    assert queue.running() == ["a"]
    with pytest.raises(LedgerError, match="/study cannot be written: full"):
        callback.guard.raise_first()
    assert observer.records == []


def test_a_commit_that_raised_stops_a_launch_on_ray(
    ray_cluster: str, make_task: Make, make_settings: Settings, observer: Any
) -> None:
    def fail(records: Any) -> None:
        observer.kept.extend(records)
        raise pa.ArrowInvalid("cannot convert")

    observer.keep = fail
    tasks = [
        make_task("a"),
        *(make_task(f"t{seed}", seed) for seed in range(30)),
        make_task("child", parent="a"),
    ]
    queue = TrialQueue(tasks)

    with (
        RayBackend(make_settings(), RayOptions(ray_cluster, extra_modules=(FAKE_TRIALS,))) as backend,
        pytest.raises(pa.ArrowInvalid, match="cannot convert"),
    ):
        backend.run(queue, observer)

    assert 0 < len(observer.kept) < len(tasks)
    assert observer.records == []
    assert queue.count("done", "failed", "skipped") == 0
    assert "child" not in observer.started


def test_a_journal_that_cannot_be_written_stops_the_search_and_loses_no_trial(
    tmp_path: Path, display: Any, summarise: Summarise, monkeypatch: pytest.MonkeyPatch
) -> None:
    search: Launch = launcher(tmp_path, display, summarise)
    append, count = journal._Journal.append_logs, iter(range(1000))

    def maybe(self: journal._Journal, logs: list[dict[str, Any]]) -> None:
        if next(count) > 40:
            raise OSError(28, os.strerror(28))
        append(self, logs)

    monkeypatch.setattr(journal._Journal, "append_logs", maybe)

    with pytest.raises(LaunchStopped, match=r"tune_goblin cannot be written: No space left on device"):
        search()

    monkeypatch.undo()
    study, _ = search()
    assert states_of(study).count("COMPLETE") == 8
    assert {record["attempt"] for record in records_of(study)} == {1}


def test_the_command_names_folder_and_cause_and_how_to_go_on(
    study: Study,
    space_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    display: Any,
) -> None:
    def full(ledger: Ledger, *records: Any) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(Ledger, "commit", full)
    monkeypatch.setattr(run_command, "_trained", lambda study, options, console: launch(study, display))
    arguments = ["run", str(space_file), "--results", str(tmp_path / "results"), "--inline"]

    code = commands.run(cli.parser().parse_args(arguments), "asyrp-sweep run rates.yaml")

    assert code == 1
    assert capsys.readouterr().err == (
        f"{study.ledger_folder} cannot be written: "
        "No space left on device; free some space on its disk, or enlarge it\n"
        "The launch was stopped. What has finished is kept; this goes on where it stopped:\n"
        "  asyrp-sweep run rates.yaml\n"
    )
