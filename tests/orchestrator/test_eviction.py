"""Copies of results in a store take a bounded share of the disk: those that nobody uses go, the oldest first."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from orchestrator.ledger import LedgerError
from orchestrator.ledger.eviction import LIMIT, MARK, SCRATCH, make_room

HOLD = """
import sys
from pathlib import Path
from orchestrator.ledger.eviction import hold
hold(Path(sys.argv[1]))
print(flush=True)
sys.stdin.read()
"""
CopyMaker = Callable[[str, int], Path]


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CopyMaker:
    """A copy of 1000 bytes that was opened so many seconds ago, with a log that the store may not have."""
    monkeypatch.setenv(SCRATCH, str(tmp_path))

    def make(name: str, age: int) -> Path:
        root = tmp_path / "working/s3" / name
        for file, num_bytes in (("cache/images/a", 400), ("study/ledger/trials/a", 600), ("study/logs/a", 0)):
            (root / file).parent.mkdir(parents=True)
            (root / file).write_bytes(bytes(num_bytes))
        for file in (MARK, ".in-use"):
            (root / file).touch()
        os.utime(root / ".in-use", (10**9 - age, 10**9 - age))
        return root

    return make


def is_whole(root: Path) -> bool:
    """Whether nothing of a copy has gone; all of what may go, otherwise."""
    there = {(root / name).exists() for name in ("cache", "study/ledger")}
    assert (root / "study/logs/a").exists()
    assert len(there) == 1
    return there.pop()


def test_the_copy_that_was_unused_longest_goes_and_never_one_in_use(
    copy: CopyMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    used, old, new = copy("used", 30), copy("old", 20), copy("new", 10)
    monkeypatch.setenv(LIMIT, "2.5e-6")
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(used)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        os.utime(used / ".in-use", (0, 0))

        assert make_room() == 500
        assert [is_whole(one) for one in (used, old, new)] == [True, False, True]
        assert make_room(num_bytes=10**6) == 1500
        assert [is_whole(one) for one in (used, new)] == [True, False]
        process.kill()

    make_room(num_bytes=10**6)
    assert not is_whole(used)


def test_without_a_limit_copies_take_half_of_what_they_have_and_what_is_free(
    copy: CopyMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(LIMIT, raising=False)
    old, new = copy("old", 20), copy("new", 10)
    monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=1000))

    assert make_room() == 500
    assert [is_whole(one) for one in (old, new)] == [False, True]


def test_a_limit_that_is_no_number_is_told(copy: CopyMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LIMIT, "200 GB")
    with pytest.raises(LedgerError, match="ASYRP_SWEEP_SCRATCH_GB is '200 GB': expected a number of GB"):
        make_room()
