"""A search that is killed, interrupted, fails or loses its journal goes on as if nothing had been."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import optuna
import pytest
from searches import SPACE, Launch, launcher, optuna_trials, points_of, records_of, states_of

from orchestrator.ledger import LedgerError
from orchestrator.search.journal import JOURNAL, open_journal
from trainables.h_space.layers import Summarise


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
    assert {found.axis_values["recon"] for found in launched.results.trials} == {3.0}
    assert launched.results.counts["failed"] == len(launched.outcome.failed)
    _, again = launch(text, trials=12, sampler="grid")
    assert again.outcome.num_run == 0


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory, new_display: Any, summarise: Summarise) -> Path:
    """The folder of a search of four trials."""
    folder = tmp_path_factory.mktemp("searched")
    launcher(folder, new_display(), summarise)(trials=4)
    return folder


TORN = {
    "lost": lambda content: b"",
    "cut": lambda content: content + b'{"op_code": 4, "wor',
    "cut in a letter": lambda content: content + '{"op_code": 4, "ε'.encode()[:-1],
    "blank": lambda content: content + b"\n",
    "blanks": lambda content: content + b"\n \n\n",
    "zeros": lambda content: content + b"\0" * 4096,
}
"""What a power cut or a full disk does to a journal."""

GARBAGE = {
    "first line": lambda content: b"garbage\n" + content,
    "last line": lambda content: content + b"garbage\n",
    "glued": lambda content: content[:-1] + content.splitlines(keepends=True)[-1],
    "blank between": lambda content: b"\n".join(
        [content.splitlines()[0], b"", *content.splitlines()[1:], b""]
    ),
    "not UTF-8": lambda content: content + b'{"op_code": "\xff"}\n',
    "foreign JSON": lambda content: b'{"name": "notes"}\n',
    "foreign JSON without an end": lambda content: b'{"name": "notes"}',
    "list": lambda content: b"[1, 2]\n",
    "deep": lambda content: b"[" * 100_000 + b"\n",
    "other version": lambda content: content + b'{"op_code": 99, "worker_id": "x"}\n',
}
"""What only something else leaves in it."""


@pytest.mark.parametrize("harm", [*TORN, *GARBAGE])
def test_a_journal_that_came_to_harm_costs_no_trial(
    searched: Path, tmp_path: Path, display: Any, summarise: Summarise, harm: str
) -> None:
    shutil.copytree(searched, tmp_path, dirs_exist_ok=True)
    journal = tmp_path / "results" / "tune_goblin" / JOURNAL
    harmed = (TORN | GARBAGE)[harm](journal.read_bytes())
    journal.write_bytes(harmed)
    journal.with_name(f"{JOURNAL}.lock").touch()  # as a killed process leaves it

    study, launched = launcher(tmp_path, display, summarise)(trials=5)

    assert launched.outcome.num_run == 1
    assert states_of(study) == ["COMPLETE"] * 5
    aside = list(journal.parent.glob(f"{JOURNAL}.damaged-*"))
    assert [path.read_bytes() for path in aside] == ([harmed] if harm in GARBAGE else [])
    assert sum("could not be read" in note for note in launched.notes) == len(aside)


def test_a_healthy_journal_is_never_set_aside(searched: Path, tmp_path: Path) -> None:
    journal = tmp_path / JOURNAL
    content = (searched / "results" / "tune_goblin" / JOURNAL).read_bytes()
    journal.write_bytes(content)

    _, notes = open_journal(journal)

    assert notes == []
    assert journal.read_bytes() == content


def test_a_journal_that_cannot_be_read_is_left_where_it_is(
    launch: Launch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = tmp_path / "results" / "tune_goblin" / JOURNAL
    launch(trials=2)
    journal.unlink()
    journal.mkdir()

    with pytest.raises(LedgerError, match="cannot be written: Is a directory"):
        launch(trials=3)
    assert journal.is_dir()
