"""Object stores, launches of a study in them, and what an undisturbed launch leaves."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from object_server import Server
from store_studies import URL, Broken, content, study_at

from orchestrator.ledger import copies
from orchestrator.ledger.copies import SCRATCH
from orchestrator.ledger.objects import Objects, objects_at
from orchestrator.study.observing import Outcome
from orchestrator.study.runner import RunOptions, run_missing


@pytest.fixture
def objects(server: Server) -> Objects:
    return objects_at(URL)


@pytest.fixture
def in_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Broken:
    """A store that takes no time, and that a test can break."""
    from obstore.store import MemoryStore

    objects = Broken(URL, MemoryStore())
    monkeypatch.setenv(SCRATCH, str(tmp_path / "this_machine"))
    monkeypatch.setattr(copies, "objects_at", lambda url: objects)
    return objects


@pytest.fixture
def launch(tmp_path: Path, display: Any) -> Callable[..., Outcome]:
    def run(place: str | Path = URL, trial: str = "FakeTrial") -> Outcome:
        options = RunOptions(inline=True, trial_class=f"fake_trials:{trial}")
        return run_missing(study_at(place, tmp_path), options, display)

    return run


@pytest.fixture
def undisturbed(tmp_path: Path, launch: Callable[..., Outcome]) -> dict[str, Any]:
    launch(tmp_path / "folder")
    return content(study_at(tmp_path / "folder", tmp_path))
