"""Trials of a command that wait for no whole second."""

import sys
from pathlib import Path
from typing import Any

import pytest
from command_trials import GOOD, Build

from trainables.command import trial as trial_module
from trainables.command.config import CommandConfig
from trainables.command.trial import CommandTrial


@pytest.fixture
def short_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take rows in as they come, so that no test waits for a whole second."""
    monkeypatch.setattr(trial_module, "STEP_SECONDS", 0.05)


@pytest.fixture
def build(tmp_path: Path, short_steps: None) -> Build:
    """A trial of a Python script: `build(source, **settings of the configuration)`."""

    def built(
        source: str = GOOD, *, seed: int = 3, start_from: Path | None = None, **given: Any
    ) -> CommandTrial:
        script = tmp_path / "train.py"
        script.write_text(source)
        content = {
            "command": [sys.executable, "-S", str(script), "{folder}", "{seed}", "{width}"],
            "settings": {"width": 4},
            "metrics": {"accuracy": "higher is better"},
            "grace_seconds": 0.2,
            "base_folder": str(tmp_path),
        }
        config = CommandConfig.model_validate({**content, **given})
        return CommandTrial(config, seed, cache_dir=tmp_path / "cache", start_from=start_from)

    return built
