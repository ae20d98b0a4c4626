"""What `explain` tells of one trial and of two, from the files of a study alone."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cli.parser import main
from orchestrator.ledger import LedgerError
from orchestrator.plan.loading import load_space
from orchestrator.study.launch import Study, open_study
from orchestrator.study.runner import RunOptions, run_missing
from orchestrator.views.explaining import explain, find, first_difference

Explain = Callable[[str], str]


@pytest.fixture
def study(space_file: Path, tmp_path: Path, display: Any) -> Study:
    """Seed 0 is done, seed 1 has failed, seed 2 has not run."""
    results = tmp_path / "results"
    study = open_study(load_space(space_file), results)
    run_missing(study, RunOptions(inline=True, trial_class="fake_trials:FailingTrial"), display)
    longer = open_study(load_space(space_file, seeds=3), results)
    from orchestrator.study.launch import describe

    describe(longer)
    return longer


def told(study: Study, trial: str) -> str:
    return "\n".join(explain(find(trial, study.folder.parent)))


def test_a_done_trial_is_told_with_its_settings_curve_and_log(study: Study) -> None:
    text = told(study, "rate=0.01:0")

    assert "done at attempt 1 in " in text
    assert "training.optimizer.learning_rate: here 0.01, baseline 0.001" in text
    assert "epoch   1  ########################  direction 0.5, total 1" in text
    assert "epoch   2  ########################  direction 0.5, total 0.5" in text
    assert "INFO done: counterfactual_gain 0" in text


def test_a_failed_trial_is_told_with_its_reason_and_the_end_of_its_log(study: Study) -> None:
    text = told(study, "baseline:1")

    assert "failed at attempt 1: the loss is NaN in epoch 1; the next launch tries it again" in text
    assert "TrialFailed: the loss is NaN in epoch 1" in text.splitlines()[-1]


def test_a_trial_that_has_not_run_is_told_so(study: Study) -> None:
    text = told(study, "rate=0.01:2")

    assert "not started" in text
    assert "settings: rate 0.01" in text
    assert "no log: " in text


def test_an_interrupted_trial_is_told_where_it_goes_on(study: Study) -> None:
    [signature] = [t.signature for t in study.plan.trials if (t.cell, t.seed) == ("baseline", 2)]
    (study.folder / "checkpoints" / signature / "epoch-00001").mkdir(parents=True)

    assert "interrupted after epoch 1; the next launch goes on from there" in told(study, signature[:6])


def test_two_trials_are_told_apart_by_what_they_were_told_and_their_first_other_number(study: Study) -> None:
    results = study.folder.parent

    text = "\n".join(first_difference(find("baseline:0", results), find("rate=0.01:0", results)))

    assert "training.optimizer.learning_rate: A 0.001, B 0.01" in text
    assert "Every number of curves and evaluations is equal." in text


def test_a_trial_that_is_unknown_or_ambiguous_is_bad_input(
    study: Study, capsys: pytest.CaptureFixture[str]
) -> None:
    results = str(study.folder.parent)

    assert main(["explain", "nothing:7", "--results", results]) == 2
    assert "holds no trial 'nothing:7'" in capsys.readouterr().err
    assert main(["explain", "baseline:0", "--results", results]) == 0
    with pytest.raises(LedgerError, match="holds no trial"):
        find("", study.folder.parent)
