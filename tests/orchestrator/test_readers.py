"""Who only reads a study changes no byte of it, whatever is damaged there."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cli import parser as cli
from orchestrator.ledger import Ledger
from orchestrator.ledger.compaction import compact
from orchestrator.plan.loading import load_space
from orchestrator.study.launch import Study, open_study
from orchestrator.study.price.throughput import measured
from orchestrator.study.reuse import found_elsewhere
from orchestrator.study.runner import RunOptions, run_missing
from trainables.h_space.family import FAMILY

Tree = dict[str, tuple[str, int]]


def tree_of(folder: Path) -> Tree:
    """Every file and folder with what it holds and when it was changed last."""
    return {
        str(path.relative_to(folder)): (
            hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder",
            path.stat().st_mtime_ns,
        )
        for path in [folder, *folder.rglob("*")]
    }


@pytest.fixture
def study(space_file: Path, tmp_path: Path, display: Any) -> Study:
    """Four trials that are done."""
    study = open_study(load_space(space_file), tmp_path / "results")
    run_missing(study, RunOptions(inline=True, trial_class="fake_trials:FakeTrial"), display)
    return study


def garble(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 4] ^= 1
    path.write_bytes(content)


def damage_parts(study: Study) -> None:
    """The record of one trial, the curves of another cut short, the pictures of a third lost."""
    names = sorted(path.name for path in (study.ledger_folder / "trials").glob("part-*"))
    garble(study.ledger_folder / "trials" / names[0])
    (study.ledger_folder / "curves" / names[1]).write_bytes(b"PAR1")
    (study.ledger_folder / "samples" / names[2]).unlink()


def damage_merged(study: Study) -> None:
    """Two merged files damaged, one of them beyond its footer."""
    compact(study.ledger_folder, group_size=4)
    for table, harm in (("curves", garble), ("samples", lambda path: path.write_bytes(b"PAR1"))):
        (path,) = (study.ledger_folder / table).glob("merged-*")
        harm(path)


@pytest.mark.parametrize("damage", [damage_parts, damage_merged])
def test_a_reader_names_what_is_damaged_and_changes_nothing(
    study: Study, damage: Callable[[Study], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(study)
    signature = study.plan.trials[3].signature
    before = tree_of(study.folder)

    for command in (
        ["status", "rates"],
        ["status", "--json"],
        ["plan", str(tmp_path / "rates.yaml")],
        ["explain", signature],
        ["report", "rates", "--out", str(tmp_path / "report")],
    ):
        cli.main([*command, "--results", str(tmp_path / "results")])
    measured(tmp_path / "results", "cpu", FAMILY)
    found_elsewhere({signature: ""}, tmp_path / "results" / "another")
    for table in ("trials", "curves", "evaluations", "samples"):
        Ledger(study.ledger_folder).table(table)

    assert tree_of(study.folder) == before
    out = capsys.readouterr().out
    assert "damaged: " in out
    assert "count as not run" in out


@pytest.mark.parametrize("damage", [damage_parts, damage_merged])
def test_the_launch_that_holds_the_lock_sets_damage_aside_and_runs_it_again(
    study: Study, damage: Callable[[Study], None], display: Any, tmp_path: Path
) -> None:
    damage(study)

    outcome = run_missing(study, RunOptions(inline=True, trial_class="fake_trials:FakeTrial"), display)

    assert outcome.num_run == (3 if damage is damage_parts else 4)
    assert any("damaged and set aside: " in line for line in display.lines)
    assert {record["status"] for record in Ledger(study.ledger_folder).records()} == {"done"}
    assert any((study.ledger_folder / "damaged").rglob("*.parquet"))


def test_a_study_that_cannot_be_read_stops_no_other(
    study: Study, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "results" / "broken").mkdir()
    (tmp_path / "results" / "broken" / "ledger").write_text("a file")

    code = cli.main(["plan", str(tmp_path / "rates.yaml"), "--json", "--results", str(tmp_path / "results")])

    assert code == 0
    assert json.loads(capsys.readouterr().out)["num_done"] == 4
