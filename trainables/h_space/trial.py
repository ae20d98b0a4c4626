"""One trial: train an editor from one seed, then measure it on held-out images."""

import math
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import nn

from trainables.h_space.config import CellConfig, TrainingConfig
from trainables.h_space.domains import domain_summary
from trainables.h_space.domains.loading import load_domain
from trainables.h_space.editing_interval import interval_notes, resolved
from trainables.h_space.editor_file import save_editor
from trainables.h_space.editors._token_encoder import dropout_from
from trainables.h_space.evaluation import Evaluation
from trainables.h_space.latents_check import latent_notes
from trainables.h_space.learning_rates import learning_rate_at
from trainables.h_space.losses import guarded_cosine
from trainables.h_space.lowering import gradient_scale
from trainables.h_space.optimizers import OPTIMIZERS
from trainables.h_space.prompts import AttributeTexts
from trainables.h_space.references import kept_references
from trainables.h_space.timesteps import training_timesteps
from trainables.h_space.training import Decode, Losses, Objective, train_batches
from trainables.h_space.trajectories import CachedBatch, kept_pictures, load_cached
from trainables.h_space.trial_state import decoded, encoded, load_state, rows_after, save_state
from trainables.h_space.warm_start import WarmStartError, take_weights
from trainables.randomness import generator_for
from trainables.trials import Row, TrialFailed, TrialResult

DATA_ORDER, TIMESTEP_ORDER, DROPOUT = "data order", "timestep order", "dropout"
STREAMS = (DATA_ORDER, TIMESTEP_ORDER, DROPOUT)
"""Purposes of the random streams that go on through a training."""


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
    """A cell trained from one seed: `step()` until `is_done`, then `finish()`.

    With `start_from`, the weights start from that editor file's instead of the seed's "init" stream; all else,
    the optimizer's state and the schedule included, starts anew. Raises TrialFailed when that editor does not fit.
    """

    def __init__(
        self,
        config: CellConfig,
        seed: int,
        *,
        cache_dir: Path,
        device: str = "cpu",
        start_from: Path | None = None,
    ) -> None:
        config = config if config.has_seed else config.with_seed(seed)
        self._notes = interval_notes(config, cache_dir)
        config = resolved(config, cache_dir)
        training = config.training
        self.config = config
        self.seed = seed
        domain = load_domain(config.domain, device)
        self._domain = domain.at(config.precision)
        self._images = load_cached(config, "train", cache_dir)
        look_up = kept_references(self._domain, domain_summary(config.domain), cache_dir)
        self._texts = AttributeTexts.of(self._domain, config.edit, look_up)
        self._evaluation = Evaluation(
            config,
            domain,
            load_cached(config, "held_out", cache_dir),
            self._texts,
            seed=seed,
            train_images=self._images,
            look_up=look_up,
            kept=kept_pictures(config, cache_dir),
        )
        self._timesteps = training_timesteps(
            training.num_train_steps, training.lowest_t, self._domain.diffusion.t_max
        )
        self._trained = tuple(t for t, _ in self._timesteps)
        self._objective, cosine_notes = _objective(
            self._texts, training, config.attribute, self._domain.to_pixels
        )
        editor = config.editor.build(self._domain.diffusion.shape, generator_for(seed, "init"), self._trained)
        self._notes += [*latent_notes(self._domain, self._images), *config.editor.notes(), *cosine_notes]
        if start_from is not None:
            self._notes.append(self._start_from(start_from, editor))
        self.editor = editor.to(self._domain.device)
        self._optimizer = OPTIMIZERS[training.optimizer.kind].build(training.optimizer, self.editor)
        self._streams = {purpose: generator_for(seed, purpose) for purpose in STREAMS}
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
        with dropout_from(self.editor, self._streams[DROPOUT]):
            rows = [row for numbers, group in self._groups() for row in self._train_group(numbers, group)]
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
            notes=[*self._notes, *self._evaluation.notes()],
        )

    def save_model(self, path: Path) -> None:
        """Write the editor as it is, after any epoch, with its complete configuration."""
        extra = {
            "seed": str(self.seed),
            "epoch": str(self.epoch),
            "domain_fingerprint": self._domain.fingerprint,
        }
        save_editor(path, self.editor, self.config, self._domain.diffusion.shape, self._trained, extra)

    def save_checkpoint(self, folder: Path) -> None:
        """Write what is needed, beside the rows of `checkpoint_rows`, to go on as if never interrupted."""
        counts = {name: value for name, value in vars(self._progress).items() if name != "curves"}
        save_state(folder, self.editor, self._optimizer, self._streams, counts)

    def checkpoint_rows(self, after: int) -> Iterator[Row]:
        """What a checkpoint keeps of the epochs after one, a JSON-able row each: curves, and pictures."""
        yield from ({"curve": row} for row in rows_after(after, self._progress.curves))
        yield from ({"sample": encoded(row)} for row in rows_after(after, self._samples))

    def load_checkpoint(self, folder: Path, rows: Iterable[Row]) -> None:
        """Go on from a checkpoint of the same configuration and seed, and its `checkpoint_rows` of all epochs."""
        progress, self._samples = load_state(folder, self.editor, self._optimizer, self._streams)
        self._progress = Progress(**progress)
        for row in rows:
            if "curve" in row:
                self._progress.curves.append(row["curve"])
            else:
                self._samples.append(decoded(row["sample"]))

    def _start_from(self, path: Path, editor: nn.Module) -> str:
        """Put the weights of an editor file into the new editor; returns the note on it."""
        try:
            return take_weights(editor, path, self.config.editor, self._domain.diffusion.shape)
        except WarmStartError as error:
            raise TrialFailed(str(error)) from error

    def _batches(self) -> list[list[int]]:
        """Positions of each batch's images; the last batch may be smaller.

        Departure: shuffled, so that a seed varies the data order too; the published code never shuffles.
        """
        order = torch.randperm(len(self._images), generator=self._streams[DATA_ORDER]).tolist()
        size = self.config.training.batch_size
        return [order[start : start + size] for start in range(0, len(order), size)]

    def _groups(self) -> Iterator[tuple[range, list[list[int]]]]:
        """The batches that share optimizer steps, with their numbers, which count from 1."""
        batches, size = self._batches(), self.config.training.accumulation
        for start in range(0, len(batches), size):
            group = batches[start : start + size]
            yield range(start + 1, start + 1 + len(group)), group

    def _batch(self, rows: Sequence[int]) -> CachedBatch:
        """The images at these positions, embedded as the training compares them."""
        batch = self._images.batch(rows)
        if self.config.training.clip_reference != "decoded":
            return batch
        with torch.no_grad():
            decoded = self._domain.to_pixels(self._domain.to_latent(batch.original.to(self._domain.device)))
            return replace(batch, embedding=self._domain.clip.image(decoded))

    def _train_group(self, numbers: range, group: Sequence[Sequence[int]]) -> list[Row]:
        """Train on batches of the images at these positions; returns each batch's row of the curves."""
        learning_rate = self._learning_rate()
        found = train_batches(
            self._domain.diffusion,
            self._domain.clip.image,
            self.editor,
            self._objective,
            [self._batch(rows) for rows in group],
            self._timesteps,
            self._optimizer_step,
            self._timestep_order(),
            gradient_scale(self.config.precision),
        )
        rows = []
        for number, images, losses in zip(numbers, group, found, strict=True):
            self._progress.num_image_steps += len(images) * len(losses)
            self._refuse_divergence(number, losses)
            rows.append(self._curve_row(number, losses, learning_rate))
        return rows

    def _curve_row(self, number: int, losses: list[Losses], learning_rate: float) -> Row:
        """A batch's row. Batches that share optimizer steps end together, so they have one count of steps."""
        means = Losses(*(sum(column) / len(losses) for column in zip(*losses, strict=True)))
        return {
            "epoch": self.epoch + 1,
            "batch": number,
            "optimizer_step": self._progress.num_optimizer_steps,
            "image_steps": self._progress.num_image_steps,
            **{f"loss_{name}": value for name, value in means._asdict().items()},
            "learning_rate": learning_rate,
            "timesteps": list(self._trained),
            "loss_direction_per_t": [loss.direction for loss in losses],
        }

    def _timestep_order(self) -> list[int]:
        """Positions of the trained timesteps in the order the next batches take them."""
        count = len(self._timesteps)
        if self.config.training.trajectory == "edited":
            return list(range(count))
        order: list[int] = torch.randperm(count, generator=self._streams[TIMESTEP_ORDER]).tolist()
        return order

    def _refuse_divergence(self, number: int, losses: list[Losses]) -> None:
        for (t, _), loss in zip(self._timesteps, losses, strict=True):
            if not all(map(math.isfinite, loss)):
                raise TrialFailed(f"loss is {loss.total} at epoch {self.epoch + 1}, batch {number}, t = {t}")

    def _optimizer_step(self) -> None:
        """Move the weights by the gradients gathered since the last step."""
        learning_rate = self._learning_rate()
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        self._progress.num_optimizer_steps += 1

    def _learning_rate(self) -> float:
        training = self.config.training
        groups = math.ceil(math.ceil(len(self._images) / training.batch_size) / training.accumulation)
        per_group = len(self._timesteps) if training.steps_per == "timestep" else 1
        in_all = training.epochs * groups * per_group
        return learning_rate_at(training.optimizer, self.epoch, self._progress.num_optimizer_steps, in_all)


def _objective(
    texts: AttributeTexts, training: TrainingConfig, attribute: str, decode: Decode
) -> tuple[Objective, list[str]]:
    """What the settings ask an editor to be trained towards, and what a reader should know about it."""
    direction = texts.direction if training.templates == "domain" else texts.bare_direction
    if not training.prompt_cosine:
        return Objective(direction, training.lambda_recon, training, decode), []
    cosine, was_guarded = guarded_cosine(texts.prompt_cosine, training.min_prompt_cosine)
    note = (
        f"the prompt cosine of {attribute} is {texts.prompt_cosine:.3f}; the loss took "
        f"training.min_prompt_cosine {training.min_prompt_cosine} in its place"
    )
    return Objective(direction, training.lambda_recon * cosine, training, decode), [note] * was_guarded


def _mean_losses(rows: list[Row]) -> dict[str, float]:
    names = ("loss_total", "loss_direction", "loss_recon")
    return {name: sum(row[name] for row in rows) / len(rows) for name in names}
