"""`doctor` names what a launch would meet, one line each, and leaves nothing behind."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cli import disk_probe, doctor
from orchestrator.cli.disk_probe import Finding, storage

Found = Callable[[], dict[str, Finding]]


@pytest.fixture
def found(tmp_path: Path) -> Found:
    """What is found of a results folder that is not there yet; nothing may be there afterwards."""

    def look() -> dict[str, Finding]:
        findings = {finding.name: finding for finding in storage(tmp_path / "new" / "results")}
        assert list(tmp_path.iterdir()) == []
        return findings

    return look


def failing(number: int) -> Callable[..., None]:
    def fail(*arguments: Any) -> None:
        raise OSError(number, os.strerror(number))

    return fail


def test_a_disk_that_can_do_everything_is_fine(found: Found) -> None:
    assert {finding.level for name, finding in found().items() if name != "storage space"} == {"ok"}


@pytest.mark.parametrize(
    ("call", "number", "name", "words"),
    [
        ("fcntl.flock", errno.ENOTSUP, "storage locks", "a file takes their place"),
        ("os.fsync", errno.EINVAL, "storage sync", "not for files: Invalid argument"),
    ],
)
def test_what_a_disk_lacks_and_a_launch_can_do_without_is_a_note(
    found: Found, monkeypatch: pytest.MonkeyPatch, call: str, number: int, name: str, words: str
) -> None:
    monkeypatch.setattr(call, failing(number))

    finding = found()[name]

    assert finding.level == "note"
    assert words in finding.found


def test_locks_that_two_may_hold_are_a_problem(found: Found, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fcntl.flock", lambda file, operation: None)

    assert found()["storage locks"].level == "FIX"


@pytest.mark.parametrize("number", [errno.EROFS, errno.ENOSPC, errno.EPERM, errno.EDQUOT])
def test_a_disk_that_refuses_is_a_problem_with_what_to_do(
    found: Found, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setattr("pathlib.Path.replace", failing(number))

    assert found()["storage"].level == "FIX"
    assert os.strerror(number) in found()["storage"].found
    assert found()["storage"].advice


def test_a_file_servers_clock_that_differs_is_a_note(tmp_path: Path) -> None:
    finding = disk_probe._clock(tmp_path, now=lambda: 1e9)

    assert finding.level == "note"
    assert finding.found.endswith("s ahead of this machine's")


@pytest.mark.parametrize(
    ("variables", "name", "level", "words"),
    [
        ({"TMPDIR": "/" + "long" * 30}, "temporary files", "note", "characters too long for Ray's sockets"),
        ({"TMPDIR": "/no/such/folder"}, "temporary files", "note", "No such file or directory"),
        ({"HOME": "/proc/nothing"}, "home", "note", "/proc/nothing cannot be written"),
        ({"RAY_ADDRESS": "http://127.0.0.1:8265"}, "RAY_ADDRESS", "FIX", "http://127.0.0.1:8265"),
        ({"RAY_JOB_CONFIG_JSON_ENV_VAR": "{}"}, "Ray job", "note", "the job's working_dir"),
        ({"SLURM_JOB_ID": "7", "SLURM_CPUS_ON_NODE": "1"}, "processors", "ok", "1 CPUs of 64: the scheduler"),
    ],
)
def test_what_surrounds_a_launch_is_named(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], name: str, level: str, words: str
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    for variable in ("RAY_TMPDIR", "RAY_ADDRESS", "TEMP", "TMP"):
        monkeypatch.delenv(variable, raising=False)
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    looked_at = [doctor._processors(), doctor._temporary_files(), doctor._home(), *doctor._surroundings()]

    [finding] = [finding for finding in looked_at if finding.name == name]

    assert finding.level == level
    assert words in finding.found


def test_little_memory_is_a_note_with_the_number_of_cpus_that_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "usable_bytes", lambda: 4_100_000_000)
    monkeypatch.setattr(doctor, "usable_cores", lambda: 16)

    assert doctor._memory().level == "note"
    assert doctor._memory().advice.startswith("run with --cpus 3")


def test_shared_memory_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "SHARED_MEMORY", "/no/shm")

    assert doctor._shared_memory().found.startswith("no /no/shm")
