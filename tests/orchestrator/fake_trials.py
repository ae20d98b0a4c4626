"""Trials that take no time or end badly, with the signature of `trainables.h_space.trial.Trial`.

Workers import this file by itself (`RayOptions.extra_modules`), so it imports nothing of the tests. What a
trial does follows from its class and its seed.
"""

import json
import math
import os
import signal
import threading
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from trainables.errors import UserError
from trainables.h_space.config import CellConfig


class TrialFailed(UserError):
    """As trainables' own."""


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

    def __init__(
        self,
        config: CellConfig,
        seed: int,
        *,
        cache_dir: Path,
        device: str = "cpu",
        start_from: Path | None = None,
    ) -> None:
        self.config = config
        self.seed = seed
        self.cache_dir = cache_dir
        self.weights: list[int] = []
        self.inherited: list[int] = [] if start_from is None else json.loads(start_from.read_text())

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

    def checkpoint_rows(self, after: int) -> list[dict[str, Any]]:
        """A row for every epoch after one."""
        return [{"epoch": epoch + 1} for epoch in range(after, self.epoch)]

    def load_checkpoint(self, folder: Path, rows: list[dict[str, Any]]) -> None:
        """Read them back."""
        assert [row["epoch"] for row in rows] == list(range(1, len(rows) + 1))
        self.weights = json.loads((folder / "weights.json").read_text())

    def save_model(self, path: Path) -> None:
        """Write the weights as the editor, after those that it started from."""
        path.write_text(json.dumps(self.inherited + self.weights))

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


class SlowTrial(FakeTrial):
    """Takes a fifth of a second an epoch, so that there is something to kill."""

    def step(self) -> dict[str, float]:
        """Wait, and train one epoch."""
        threading.Event().wait(0.2)
        return super().step()


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


class EndingTrial(FakeTrial):
    """The code of seed 1 ends the process at once."""

    def step(self) -> dict[str, float]:
        """Train one epoch, or end."""
        if self.seed == 1:
            os._exit(0)
        return super().step()


class ReadingTrial(FakeTrial):
    """Takes any file to start from, and remembers only its size."""

    def __init__(
        self, config: CellConfig, seed: int, *, cache_dir: Path, start_from: Path | None = None, **device: str
    ) -> None:
        super().__init__(config, seed, cache_dir=cache_dir, **device)
        self.inherited = [] if start_from is None else [start_from.stat().st_size]


class WarnedTrial(FakeTrial):
    """Sends its process, in its second epoch, what a scheduler sends before the end."""

    def step(self) -> dict[str, float]:
        """Train one epoch, and be warned."""
        if self.epoch == 1:
            os.kill(os.getpid(), signal.SIGUSR1)
        return super().step()


class RefusingTrial(FakeTrial):
    """Loads no checkpoint."""

    def load_checkpoint(self, folder: Path, rows: list[dict[str, Any]]) -> None:
        """Refuse."""
        raise ValueError("written by another version")


class BlockedDiskTrial(FakeTrial):
    """May not read its checkpoint."""

    def load_checkpoint(self, folder: Path, rows: list[dict[str, Any]]) -> None:
        """Refuse as the system does."""
        raise PermissionError(13, "Permission denied", str(folder / "weights.json"))


class FullMemoryTrial(FakeTrial):
    """Has no memory left for its checkpoint."""

    def load_checkpoint(self, folder: Path, rows: list[dict[str, Any]]) -> None:
        """Refuse as Python does."""
        raise MemoryError


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


class DeadlyMachineTrial(BlockedTrial):
    """Dies on the machine that `<cache>/deadly` names."""

    def step(self) -> dict[str, float]:
        """Train one epoch, or die."""
        import ray  # Most trials of this file run without it.

        if ray.get_runtime_context().get_node_id() == (self.cache_dir / "deadly").read_text():
            os.kill(os.getpid(), signal.SIGKILL)
        return super().step()


class TunedTrial(FakeTrial):
    """Best at a learning rate of 0.01, with pixel_channel a little more. What lambda_recon does: from 8 on the trial
    fails, from 9 on its metric is NaN; the lower it is the faster, at no cost."""

    @property
    def _miss(self) -> float:
        """Distance from the best learning rate, in powers of ten."""
        return abs(math.log10(self.config.training.optimizer.learning_rate) + 2)

    def step(self) -> dict[str, float]:
        """Train one epoch, or fail."""
        if 8 <= self.config.training.lambda_recon < 9:
            raise TrialFailed("the loss is NaN in epoch 1")
        return {**super().step(), "loss_direction": self._miss / self.epoch}

    def finish(self) -> FakeResult:
        """The gain falls with the distance, and a little with the seed."""
        result = super().finish()
        gain = 1 - self._miss + 0.1 * (self.config.editor.kind == "pixel_channel") - 0.001 * self.seed
        result.summary = {
            "counterfactual_gain": math.nan if self.config.training.lambda_recon >= 9 else gain,
            "s_dir": -self.config.training.lambda_recon,
            "loss_direction": self._miss / self.epoch,
        }
        return result


class KilledTrial(TunedTrial):
    """The third trial of a launch takes the whole process with it in its second epoch, as `kill -9` does."""

    def step(self) -> dict[str, float]:
        """Train one epoch, or die."""
        if self.epoch == 0:
            with (self.cache_dir.parent / "begun").open("a") as file:
                file.write(".")
        begun = len((self.cache_dir.parent / "begun").read_text())
        if begun == 3 and self.epoch == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().step()


class OutOfMemoryTrial(FakeTrial):
    """Asks for more memory than there is."""

    def step(self) -> dict[str, float]:
        """Fail as Python does."""
        raise MemoryError


class OutOfGpuMemoryTrial(FakeTrial):
    """Asks for more GPU memory than there is."""

    def step(self) -> dict[str, float]:
        """Fail as torch does."""
        import torch

        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB\nMore is said here.")


class BrokenEditorTrial(FakeTrial):
    """Has an editor that cannot work."""

    def step(self) -> dict[str, float]:
        """Fail inside the editor."""
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")


class FillingTrial(FakeTrial):
    """Seed 1 fills the disk of the cache in its last epoch."""

    def step(self) -> dict[str, float]:
        """Train one epoch, and take the room of the record."""
        if self.seed == 1 and self.epoch == self.config.training.epochs - 1:
            with (self.cache_dir / "filler").open("ab", buffering=0) as filler:
                try:
                    while True:
                        filler.write(b"0" * 4096)
                except OSError:
                    pass
        return super().step()


class NoisyTrial(FakeTrial):
    """Gains as a rate of 0.01 had found the trick: by far more than the noise, which a rate of 0.1 adds much of."""

    def finish(self) -> FakeResult:
        """As any fake trial, with a gain that follows from rate and seed."""
        rate = self.config.training.optimizer.learning_rate
        noise = (self.seed * 7919 % 13 - 6) / 6
        gain = {0.01: 1.0 + 0.1 * noise, 0.1: noise}.get(rate, 0.0)
        return replace(super().finish(), summary={"counterfactual_gain": gain})


class HungryTrial(FakeTrial):
    """Seed 1 asks its device for more memory than any has; the others for a little."""

    def __init__(self, config: CellConfig, seed: int, *, cache_dir: Path, device: str = "cpu") -> None:
        super().__init__(config, seed, cache_dir=cache_dir, device=device)
        self.device = device

    def step(self) -> dict[str, float]:
        """Take memory, and train one epoch."""
        import torch

        torch.empty(2**43 if self.seed == 1 else 1, device=self.device)
        return super().step()
