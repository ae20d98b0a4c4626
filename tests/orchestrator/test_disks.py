"""File systems that lack something, or refuse: a fallback that is safe, or a message that says what to do."""

import errno
import fcntl
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cli import listing
from orchestrator.cli.parser import main
from orchestrator.ledger import LedgerError, LedgerLock, durable
from orchestrator.ledger.durable import write_atomically, write_together
from orchestrator.ledger.files import writing

Refuse = Callable[[str, int], None]


@pytest.fixture
def refuse(monkeypatch: pytest.MonkeyPatch) -> Refuse:
    """Let a call of the operating system, such as `fcntl.flock`, fail always."""

    def make(call: str, number: int) -> None:
        def fail(*arguments: Any) -> None:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(call, fail)

    return make


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP, errno.EINVAL, errno.ENOSYS])
def test_without_locks_one_launch_at_a_time_still_holds(tmp_path: Path, refuse: Refuse, number: int) -> None:
    refuse("fcntl.flock", number)

    with LedgerLock(tmp_path), pytest.raises(LedgerError, match="another launch is running this study"):
        LedgerLock(tmp_path).__enter__()
    with LedgerLock(tmp_path):
        pass

    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def test_a_launch_killed_without_locks_leaves_a_file_that_the_message_names(
    tmp_path: Path, refuse: Refuse
) -> None:
    refuse("fcntl.flock", errno.ENOTSUP)
    LedgerLock(tmp_path).__enter__()  # killed

    with pytest.raises(LedgerError) as refused:
        LedgerLock(tmp_path).__enter__()

    assert f"if that one is over, delete {tmp_path / '.lock-claimed'}" in str(refused.value)
    (tmp_path / ".lock-claimed").unlink()
    with LedgerLock(tmp_path):
        pass


def test_a_lock_that_fails_otherwise_is_not_taken_for_another_launch(tmp_path: Path, refuse: Refuse) -> None:
    refuse("fcntl.flock", errno.EIO)

    with pytest.raises(LedgerError, match="cannot be written: Input/output error; its disk or network drive"):
        LedgerLock(tmp_path).__enter__()


def test_a_lock_of_another_machine_says_when_it_ends(tmp_path: Path) -> None:
    (tmp_path / ".lock").write_text("process 12 on node7")
    with (tmp_path / ".lock").open() as other:
        fcntl.flock(other, fcntl.LOCK_EX)

        with pytest.raises(LedgerError, match=r"process 12 on node7.*\nIf node7 is down, its lock ends"):
            LedgerLock(tmp_path).__enter__()


def test_a_full_disk_lets_the_lock_be_taken_and_given_back(tmp_path: Path, refuse: Refuse) -> None:
    refuse("os.ftruncate", errno.ENOSPC)
    refuse("os.pwrite", errno.ENOSPC)

    with LedgerLock(tmp_path):
        pass
    with LedgerLock(tmp_path):
        pass


def test_the_lock_names_its_holder(tmp_path: Path) -> None:
    with LedgerLock(tmp_path):
        held = (tmp_path / ".lock").read_text()

    assert held == f"process {os.getpid()} on {socket.gethostname()}"


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP, errno.EBADF])
def test_files_are_written_where_folders_cannot_be_synced(
    tmp_path: Path, refuse: Refuse, number: int
) -> None:
    refuse("os.fsync", number)

    write_atomically(tmp_path / "a", lambda path: path.write_text("whole") and None)

    assert (tmp_path / "a").read_text() == "whole"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_disk_that_fails_while_syncing_is_never_passed_over(
    tmp_path: Path, refuse: Refuse, number: int
) -> None:
    refuse("os.fsync", number)

    with pytest.raises(OSError, match=os.strerror(number)):
        write_atomically(tmp_path / "a", Path.touch)

    assert list(tmp_path.iterdir()) == []


def test_of_files_written_together_none_takes_its_place_before_all_are_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail_at_the_second(path: Path) -> None:
        if path.name.startswith(".b"):
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(durable, "fsync", fail_at_the_second)

    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        write_together({tmp_path / name: Path.touch for name in "abc"})

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.ENOSPC, "No space left on device; free some space on its disk, or enlarge it"),
        (errno.EDQUOT, "Disk quota exceeded; free some of your quota"),
        (errno.EROFS, "Read-only file system; choose another folder with --results"),
        (errno.ESTALE, "Stale file handle; the network drive was changed under this machine: mount it again"),
        (errno.EEXIST, "File exists; this file system lets no file be replaced"),
    ],
)
def test_what_a_disk_refuses_comes_with_what_to_do(tmp_path: Path, number: int, advice: str) -> None:
    with pytest.raises(LedgerError, match=f"{tmp_path} cannot be written: {advice}"), writing(tmp_path):
        raise OSError(number, os.strerror(number))


def test_a_command_that_meets_a_read_only_disk_says_so_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*arguments: Any) -> int:
        raise OSError(errno.EROFS, "Read-only file system", "results/encoder/report")

    monkeypatch.setattr(listing, "list_command", fail)

    assert main(["list", "spaces"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("results/encoder/report: Read-only file system; choose another folder")
