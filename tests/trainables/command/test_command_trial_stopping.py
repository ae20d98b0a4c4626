"""A command and the processes that it starts are stopped with their trial."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from command_trials import (
    FOREVER,
    IGNORING,
    LEAVES_METRICS,
    Build,
    await_end,
    await_file,
    failure,
    folder_of,
    run,
)

# What it starts, and how it is stopped


@pytest.mark.parametrize("ignores", [False, True])
def test_the_command_and_its_children_are_stopped_with_the_trial(build: Build, ignores: bool) -> None:
    child = (IGNORING if ignores else "import time\n") + "time.sleep(60)"
    source = f"""
import subprocess, sys, os
{IGNORING if ignores else ""}
child = subprocess.Popen([sys.executable, "-S", "-c", {child!r}])
away = subprocess.Popen([sys.executable, "-S", "-c", {child!r}], start_new_session=True)
print('{{"epoch": 1}}', file=open(sys.argv[1] + "/curve.jsonl", "w"))
print(os.getpid(), child.pid, away.pid, file=open(sys.argv[1] + "/pids", "w"), flush=True)
import time; time.sleep(60)
"""
    trial = build(source)
    trial.step()
    pids = [int(pid) for pid in await_file(folder_of(trial) / "pids").split()]

    del trial

    for pid in pids:
        await_end(pid)


def test_sigterm_comes_first_and_the_command_may_clean_up(build: Build, tmp_path: Path) -> None:
    source = f"""
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: (open({str(tmp_path / "cleaned")!r}, "w"), sys.exit(0)))
print('{{"epoch": 1}}', file=open(sys.argv[1] + "/curve.jsonl", "w"), flush=True)
time.sleep(60)
"""
    trial = build(source, grace_seconds=10)
    trial.step()

    del trial

    assert (tmp_path / "cleaned").exists()


def test_what_a_command_leaves_running_is_stopped_and_noted(build: Build, tmp_path: Path) -> None:
    source = (
        LEAVES_METRICS
        + """
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        print(os.getpid(), file=open(os.environ["TRIAL_FOLDER"] + "/../../daemon", "w"), flush=True)
        __import__("time").sleep(60)
    os._exit(0)
os.wait()
"""
    )

    result = run(build(source))

    assert result.notes == ["the command left processes running (1), which were stopped"]
    await_end(int(await_file(tmp_path / "cache" / "command" / "daemon")))


@pytest.mark.parametrize("kills_children", [False, True])
def test_everything_ends_when_the_worker_is_killed(tmp_path: Path, kills_children: bool) -> None:
    child = "import time; time.sleep(60)"
    script = f"""
import subprocess, sys, os, time
away = subprocess.Popen([sys.executable, "-S", "-c", {child!r}], start_new_session=True)
print(os.getpid(), away.pid, file=open({str(tmp_path / "pids")!r}, "w"), flush=True)
time.sleep(60)
"""
    worker = f"""
import sys
from pathlib import Path
from trainables.command.process import Launch, Running
Running(Launch([sys.executable, "-S", "-c", {script!r}], Path("/"), {{}}, Path({str(tmp_path / "log")!r}))).wait(60)
"""
    process = subprocess.Popen([sys.executable, "-c", worker])
    pids = [int(pid) for pid in await_file(tmp_path / "pids").split()]

    children = psutil.Process(process.pid).children() if kills_children else []  # As Ray does.
    for one in (*children, process):
        one.send_signal(signal.SIGKILL)
    process.wait()

    for pid in pids:
        await_end(pid)


@pytest.mark.skipif(sys.platform != "linux", reason="the command dies with its supervisor on Linux alone")
def test_a_killed_supervisor_takes_the_command_along_and_fails_the_trial(build: Build) -> None:
    trial = build(
        "import os, sys; print(os.getpid(), file=open(sys.argv[1] + '/pid', 'w'), flush=True)\n" + FOREVER
    )
    trial._run = trial._start()
    pid = int(await_file(folder_of(trial) / "pid"))

    assert trial._run.running.wait(0.0) is None
    os.kill(trial._run.running._link.said["supervisor"], signal.SIGKILL)

    assert "the process that watches over it ended early: it was killed" in failure(trial)
    await_end(pid)
