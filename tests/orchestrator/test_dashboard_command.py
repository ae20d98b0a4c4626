"""The command `dashboard`: what it refuses, and that it ends when it is told to."""

import contextlib
import http.client
import importlib.util
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestrator.cli import parser as cli
from orchestrator.cli.dashboard import Heartbeat
from orchestrator.views.progress import Progress, Row
from orchestrator.views.running_file import FILE_NAME, RunningFile

HOURS = 3600.0
Refused = Callable[..., str]


@pytest.fixture
def refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Refused:
    """Start a dashboard that cannot start; what it says."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results").mkdir()

    def run(*options: str) -> str:
        code = cli.main(["dashboard", *options])
        captured = capsys.readouterr()
        assert (code, captured.out) == (2, "")
        assert captured.err.count("\n") == 1
        return captured.err

    return run


def test_a_port_that_is_taken_is_one_message(refused: Refused) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        assert f"--port: {port} on 127.0.0.1 is taken by another program" in refused("--port", str(port))


@pytest.mark.parametrize("name", ["http://lab.example.org", "lab.example.org:80", "a b", ""])
def test_a_further_name_that_no_browser_can_call_it_by_is_one_message(refused: Refused, name: str) -> None:
    said = refused("--port", "0", "--allow-host", name)

    assert (
        f"--allow-host: expected a name such as lab.example.org, without http:// and port; found '{name}'"
        in said
    )


def test_a_results_folder_that_is_not_there_is_one_message(refused: Refused) -> None:
    assert "--results: none does not exist; name a results folder" in refused("--results", "none")


def test_a_results_folder_that_is_a_file_is_one_message(refused: Refused) -> None:
    Path("file").touch()

    assert "--results: file is a file; expected a results folder" in refused("--results", "file")


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is closed to root")
def test_a_results_folder_that_is_closed_is_one_message(refused: Refused) -> None:
    Path("results").chmod(0)

    assert "--results: results cannot be read: Permission denied" in refused()


@pytest.mark.parametrize("token", ["", "short"])
def test_a_token_that_is_none_is_one_message(refused: Refused, token: str) -> None:
    found = refused("--host", "0.0.0.0", "--port", "0", "--token", token)

    assert f"--token: expected at least 16 characters; found {len(token)}" in found


@pytest.mark.parametrize("host", ["nowhere.invalid", "203.0.113.7", "", "a" * 300])
def test_a_host_that_is_not_this_machine_is_one_message(refused: Refused, host: str) -> None:
    assert "--host: " in refused("--host", host, "--port", "0")


@pytest.mark.parametrize("port", ["-1", "65536", "http", "80.5", "٣"])
def test_a_port_that_is_none_is_one_message(capsys: pytest.CaptureFixture[str], port: str) -> None:
    with pytest.raises(SystemExit) as ending:
        cli.main(["dashboard", f"--port={port}"])

    assert ending.value.code == 2
    assert f"expected a port from 0 to 65535; found {port!r}" in capsys.readouterr().err


def test_without_its_extra_it_says_what_to_install(refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)

    found = refused()

    assert "needs starlette and uvicorn" in found
    assert "pip install 'asyrp-sweep[dashboard]'" in found


@pytest.fixture
def running(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command in a process of its own, and its address."""
    command = [
        sys.executable,
        "-m",
        "orchestrator.cli",
        "dashboard",
        "--results",
        str(tmp_path),
        "--port",
        "0",
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        yield process, line.rpartition(" ")[2].strip()
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_soon_with_pages_open(
    running: tuple[subprocess.Popen[str], str], number: int, code: int
) -> None:
    process, address = running
    match = re.fullmatch(r"http://127\.0\.0\.1:(\d+)/", address)
    assert match is not None, address
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", int(match[1]), timeout=60)) as page:
        page.request("GET", "/events")
        with page.getresponse() as stream:
            assert stream.readline().startswith(b"retry")

            process.send_signal(number)
            _, told = process.communicate(timeout=60)

    assert (process.returncode, told) == (code, "")


# Whether a launch is alive, without waiting


def file_of_elsewhere(folder: Path, beat_at: float) -> None:
    """The file of a launch on another machine, touched last at that time."""
    RunningFile(folder).write(Progress({"a": Row("baseline", 0, "running")}))
    content = json.loads((folder / FILE_NAME).read_text())
    (folder / FILE_NAME).write_text(json.dumps({**content, "host": "elsewhere"}))
    os.utime(folder / FILE_NAME, (beat_at, beat_at))


@pytest.mark.parametrize("difference", [-3 * HOURS, 3 * HOURS])
def test_a_launch_whose_clock_differs_is_alive_once_it_has_been_seen_to_beat(
    tmp_path: Path, difference: float
) -> None:
    heartbeat, now = Heartbeat(), time.time()
    file_of_elsewhere(tmp_path, now + difference)
    first = heartbeat.launch(tmp_path)
    os.utime(tmp_path / FILE_NAME, (now + difference + 10,) * 2)

    second = heartbeat.launch(tmp_path)

    assert first is not None
    assert second is not None
    assert not first.is_alive
    assert second.is_alive


def test_a_launch_that_falls_silent_is_dead_after_a_minute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heartbeat, now = Heartbeat(), time.time()
    for beat_at in (now - 3 * HOURS, now - 3 * HOURS + 10):
        file_of_elsewhere(tmp_path, beat_at)
        heartbeat.launch(tmp_path)
    later = time.monotonic() + 61
    monkeypatch.setattr(time, "monotonic", lambda: later)

    found = heartbeat.launch(tmp_path)

    assert found is not None
    assert not found.is_alive


def test_no_launch_is_none(tmp_path: Path) -> None:
    assert Heartbeat().launch(tmp_path) is None
