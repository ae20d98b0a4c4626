"""A search that is killed, interrupted, fails or loses its journal goes on as if nothing had been."""

import json
import os
from pathlib import Path
from typing import Any

import optuna
import pytest
from searches import SPACE, Launch, launcher, optuna_trials, points_of, records_of, states_of

from orchestrator.resolving import Summarise
from orchestrator.tuning.journal import JOURNAL


@pytest.fixture
def launch(tmp_path: Path, display: Any, summarise: Summarise) -> Launch:
    return launcher(tmp_path, display, summarise)


def test_a_search_in_pieces_proposes_what_one_in_a_piece_proposes(launch: Launch, tmp_path: Path) -> None:
    _, whole = launch(name="whole")

    for trials in (2, 5, 8):
        _, pieces = launch(trials=trials)

    assert points_of(pieces) == points_of(whole)


def test_a_killed_launch_goes_on_without_zombies(launch: Launch, tmp_path: Path) -> None:
    _, whole = launch(name="whole")
    (tmp_path / "begun").touch()
    if (process := os.fork()) == 0:
        launch(trial="KilledTrial")
        os._exit(0)
    assert os.waitpid(process, 0)[1] == 9

    study, launched = launch()

    assert states_of(study) == ["COMPLETE"] * 8
    assert points_of(launched) == points_of(whole)
    assert [record["notes"] for record in records_of(study)].count(["resumed after epoch 1"]) == 1
    assert {record["attempt"] for record in records_of(study)} == {1}


def test_an_interrupted_launch_goes_on(launch: Launch) -> None:
    study, interrupted = launch(trial="InterruptingTrial")
    assert interrupted.outcome.exit_code == 143
    assert states_of(study) == ["RUNNING"]

    _, launched = launch(trials=3)

    assert states_of(study) == ["COMPLETE"] * 3
    assert launched.outcome.num_run == 3


def test_a_trial_committed_but_never_told_is_told_by_the_next_launch(launch: Launch) -> None:
    study, _ = launch(trials=3)
    journal = study.folder / JOURNAL
    lines = journal.read_text().splitlines(keepends=True)
    told = max(index for index, line in enumerate(lines) if json.loads(line)["op_code"] == 6)
    journal.write_text("".join(lines[:told]))
    assert "RUNNING" in states_of(study)

    _, launched = launch(trials=3)

    assert states_of(study) == ["COMPLETE"] * 3
    assert launched.outcome.num_run == 0


def test_a_proposal_that_never_became_a_trial_is_told_as_failed(launch: Launch) -> None:
    study, _ = launch(trials=2)
    backend = optuna.storages.journal.JournalFileBackend(str(study.folder / JOURNAL))
    storage = optuna.storages.JournalStorage(backend)
    optuna.load_study(study_name=optuna.get_all_study_names(storage)[0], storage=storage).ask()

    launch(trials=3)

    assert sorted(states_of(study)) == ["COMPLETE", "COMPLETE", "COMPLETE", "FAIL"]


def test_nan_and_failures_are_told_as_failures_and_the_search_goes_on(launch: Launch) -> None:
    text = SPACE.replace("axes:", "axes:\n  recon: {path: training.lambda_recon, values: [3.0, 8.0, 9.0]}")

    study, launched = launch(text, trials=12, sampler="grid")

    reasons = {t.user_attrs["reason"] for t in optuna_trials(study) if t.state.name == "FAIL"}
    assert set(states_of(study)) == {"COMPLETE", "FAIL"}
    assert reasons == {"an objective is not finite: nan", "the loss is NaN in epoch 1"}
    assert {found.candidate.values["recon"] for found in launched.results.found} == {3.0}
    assert launched.results.counts["failed"] == len(launched.outcome.failed)
    _, again = launch(text, trials=12, sampler="grid")
    assert again.outcome.num_run == 0


@pytest.mark.parametrize("harm", ["lost", "garbled", "cut short"])
def test_a_journal_that_came_to_harm_costs_no_trial(launch: Launch, harm: str) -> None:
    study, before = launch(trials=4)
    journal = study.folder / JOURNAL
    if harm == "lost":
        journal.unlink()
    elif harm == "garbled":
        journal.write_bytes(b"garbage\n" + journal.read_bytes())
    else:
        journal.write_bytes(journal.read_bytes() + b'{"op_code": 4, "wor')

    _, launched = launch(trials=4)

    assert launched.outcome.num_run == 0
    assert launched.results.winner == before.results.winner
    assert "RUNNING" not in states_of(study)
