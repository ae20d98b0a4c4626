"""A launch is alive while its heartbeat moves, however long its epochs are and whatever the clocks say."""

import json
import os
import time
from pathlib import Path

import pytest

from orchestrator.execution import worker
from orchestrator.views import running_file
from orchestrator.views.progress import Progress, Row
from orchestrator.views.running_file import FILE_NAME, RunningFile

HOURS = 3600.0


@pytest.fixture
def progress() -> Progress:
    return Progress({"a": Row("baseline", 0, "running", epoch=3, num_epochs=5)})


def written_elsewhere(folder: Path, progress: Progress, beat_at: float) -> RunningFile:
    """The file of a launch on another machine, touched last at that time."""
    file = RunningFile(folder)
    file.write(progress)
    content = json.loads((folder / FILE_NAME).read_text())
    (folder / FILE_NAME).write_text(json.dumps({**content, "host": "elsewhere"}))
    os.utime(folder / FILE_NAME, (beat_at, beat_at))
    return file


def never(seconds: float) -> None:
    raise AssertionError("a reader that need not wait did")


def test_a_launch_elsewhere_is_alive_while_its_file_is_touched(tmp_path: Path, progress: Progress) -> None:
    progress.lost_machines.append("node-3 (10.0.0.3) at 2026-01-01 00:00:00Z")
    file = written_elsewhere(tmp_path, progress, beat_at=1e9 - 20)

    found = file.read(now=lambda: 1e9, wait=never)

    assert found is not None
    assert found.is_alive
    assert found.running["a"]["epoch"] == 3
    assert found.lost_machines == ("node-3 (10.0.0.3) at 2026-01-01 00:00:00Z",)


@pytest.mark.parametrize("difference", [-3 * HOURS, 3 * HOURS])
def test_a_launch_whose_clock_differs_is_alive_if_its_heartbeat_moves(
    tmp_path: Path, progress: Progress, difference: float
) -> None:
    file = written_elsewhere(tmp_path, progress, beat_at=1e9 + difference)

    def beat(seconds: float) -> None:
        os.utime(tmp_path / FILE_NAME, (1e9 + difference + seconds,) * 2)

    found = file.read(now=lambda: 1e9, wait=beat)

    assert found is not None
    assert found.is_alive


def test_a_launch_elsewhere_whose_heartbeat_stands_still_is_dead_and_said_to_be(
    tmp_path: Path, progress: Progress
) -> None:
    file = written_elsewhere(tmp_path, progress, beat_at=1e9 - 2 * HOURS)
    waits: list[float] = []

    found = file.read(now=lambda: 1e9, wait=waits.append)

    assert found is not None
    assert (found.is_alive, found.running) == (False, {})
    assert found.silence is not None
    assert found.silence.startswith("no heartbeat since 2001-09-08 23:46:40Z from the launch of process")
    assert "on elsewhere" in found.silence
    assert sum(waits) > 2 * running_file.BEAT_SECONDS


def test_a_file_left_for_days_needs_no_waiting(tmp_path: Path, progress: Progress) -> None:
    found = written_elsewhere(tmp_path, progress, beat_at=1e9 - 48 * HOURS).read(now=lambda: 1e9, wait=never)

    assert found is not None
    assert not found.is_alive


def test_a_process_number_that_is_somebody_elses_by_now_is_no_sign_of_life(
    tmp_path: Path, progress: Progress
) -> None:
    RunningFile(tmp_path).write(progress)
    os.utime(tmp_path / FILE_NAME, (1e9, 1e9))

    found = RunningFile(tmp_path).read(now=lambda: 1e9 + 10 * HOURS, wait=lambda seconds: None)

    assert found is not None
    assert not found.is_alive


def test_the_file_is_touched_from_a_thread_and_gone_afterwards(
    tmp_path: Path, progress: Progress, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running_file, "BEAT_SECONDS", 0.01)
    touched = 0

    with RunningFile(tmp_path).beating(progress):
        for _ in range(3):
            os.utime(tmp_path / FILE_NAME, (1e9, 1e9))
            deadline = time.monotonic() + 60
            while (tmp_path / FILE_NAME).stat().st_mtime == 1e9 and time.monotonic() < deadline:
                time.sleep(0.001)
            touched += (tmp_path / FILE_NAME).stat().st_mtime != 1e9

    assert touched == 3
    assert list(tmp_path.iterdir()) == []


def test_many_changes_are_written_together_and_soon(
    tmp_path: Path, progress: Progress, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running_file, "CHANGE_SECONDS", 0.1)
    replaced: list[object] = []
    replace = running_file._replace
    monkeypatch.setattr(running_file, "_replace", lambda *told: (replaced.append(told), replace(*told)))
    file = RunningFile(tmp_path)

    with file.beating(progress):
        for epoch in range(1000):
            progress.epoch("a", {"epoch": float(epoch)}, "here")
            file.changed()
        deadline = time.monotonic() + 20
        while (found := file.read()) is not None and found.running["a"]["epoch"] != 999:
            assert time.monotonic() < deadline

    assert 2 <= len(replaced) < 100


def test_logs_tell_the_time_in_utc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    monkeypatch.setattr(time, "time", lambda: 1e9)  # Python below 3.13
    monkeypatch.setattr(time, "time_ns", lambda: 10**18)

    with worker.logging_to(tmp_path / "logs" / "a.log"):
        worker.log.info("epoch 1")
    monkeypatch.undo()
    time.tzset()

    assert (tmp_path / "logs" / "a.log").read_text() == "2001-09-09T01:46:40.000Z INFO epoch 1\n"


@pytest.mark.parametrize("content", ["[]", '{"running": [7]}', '{"process": 1000000000000000000000}', "\0"])
def test_a_file_of_another_program_is_no_launch(tmp_path: Path, progress: Progress, content: str) -> None:
    file = RunningFile(tmp_path)
    file.write(progress)
    written = json.loads((tmp_path / FILE_NAME).read_text())
    if content.startswith("{"):
        content = json.dumps({**written, **json.loads(content)})
    (tmp_path / FILE_NAME).write_text(content)

    assert file.read(wait=never) is None


@pytest.mark.parametrize("name", ["loss_total", "loss"])
def test_a_loss_is_told_whatever_its_family_calls_it(name: str) -> None:
    progress = Progress({"a": Row("baseline", 0)})

    progress.epoch("a", {"epoch": 1.0, name: 0.25}, "here")

    assert progress.rows["a"].loss == 0.25


def test_it_says_which_machine_a_trial_is_on_and_when_it_was_heard_of_last(tmp_path: Path) -> None:
    progress = Progress({"a": Row("baseline", 0)})
    progress.started("a")
    progress.epoch("a", {"epoch": 1.0, "loss_total": 0.5}, "node-7")
    file = RunningFile(tmp_path)
    file.write(progress)

    found = file.read()

    assert found is not None
    [trial] = found.running.values()
    assert (trial["host"], trial["loss"]) == ("node-7", 0.5)
    assert abs(trial["heard_at"] - time.time()) < 60
