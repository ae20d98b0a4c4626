"""The example script of `family: command`."""

import sys
from pathlib import Path

import pytest

from trainables.command import digits


def test_a_run_that_was_cut_off_after_its_last_epoch_ends_as_it_would_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["digits.py", "--out", str(tmp_path), "--epochs", "1", "--width", "4"])
    digits.main()
    metrics, items = tmp_path / "metrics.json", tmp_path / "items.csv"
    undisturbed = metrics.read_text(), items.read_text()
    metrics.unlink()
    items.unlink()

    digits.main()

    assert (metrics.read_text(), items.read_text()) == undisturbed
