"""Temporary files are in a folder of our own, whatever other users have put into the shared one."""

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from orchestrator.execution.contract import BackendError
from orchestrator.execution.ray.scratch import launch_folder, own_folder


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A shared temporary folder, the only one there is."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr("orchestrator.execution.ray.scratch.parents", lambda: [folder])
    return folder


@pytest.fixture
def name() -> str:
    return f"asyrp-sweep-{os.geteuid()}"


def test_our_folder_is_closed_to_others_even_where_it_was_open(shared: Path, name: str) -> None:
    (shared / name).mkdir(mode=0o777)
    (shared / name).chmod(0o777)

    with launch_folder() as folder:
        assert folder.parent == shared / name
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert stat.S_IMODE(folder.parent.stat().st_mode) == 0o700


def test_a_link_under_our_name_is_not_followed(shared: Path, tmp_path: Path, name: str) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "precious").touch()
    (shared / name).symlink_to(victim)

    with pytest.raises(BackendError, match="is a link, a file or another user's folder"), launch_folder():
        pass

    assert [path.name for path in victim.iterdir()] == ["precious"]


def test_another_users_folder_under_our_name_is_not_used(
    shared: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_folder()
    monkeypatch.setattr("os.geteuid", lambda: 4_000_000_000)
    (shared / name).rename(shared / "asyrp-sweep-4000000000")

    with pytest.raises(BackendError, match="another user's folder"):
        own_folder()


def test_links_inside_our_folder_are_not_followed_when_it_is_tidied(shared: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "precious").touch()
    (own_folder() / "link").symlink_to(victim)

    with launch_folder():
        pass

    assert (victim / "precious").exists()


def test_files_of_others_in_the_shared_folder_are_left_alone(shared: Path) -> None:
    theirs = shared / "asyrp-sweep-abcdefgh"
    theirs.mkdir()
    (theirs / ".in-use").write_text("process 12")

    with launch_folder():
        pass

    assert (theirs / ".in-use").read_text() == "process 12"


def test_where_no_folder_will_do_every_reason_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing, long = tmp_path / "missing", tmp_path / ("x" * 100)
    long.mkdir()
    monkeypatch.setattr("orchestrator.execution.ray.scratch.parents", lambda: [missing, long])

    with pytest.raises(BackendError) as refused:
        own_folder(max_length=len(str(missing)) + 40)

    assert "set TMPDIR" in str(refused.value)
    assert f"{missing}: No such file or directory" in str(refused.value)
    assert f"{long}: its path is" in str(refused.value)
    assert list(long.iterdir()) == []


def test_the_next_folder_is_taken_where_the_disk_of_the_first_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full, spare = tmp_path / "full", tmp_path / "spare"
    full.mkdir()
    spare.mkdir()
    usage = type("Usage", (), {})

    def free(folder: Path) -> Any:
        found = usage()
        found.free = 1_000_000 if folder.parent == full else 10**9
        return found

    monkeypatch.setattr("orchestrator.execution.ray.scratch.parents", lambda: [full, spare])
    monkeypatch.setattr("shutil.disk_usage", free)

    assert own_folder().parent == spare


def test_two_launches_at_once_keep_their_folders(shared: Path) -> None:
    with launch_folder() as first, launch_folder() as second:
        assert first.is_dir()
        assert second.is_dir()
    assert list(own_folder().iterdir()) == []
