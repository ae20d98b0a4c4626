"""Launches that know their end: what they still begin, how they stop, and that going on changes nothing."""

import io
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from orchestrator.cli.option_values import Cost
from orchestrator.cli.parser import main
from orchestrator.cli.time_limits import launch_end, until_end
from orchestrator.execution.ending import GO_ON, WARNING, Interrupted, LaunchEnd, TimeLimit
from orchestrator.execution.models import model_path
from orchestrator.execution.queue import TrialQueue
from orchestrator.execution.ray.backend import RayBackend, RayOptions
from orchestrator.execution.tasks import TrialTask, WorkerSettings
from orchestrator.ledger import Ledger
from orchestrator.plan.loading import load_space
from orchestrator.study.launch import Study, open_study
from orchestrator.study.runner import RunOptions, run_missing
from orchestrator.views import status

Make = Callable[..., TrialTask]
Settings = Callable[..., WorkerSettings]
HERE = Path(__file__).parent

SPACE = """
question: Does the gate matter?
family: molecules
baseline:
  target: alpha
  training: {num_train: 20, epochs: 2}
  evaluation: {num_validation: 10, num_test: 10}
axes:
  gate: {path: model.gate, values: [true, false]}
seeds: 1
primary: {metric: skill, margin: 0.1}
"""
PASSING = (
    "started_at", "finished_at", "wall_seconds", "train_seconds", "metric_train_seconds", "provenance", "notes",
)  # fmt: skip


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def end_in(seconds: float, clock: Clock) -> LaunchEnd:
    """An end after so many seconds of work."""
    return LaunchEnd(TimeLimit("--time-limit", seconds + 20 if seconds > 80 else seconds / 0.8), clock)


def test_a_trial_begins_only_where_it_reaches_its_next_checkpoint(clock: Clock, make_task: Make) -> None:
    end = end_in(100, clock)
    end.expected = {"cell-long": 70.0, "cell-short": 10.0}
    queue = TrialQueue([make_task("long"), make_task("short"), make_task("unknown")], end=end)

    clock.now = 40
    taken = [queue.take(), queue.take(), queue.take()]

    assert [task and task.signature for task in taken] == ["short", "unknown", None]


def test_what_this_launch_has_measured_counts_more_than_the_price(clock: Clock, make_task: Make) -> None:
    end = end_in(100, clock)
    end.expected = {"cell-a": 1.0}
    queue = TrialQueue([make_task("a", epochs=3), replace(make_task("b"), cell="cell-a")], end=end)
    queue.num_slots = 2
    assert queue.take() is not None
    queue.mark_started("a")

    clock.now = 60
    queue.mark_epoch("a", {"epoch": 1.0})

    assert queue.take() is None
    with pytest.raises(Interrupted):  # Nor does the first one reach its second epoch.
        queue.check_time()


def test_a_trial_that_cannot_go_on_half_way_needs_its_whole_time(clock: Clock, make_task: Make) -> None:
    end = end_in(100, clock)
    tasks = [replace(make_task(name, epochs=9), cell="one", is_resumable=False) for name in "ab"]
    queue = TrialQueue(tasks, end=end)
    assert queue.take() is not None
    queue.mark_started("a")

    clock.now = 60
    queue.mark_epoch("a", {"epoch": 8.0})
    queue.check_time()
    queue.mark_done("a")

    assert queue.take() is None


def test_after_a_warning_the_present_epoch_ends_and_no_other_begins(clock: Clock, make_task: Make) -> None:
    end = LaunchEnd(clock=clock)
    queue = TrialQueue([make_task("a"), make_task("b")], end=end)
    assert queue.take() is not None
    queue.mark_started("a")
    end.warn()

    queue.check_time()
    assert queue.take() is None
    queue.mark_epoch("a", {"epoch": 1.0})
    with pytest.raises(Interrupted) as stop:
        queue.check_time()

    assert stop.value.exit_code == GO_ON


def test_after_a_warning_an_epoch_that_takes_longer_is_not_waited_for(clock: Clock, make_task: Make) -> None:
    end = LaunchEnd(clock=clock)
    end.expected = {"cell-a": 100.0}
    queue = TrialQueue([make_task("a")], end=end)
    assert queue.take() is not None
    queue.mark_started("a")

    end.warn()

    with pytest.raises(Interrupted):
        queue.check_time()


@pytest.mark.parametrize(("at", "is_by_limit"), [(10, False), (90, True)])
def test_a_warning_shortly_before_the_limit_is_the_limits(clock: Clock, at: float, is_by_limit: bool) -> None:
    end = end_in(100, clock)

    clock.now = at
    end.warn()

    assert end.is_by_limit == is_by_limit


def test_the_allocation_tells_the_end_where_nobody_else_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: 1_000_000.0)
    monkeypatch.setenv("SLURM_JOB_END_TIME", "1003600")

    by_slurm, given = launch_end(None), launch_end(Cost("2h", 7200.0))
    monkeypatch.setenv("SLURM_JOB_END_TIME", "999999")  # left behind by an earlier job

    assert by_slurm.limit is not None
    assert by_slurm.limit.seconds == 3600
    assert given.limit == TimeLimit("--time-limit 2h", 7200.0)
    assert launch_end(None).limit is None


def content(study: Study) -> dict[str, Any]:
    """Everything a study leaves but when and where."""
    ledger = Ledger(study.ledger_folder)
    records = [{k: v for k, v in record.items() if k not in PASSING} for record in ledger.records()]
    tables = {
        name: sorted(ledger.table(name).to_pylist(), key=str) for name in ("curves", "evaluations", "samples")
    }
    models = {t.signature: model_path(study.folder, t.signature).read_bytes() for t in study.plan.trials}
    return {"records": sorted(records, key=str), "models": models, **tables}


def test_what_goes_on_after_the_end_is_bit_identical(tmp_path: Path, display: Any) -> None:
    (tmp_path / "gates.yaml").write_text(SPACE)
    space = load_space(tmp_path / "gates.yaml")
    whole, parts = (open_study(space, tmp_path / name) for name in ("whole", "parts"))
    assert run_missing(whole, RunOptions(inline=True), display).exit_code == 0
    codes = []

    for _ in range(9):
        end = LaunchEnd()
        warned = type(display)()
        warned.refresh = lambda end=end: end.num_at_work and os.kill(os.getpid(), signal.SIGUSR1)
        outcome = run_missing(parts, RunOptions(inline=True, end=end), warned)
        codes.append(outcome.exit_code)
        if outcome.exit_code == 0:
            break
        assert "SIGUSR1 came; the same command goes on" in str(status.view(parts.folder).last_end)

    assert codes == [GO_ON] * (len(codes) - 1) + [0]
    assert len(codes) == 4
    assert content(parts) == content(whole)


def test_a_launch_on_ray_ends_before_its_time_and_the_next_goes_on(
    ray_cluster: str, make_settings: Settings, make_task: Make, observer: Any, weights: Any
) -> None:
    settings = make_settings("SlowTrial")
    tasks = [make_task(f"trial{seed}", seed, epochs=6) for seed in range(3)]

    def launch(end: LaunchEnd, todo: list[TrialTask]) -> TrialQueue:
        queue = TrialQueue(todo, end=end)
        options = RayOptions(ray_cluster, extra_modules=(HERE / "fake_trials.py",), end=end)
        with RayBackend(settings, options) as backend:
            backend.run(queue, observer)
        return queue

    show = observer.on_epoch

    def warn_at_third(signature: str, metrics: dict[str, float], host: str) -> None:
        show(signature, metrics, host)
        if metrics["epoch"] == 3:
            os.kill(os.getpid(), WARNING)

    observer.on_epoch = warn_at_third
    with pytest.raises(Interrupted) as stop:
        launch(LaunchEnd(), tasks)
    observer.on_epoch = show
    reached = dict(observer.epochs)
    observer.epochs.clear()
    queue = launch(LaunchEnd(), [task for task in tasks if task.signature not in observer.statuses])

    assert stop.value.exit_code == GO_ON
    assert max(reached.values()) >= 3
    assert queue.is_finished
    assert all(epoch > reached.get(name, 0) for name, epoch in observer.epochs)
    assert sorted(observer.statuses) == ["trial0", "trial1", "trial2"]
    for task in tasks:
        assert weights(settings.study_folder, task.signature) == [task.seed * 1000 + n for n in range(6)]


def run_with_limit(space_file: Path, results: Path, limit: str, *options: str) -> int:
    arguments = [
        "run",
        str(space_file),
        "--results",
        str(results),
        "--inline",
        "--time-limit",
        limit,
        *options,
    ]
    return main(arguments)


def test_a_limit_shorter_than_an_epoch_is_refused(
    space_file: Path,
    tmp_path: Path,
    write_done: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("orchestrator.study.price.quoting.piloted", lambda configs, pilots: {})
    plan = open_study(load_space(space_file), tmp_path / "plans").plan
    write_done(tmp_path / "results", plan, train_seconds=200.0, wall_seconds=230.0)

    code = run_with_limit(space_file, tmp_path / "results", "1m")

    assert code == 2
    assert capsys.readouterr().err == (
        "--time-limit 1m: baseline takes about 2 min to its first checkpoint, and 48 s of this time are for trials; "
        "give more\n1 problem. No trial was started.\n"
    )


@pytest.mark.filterwarnings("ignore:unclosed scandir:ResourceWarning")  # the end may come inside pathlib's
def test_a_limit_that_is_over_before_anything_is_reached_is_told(
    space_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = signal.getsignal(WARNING)

    code = run_with_limit(space_file, tmp_path, "0.01s", "--no-price")

    assert code == 2
    assert "--time-limit 0.01s: over before any trial had reached a checkpoint" in capsys.readouterr().err
    assert signal.getsignal(WARNING) == before


def test_a_term_before_any_trial_lets_go_of_what_the_launch_holds() -> None:
    """Killed at once, it would keep others from the study for as long as its lease lives."""
    released = []
    before = signal.getsignal(signal.SIGTERM)
    console = Console(file=io.StringIO())

    def work() -> int:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            return 0
        finally:
            released.append("lease")

    assert until_end(LaunchEnd(None), console, "run widths", work) == 128 + signal.SIGTERM
    assert released == ["lease"]
    assert signal.getsignal(signal.SIGTERM) == before
