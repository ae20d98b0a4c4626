"""The recorded commit is the one that holds the code which ran, or it is unknown."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.execution import provenance

Copy = Callable[..., Path]


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@b.c", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Copy:
    """Put our packages into a folder, as if they ran from there."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")

    def put(folder: Path) -> Path:
        for package in provenance.CODE:
            (folder / package).mkdir(parents=True)
            (folder / package / "code.py").write_text("a = 1\n")
        file = folder / "orchestrator" / "execution" / "provenance.py"
        file.parent.mkdir()
        file.touch()
        monkeypatch.setattr(provenance, "__file__", str(file))
        return folder

    return put


@pytest.fixture
def checkout(installed: Copy, tmp_path: Path) -> Path:
    """A repository that holds the code."""
    folder = installed(tmp_path / "checkout")
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "all")
    return folder


def test_a_clean_checkout_gives_its_commit(checkout: Path) -> None:
    (checkout / "notes.txt").write_text("decides nothing")

    assert provenance.git_commit() == git(checkout, "rev-parse", "HEAD")


@pytest.mark.parametrize("package", provenance.CODE)
def test_a_change_in_any_package_is_dirty(checkout: Path, package: str) -> None:
    (checkout / package / "code.py").write_text("a = 2\n")

    assert provenance.git_commit() == git(checkout, "rev-parse", "HEAD") + "-dirty"


def test_a_file_that_was_never_added_is_dirty(checkout: Path) -> None:
    (checkout / "trainables" / "new.py").touch()

    assert str(provenance.git_commit()).endswith("-dirty")


def test_an_installed_copy_does_not_report_the_repository_around_it(installed: Copy, tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    git(project, "init", "-q")
    (project / "README").touch()
    git(project, "add", "README")
    git(project, "commit", "-qm", "somebody else's")
    installed(project / ".venv" / "lib" / "site-packages")

    assert provenance.git_commit() is None


def test_a_worktree_and_a_detached_head_give_their_own_commit(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = git(checkout, "rev-parse", "HEAD")
    git(checkout, "commit", "-q", "--allow-empty", "-m", "second")
    git(checkout, "worktree", "add", "-q", "--detach", str(tmp_path / "tree"), first)
    monkeypatch.setattr(
        provenance, "__file__", str(tmp_path / "tree" / "orchestrator" / "execution" / "provenance.py")
    )

    assert provenance.git_commit() == first


def test_a_git_hook_of_another_repository_changes_nothing(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other").mkdir()
    git(tmp_path / "other", "init", "-q")
    commit = git(checkout, "rev-parse", "HEAD")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other" / ".git"))

    assert provenance.git_commit() == commit


@pytest.mark.parametrize(
    "script",
    ["exit 128", "exec /bin/sleep 60", ""],
    ids=["git refuses", "git does not answer", "there is no git"],
)
def test_where_git_does_not_answer_the_commit_is_unknown(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    (tmp_path / "bin").mkdir()
    if script:
        (tmp_path / "bin" / "git").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "bin" / "git").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(provenance, "GIT_SECONDS", 0.1)

    assert provenance.git_commit() is None
