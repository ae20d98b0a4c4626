"""A launch that does not get a study's lock changes no byte of its folder."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from searches import SPACE, Launch, launcher

from orchestrator.cli import parser as cli
from orchestrator.cli import tune as command
from orchestrator.ledger import LedgerError, LedgerLock
from orchestrator.plan.loading import load_space
from orchestrator.search.winner import retest_file
from orchestrator.study.launch import Study, open_study
from orchestrator.study.runner import RunOptions, run_missing
from trainables.h_space.layers import Summarise


def tree_of(folder: Path) -> dict[str, tuple[str, int]]:
    """Every file with what it holds and when it was changed last."""
    return {
        str(path.relative_to(folder)): (
            hashlib.sha256(path.read_bytes()).hexdigest(),
            path.stat().st_mtime_ns,
        )
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def run(space_file: Path, tmp_path: Path, display: Any) -> Callable[..., Study]:
    def launch(margin: str = "0.1") -> Study:
        space_file.write_text(space_file.read_text().replace("margin: 0.1", f"margin: {margin}"))
        study = open_study(load_space(space_file), tmp_path / "results")
        run_missing(study, RunOptions(inline=True, trial_class="fake_trials:FakeTrial"), display)
        return study

    return launch


@pytest.mark.parametrize("is_new", [True, False])
def test_a_run_that_is_refused_changes_no_byte(
    run: Callable[..., Study], tmp_path: Path, is_new: bool
) -> None:
    folder = tmp_path / "results" / "rates"
    if not is_new:
        run()

    with LedgerLock(folder / "ledger"):
        before = tree_of(folder)
        with pytest.raises(LedgerError, match="another launch is running this study"):
            run(margin="0.2")
        assert tree_of(folder) == before
    assert run("0.2").space.config.primary.margin == 0.2


@pytest.mark.parametrize("is_new", [True, False])
def test_a_search_that_is_refused_changes_no_byte(
    tmp_path: Path, display: Any, summarise: Summarise, is_new: bool
) -> None:
    search: Launch = launcher(tmp_path, display, summarise)
    folder = tmp_path / "results" / "tune_goblin"
    if not is_new:
        search(trials=2)

    with LedgerLock(folder / "ledger"):
        before = tree_of(folder)
        with pytest.raises(LedgerError, match="another launch is running this study"):
            search(SPACE.replace("margin: 0.1", "margin: 0.2"))
        assert tree_of(folder) == before


def test_the_commands_that_launch_change_no_byte_where_they_are_refused(
    run: Callable[..., Study], space_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = run()
    text = space_file.read_text().replace("seeds: 2", "seeds: 1")
    search_file = tmp_path / "search.yaml"
    search_file.write_text(text.replace("axes:", "design: {kind: optuna, trials: 2}\naxes:"))
    searched = tmp_path / "results" / "tune_smiling"
    results = ["--results", str(tmp_path / "results"), "--inline"]

    with LedgerLock(study.ledger_folder), LedgerLock(searched / "ledger"):
        before = tree_of(study.folder) | tree_of(searched)
        for command in (
            ["run", str(space_file), "--seeds", "3"],
            ["tune", "smiling", "--space", str(search_file)],
        ):
            assert cli.main([*command, *results]) == 2
            assert "another launch is running this study" in capsys.readouterr().err
        assert tree_of(study.folder) | tree_of(searched) == before


def test_what_a_search_leaves_is_written_under_its_lock(
    tmp_path: Path, display: Any, summarise: Summarise
) -> None:
    """Its winner's test, its entry and its editor, which come after the trials."""
    study, launched = launcher(tmp_path, display, summarise)(trials=2)
    results, winner = launched.results, launched.results.best
    assert winner is not None
    console = Console()
    for leave in (
        lambda: command._conclude(study, results, winner, RunOptions(), console, ""),
        lambda: command._leave(study, winner, "", None, console),
    ):
        with LedgerLock(study.ledger_folder):
            before = tree_of(study.folder)
            with pytest.raises(LedgerError, match="another launch is running this study"):
                leave()
            assert tree_of(study.folder) == before
    assert not retest_file(study).exists()
