"""A disk that a launch would fill is told before it starts, also without a price."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from orchestrator.cli.parser import main


@pytest.mark.parametrize(
    ("command", "code"), [(["plan", "encoder"], 0), (["tune", "smiling", "--inline"], 2)]
)
def test_the_trajectory_cache_counts_for_every_command_without_a_price(
    command: list[str],
    code: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=10**6))

    assert main([*command, "--no-price", "--results", str(tmp_path / "r")]) == code

    printed = capsys.readouterr()
    said = " ".join((printed.out + printed.err).split())
    assert "r has 1 MB free, and the missing trials need about " in said
    assert "MB for what they share, in cache, " in said
    assert "MB for checkpoints): make room, or choose another disk with --results" in said
