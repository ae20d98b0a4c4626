"""A study's own description, and whose folder is whose."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from orchestrator.ledger import (
    Ledger,
    LedgerError,
    StudyPlan,
    claim_study,
    read_study,
    status_matrix,
    write_study,
)
from orchestrator.plan.loading import load_space
from orchestrator.study.launch import open_study


def study_document(name: str = "encoder") -> dict[str, Any]:
    cell = {
        "cell": "baseline",
        "axis_values": {"encoder": "conv"},
        "is_baseline": True,
        "merged": [{"encoder": "pixel"}],
        "num_parameters": 12,
        "trials": [
            {"seed": 0, "signature": "a"},
            {"seed": 1, "signature": "b"},
            {"seed": 2, "signature": "c"},
        ],
    }
    return {
        "schema_version": 1,
        "name": name,
        "question": "Which?",
        "published": {"figure": "15"},
        "axes": {"encoder": ["conv", "pixel"]},
        "design": "one_factor",
        "seeds": [0, 1, 2],
        "primary": {"metric": "s_dir", "margin": 0.05, "alpha": 0.05},
        "claims": [],
        "figures": [{"kind": "table"}],
        "plan_hash": "0" * 16,
        "space_file_text": "question: Which?\n",
        "settings": {},
        "cells": [cell],
    }


@pytest.fixture
def study(tmp_path: Path) -> StudyPlan:
    write_study(tmp_path / "encoder", study_document())
    return read_study(tmp_path / "encoder")


def test_a_study_comes_back_as_it_was_described(study: StudyPlan) -> None:
    assert study.axes == {"encoder": ("conv", "pixel")}
    assert study.primary["margin"] == 0.05
    assert study.baseline is not None
    assert study.baseline.merged == ({"encoder": "pixel"},)
    assert [trial.signature for trial in study.baseline.trials] == ["a", "b", "c"]


def test_the_status_matrix_has_a_state_for_every_planned_trial(study: StudyPlan, tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "encoder" / "ledger")
    for signature in ("a", "elsewhere"):
        ledger.write_rows(signature, 1, curves=[], evaluations=[], samples=[])
        ledger.commit(
            {
                "signature": signature,
                "attempt": 1,
                "cell": "baseline",
                "seed": 0,
                "status": "done",
                "axis_values": {"encoder": "conv"},
                "config": {},
                "provenance": {},
                "finished_at": datetime(2026, 1, 1, tzinfo=UTC),
                "notes": [],
            }
        )

    assert status_matrix(study, ledger.records(), running={"b"}) == {
        "baseline": {0: "done", 1: "running", 2: "waiting"}
    }


def test_a_folder_is_claimed_by_one_space_only(tmp_path: Path, study: StudyPlan) -> None:
    assert claim_study(tmp_path / "new", "new") is None
    assert not (tmp_path / "new").exists()
    assert claim_study(tmp_path / "encoder", "encoder") == study
    with pytest.raises(
        LedgerError, match="belongs to the space 'encoder', not to 'heads'; choose another --results"
    ):
        claim_study(tmp_path / "encoder", "heads")


def test_a_study_that_differs_from_another_in_capitals_alone_is_refused(tmp_path: Path) -> None:
    (tmp_path / "results" / "Rates" / "ledger").mkdir(parents=True)
    for name in ("Rates", "rates"):
        (tmp_path / f"{name}.yaml").write_text(
            "question: q\nbaseline: {command: 'echo {seed} {x}', metrics: {a: higher is better}, settings: {x: 1}}\n"
            "family: command\naxes: {x: {path: settings.x, values: [1, 2]}}\nseeds: 1\n"
            "primary: {metric: a, margin: 1.0}\n"
        )

    assert open_study(load_space(tmp_path / "Rates.yaml"), tmp_path / "results").plan.name == "Rates"
    with pytest.raises(
        LedgerError, match="has a study called Rates, and some systems take Rates and rates for"
    ):
        open_study(load_space(tmp_path / "rates.yaml"), tmp_path / "results")


def test_a_foreign_folder_is_left_alone_but_one_begun_is_ours(tmp_path: Path) -> None:
    for name in ("foreign", "begun"):
        (tmp_path / name / "ledger").mkdir(parents=True)
    (tmp_path / "foreign" / "thesis.tex").touch()

    assert claim_study(tmp_path / "begun", "begun") is None
    with pytest.raises(LedgerError, match=r"exists but holds no study \(no study.json\)"):
        claim_study(tmp_path / "foreign", "foreign")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not JSON"),
        ("[]", "is not a study of asyrp-sweep"),
        (
            '{"schema_version": 1}',
            "is not a study of asyrp-sweep: name: required, but missing",
        ),
        ('{"schema_version": 99}', "was written by a newer asyrp-sweep"),
    ],
)
def test_a_broken_study_file_is_a_clear_error(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "study.json").write_text(content)

    with pytest.raises(LedgerError, match=message):
        read_study(tmp_path)
    with pytest.raises(LedgerError, match=r"holds no study: there is no study.json in it"):
        read_study(tmp_path / "elsewhere")
