"""Records go to the disk in groups, beside the control loop: none is lost, doubled or told before it is there."""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from orchestrator.execution.ending import Interrupted
from orchestrator.execution.interrupts import SignalWatch
from orchestrator.execution.queue import TrialQueue
from orchestrator.execution.ray.tune import ObserverCallback, QueueSearcher
from orchestrator.execution.recording import Recording
from orchestrator.execution.tasks import Record, TrialTask
from orchestrator.execution.worker import Step
from orchestrator.ledger import Ledger
from orchestrator.plan.loading import load_space
from orchestrator.study.launch import open_study
from orchestrator.study.runner import RunOptions, run_missing

Make = Callable[..., TrialTask]
FAKE_TRIALS = Path(__file__).with_name("fake_trials.py")


def record_of(signature: str) -> Record:
    return {"signature": signature, "attempt": 1, "status": "done", "reason": None}


class Disk:
    """A disk that takes its time: what it is given is there once it may go on."""

    def __init__(self) -> None:
        self.may_go_on = threading.Event()
        self.groups: list[list[str]] = []
        self.error: Exception | None = None

    def keep(self, records: Sequence[Record]) -> None:
        assert self.may_go_on.wait(60)
        if self.error is not None:
            raise self.error
        self.groups.append([record["signature"] for record in records])


@pytest.fixture
def disk() -> Disk:
    return Disk()


def names(records: Sequence[Record]) -> str:
    return "".join(record["signature"] for record in records)


def test_records_gather_while_the_disk_is_busy_and_each_is_told_once_in_order(disk: Disk) -> None:
    with Recording(disk.keep) as recording:
        for name in "abcd":
            recording.put(record_of(name))
        told_before = recording.kept()
        disk.may_go_on.set()
        told = names(recording.kept(wait=True))
        recording.put(record_of("e"))
        told += names(recording.kept(wait=True))

        assert told_before == []
        assert told == "abcde"
        assert recording.kept(wait=True) == []
    assert disk.groups == [["a"], ["b", "c", "d"], ["e"]]


def test_what_could_not_be_kept_is_never_told_nor_anything_after_it(disk: Disk) -> None:
    disk.error = OSError("full")
    with Recording(disk.keep) as recording:
        recording.put(record_of("a"))
        recording.put(record_of("b"))
        disk.may_go_on.set()

        for _ in range(2):
            with pytest.raises(OSError, match="full"):
                recording.kept(wait=True)
            disk.error = None
    assert disk.groups == []


@pytest.fixture
def tuned(make_task: Make, observer: Any, disk: Disk) -> Any:
    """What Tune calls, of a launch with two trials and a child, on a disk that takes its time."""

    def keep(records: Sequence[Record]) -> None:
        disk.keep(records)
        observer.kept.extend(records)

    observer.keep = keep
    queue = TrialQueue([make_task("a"), make_task("b"), make_task("child", parent="a")])
    callback = ObserverCallback(queue, observer, SignalWatch())
    searcher = QueueSearcher(callback)

    def end(signature: str) -> None:
        trial = SimpleNamespace(config={"_signature": signature})
        callback.on_trial_result(1, [], trial, {"step": Step(record=record_of(signature))})

    return SimpleNamespace(queue=queue, callback=callback, suggest=searcher.suggest, end=end)


def test_a_trial_has_ended_only_once_it_is_on_disk_and_its_child_waits_for_that(
    tuned: Any, observer: Any, disk: Disk
) -> None:
    tuned.suggest("1")
    tuned.end("a")

    assert tuned.suggest("2")["_signature"] == "b"  # It needs no record.
    tuned.callback.on_step_end(1, [])
    assert observer.records == []
    assert tuned.queue.count("done") == 0

    threading.Timer(0.2, disk.may_go_on.set).start()
    assert tuned.suggest("3")["_signature"] == "child"
    assert names(observer.records) == "a"


def test_a_signal_waits_for_what_is_over(tuned: Any, observer: Any, disk: Disk) -> None:
    tuned.suggest("1")
    tuned.suggest("2")

    def interrupted() -> None:
        with tuned.callback.settled():
            tuned.end("a")
            tuned.end("b")
            threading.Timer(0.2, disk.may_go_on.set).start()
            raise Interrupted(15)

    with pytest.raises(Interrupted):
        interrupted()

    assert names(observer.records) == "ab"
    assert disk.groups == [["a"], ["b"]]
    assert tuned.queue.count("done") == 2


def test_a_worker_lost_after_its_record_came_is_not_counted_twice(
    tuned: Any, observer: Any, disk: Disk
) -> None:
    tuned.suggest("1")
    tuned.end("a")
    told = {"num_failures": 4, "error_file": None, "get_pickled_error": lambda: None}
    trial = SimpleNamespace(config={"_signature": "a"}, **told)
    tuned.callback.on_trial_error(1, [], trial)
    disk.may_go_on.set()

    tuned.callback.settle(wait=True)

    assert observer.lost == {}
    assert names(observer.records) == "a"


def test_a_group_is_recorded_whole_or_not_at_all_where_one_of_it_cannot_be_written(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    good = [{**record_of(name), "status": "failed", "notes": []} for name in "abc"]

    with pytest.raises(ValueError, match="no column 'unknown'"):
        ledger.commit(*good[:2], {**good[2], "unknown": 1})
    before = ledger.records()
    ledger.commit(*good)

    assert before == []
    assert sorted(record["signature"] for record in ledger.records()) == ["a", "b", "c"]


@pytest.mark.parametrize("inline", [True, False])
def test_every_trial_that_is_shown_as_done_is_on_disk(
    inline: bool, space_file: Path, tmp_path: Path, display: Any, request: pytest.FixtureRequest
) -> None:
    space_file.write_text(space_file.read_text().replace("seeds: 2", "seeds: 8"))
    study = open_study(load_space(space_file), tmp_path / "results")
    options = RunOptions(inline=True, trial_class="fake_trials:FakeTrial")
    if not inline:
        address = request.getfixturevalue("ray_cluster")
        options = RunOptions(
            address=address, trial_class="fake_trials:FakeTrial", extra_modules=(FAKE_TRIALS,)
        )
    shown: list[int] = []

    def ended(line: str) -> None:
        shown.append(1)
        assert len(Ledger(study.ledger_folder).records()) >= len(shown), line

    display.ended = ended

    outcome = run_missing(study, options, display)

    assert (outcome.num_run, outcome.exit_code, len(shown)) == (16, 0, 16)
    assert [record["attempt"] for record in Ledger(study.ledger_folder).records()] == [1] * 16
    assert list((study.folder / "checkpoints").iterdir()) == []
