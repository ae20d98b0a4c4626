"""A training run that can be interrupted: what every network of the built-in domains is trained with.

Its checkpoint holds all that changes, so that a run that goes on from it ends with the same bits.
"""

from __future__ import annotations

import copy
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

import torch
from torch import Tensor, nn

from trainables.h_space.domains.avatars.drawing import Picture
from trainables.h_space.pretrain.pixels import to_unit_range

Log = Callable[[str], None]
Network = TypeVar("Network", bound=nn.Module)
Data = TypeVar("Data")

LAST_FACTOR: Final = 0.02
"""Factor of the learning rate at the end of every run."""


@dataclass(frozen=True)
class Training:
    """How long a network is trained, and how fast."""

    num_steps: int
    batch_size: int
    learning_rate: float
    num_warmup_steps: int = 100
    schedule_steps: int | None = None
    """Length of the cosine that the learning rate follows; `num_steps` when left out."""
    cooldown_steps: int = 0
    """The last steps, in which the rate falls straight to its floor."""
    ema_decay: float = 0.999
    num_faces: int = 24_000
    painted_share: float = 0.0
    """Share of the faces that wear face paint."""
    seed: int = 0
    seconds_between_saves: float = 300.0


def learning_rate_factor(step: int, settings: Training) -> float:
    """Linear warmup, half a cosine down to a fiftieth, and a straight cooldown to it where the cosine is cut short."""
    if step < settings.num_warmup_steps:
        return (step + 1) / settings.num_warmup_steps
    cooled_for = step - (settings.num_steps - settings.cooldown_steps)
    if cooled_for > 0:
        share = cooled_for / settings.cooldown_steps
        return (1 - share) * _cosine_factor(step - cooled_for, settings) + share * LAST_FACTOR
    return _cosine_factor(step, settings)


def _cosine_factor(step: int, settings: Training) -> float:
    length = (settings.schedule_steps or settings.num_steps) - settings.num_warmup_steps
    done = (step - settings.num_warmup_steps) / max(1, length)
    return LAST_FACTOR + (1 - LAST_FACTOR) * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def seeded(build: Callable[[], Network], seed: int) -> Network:
    """An untrained network; the global generator, which networks are initialised from, is left alone."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build()


class Run(ABC, Generic[Network, Data]):
    """The changing parts of a training run: weights, their moving average, optimiser, step, stream."""

    def __init__(self, network: Network, settings: Training) -> None:
        self.settings = settings
        self.generator = torch.Generator().manual_seed(settings.seed)
        # a fifth to a third faster on CPU, same numbers to rounding
        nn.Module.to(network, memory_format=torch.channels_last)
        self.network = network
        self.ema = copy.deepcopy(network).requires_grad_(False).eval()
        self.optimizer = torch.optim.AdamW(network.parameters(), lr=settings.learning_rate, weight_decay=1e-4)
        self.step = 0

    @abstractmethod
    def batch(self, data: Data) -> Tensor:
        """What one step is trained on, (B, C, H, W), drawn from all there is."""

    @abstractmethod
    def loss(self, x_0: Tensor) -> Tensor:
        """The loss of a batch: a scalar."""

    def train_step(self, data: Data) -> float:
        """One optimiser step on a random batch; returns the loss."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.learning_rate * learning_rate_factor(self.step, self.settings)
        loss = self.loss(self.batch(data))
        self.optimizer.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        self.step += 1
        self._update_average()
        return float(loss.detach())

    def train(
        self, data: Data, *, checkpoint: Path | None = None, save: Callable[[], None] = lambda: None, log: Log
    ) -> None:
        """Go on from `checkpoint`, where it exists, to the last step; both are saved every now and then."""
        if checkpoint is not None and checkpoint.is_file():
            self.load(checkpoint)
        saved_at = started_at = time.monotonic()
        first_step = self.step
        while self.step < self.settings.num_steps:
            loss = self.train_step(data)
            now = time.monotonic()
            if self.step % 50 == 0:
                per_step = (now - started_at) / (self.step - first_step)
                log(f"step {self.step}/{self.settings.num_steps} loss {loss:.4f} {per_step:.3f} s/step")
            if now - saved_at > self.settings.seconds_between_saves or self.step == self.settings.num_steps:
                saved_at = now
                save()
                if checkpoint is not None:
                    self.save(checkpoint)

    def save(self, path: Path) -> None:
        """Write all that changes; a reader never meets half a file."""
        state = {
            "settings": asdict(self.settings),
            "step": self.step,
            "network": self.network.state_dict(),
            "ema": self.ema.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
        }
        torch.save(state, path.with_suffix(".part"))
        path.with_suffix(".part").replace(path)

    def load(self, path: Path) -> None:
        """Go on where the run stood that was saved there."""
        state = torch.load(path, weights_only=True)
        self.step = state["step"]
        self.network.load_state_dict(state["network"])
        self.ema.load_state_dict(state["ema"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["generator"])

    @torch.no_grad()
    def _update_average(self) -> None:
        """Exponential moving average whose horizon grows with the run, so early weights do not linger."""
        decay = min(self.settings.ema_decay, (1 + self.step) / (10 + self.step))
        for average, value in zip(self.ema.parameters(), self.network.parameters(), strict=True):
            average.lerp_(value, 1 - decay)


def random_faces(faces: Picture, size: int, generator: torch.Generator) -> Tensor:
    """`size` of the pictures, (size, 3, H, W) in [-1, 1]."""
    return to_unit_range(faces[random_rows(len(faces), size, generator).numpy()])


def random_rows(num_rows: int, size: int, generator: torch.Generator) -> Tensor:
    """(size,) of them, with repetition."""
    return torch.randint(0, num_rows, (size,), generator=generator)


def save_diffusers(model: Any, folder: Path, dtype: torch.dtype = torch.float16, **config: object) -> None:
    """Write a model in diffusers' own layout, with further keys of its configuration.

    A reader never meets half a file; the model stays as it is.
    """
    scratch = folder.with_name(folder.name + ".part")
    saved = copy.deepcopy(model)
    nn.Module.to(saved, dtype)  # diffusers' own warns of models that keep some parts in 32 bits
    saved.register_to_config(**config)
    saved.save_pretrained(scratch)
    folder.mkdir(parents=True, exist_ok=True)
    for path in sorted(scratch.iterdir()):
        path.chmod(0o644)  # safetensors writes files that only their owner can read
        path.replace(folder / path.name)
    scratch.rmdir()
