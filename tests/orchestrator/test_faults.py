"""Launches killed and signalled, refused and misled: nothing is lost, nothing runs twice.

Each that is killed, signalled or misled is a process of its own; what only ends with a message runs in this one, since
starting a process costs seconds.
"""

import json
import os
import runpy
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cli.parser import main
from orchestrator.ledger import Ledger

LAUNCH = Path(__file__).with_name("launch.py")
REPOSITORY = Path(__file__).parents[2]
PATIENCE_SECONDS = 280.0

Start = Callable[..., subprocess.Popen[str]]
RunHere = Callable[..., tuple[int, str]]


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for another process to get somewhere."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "the other process never got there"
        threading.Event().wait(0.05)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    (tmp_path / "results" / "cache").mkdir(parents=True)
    return tmp_path / "results"


@pytest.fixture
def start(space_file: Path, results: Path, tmp_path: Path) -> Iterator[Start]:
    """Start the command in a process; what is left of it is killed afterwards."""
    started: list[subprocess.Popen[str]] = []

    def run(trial: str, *options: str, cwd: Path = tmp_path) -> subprocess.Popen[str]:
        command = [sys.executable, str(LAUNCH), trial, "run", str(space_file)]
        command += ["--results", str(results), *options]
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONWARNINGS": "ignore"}
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def run_here(
    space_file: Path,
    results: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> RunHere:
    """Run the command in this process: its exit code, and everything that was printed."""

    def run(trial: str, *options: str) -> tuple[int, str]:
        arguments = [trial, "run", str(space_file), "--results", str(results), *options]
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", [str(LAUNCH), *arguments])
        monkeypatch.setattr(sys, "path", [*sys.path])
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(LAUNCH), run_name="__main__")
        printed = capfd.readouterr()
        return int(end.value.code or 0), printed.out + printed.err

    return run


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Exit code, and everything the process printed."""
    out, err = process.communicate(timeout=PATIENCE_SECONDS)
    return process.returncode, out + err


def records(results: Path) -> list[dict[str, Any]]:
    return Ledger(results / "rates" / "ledger").records()


def is_blocked(results: Path, num_trials: int) -> bool:
    """Whether both cells' trials of seeds 0 and 1 are committed and this many others stand before epoch 2."""
    num_blocked = len(list((results / "cache").glob("blocked-*")))
    num_committed = len(list((results / "rates" / "ledger" / "trials").glob("part-*")))
    return (num_blocked, num_committed) == (num_trials, 4)


def test_a_killed_driver_loses_and_repeats_nothing(ray_cluster: str, results: Path, start: Start) -> None:
    options = ("--seeds", "3", "--address", ray_cluster)
    process = start("BlockedTrial", *options)
    wait_until(lambda: is_blocked(results, 2))
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = {path.name: path.stat().st_mtime_ns for path in (results / "rates/ledger/trials").glob("part-*")}
    (results / "cache" / "go").touch()

    code, output = ended(start("BlockedTrial", *options))

    assert code == 0, output
    after = {path.name: path.stat().st_mtime_ns for path in (results / "rates/ledger/trials").glob("part-*")}
    assert len(after) == 6
    assert before.items() <= after.items()
    rows = records(results)
    assert [row["status"] for row in rows] == ["done"] * 6
    assert {row["attempt"] for row in rows} == {1}
    # Until Ray notices that their driver is gone, its workers go on: what they still keep is not lost either.
    noted = [note for row in rows if row["seed"] == 2 for note in row["notes"]]
    assert len(noted) == 2
    assert set(noted) <= {"resumed after epoch 1", "resumed after epoch 2"}
    for row in rows:
        editor = results / "rates" / "editors" / f"{row['signature']}.safetensors"
        assert json.loads(editor.read_text()) == [row["seed"] * 1000, row["seed"] * 1000 + 1]


def test_sigterm_commits_what_is_done_and_says_how_to_go_on(
    ray_cluster: str, results: Path, start: Start
) -> None:
    process = start("BlockedTrial", "--seeds", "3", "--address", ray_cluster)
    wait_until(lambda: is_blocked(results, 2))

    process.send_signal(signal.SIGTERM)
    code, output = ended(process)

    assert code == 143, output
    assert "this goes on where it stopped:\n  asyrp-sweep run" in output
    assert "Traceback" not in output
    assert len(records(results)) == 4
    assert not (results / "rates" / "running.json").exists()


def test_a_schedulers_warning_ends_a_launch_with_a_code_to_go_on(
    results: Path, run_here: RunHere, capfd: pytest.CaptureFixture[str]
) -> None:
    code, told = run_here("WarnedTrial", "--inline", "--no-price")
    main(["status", "rates", "--results", str(results)])
    status = capfd.readouterr().out
    code_after, told_after = run_here("FakeTrial", "--inline", "--no-price")

    assert code == 75
    assert (
        "The launch ended because SIGUSR1 came.\n3 trials are left, 0 of them begun.\n"
        "Stopped. What has finished is kept; this goes on where it stopped:\n  asyrp-sweep run"
    ) in told
    assert "SIGUSR1 came; the same command goes on" in " ".join(status.split())
    assert code_after == 0, told_after
    assert [row["status"] for row in records(results)] == ["done"] * 4


def test_ctrl_c_ends_a_launch_and_until_then_a_second_one_is_refused(
    results: Path, start: Start, run_here: RunHere
) -> None:
    process = start("BlockedTrial", "--seeds", "3", "--cpus", "1")
    wait_until(lambda: is_blocked(results, 1))

    refused, told = run_here("BlockedTrial", "--seeds", "3", "--inline")
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: Ray's own processes get it, too
    code, output = ended(process)

    assert refused == 2
    assert "another launch is running this study" in told
    assert code == 130, output
    assert len(records(results)) == 4


def test_trials_that_failed_are_named_and_the_exit_code_says_so(results: Path, run_here: RunHere) -> None:
    code, output = run_here("FailingTrial", "--inline")

    assert code == 1, output
    assert [row["status"] for row in records(results)].count("done") == 2
    assert "baseline seed 1 failed: the loss is NaN in epoch 1" in output
    assert "2 trials did not finish; the same command tries them again." in output


def test_more_cpus_than_there_are_is_bad_input(
    ray_cluster: str, results: Path, run_here: RunHere, space_file: Path
) -> None:
    space_file.write_text(space_file.read_text() + "execution: {cpus_per_trial: 4096, wait_minutes: 0}\n")

    code, output = run_here("FakeTrial", "--address", ray_cluster)

    assert code == 2
    assert "a trial asks for 4096 CPUs" in output
    assert "Traceback" not in output
    assert records(results) == []


def test_a_cluster_that_is_not_there_is_bad_input(run_here: RunHere) -> None:
    code, output = run_here("FakeTrial", "--address", "127.0.0.1:1")

    assert code == 2
    assert "no Ray cluster could be joined at address '127.0.0.1:1'" in output
    assert "Traceback" not in output
