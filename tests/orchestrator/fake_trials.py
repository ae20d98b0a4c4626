"""Trials that take no time or end badly, with the signature of `trainables.trial.Trial`.

Workers import this file by itself (`RayOptions.extra_modules`), so it imports nothing of the tests. What a
trial does follows from its class and its seed.
"""

import json
import os
import signal
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trainables.config import CellConfig


class TrialFailed(Exception):
    """As trainables' own: told apart by name."""


@dataclass
class FakeResult:
    """What `finish` gives."""

    curves: list[dict[str, Any]] = field(default_factory=list)
    evaluations: list[dict[str, Any]] = field(default_factory=list)
    samples: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, float] = field(default_factory=dict)
    num_parameters: int = 3
    notes: list[str] = field(default_factory=list)


class FakeTrial:
    """Counts its epochs. Its weights are a number for each, so that a resumed trial can be compared."""

    def __init__(self, config: CellConfig, seed: int, *, cache_dir: Path, device: str = "cpu") -> None:
        self.config = config
        self.seed = seed
        self.cache_dir = cache_dir
        self.weights: list[int] = []

    @property
    def epoch(self) -> int:
        """Epochs finished so far."""
        return len(self.weights)

    @property
    def is_done(self) -> bool:
        """Whether every epoch is trained."""
        return self.epoch >= self.config.training.epochs

    def step(self) -> dict[str, float]:
        """Train one epoch."""
        self.weights.append(self.seed * 1000 + self.epoch)
        return {"epoch": float(self.epoch), "loss_total": 1.0 / self.epoch, "loss_direction": 0.5}

    def save_checkpoint(self, folder: Path) -> None:
        """Write the weights."""
        (folder / "weights.json").write_text(json.dumps(self.weights))

    def load_checkpoint(self, folder: Path) -> None:
        """Read them back."""
        self.weights = json.loads((folder / "weights.json").read_text())

    def save_editor(self, path: Path) -> None:
        """Write the weights as the finished editor."""
        path.write_text(json.dumps(self.weights))

    def finish(self) -> FakeResult:
        """One curve row an epoch, and one number."""
        curves = [
            {
                "epoch": epoch,
                "batch": 0,
                "optimizer_step": epoch,
                "image_steps": epoch,
                "loss_total": 1.0 / epoch,
                "loss_direction": 0.5,
                "loss_recon": 0.0,
                "learning_rate": 0.1,
                "timesteps": [999, 500],
                "loss_direction_per_t": [0.5, 0.5],
            }
            for epoch in range(1, self.epoch + 1)
        ]
        return FakeResult(curves=curves, summary={"counterfactual_gain": float(self.seed)})


class FailingTrial(FakeTrial):
    """Seed 1 diverges in its first epoch, seed 2 raises, seed 3 runs out of memory; the others are fine."""

    def step(self) -> dict[str, float]:
        """Fail, or train one epoch."""
        if self.seed == 1:
            raise TrialFailed("the loss is NaN in epoch 1")
        if self.seed == 2:
            raise ValueError("nothing works\nand this is the second line")
        if self.seed == 3:
            raise MemoryError
        return super().step()


class RefusingTrial(FakeTrial):
    """Loads no checkpoint."""

    def load_checkpoint(self, folder: Path) -> None:
        """Refuse."""
        raise ValueError("written by another version")


class InterruptingTrial(FakeTrial):
    """Sends its process SIGTERM in its second epoch."""

    def step(self) -> dict[str, float]:
        """Train one epoch, or be told to stop."""
        if self.epoch == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return super().step()


class DivergingTrial(FakeTrial):
    """Diverges in its second epoch, at every attempt."""

    def step(self) -> dict[str, float]:
        """Train one epoch, or fail."""
        if self.epoch == 1:
            raise TrialFailed("the loss is NaN in epoch 2")
        return super().step()


class MixedTrial(FailingTrial):
    """Also loses workers, as to the kernel for want of memory: seed 10's once, before epoch 3; seed 11's always."""

    def step(self) -> dict[str, float]:
        """Train one epoch, fail, or die."""
        witness = self.cache_dir / f"killed-{self.seed}"
        if self.seed == 11 or (self.seed == 10 and self.epoch == 2 and not witness.exists()):
            witness.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().step()


class BlockedTrial(FakeTrial):
    """Seeds from 2 on stop before their second epoch until `<cache>/go` exists: a trial to interrupt."""

    def step(self) -> dict[str, float]:
        """Train one epoch once it is allowed."""
        if self.seed >= 2 and self.epoch == 1:
            rate = self.config.training.optimizer.learning_rate
            (self.cache_dir / f"blocked-{self.seed}-{rate}").touch()
            while not (self.cache_dir / "go").exists():
                threading.Event().wait(0.05)
        return super().step()
