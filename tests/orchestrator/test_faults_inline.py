"""Faults of disk, clock, memory and processes, tried for real: afterwards a re-run gives what an undisturbed one gave.

`ASYRP_KILL_ROUNDS=500 pytest tests/orchestrator/test_faults_inline.py -k random` kills for as long as you like.
"""

import functools
import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from orchestrator.execution import worker
from orchestrator.execution.models import model_path
from orchestrator.execution.ray.scratch import launch_folder
from orchestrator.ledger import Ledger, LedgerError, read_study, status_matrix
from orchestrator.ledger.compaction import compact
from orchestrator.plan.loading import load_space
from orchestrator.study.launch import Study, open_study
from orchestrator.study.observing import Outcome
from orchestrator.study.runner import RunOptions, run_missing
from trainables.errors import UserError

SPACE = """
question: Does a head start help?
baseline:
  domain: avatars
  attribute: zombie
  editor: {kind: conv}
  training: {epochs: 3}
axes:
  start:
    values:
      scratch: {}
      warm: {init: {from: {attribute: goblin}, epoch: 2}}
seeds: 2
primary: {metric: loss_total, margin: 0.1}
"""
NUM_TRIALS = 8
PASSING = ("started_at", "finished_at", "wall_seconds", "train_seconds", "provenance", "attempt", "notes")
ALL_FAIL = pytest.raises(UserError, match="its first 3 trials failed")
KILL_ROUNDS = int(os.environ.get("ASYRP_KILL_ROUNDS", "6"))

Launch = Callable[..., Outcome]


def study_in(results: Path) -> Study:
    path = results.parent / "chain.yaml"
    path.write_text(SPACE)
    return open_study(load_space(path), results)


def launch(study: Study, display: Any, trial: str = "FakeTrial") -> Outcome:
    study.cache_dir.mkdir(parents=True, exist_ok=True)
    return run_missing(study, RunOptions(inline=True, trial_class=f"fake_trials:{trial}"), display)


def content(study: Study) -> dict[str, Any]:
    """Everything a study leaves but when, where and at which attempt."""
    ledger = Ledger(study.ledger_folder)
    records = [
        {name: value for name, value in record.items() if name not in PASSING} for record in ledger.records()
    ]
    curves = ledger.table("curves").drop_columns(["attempt"]).to_pylist()
    return {
        "records": sorted(records, key=lambda record: str(record["signature"])),
        "curves": sorted(curves, key=lambda row: (row["signature"], row["epoch"])),
        "editors": {
            t.signature: model_path(study.folder, t.signature).read_text() for t in study.plan.trials
        },
        "damaged": ledger.damaged,
    }


def statuses(study: Study) -> set[str]:
    ledger = Ledger(study.ledger_folder)
    matrix = status_matrix(read_study(study.folder), ledger.records())
    return {state for seeds in matrix.values() for state in seeds.values()}


def assert_whole(study: Study, undisturbed: dict[str, Any]) -> None:
    """Every trial once, nothing left over, and the numbers of an undisturbed run."""
    assert content(study) == undisturbed
    assert len(undisturbed["records"]) == NUM_TRIALS
    assert statuses(study) == {"done"}
    left = [
        path for path in study.folder.rglob("*") if path.name.startswith(".writing") or ".tmp" in path.name
    ]
    assert left == []
    assert list((study.folder / "checkpoints").glob("*/epoch-*")) == []


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, new_display: Callable[[], Any]) -> dict[str, Any]:
    study = study_in(tmp_path_factory.mktemp("undisturbed") / "results")
    launch(study, new_display())
    return content(study)


# Processes


def killed_after(seconds: float, work: Callable[[], object]) -> bool:
    """Run work in a process of its own and kill it after a while; whether it came to its end before."""
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        except BaseException:
            os._exit(1)
    timer = threading.Timer(seconds, os.kill, (child, signal.SIGKILL))
    timer.start()
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)  # its number stays its own until the timer is over
    timer.cancel()
    timer.join()
    _, status = os.waitpid(child, 0)
    assert status in (0, signal.SIGKILL), "the launch ended badly by itself"
    return status == 0


def test_killed_at_random_moments_the_ledger_is_that_of_an_undisturbed_run(
    tmp_path: Path, display: Any, undisturbed: dict[str, Any]
) -> None:
    moments = random.Random(20240)
    num_killed = 0
    for number in range(max(1, KILL_ROUNDS // 3)):
        (tmp_path / str(number)).mkdir()
        study = study_in(tmp_path / str(number) / "results")
        work = functools.partial(launch, study, display)
        for _ in range(3):
            num_killed += not killed_after(moments.uniform(0.02, 0.8), work)
            assert "failed" not in statuses_if_any(study)
        launch(study, display)
        assert_whole(study, undisturbed)
    assert num_killed > 0


def statuses_if_any(study: Study) -> set[str]:
    return statuses(study) if (study.folder / "study.json").is_file() else set()


def test_a_trial_that_ends_the_process_at_once_is_named_by_the_next_launch(
    tmp_path: Path, display: Any, new_display: Callable[[], Any]
) -> None:
    study = study_in(tmp_path / "results")
    killed_after(60, lambda: launch(study, new_display(), "EndingTrial"))

    launch(study, display)

    [note] = [line for line in display.lines if "ended without a word" in line]
    assert "seed 1 was at work" in note


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_ends_the_process_now(number: signal.Signals) -> None:
    program = (
        "import os\n"
        "from orchestrator.execution.interrupts import SignalWatch\n"
        f"with SignalWatch():\n    os.kill(os.getpid(), {int(number)})\n    print('still here', flush=True)\n"
        f"    os.kill(os.getpid(), {int(number)})\n    print('never')"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)

    assert (done.returncode, done.stdout) == (128 + number, "still here\n")


def test_code_of_killed_launches_does_not_pile_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))

    def launch_and_hang() -> None:
        with launch_folder() as folder:
            (folder / "code").mkdir()
            threading.Event().wait()

    assert not killed_after(0.3, launch_and_hang)
    [left] = tmp_path.glob("asyrp-sweep-*/*")

    with launch_folder():
        assert not left.exists()
    assert list(tmp_path.glob("asyrp-sweep-*/*")) == []


# What trials do


@pytest.mark.parametrize(
    ("trial", "reason"),
    [
        ("DivergingTrial", "the loss is NaN in epoch 2"),
        ("OutOfMemoryTrial", "out of memory: MemoryError()"),
        ("OutOfGpuMemoryTrial", "out of GPU memory: CUDA out of memory. Tried to allocate 2.00 GiB"),
        ("BrokenEditorTrial", "RuntimeError: mat1 and mat2 shapes cannot be multiplied"),
    ],
)
def test_trials_that_end_badly_are_on_record_and_come_right_later(
    trial: str, reason: str, tmp_path: Path, display: Any, undisturbed: dict[str, Any]
) -> None:
    study = study_in(tmp_path / "results")

    with ALL_FAIL:
        launch(study, display, trial)

    failed = {r["reason"] for r in Ledger(study.ledger_folder).records() if r["status"] == "failed"}
    assert failed == {reason}

    assert launch(study, display).exit_code == 0
    assert_whole(study, undisturbed)


# The clock


def test_a_clock_that_goes_back_changes_nothing(
    tmp_path: Path, display: Any, undisturbed: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    study = study_in(tmp_path / "results")
    with ALL_FAIL:
        launch(study, display, "DivergingTrial")

    class Yesterday(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime(2020, 1, 1, tzinfo=UTC) - timedelta(seconds=next(seconds))

    seconds = iter(range(10_000))
    monkeypatch.setattr(worker, "datetime", Yesterday)
    launch(study, display)

    assert_whole(study, undisturbed)
    records = Ledger(study.ledger_folder).records()
    assert all(record["finished_at"].year <= 2020 for record in records)
    assert all(record["wall_seconds"] >= 0 for record in records)


# The disk


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)], capture_output=True, text=True
    )
    if mounted.returncode != 0:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_ends_the_launch_and_room_lets_it_go_on(
    small_disk: Path, display: Any, undisturbed: dict[str, Any]
) -> None:
    study = study_in(small_disk / "results")

    with pytest.raises(LedgerError, match="cannot be written: No space left on device"):
        launch(study, display, "FillingTrial")  # seed 1 leaves no room for its own record
    assert "done" in statuses(study)
    assert len(Ledger(study.ledger_folder).records()) < NUM_TRIALS

    (study.cache_dir / "filler").unlink()
    assert launch(study, display).exit_code == 0
    assert_whole(study, undisturbed)


def test_a_disk_that_fills_at_any_moment_and_is_enlarged_loses_nothing(
    small_disk: Path, display: Any, undisturbed: dict[str, Any]
) -> None:
    study = study_in(small_disk / "results")
    study.cache_dir.mkdir(parents=True)
    told = []
    for num_free in range(0, 90, 3):  # pages: a file takes one or more
        fill(small_disk / "filler", num_free * 4096)
        try:
            launch(study, display)
        except LedgerError as error:
            told.append(str(error))
        (small_disk / "filler").unlink()
        assert "failed" not in statuses_if_any(study)
    launch(study, display)

    assert_whole(study, undisturbed)
    assert len(told) > 5
    assert all("cannot be written: No space left on device" in line for line in told)


def fill(path: Path, num_free: int) -> None:
    """Fill the disk but for so many bytes."""
    with path.open("wb", buffering=0) as filler:
        while (left := os.statvfs(path).f_bavail * os.statvfs(path).f_frsize) > num_free:
            filler.write(bytes(min(left - num_free, 1 << 20)))


def test_a_results_folder_that_turns_read_only_loses_nothing(
    small_disk: Path, display: Any, undisturbed: dict[str, Any]
) -> None:
    study = study_in(small_disk / "results")
    with ALL_FAIL:
        launch(study, display, "DivergingTrial")
    before = content_of_ledger(study)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)

    with pytest.raises(LedgerError, match="cannot be written: Read-only file system"):
        launch(study, display)
    assert content_of_ledger(study) == before

    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    assert launch(study, display).exit_code == 0
    assert_whole(study, undisturbed)


def content_of_ledger(study: Study) -> list[dict[str, Any]]:
    return Ledger(study.ledger_folder).records()


# Damage


@pytest.mark.parametrize("table", ["trials", "curves"])
def test_any_changed_byte_of_a_part_is_found_and_its_trial_runs_again(
    table: str, tmp_path: Path, display: Any, undisturbed: dict[str, Any]
) -> None:
    study = study_in(tmp_path / "results")
    launch(study, display)
    parts = sorted((study.ledger_folder / table).glob("part-*"))
    size = parts[0].stat().st_size
    for number, part in enumerate(parts):  # each at another place, page headers among them
        damaged = bytearray(part.read_bytes())
        damaged[min(4 + number * 17, size - 1)] ^= 1 << number % 8
        part.write_bytes(damaged)

    assert len(Ledger(study.ledger_folder).table(table)) == 0  # every one is noticed by who reads it
    launch(study, display)

    assert_whole(study, undisturbed)


def test_a_damaged_merged_file_costs_its_trials_and_they_run_again(
    tmp_path: Path, display: Any, undisturbed: dict[str, Any]
) -> None:
    study = study_in(tmp_path / "results")
    launch(study, display)
    compact(study.ledger_folder, group_size=NUM_TRIALS)
    [path] = (study.ledger_folder / "curves").glob("merged-*")
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 4] ^= 1
    path.write_bytes(damaged)
    assert len(Ledger(study.ledger_folder).table("curves")) == 0

    launch(study, display)

    assert_whole(study, undisturbed)


def test_a_checkpoint_cut_short_is_set_aside_and_the_trial_starts_afresh(
    tmp_path: Path, display: Any, undisturbed: dict[str, Any]
) -> None:
    study = study_in(tmp_path / "results")
    launch(study, display, "InterruptingTrial")  # leaves the checkpoint of the first trial's epoch 1
    [path] = (study.folder / "checkpoints").glob("*/epoch-*/weights.json")
    path.write_bytes(path.read_bytes()[:1])

    launch(study, display)

    assert_whole(study, undisturbed)
    notes = [note for record in Ledger(study.ledger_folder).records() for note in record["notes"]]
    assert any("was damaged" in note and "started afresh" in note for note in notes)
    assert json.dumps(notes).count("resumed") == 0
