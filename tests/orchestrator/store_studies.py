"""A study in an object store, what it leaves there, and a store that a test can break."""

from pathlib import Path
from typing import Any

import object_server
import pytest

from orchestrator.execution.models import model_path
from orchestrator.ledger import Ledger, LedgerError
from orchestrator.ledger.copies import SCRATCH, results_folder
from orchestrator.ledger.objects import Objects
from orchestrator.plan.loading import load_space
from orchestrator.study.launch import Study, open_study

URL = f"s3://{object_server.BUCKET}/results"
SPACE = """
question: Does a head start help?
baseline:
  domain: avatars
  attribute: zombie
  editor: {kind: conv}
  training: {epochs: 2}
axes:
  start:
    values:
      scratch: {}
      warm: {init: {from: {attribute: goblin}, epoch: 1}}
seeds: 1
primary: {metric: loss_total, margin: 0.1}
"""
NUM_TRIALS = 4
PASSING = ("started_at", "finished_at", "wall_seconds", "train_seconds", "provenance", "attempt", "notes")


class Broken(Objects):
    """Objects that a test breaks: `limit` writes and no more are what a machine leaves that loses its power."""

    num_writes = 0
    limit = 10**9
    refused = "no key has this in it"

    def _put(self, key: str, content: bytes, mode: Any) -> str:
        self._count(key)
        return super()._put(key, content, mode)

    def delete(self, key: str) -> None:
        self._count(key)
        super().delete(key)

    def _count(self, key: str) -> None:
        self.num_writes += 1
        if self.num_writes > self.limit or self.refused in key:
            raise LedgerError("cut off")


def study_at(place: str | Path, folder: Path) -> Study:
    path = folder / "chain.yaml"
    path.write_text(SPACE)
    study = open_study(load_space(path), results_folder(place))
    study.cache_dir.mkdir(parents=True, exist_ok=True)
    return study


def content(study: Study) -> dict[str, Any]:
    """What a study leaves but when, where and at which attempt."""
    ledger = Ledger(study.ledger_folder)
    records = [
        {name: value for name, value in one.items() if name not in PASSING} for one in ledger.records()
    ]
    signatures = [trial.signature for trial in study.plan.trials]
    return {
        "records": sorted(records, key=lambda one: str(one["signature"])),
        "curves": sorted(
            ledger.table("curves").drop_columns(["attempt"]).to_pylist(),
            key=lambda row: (row["signature"], row["epoch"]),
        ),
        "models": {one: model_path(study.folder, one).read_text() for one in signatures},
        "damaged": ledger.damaged,
    }


def elsewhere(monkeypatch: pytest.MonkeyPatch, folder: Path, name: str) -> None:
    """Go on as on another machine, which has no copy."""
    monkeypatch.setenv(SCRATCH, str(folder / name))
