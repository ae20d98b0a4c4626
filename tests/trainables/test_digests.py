"""Digests of weights are kept, and a file that was changed or replaced is read again."""

import os
from pathlib import Path

import pytest

from trainables import digests
from trainables.digests import file_digest, remembered


@pytest.fixture(autouse=True)
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache of its own, files of any size kept, however new they are; nothing known in this process."""
    monkeypatch.setenv("ASYRP_SWEEP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(digests, "SMALL", 0)
    monkeypatch.setattr(digests, "SETTLED_SECONDS", -1e9)
    monkeypatch.setattr(digests, "_in_this_process", {})


def refuse() -> str:
    raise AssertionError("the file was read again")


def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a new process."""
    monkeypatch.setattr(digests, "_in_this_process", {})


def test_weights_are_read_once_by_all_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "weights"
    path.write_bytes(b"abc")
    digest = file_digest(path)
    forget(monkeypatch)

    assert remembered("sha256", [path], refuse) == digest


def test_a_replaced_file_of_the_same_size_and_time_is_read_again(tmp_path: Path) -> None:
    path, other = tmp_path / "weights", tmp_path / "other"
    path.write_bytes(b"abc")
    other.write_bytes(b"xyz")
    stat = path.stat()
    os.utime(other, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    before = file_digest(path)

    other.replace(path)

    assert file_digest(path) != before


def test_a_damaged_or_unwritable_cache_only_costs_the_reading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "weights"
    path.write_bytes(b"abc")
    digest = file_digest(path)
    for kept in (tmp_path / "cache" / "digests").iterdir():
        kept.write_bytes(b"\xff damaged")
    forget(monkeypatch)
    assert file_digest(path) == digest

    monkeypatch.setenv("ASYRP_SWEEP_CACHE", str(path))  # no folder can be made there
    forget(monkeypatch)
    assert file_digest(path) == digest


def test_a_file_still_being_written_is_not_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(digests, "SETTLED_SECONDS", 1e9)
    path = tmp_path / "weights"
    path.write_bytes(b"abc")

    file_digest(path)

    assert not (tmp_path / "cache").exists()
