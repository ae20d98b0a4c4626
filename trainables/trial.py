"""One trial: train an editor from one seed, then measure it on held-out images."""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trainables.attributes import ATTRIBUTES
from trainables.config import CellConfig
from trainables.diffusion import training_timesteps
from trainables.domains import load_domain
from trainables.editor_file import save_editor
from trainables.evaluation import Evaluation
from trainables.losses import guarded_cosine
from trainables.prompts import AttributeTexts
from trainables.randomness import generator_for
from trainables.training import Losses, Objective, build_optimizer, learning_rate_at, train_batch
from trainables.trajectories import load_cached
from trainables.trial_state import load_state, save_state

Row = dict[str, Any]
"""One row of a ledger table: column name to value."""


class TrialFailed(Exception):
    """A trial that ended in a way its record should name: the reason is the message."""


@dataclass
class TrialResult:
    """What a finished trial leaves for the ledger."""

    curves: list[Row]
    evaluations: list[Row]
    samples: list[Row]
    summary: dict[str, float]
    num_parameters: int
    notes: list[str] = field(default_factory=list)


@dataclass
class Progress:
    """How far a training is; everything of it goes into a checkpoint."""

    epoch: int = 0
    num_optimizer_steps: int = 0
    num_image_steps: int = 0
    """Images times timesteps trained so far: the unit of cost, whatever the batch size."""
    train_seconds: float = 0.0
    curves: list[Row] = field(default_factory=list)


class Trial:
    """A cell trained from one seed: `step()` until `is_done`, then `finish()`."""

    def __init__(self, config: CellConfig, seed: int, *, cache_dir: Path, device: str = "cpu") -> None:
        training = config.training
        self.config = config
        self.seed = seed
        self._domain = load_domain(config.domain, device)
        self._texts = AttributeTexts.of(self._domain, ATTRIBUTES[config.attribute])
        self._images = load_cached(config, "train", cache_dir)
        self._evaluation = Evaluation(
            config, self._domain, load_cached(config, "test", cache_dir), self._texts
        )
        self._timesteps = training_timesteps(training.num_train_steps, training.t_edit)
        cosine, self._cosine_was_guarded = guarded_cosine(
            self._texts.prompt_cosine, training.min_prompt_cosine
        )
        self._objective = Objective(self._texts.direction, training.lambda_recon * cosine, training)
        editor = config.editor.build(self._domain.diffusion.shape, generator_for(seed, "init"))
        self.editor = editor.to(self._domain.device)
        self._optimizer = build_optimizer(training.optimizer, self.editor)
        self._data_order = generator_for(seed, "data order")
        self._progress = Progress()
        self._samples: list[Row] = []

    @property
    def epoch(self) -> int:
        """Epochs trained so far."""
        return self._progress.epoch

    @property
    def is_done(self) -> bool:
        """Whether every epoch has been trained."""
        return self.epoch >= self.config.training.epochs

    def step(self) -> dict[str, float]:
        """Train one epoch. Returns its mean losses.

        Raises TrialFailed when a loss is not finite.
        """
        started = time.perf_counter()
        rows = [self._train_batch(number, batch) for number, batch in enumerate(self._batches(), start=1)]
        self._progress.train_seconds += time.perf_counter() - started
        self._progress.curves += rows
        self._progress.epoch += 1
        if not self.is_done:
            self._samples += self._evaluation.preview(self.editor, self.epoch)
        return {"epoch": float(self.epoch), **_mean_losses(rows)}

    def finish(self) -> TrialResult:
        """Measure the trained editor on the held-out images."""
        evaluations, samples, summary = self._evaluation.run(self.editor, self.epoch)
        last_epoch = [row for row in self._progress.curves if row["epoch"] == self.epoch]
        return TrialResult(
            curves=self._progress.curves,
            evaluations=evaluations,
            samples=self._samples + samples,
            summary={**_mean_losses(last_epoch), **summary, "train_seconds": self._progress.train_seconds},
            num_parameters=sum(p.numel() for p in self.editor.parameters()),
            notes=self._notes(),
        )

    def save_editor(self, path: Path) -> None:
        """Write the trained editor with its complete configuration."""
        extra = {"seed": str(self.seed), "domain_fingerprint": self._domain.fingerprint}
        save_editor(path, self.editor, self.config, self._domain.diffusion.shape, extra)

    def save_checkpoint(self, folder: Path) -> None:
        """Write everything needed to go on as if never interrupted."""
        save_state(
            folder, self.editor, self._optimizer, self._data_order, vars(self._progress), self._samples
        )

    def load_checkpoint(self, folder: Path) -> None:
        """Go on from a checkpoint of the same configuration and seed."""
        progress, self._samples = load_state(folder, self.editor, self._optimizer, self._data_order)
        self._progress = Progress(**progress)

    def _batches(self) -> Iterator[list[int]]:
        """Positions of each batch's images; the last batch may be smaller.

        Departure: shuffled, so that a seed varies the data order too; the published code never shuffles.
        """
        order = torch.randperm(len(self._images), generator=self._data_order).tolist()
        size = self.config.training.batch_size
        return (order[start : start + size] for start in range(0, len(order), size))

    def _train_batch(self, number: int, rows: Sequence[int]) -> Row:
        """Train on the images at these positions; returns the batch's row of the curves."""
        learning_rate = self._learning_rate()
        losses = train_batch(
            self._domain.diffusion,
            self._domain.clip,
            self.editor,
            self._objective,
            self._images.batch(rows),
            self._timesteps,
            self._optimizer_step,
        )
        self._progress.num_image_steps += len(rows) * len(losses)
        self._refuse_divergence(number, losses)
        means = Losses(*(sum(column) / len(losses) for column in zip(*losses, strict=True)))
        return {
            "epoch": self.epoch + 1,
            "batch": number,
            "optimizer_step": self._progress.num_optimizer_steps,
            "image_steps": self._progress.num_image_steps,
            **{f"loss_{name}": value for name, value in means._asdict().items()},
            "learning_rate": learning_rate,
            "timesteps": [t for t, _ in self._timesteps],
            "loss_direction_per_t": [loss.direction for loss in losses],
        }

    def _refuse_divergence(self, number: int, losses: list[Losses]) -> None:
        for (t, _), loss in zip(self._timesteps, losses, strict=True):
            if not all(map(math.isfinite, loss)):
                raise TrialFailed(f"loss is {loss.total} at epoch {self.epoch + 1}, batch {number}, t = {t}")

    def _optimizer_step(self, loss: Tensor) -> None:
        learning_rate = self._learning_rate()
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves Tensor.backward untyped
        self._optimizer.step()
        self._progress.num_optimizer_steps += 1

    def _learning_rate(self) -> float:
        training = self.config.training
        batches = math.ceil(len(self._images) / training.batch_size)
        in_all = training.epochs * batches * len(self._timesteps)
        return learning_rate_at(training.optimizer, self.epoch, self._progress.num_optimizer_steps / in_all)

    def _notes(self) -> list[str]:
        """What a reader of the record should know about this trial."""
        notes = list(self.config.editor.notes())
        if self._cosine_was_guarded:
            notes.append(
                f"the prompt cosine of {self.config.attribute} is {self._texts.prompt_cosine:.3f}; the loss took "
                f"training.min_prompt_cosine {self.config.training.min_prompt_cosine} in its place"
            )
        return notes


def _mean_losses(rows: list[Row]) -> dict[str, float]:
    names = ("loss_total", "loss_direction", "loss_recon")
    return {name: sum(row[name] for row in rows) / len(rows) for name in names}
